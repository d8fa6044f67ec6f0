"""``flag="loss"``, ``"metric"``, ``"signal"``: what a call returned becomes a signal.

A criterion returns the very object that it returned unwatched. Only where a person has discarded
samples is the loss masked. Values that lie on a device are not waited for (`deferred`). How an
object is made to be watched is `wrapping`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from wl_core.codec import SampleId
from wl_core.deferred import (
    Arriving,
    Values,
    instance_values,
    is_away,
    landed,
    numbers,
    one_number,
)
from wl_core.dispatch import dispatch, refuse_subscribers
from wl_core.errors import UsageError
from wl_core.labels import sample_values
from wl_core.save import (
    ArrayFacts,
    instance_facts,
    length,
    record_or_wait,
    record_samples,
    resolve,
    resolve_instances,
    sample_facts,
)
from wl_core.session import Session, current_session, session
from wl_core.signals import registry
from wl_core.table import normalise_name
from wl_core.values import BatchIds, Instances
from wl_core.watch.known import measures, remember
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
            return self._instances(running, output, inputs, ours)
        self._step(running, output, ours)
        return output

    def _samples(self, running: Session, output: Any, inputs: Any, ours: dict[str, Any]) -> Any:
        ids = ours.get("batch_ids")
        batch = resolve(running, ids, ours.get("origin"), length(output) if ids is None else None)
        values = sample_values(running, self.name, output, len(batch))
        arrays = _arrays(ours)
        facts = sample_facts(batch, **arrays) if arrays else None
        running.handover.claim(batch)
        measures(running, self.name, batch)
        found = {self.name: values}
        waits = isinstance(values, Arriving) or (facts is not None and bool(facts.arriving))
        with running.recorder.facts():
            running.declare(self.name, "sample", self.role, self.log, {})
            if waits:
                kept = _kept_for_subscribers(self.name, inputs)
                record = partial(record_samples, running, self.log, batch, found, facts, kept)
                record_or_wait(running.recorder, found, facts, record)
            else:
                record_samples(running, self.log, batch, found, facts, inputs)
        return self._masked(running, output, batch)

    def _instances(self, running: Session, output: Any, inputs: Any, ours: dict[str, Any]) -> Any:
        batch = resolve(running, ours.get("batch_ids"), ours.get("origin"), None)
        instances = resolve_instances(running, batch, ours.get("batch_idx"), ours.get("targets"))
        values = instance_values(self.name, output, len(instances))
        arrays = _arrays(ours)
        facts = instance_facts(instances, **arrays) if arrays else None
        running.handover.claim(batch)
        measures(running, self.name, batch)
        found: dict[str, Values] = {self.name: values}
        waits = isinstance(values, Arriving) or (facts is not None and bool(facts.arriving))
        with running.recorder.facts():
            running.declare(self.name, "instance", self.role, self.log, {})
            if waits:
                kept = _kept_for_subscribers(self.name, inputs)
                record = partial(self._record_instances, running, instances, found, facts, kept)
                record_or_wait(running.recorder, found, facts, record)
            else:
                self._record_instances(running, instances, found, facts, inputs)
        return self._masked(running, output, instances)

    def _record_instances(
        self,
        running: Session,
        instances: Instances,
        found: dict[str, Values],
        facts: ArrayFacts | None,
        inputs: Any,
    ) -> None:
        values = landed(found[self.name])
        running.recorder.instance_values(self.name, self.log, instances, values)
        if facts is not None:
            facts.record(running.recorder)
        dispatch(running, self.name, instances, values, inputs, facts)

    def _step(self, running: Session, output: Any, ours: dict[str, Any]) -> None:
        """One number per step, or one per name for an output that is a mapping."""
        measures(running, self.name, running.handover.latest(ours.get("origin")))
        given: dict[str, Any] = {}
        if isinstance(output, Mapping):
            given = {f"{self.name}/{key}": one for key, one in output.items()}
        elif output is not None:
            given = {self.name: output}
        found = {name: one_number(self.name, one) for name, one in given.items()}
        facts = None
        if any(ours.get(name) is not None for name in ("batch_ids", *_ARRAYS)):
            batch = resolve(running, ours.get("batch_ids"), ours.get("origin"), None)
            facts = sample_facts(batch, **_arrays(ours))
            running.handover.claim(batch)
        with running.recorder.facts():
            for name in found:
                running.declare(name, "step", self.role, self.log, {})
                refuse_subscribers(running, name, "step")
            record = partial(_record_step, running, found, facts)
            record_or_wait(running.recorder, found, facts, record)

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
        mask = _on_device_of(output, hit)
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


def _record_step(
    running: Session, found: Mapping[str, float | Arriving], facts: ArrayFacts | None
) -> None:
    if found:
        running.recorder.step_values(numbers(found))
    if facts is not None:
        facts.record(running.recorder)


def _kept_for_subscribers(name: str, outputs: Any) -> Any:
    """What `SignalContext.logits` will show of the outputs, without the graph that made them."""
    if name not in registry.subscribers:
        return None
    return outputs.detach() if hasattr(outputs, "detach") else outputs


def _on_device_of(output: Any, mask: list[bool]) -> Any:
    """The mask ``[N]`` where the output lies, without waiting for what its device is doing."""
    import torch

    made = torch.tensor(mask)
    if not is_away(output):
        return made
    if output.is_cuda:
        made = made.pin_memory()  # from memory that is not pinned it would be waited for
    return made.to(output.device, non_blocking=True)


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
    return remember(watch, watched(obj, watch))
