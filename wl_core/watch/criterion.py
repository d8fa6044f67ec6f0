"""``flag="loss"``, ``"metric"``, ``"signal"``: what a call returned becomes a signal.

A criterion returns the very object that it returned unwatched. Only where a person has discarded
samples is the loss masked. How an object is made to be watched is `wrapping`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wl_core.codec import SampleId
from wl_core.errors import SignalShapeError, UsageError
from wl_core.save import instance_facts, length, resolve, resolve_instances, sample_facts
from wl_core.session import Session, current_session, session
from wl_core.signals import dispatch, refuse_subscribers
from wl_core.table import normalise_name
from wl_core.values import BatchIds, Instances, as_array, per_instance, per_sample
from wl_core.watch.wrapping import watched

_ARRAYS = ("preds", "preds_raw", "targets")


@dataclass(frozen=True, slots=True)
class Watch:
    """How a call's output becomes a signal; ``level`` is ``sample``, ``instance`` or ``step``."""

    name: str
    role: str
    level: str
    log: bool

    def __call__(self, output: Any, inputs: Any, ours: dict[str, Any]) -> Any:
        """Records what a call returned, and gives what the caller shall get.

        ``inputs`` is the call's first argument, ``ours`` the arguments that were meant for wl.
        """
        running = session()
        if self.level == "sample":
            return self._samples(running, output, inputs, ours)
        if self.level == "instance":
            return self._instances(running, output, ours)
        self._step(running, output, ours)
        return output

    def _samples(self, running: Session, output: Any, inputs: Any, ours: dict[str, Any]) -> Any:
        ids = ours.get("batch_ids")
        batch = resolve(running, ids, ours.get("origin"), length(output) if ids is None else None)
        values = per_sample(self.name, output, len(batch))
        arrays = _arrays(ours)
        facts = sample_facts(batch, **arrays) if arrays else None
        running.handover.claim(batch)
        with running.recorder.facts():
            running.declare(self.name, "sample", self.role, self.log, {})
            running.recorder.values(self.name, self.log, batch, values)
            if facts is not None:
                facts.record(running.recorder)
            dispatch(running, self.name, batch, values, inputs)
        return self._masked(running, output, batch)

    def _instances(self, running: Session, output: Any, ours: dict[str, Any]) -> Any:
        batch = resolve(running, ours.get("batch_ids"), ours.get("origin"), None)
        instances = resolve_instances(running, batch, ours.get("batch_idx"), ours.get("targets"))
        values = per_instance(self.name, output, len(instances))
        arrays = _arrays(ours)
        facts = instance_facts(instances, **arrays) if arrays else None
        running.handover.claim(batch)
        with running.recorder.facts():
            running.declare(self.name, "instance", self.role, self.log, {})
            running.recorder.instance_values(self.name, self.log, instances, values)
            if facts is not None:
                facts.record(running.recorder)
            refuse_subscribers(running, self.name, "instance")
        return self._masked(running, output, instances)

    def _step(self, running: Session, output: Any, ours: dict[str, Any]) -> None:
        """One number per step, or one per name for an output that is a mapping."""
        numbers: dict[str, float] = {}
        if isinstance(output, Mapping):
            numbers = {f"{self.name}/{key}": _number(self.name, one) for key, one in output.items()}
        elif output is not None:
            numbers = {self.name: _number(self.name, output)}
        facts = None
        if any(ours.get(name) is not None for name in ("batch_ids", *_ARRAYS)):
            batch = resolve(running, ours.get("batch_ids"), ours.get("origin"), None)
            facts = sample_facts(batch, **_arrays(ours))
            running.handover.claim(batch)
        with running.recorder.facts():
            for name in numbers:
                running.declare(name, "step", self.role, self.log, {})
                refuse_subscribers(running, name, "step")
            if numbers:
                running.recorder.step_values(numbers)
            if facts is not None:
                facts.record(running.recorder)

    def _masked(self, running: Session, output: Any, owners: BatchIds | Instances) -> Any:
        """The output, with zeros where a discarded sample or instance would have taught the model.

        Without discards among them it is the very object that came in.
        """
        discards = running.discards.keys
        if not discards or not hasattr(output, "new_tensor"):
            return output
        if self.role != "loss" and not output.requires_grad:
            return output  # a metric that nothing learns from keeps its value
        hit = _discarded(discards, owners)
        if not any(hit):
            return output
        mask = output.new_tensor(hit).bool()
        return output.masked_fill(mask.reshape(-1, *[1] * (output.ndim - 1)), 0.0)


def _arrays(ours: dict[str, Any]) -> dict[str, Any]:
    return {name: ours[name] for name in _ARRAYS if name in ours}


def _discarded(
    discards: frozenset[tuple[str, SampleId, int]], owners: BatchIds | Instances
) -> list[bool]:
    if isinstance(owners, BatchIds):
        return [(owners.origin, one, 0) in discards for one in owners.ids]
    origin, ids = owners.batch.origin, owners.batch.ids
    where = zip(owners.batch_idx.tolist(), owners.annotation_ids.tolist(), strict=True)
    return [
        (origin, ids[at], 0) in discards or (origin, ids[at], number) in discards
        for at, number in where
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

    With neither, its output (its mean, if it is not one number) is one value of the step; an
    output that is a mapping gives one signal ``NAME/KEY`` for each key. A torchmetrics metric
    gives what ``compute`` says as ``NAME`` and what a single batch gave as ``NAME/batch``.

    The watched object takes, besides its own arguments, ``batch_ids``, ``batch_idx``, ``targets``,
    ``preds``, ``preds_raw`` and ``origin``, with the meaning that they have for `save_signals`, or
    with ``per_instance`` for `save_instance_signals`. A keyword that its own signature names stays
    its own; of these, ``batch_ids`` and ``batch_idx`` are read by both.

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
    watch = Watch(normalise_name(chosen), role, level, log)
    running = current_session()
    if running is not None:  # now, so that signals are listed in the order in which they are named
        running.declare(watch.name, level, role, log, {})
    return watched(obj, watch)
