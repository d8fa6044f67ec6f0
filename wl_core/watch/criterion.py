"""``flag="loss"`` (``"criterion"``), ``"metric"``, ``"signal"``: an object that is called is watched.

A watched object is a shallow copy of the object whose class is a subclass of its class: it shares
parameters and buffers, is an instance of what it was, takes the same arguments and returns the very
tensor that the object returned. Only where a person has discarded samples is the loss masked.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wl_core.codec import SampleId
from wl_core.errors import SignalShapeError, UsageError
from wl_core.save import (
    _instance_arrays,
    _record_arrays,
    _sample_arrays,
    resolve,
    resolve_instances,
    split,
)
from wl_core.session import Session, session
from wl_core.signals import dispatch
from wl_core.table import normalise_name
from wl_core.values import BatchIds, Instances, as_array, is_nested, per_instance, per_sample

_OURS = ("batch_ids", "batch_idx", "targets", "preds", "preds_raw", "origin")


@dataclass(frozen=True, slots=True)
class Watch:
    """How a call's output becomes a signal."""

    name: str
    role: str
    level: str
    log: bool

    def __call__(self, output: Any, inputs: Any, ours: dict[str, Any]) -> Any:
        """Records what a call returned, and gives what the caller shall get."""
        running = session()
        if self.level == "sample":
            return self._samples(running, output, inputs, ours)
        if self.level == "instance":
            return self._instances(running, output, ours)
        self._step(running, output)
        return output

    def _samples(
        self, running: Session, output: Any, inputs: Any, ours: dict[str, Any]
    ) -> Any:
        count = len(output) if getattr(output, "ndim", 0) else None
        ids = ours.get("batch_ids")
        batch = resolve(running, ids, ours.get("origin"), count if ids is None else None)
        values = per_sample(self.name, output, len(batch))
        arrays = _sample_arrays(batch, preds=ours.get("preds"), preds_raw=ours.get("preds_raw"))
        targets = ours.get("targets")
        if targets is not None and not is_nested(targets):
            arrays["target"] = split("target", targets, len(batch))
        with running.recorder.facts():
            running.recorder.named(batch)
            running.declare(self.name, "sample", self.role, self.log, {})
            running.recorder.values(self.name, self.log, batch, values)
            _record_arrays(running.recorder, batch, arrays)
            if is_nested(targets):
                instances = resolve_instances(running, batch, None, targets)
                found = _instance_arrays(instances, targets=targets, preds=None)
                _record_arrays(running.recorder, instances, found)
            dispatch(running, self.name, batch, values, inputs)
        return self._masked(running, output, batch)

    def _instances(self, running: Session, output: Any, ours: dict[str, Any]) -> Any:
        batch = resolve(running, ours.get("batch_ids"), ours.get("origin"), None)
        targets, preds = ours.get("targets"), ours.get("preds")
        instances = resolve_instances(running, batch, ours.get("batch_idx"), targets)
        values = per_instance(self.name, output, len(instances))
        of_samples = preds is not None and len(preds) == len(batch) != len(instances)
        arrays = _instance_arrays(
            instances, targets=targets, preds=None if of_samples else preds
        )
        samples = _sample_arrays(
            batch, preds=preds if of_samples else None, preds_raw=ours.get("preds_raw")
        )
        with running.recorder.facts():
            running.recorder.named(batch)
            running.declare(self.name, "instance", self.role, self.log, {})
            running.recorder.instance_values(self.name, self.log, instances, values)
            _record_arrays(running.recorder, instances, arrays)
            _record_arrays(running.recorder, batch, samples)
        return self._masked(running, output, instances)

    def _step(self, running: Session, output: Any) -> None:
        """One number per step, or one per name for an output that is a mapping."""
        if isinstance(output, Mapping):
            numbers = {f"{self.name}/{key}": _number(self.name, one) for key, one in output.items()}
        elif output is None:
            return
        else:
            numbers = {self.name: _number(self.name, output)}
        for name in numbers:
            running.declare(name, "step", self.role, self.log, {})
        running.recorder.step_values(numbers)

    def _masked(self, running: Session, output: Any, owners: BatchIds | Instances) -> Any:
        """The output, with zeros where a discarded sample or instance would have taught the model.

        Without discards among them it is the very object that came in.
        """
        if not running.discards or not hasattr(output, "new_tensor"):
            return output
        if self.role != "loss" and not output.requires_grad:
            return output  # a metric that nothing learns from keeps its value
        hit = _discarded(running.discards, owners)
        if not any(hit):
            return output
        mask = output.new_tensor(hit).bool()
        return output.masked_fill(mask.reshape(-1, *[1] * (output.ndim - 1)), 0.0)


def _discarded(
    discards: frozenset[tuple[str, SampleId, int]], owners: BatchIds | Instances
) -> list[bool]:
    if isinstance(owners, BatchIds):
        return [(owners.origin, one, 0) in discards for one in owners.ids]
    origin, ids = owners.batch.origin, owners.batch.ids
    return [
        (origin, ids[at], 0) in discards or (origin, ids[at], number) in discards
        for at, number in zip(owners.batch_idx.tolist(), owners.annotation_ids.tolist(), strict=True)
    ]


def _number(name: str, value: Any) -> float:
    try:
        return float(as_array(value).mean())
    except (TypeError, ValueError) as error:
        raise SignalShapeError(
            f"signal {name!r}: expected a number or a tensor, got {type(value).__name__}"
        ) from error


def watch_criterion(
    obj: Any,
    role: str,
    *,
    name: str | None = None,
    signal_name: str | None = None,
    per_sample: bool = False,
    per_instance: bool = False,
    log: bool = True,
) -> Any:
    """A callable whose output becomes a signal.

    Args:
        obj: an ``nn.Module``, a torchmetrics metric, or any callable.
        name, signal_name: the signal's name.
        per_sample: it returns ``[B]`` (extra dimensions are averaged), one value per sample.
        per_instance: it returns a flat, sample-major ``[total_instances]``.
        log: draw the mean as a curve. Sample and instance histories are kept either way.

    With neither, its output (its mean, if it is not one number) is one value of the step.

    The watched object takes, besides its own arguments, ``batch_ids``, ``batch_idx``, ``targets``,
    ``preds``, ``preds_raw`` and ``origin``, with the meaning that they have for `save_signals` and
    `save_instance_signals`. A keyword that its own signature names stays its own.

    Raises:
        UsageError: no name, two names, both levels, or something that cannot be called.
    """
    chosen = name or signal_name
    if not chosen or (name and signal_name and name != signal_name):
        raise UsageError("a watched signal needs one name: pass name= (or signal_name=)")
    if per_sample and per_instance:
        raise UsageError(f"signal {chosen!r}: choose per_sample or per_instance, not both")
    if not callable(obj) or isinstance(obj, type):
        raise UsageError(f"signal {chosen!r}: expected something to call, got {obj!r}")
    level = "sample" if per_sample else "instance" if per_instance else "step"
    return watched(obj, Watch(normalise_name(chosen), role, level, log))


def watched(obj: Any, watch: Watch) -> Any:
    """The object, watched; see the head of this file."""
    forward = getattr(obj, "forward", obj)
    taken = _own_keywords(forward)
    if inspect.isroutine(obj) or isinstance(obj, functools.partial):
        return _watched_function(obj, watch, taken)
    shell = copy.copy(obj)
    kind = type(obj)

    def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
        ours = {key: keywords.pop(key) for key in _OURS if key in keywords and key not in taken}
        output = kind.__call__(self, *arguments, **keywords)
        return watch(output, arguments[0] if arguments else None, ours)

    body = {"__call__": call, "__module__": kind.__module__, "__doc__": kind.__doc__, "__qualname__": kind.__qualname__}
    shell.__class__ = type(kind.__name__, (kind,), body)
    _watch_compute(shell, watch)
    return shell


def _watched_function(function: Callable[..., Any], watch: Watch, taken: set[str]) -> Any:
    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        ours = {key: keywords.pop(key) for key in _OURS if key in keywords and key not in taken}
        output = function(*arguments, **keywords)
        return watch(output, arguments[0] if arguments else None, ours)

    return call


def _own_keywords(function: Any) -> set[str]:
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # a builtin without a signature has no such keywords
        return set()


def _watch_compute(shell: Any, watch: Watch) -> None:
    """A torchmetrics metric tells its value over all batches by ``compute``.

    That one bears the metric's name; what a single batch gave bears ``NAME/batch``.
    """
    if not (callable(getattr(shell, "compute", None)) and callable(getattr(shell, "update", None))):
        return
    if watch.level != "step":
        raise UsageError(
            f"{watch.name!r}: a metric with update and compute gives one value a step; leave"
            " per_sample and per_instance out"
        )
    compute, kind = shell.compute, type(shell).__mro__[1]
    per_batch = Watch(f"{watch.name}/batch", watch.role, watch.level, watch.log)
    in_forward = False  # forward calls compute for the batch at hand, which is not the metric

    @functools.wraps(compute)
    def watched_compute(*arguments: Any, **keywords: Any) -> Any:
        output = compute(*arguments, **keywords)
        if not in_forward:
            watch(output, None, {})
        return output

    def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
        nonlocal in_forward
        in_forward = True
        try:
            output = kind.__call__(self, *arguments, **keywords)
        finally:
            in_forward = False
        per_batch(output, None, {})
        return output

    shell.compute = watched_compute
    type(shell).__call__ = call
