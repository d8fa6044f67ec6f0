"""Recording values: what `save_signals`, `save_instance_signals` and watched criterions share.

Here it is decided whom values belong to: explicit ids; else the batch that a tracked loader handed
over last, when lengths agree; else an error. A call checks all of its arguments before it records
any: an `ArrayFacts` holds arrays until then. Where a tensor lies on a device, all that a call
records waits for it (`deferred`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.deferred import (
    Arriving,
    Values,
    instance_values,
    landed,
    some_arrays,
)
from wl_core.dispatch import at_step, dispatch, refuse_subscribers
from wl_core.errors import SignalShapeError
from wl_core.labels import SampleValues, record_values, sample_values
from wl_core.recorder import Recorder
from wl_core.session import Session, session
from wl_core.table import normalise_name
from wl_core.values import (
    BatchIds,
    Instances,
    as_array,
    as_ids,
    as_instances,
    counts_to_batch_idx,
    flatten,
    is_nested,
)

Arrays = Sequence[npt.NDArray[Any]] | npt.NDArray[Any]


def save_signals(
    signals: Mapping[str, Any],
    batch_ids: Any = None,
    *,
    preds: Any = None,
    preds_raw: Any = None,
    targets: Any = None,
    step: int | None = None,
    log: bool = False,
    origin: str | None = None,
) -> None:
    """Records values of samples: ``{name: values [B]}``.

    Nobody waits for tensors that lie on a device: what such a call records is in the log one step
    later, and the dynamic signals that wait for it are computed then. ``batch_ids`` and
    ``batch_idx`` are needed at once: keep them on the CPU.

    Args:
        signals: tensors, arrays or lists of one value per sample. Of a tensor or array dimensions
            beyond the first are averaged. A list may also hold texts, or a short list of texts,
            numbers or bools for each sample: these are kept as they are, see `wl_core.labels`.
        batch_ids: the samples' ids ``[B]``; left out, the batch of the tracked loader.
        preds, preds_raw: predictions ``[B, …]``, kept as the samples' arrays ``prediction`` and
            ``prediction_raw``; one number per sample becomes a column instead.
        targets: ``[B, …]``, kept likewise as ``target``; a list of arrays for each sample makes
            instances.
        step: the step to record at; the current one when left out.
        log: draw the mean as a curve. The history of each sample is kept either way.
        origin: the data that the ids belong to; left out, that of the loader's batch.

    Raises:
        SignalShapeError: lengths or ranks that do not fit; nothing of the call is recorded.
    """
    check_named(signals)
    running = session()
    batch = resolve(running, batch_ids, origin, _count_of(signals) if batch_ids is None else None)
    values = {
        normalise_name(name): sample_values(running, normalise_name(name), value, len(batch))
        for name, value in signals.items()
    }
    facts = sample_facts(batch, preds=preds, preds_raw=preds_raw, targets=targets)
    running.handover.claim(batch)
    record = partial(record_samples, running, log, batch, values, facts)
    with at_step(running.recorder, step), running.recorder.facts():
        for name in values:
            running.declare(name, "sample", "signal", log, _together(values))
        record_or_wait(running.recorder, values, facts, record)


def _together(values: Mapping[str, Any]) -> dict[str, Any]:
    """For the declarations of a call's signals: what waits for one of them finds the others.

    A signal that is computed after the fact shall find them as well, and the events do not tell
    one call from two.
    """
    return {"with": list(values)} if len(values) > 1 else {}


def record_samples(
    running: Session,
    log: bool,
    batch: BatchIds,
    values: Mapping[str, SampleValues],
    facts: ArrayFacts | None,
    outputs: Any = None,
) -> None:
    """Records what a call gave of samples, and computes the signals that wait for it.

    ``outputs`` is the model's output for the batch, where it is known.
    """
    for name, value in values.items():
        record_values(running, name, log, batch, value)
    if facts is not None:
        facts.record(running.recorder)
    for name, value in values.items():
        if isinstance(value, list):
            refuse_subscribers(running, name, "label")
        else:
            dispatch(running, name, batch, landed(value), outputs, facts)


def save_instance_signals(
    signals: Mapping[str, Any],
    batch_ids: Any = None,
    *,
    batch_idx: Any = None,
    targets: Any = None,
    preds: Any = None,
    preds_raw: Any = None,
    step: int | None = None,
    log: bool = False,
    origin: str | None = None,
) -> None:
    """Records values of instances: ``{name: values [N]}``, flat and sample-major.

    The instances of a sample are numbered 1, 2, … in the order in which they appear.

    Args:
        signals: one value per instance.
        batch_ids: the samples' ids ``[B]``; left out, the batch of the tracked loader.
        batch_idx: ``[N]``, the place in the batch of each instance's sample; left out, it is taken
            from ``targets`` when that is a list of lists, else from the batch's instance counts.
        targets, preds, preds_raw: one array per instance: ``[N, …]``, a flat list, or one list
            for each sample.
        step, log, origin: as for `save_signals`.

    Raises:
        SignalShapeError: lengths or ranks that do not fit; nothing of the call is recorded.
    """
    check_named(signals)
    running = session()
    batch = resolve(running, batch_ids, origin, None)
    instances = resolve_instances(running, batch, batch_idx, targets)
    values = {
        normalise_name(name): instance_values(normalise_name(name), value, len(instances))
        for name, value in signals.items()
    }
    facts = instance_facts(instances, targets=targets, preds=preds, preds_raw=preds_raw)
    running.handover.claim(batch)
    record = partial(_record_instances, running, log, instances, values, facts)
    with at_step(running.recorder, step), running.recorder.facts():
        for name in values:
            running.declare(name, "instance", "signal", log, _together(values))
        record_or_wait(running.recorder, values, facts, record)


def _record_instances(
    running: Session, log: bool, instances: Instances, values: dict[str, Values], facts: ArrayFacts
) -> None:
    for name, value in values.items():
        running.recorder.instance_values(name, log, instances, landed(value))
    facts.record(running.recorder)
    for name, value in values.items():
        dispatch(running, name, instances, landed(value), None, facts)


def record_or_wait(
    recorder: Recorder,
    values: dict[str, Any],
    facts: ArrayFacts | None,
    record: Callable[[], None],
) -> None:
    """Records now, or when the last of the values has come from its device.

    ``values`` are arrays, numbers, or `Arriving`.
    """
    arriving = [one for one in values.values() if isinstance(one, Arriving)]
    if facts is not None:
        arriving += facts.arriving
    if not arriving:
        record()
        return
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            values[name] = value.copy()  # the script may change it until then
    if facts is not None:
        facts.keep()
    recorder.later(arriving, record)


def check_named(signals: object) -> None:
    """Refuses what is no mapping of names to values."""
    if not isinstance(signals, Mapping):
        raise SignalShapeError(
            f"expected a mapping of names to values, {{name: values}}, got {type(signals).__name__}"
        )


# -- whom values belong to -------------------------------------------------------------------------


def resolve(running: Session, batch_ids: Any, origin: str | None, count: int | None) -> BatchIds:
    """The samples that values belong to; ``count``, if given, is how many there must be.

    Raises:
        SignalShapeError: there are no ids, or another number of them than values.
    """
    handover = running.handover
    if batch_ids is None:
        return _handed(running, origin, count)
    known = handover.named
    # A list alone can be compared for less than it costs to read: tensors are read again.
    if known and known[0] == origin and type(batch_ids) is list and known[1].ids == batch_ids:
        return known[1]
    ids = as_ids(batch_ids)
    batch = handover.matching(ids, origin)
    if batch is None:
        batch = BatchIds(origin or handover.origin_of(ids, running.loaders), ids)
    handover.named = (origin, batch)
    return batch


def _handed(running: Session, origin: str | None, count: int | None) -> BatchIds:
    batch = running.handover.latest(origin)
    if batch is None:
        raise SignalShapeError(
            "whom do these values belong to? Pass batch_ids=, or take the batch from a loader that"
            " was watched with flag='data' within (or just before) this guard"
        )
    if count is not None and count != len(batch):
        raise SignalShapeError(
            f"expected {len(batch)} values for the batch that {batch.origin!r} handed over last,"
            f" got {count}: pass batch_ids="
        )
    return batch


def _count_of(signals: Mapping[str, Any]) -> int | None:
    """How many samples the values speak of, where there are no ids to say it."""
    first = next(iter(signals.values()), None)
    return length(first)


def length(values: Any) -> int | None:
    """The length of the first dimension, None where there is none."""
    if not hasattr(values, "__len__"):
        return None
    dimensions: int = getattr(values, "ndim", 1)
    return len(values) if dimensions else None


def resolve_instances(running: Session, batch: BatchIds, batch_idx: Any, targets: Any) -> Instances:
    """Which sample each instance belongs to: said, or from nested targets, or from the batch.

    Raises:
        SignalShapeError: none of the three is there, or they contradict each other.
    """
    if batch_idx is not None:
        found, known = as_array(batch_idx), running.handover.instances
        if known is None or known.batch is not batch or not np.array_equal(known.batch_idx, found):
            running.handover.instances = known = as_instances(batch, found)
        return known
    if is_nested(targets):
        return _resolve_nested(batch, targets)
    loader = running.loaders.get(batch.origin)
    counts = None if loader is None else loader.instance_counts(batch.ids)
    if counts is None:
        raise SignalShapeError(
            "which sample does each instance belong to? Pass batch_idx= (one integer per instance),"
            " or targets= as one list of masks per sample"
        )
    return as_instances(batch, counts_to_batch_idx(counts))


def _resolve_nested(batch: BatchIds, targets: Any) -> Instances:
    if len(targets) != len(batch):
        raise SignalShapeError(
            f"targets has lists for {len(targets)} samples, the batch has {len(batch)}"
        )
    return as_instances(batch, counts_to_batch_idx([len(one) for one in targets]))


# -- arrays ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class ArrayFacts:
    """Arrays of a call, checked and not yet recorded: by field, of samples or instances.

    ``arriving`` are those that are still on their way from a device.
    """

    arrays: list[tuple[str, BatchIds | Instances, Any]] = field(default_factory=list)
    columns: list[tuple[BatchIds, str, Any]] = field(default_factory=list)
    arriving: list[Arriving] = field(default_factory=list)

    def record(self, recorder: Recorder) -> None:
        for name, owners, parts in self.arrays:
            recorder.arrays(name, owners, _here(parts))
        for batch, name, parts in self.columns:
            recorder.metadata(batch, {name: [one.item() for one in _here(parts)]})

    def add(self, name: str, owners: BatchIds | Instances, given: Any) -> None:
        """One array or number for each owner.

        Raises:
            SignalShapeError: another number of them, or neither numbers nor bools.
        """
        parts = _parts(name, given, owners)
        stacked = not isinstance(parts, list)
        found = [parts] if stacked else parts
        self.arriving += [one for one in found if isinstance(one, Arriving)]
        dtypes = [parts.dtype] if stacked else [part.dtype for part in parts]
        kinds = {dtype.kind for dtype in dtypes}
        single = parts.ndim == 1 if stacked else all(part.ndim == 0 for part in parts)
        if single and len(parts) and isinstance(owners, BatchIds):
            if not kinds <= set("biufU"):
                raise SignalShapeError(f"{name}: expected numbers or text, got {dtypes[0]}")
            self.columns.append((owners, name, parts))
            return
        if not kinds <= set("biufc"):
            raise SignalShapeError(f"{name}: expected arrays of numbers or bools, got {dtypes[0]}")
        if len(parts):
            self.arrays.append((name, owners, parts))

    def of(self, name: str) -> tuple[BatchIds | Instances, Arrays] | None:
        """Whose the arrays of a field are, and one for each of them; None where none were given."""
        for found, owners, parts in self.arrays:
            if found == name:
                return owners, _here(parts)
        for batch, found, parts in self.columns:
            if found == name:
                return batch, _here(parts)
        return None

    def keep(self) -> None:
        """Copies what is here already: the script may change it until it is recorded."""
        self.arrays = [(name, owners, _kept(parts)) for name, owners, parts in self.arrays]
        self.columns = [(batch, name, _kept(parts)) for batch, name, parts in self.columns]


def _here(parts: Any) -> Arrays:
    return [landed(one) for one in parts] if isinstance(parts, list) else landed(parts)


def _kept(parts: Any) -> Any:
    if isinstance(parts, list):
        return [_kept(one) for one in parts]
    return parts if isinstance(parts, Arriving) else parts.copy()


def _parts(name: str, given: Any, owners: BatchIds | Instances) -> Any:
    """``[N, …]``, stacked or as a list, as a stack or list of one array for each owner."""
    what = "sample of the batch" if isinstance(owners, BatchIds) else "instance, in their order"
    try:
        parts: Any = some_arrays(given)
    except (ValueError, TypeError) as error:
        raise SignalShapeError(f"{name}: expected arrays, one per {what}: {error}") from error
    single = not isinstance(parts, list) and parts.ndim == 0
    got = "a single number" if single else len(parts)
    if got != len(owners):
        raise SignalShapeError(f"{name}: expected {len(owners)} arrays, one per {what}; got {got}")
    return parts


def sample_facts(
    batch: BatchIds, *, preds: Any = None, preds_raw: Any = None, targets: Any = None
) -> ArrayFacts:
    """The arrays of samples; a list of arrays for each sample in ``targets`` makes instances."""
    facts = ArrayFacts()
    if preds is not None:
        facts.add("prediction", batch, preds)
    if preds_raw is not None:
        facts.add("prediction_raw", batch, preds_raw)
    if targets is not None and is_nested(targets):
        instances = _resolve_nested(batch, targets)
        facts.add("target", instances, flatten(targets, instances))
    elif targets is not None:
        facts.add("target", batch, targets)
    return facts


def instance_facts(
    instances: Instances, *, preds: Any = None, preds_raw: Any = None, targets: Any = None
) -> ArrayFacts:
    """The arrays of instances, given flat or nested."""
    facts = ArrayFacts()
    for name, given in (
        ("prediction", preds),
        ("prediction_raw", preds_raw),
        ("target", targets),
    ):
        if given is not None:
            facts.add(name, instances, flatten(given, instances))
    return facts
