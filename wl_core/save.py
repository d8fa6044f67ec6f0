"""Recording values: what `save_signals`, `save_instance_signals` and watched criterions share.

Here it is decided whom values belong to: explicit ids; else the batch that a tracked loader handed
over last, when lengths agree; else an error. A call checks all of its arguments before it records
any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.errors import SignalShapeError
from wl_core.recorder import Recorder
from wl_core.session import Session, session
from wl_core.signals import dispatch
from wl_core.table import normalise_name
from wl_core.values import (
    BatchIds,
    Instances,
    as_array,
    as_arrays,
    as_ids,
    as_instances,
    counts_to_batch_idx,
    flatten,
    is_nested,
    per_instance,
    per_sample,
)

UNNAMED_ORIGIN = "unnamed"


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
    """Records values of samples: ``{name: values [B]}``, where extra dimensions are averaged.

    Args:
        signals: tensors, arrays or lists of one value per sample.
        batch_ids: the samples' ids ``[B]``; left out, the batch of the tracked loader.
        preds, preds_raw: predictions ``[B, …]``, kept as the samples' arrays ``prediction`` and
            ``prediction_raw``; one number per sample becomes a column instead.
        targets: ``[B, …]``, kept likewise as ``target``; a list of lists of arrays, or a list of
            arrays per sample, makes instances.
        step: the step to record at; the current one when left out.
        log: draw the mean as a curve. The history of each sample is kept either way.
        origin: the data that the ids belong to; left out, that of the loader's last batch.

    Raises:
        SignalShapeError: lengths or ranks that do not fit; nothing of the call is recorded.
    """
    running = session()
    names = [normalise_name(name) for name in signals]
    count = _count_of(signals, batch_ids)
    batch = resolve(running, batch_ids, origin, count)
    values = [
        per_sample(name, value, len(batch))
        for name, value in zip(names, signals.values(), strict=True)
    ]
    arrays = _sample_arrays(batch, preds=preds, preds_raw=preds_raw)
    target_arrays, target_column = _targets(batch, targets)
    with at_step(running.recorder, step), running.recorder.facts():
        running.recorder.named(batch)
        for name, value in zip(names, values, strict=True):
            running.declare(name, "sample", "signal", log, {})
            running.recorder.values(name, log, batch, value)
        _record_arrays(running.recorder, batch, arrays)
        for field, owners, found in target_arrays:
            running.recorder.arrays(field, owners, found)
        if target_column is not None:
            running.recorder.metadata(batch, {"target": target_column})
        for name, value in zip(names, values, strict=True):
            dispatch(running, name, batch, value)


def save_instance_signals(
    signals: Mapping[str, Any],
    batch_ids: Any = None,
    *,
    batch_idx: Any = None,
    targets: Any = None,
    preds: Any = None,
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
        targets, preds: one array per instance, ``[N, …]``, a flat list, or a list of lists.
        step, log, origin: as for `save_signals`.

    Raises:
        SignalShapeError: lengths or ranks that do not fit; nothing of the call is recorded.
    """
    running = session()
    batch = resolve(running, batch_ids, origin, None)
    instances = resolve_instances(running, batch, batch_idx, targets)
    values = {
        normalise_name(name): per_instance(normalise_name(name), value, len(instances))
        for name, value in signals.items()
    }
    arrays = _instance_arrays(instances, targets=targets, preds=preds)
    with at_step(running.recorder, step), running.recorder.facts():
        running.recorder.named(batch)
        for name, value in values.items():
            running.declare(name, "instance", "signal", log, {})
            running.recorder.instance_values(name, log, instances, value)
        _record_arrays(running.recorder, instances, arrays)


# -- whom values belong to -------------------------------------------------------------------------


def resolve(
    running: Session, batch_ids: Any, origin: str | None, count: int | None
) -> BatchIds:
    """The samples that ``count`` values belong to (None: as many as there are ids).

    Raises:
        SignalShapeError: there are no ids, or another number of them than values.
    """
    handed = running.batch
    if batch_ids is None:
        if handed is None:
            raise SignalShapeError(
                "whom do these values belong to? Pass batch_ids=, or take the batch from a loader"
                " that was watched with flag='data' within (or just before) this guard"
            )
        if count is not None and count != len(handed):
            raise SignalShapeError(
                f"expected {len(handed)} values for the batch that {handed.origin!r} handed over"
                f" last, got {count}: pass batch_ids="
            )
        return handed
    known = _known(running, batch_ids, origin)
    if known is not None and count in (None, len(known)):
        return known
    ids = as_ids(batch_ids)
    if count is not None and count != len(ids):
        raise SignalShapeError(f"expected {len(ids)} values, one per id in batch_ids, got {count}")
    if handed is not None and origin in (None, handed.origin) and ids == handed.ids:
        return handed
    if origin is None:
        origin = handed.origin if handed is not None else UNNAMED_ORIGIN
    running.named = BatchIds(origin, ids)
    return running.named


def _known(running: Session, batch_ids: Any, origin: str | None) -> BatchIds | None:
    """The batch that was handed over or named last, when these are its ids: packed only once."""
    if type(batch_ids) is not list:
        return None
    handed, named = running.batch, running.named
    if handed is not None and origin in (None, handed.origin) and batch_ids == handed.ids:
        return handed
    if named is not None and batch_ids == named.ids:
        meant = origin or (handed.origin if handed is not None else UNNAMED_ORIGIN)
        return named if named.origin == meant else None
    return None


def _count_of(signals: Mapping[str, Any], batch_ids: Any) -> int | None:
    """How many samples the values speak of, where there are no ids to say it."""
    if batch_ids is not None or not signals:
        return None
    first = next(iter(signals.values()))
    return len(first) if hasattr(first, "__len__") and getattr(first, "ndim", 1) else None


def resolve_instances(
    running: Session, batch: BatchIds, batch_idx: Any, targets: Any
) -> Instances:
    """Which sample each instance belongs to: said, or from nested targets, or from the batch.

    Raises:
        SignalShapeError: none of the three is there, or they contradict each other.
    """
    if batch_idx is not None:
        found, known = as_array(batch_idx), running.instances
        if known is None or known.batch is not batch or not np.array_equal(known.batch_idx, found):
            running.instances = known = as_instances(batch, found)
        return known
    if is_nested(targets):
        return resolve_nested(batch, targets)
    loader = running.loaders.get(batch.origin)
    counts = None if loader is None else loader.instance_counts(batch.ids)
    if counts is None:
        raise SignalShapeError(
            "which sample does each instance belong to? Pass batch_idx= (one integer per instance),"
            " or targets= as one list of masks per sample"
        )
    return as_instances(batch, counts_to_batch_idx(counts))


# -- arrays --------------------------------------------------------------------------------------

Arrays = dict[str, Sequence[npt.NDArray[Any]] | npt.NDArray[Any]]


def _sample_arrays(batch: BatchIds, *, preds: Any, preds_raw: Any) -> Arrays:
    found: Arrays = {}
    for field, given in (("prediction", preds), ("prediction_raw", preds_raw)):
        if given is not None:
            found[field] = split(field, given, len(batch))
    return found


def _instance_arrays(instances: Instances, *, targets: Any, preds: Any) -> Arrays:
    found: Arrays = {}
    for field, given in (("target", targets), ("prediction", preds)):
        if given is not None:
            flat = as_arrays(flatten(given))
            if len(flat) != len(instances):
                raise SignalShapeError(
                    f"{field}s: expected {len(instances)} arrays, one per instance in the order of"
                    f" batch_idx, got {len(flat)}"
                )
            found[field] = flat
    return found


def split(
    field: str, given: Any, count: int
) -> Sequence[npt.NDArray[Any]] | npt.NDArray[Any]:
    """``[B, …]``, stacked or as a list, as one array (or number) for each of ``count`` samples.

    Raises:
        SignalShapeError: another number of them than samples.
    """
    parts = as_arrays(given)
    if len(parts) != count:
        raise SignalShapeError(f"{field}s: expected one for each of {count} samples, got {len(parts)}")
    return parts


def _targets(
    batch: BatchIds, targets: Any
) -> tuple[list[tuple[str, BatchIds | Instances, Sequence[npt.NDArray[Any]] | npt.NDArray[Any]]], list[Any] | None]:
    """Targets of samples: instances where they are lists, else arrays, else a column of numbers."""
    if targets is None:
        return [], None
    if is_nested(targets):
        instances = resolve_nested(batch, targets)
        return [("target", instances, as_arrays(flatten(targets)))], None
    parts = split("target", targets, len(batch))
    if all(np.ndim(one) == 0 for one in parts):
        return [], [one.item() for one in parts]
    return [("target", batch, parts)], None


def resolve_nested(batch: BatchIds, targets: Any) -> Instances:
    """The instances of one list of arrays per sample."""
    if len(targets) != len(batch):
        raise SignalShapeError(
            f"targets has lists for {len(targets)} samples, the batch has {len(batch)}"
        )
    return as_instances(batch, counts_to_batch_idx([len(one) for one in targets]))


def _record_arrays(recorder: Recorder, owners: BatchIds | Instances, arrays: Arrays) -> None:
    for field, found in arrays.items():
        if len(found) and isinstance(owners, BatchIds) and all(np.ndim(one) == 0 for one in found):
            recorder.metadata(owners, {field: [one.item() for one in found]})
        elif len(found):
            recorder.arrays(field, owners, found)


@contextmanager
def at_step(recorder: Recorder, step: int | None) -> Iterator[None]:
    """Records at another step than the current one, where one is given: in a frame of its own."""
    if step is None:
        yield
        return
    recorder.begin(recorder.phase, step)
    try:
        yield
    finally:
        recorder.end()
