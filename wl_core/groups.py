"""``save_group_signals``: one number for several samples together, a pair or a contrastive group.

Whom the numbers belong to is said here; how they come from a device, and what ids may look like,
is `save`'s, `deferred`'s and `values`' business. A group whose members are discarded is recorded
like any other: its number teaches nobody anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core import deferred
from wl_core.codec import SampleId
from wl_core.deferred import Values, landed
from wl_core.dispatch import at_step, refuse_subscribers
from wl_core.errors import SignalShapeError
from wl_core.labels import check_kind
from wl_core.save import check_named, record_or_wait, resolve
from wl_core.session import Session, session
from wl_core.table import normalise_name
from wl_core.values import BatchIds, as_ids


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Named groups ``[G]`` of samples; ``members[i]`` is in group ``group_idx[i]``."""

    names: list[SampleId]
    members: BatchIds
    group_idx: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.names)


def save_group_signals(
    signals: Mapping[str, Any],
    groups: Any = None,
    *,
    group_ids: Any = None,
    batch_ids: Any = None,
    step: int | None = None,
    log: bool = True,
    origin: str | None = None,
) -> None:
    """Records values of groups of samples: ``{name: values [G]}``.

    Either ``groups`` lists the members of each group, or ``group_ids`` names the group of each
    sample of a batch:

        wl.save_group_signals({"distance": [0.1, 0.7]}, [["a", "b"], ["c", "d"]])
        wl.save_group_signals({"distance": [0.1, 0.7]}, group_ids=[5, 5, 8, 8], batch_ids=ids)

    A sample's row shows the value of the last group that it was in, its history those of all its
    groups; the curve is the mean over groups, in which each counts once.

    Args:
        signals: one number per group, in the order of ``groups`` or of the first appearance in
            ``group_ids``; a single number is that of every group. Dimensions beyond the first are
            averaged.
        groups: the ids of the members of each group: a list of lists, or ``[G, k]``.
        group_ids: with ``groups`` the names of the groups ``[G]`` (0, 1, … when left out), without
            the name of the group of each sample ``[B]``.
        batch_ids: with ``group_ids`` alone, the samples' ids ``[B]``; left out, the batch of the
            tracked loader.
        step, log, origin: as for `save_signals`; all members are of one origin.

    Raises:
        SignalShapeError: lengths that do not fit, or neither ``groups`` nor ``group_ids``; nothing
            of the call is recorded.
    """
    check_named(signals)
    running = session()
    if groups is None:
        found = _by_name(running, group_ids, batch_ids, origin)
    else:
        found = _by_list(running, groups, group_ids, batch_ids, origin)
    values = {
        normalise_name(name): _per_group(running, normalise_name(name), value, len(found))
        for name, value in signals.items()
    }
    running.handover.claim(found.members)
    record = partial(_record, running, log, found, values)
    with at_step(running.recorder, step), running.recorder.facts():
        for name in values:
            running.declare(name, "group", "signal", log, {})
            running.value_kinds[name] = "group"
        record_or_wait(running.recorder, values, None, record)


def _record(running: Session, log: bool, groups: Groups, values: Mapping[str, Values]) -> None:
    for name, value in values.items():
        running.recorder.group_values(
            name, log, groups.names, landed(value), groups.members, groups.group_idx
        )
        refuse_subscribers(running, name, "group")


def _by_list(
    running: Session, groups: Any, group_ids: Any, batch_ids: Any, origin: str | None
) -> Groups:
    if batch_ids is not None:
        raise SignalShapeError("groups= says who is in each group: leave batch_ids= out")
    listed = [as_ids(one) for one in _listed(groups)]
    for place, one in enumerate(listed):
        if not one:
            raise SignalShapeError(f"groups: the group at place {place} has no members")
    names = list(range(len(listed))) if group_ids is None else as_ids(group_ids)
    if len(names) != len(listed):
        raise SignalShapeError(
            f"expected {len(listed)} group_ids, one per group of groups=, got {len(names)}"
        )
    members = [one for group in listed for one in group]
    at = np.repeat(np.arange(len(listed)), [len(group) for group in listed])
    return Groups(list(names), resolve(running, members, origin, None), at)


def _listed(groups: Any) -> list[Any]:
    listed = groups.tolist() if hasattr(groups, "tolist") else groups
    if not isinstance(listed, (list, tuple)) or any(isinstance(one, (str, int)) for one in listed):
        raise SignalShapeError(
            "groups must be one list of sample ids per group, or an array [G, k] of them;"
            f" got {groups!r:.60}"
        )
    return list(listed)


def _by_name(running: Session, group_ids: Any, batch_ids: Any, origin: str | None) -> Groups:
    if group_ids is None:
        raise SignalShapeError(
            "which samples form a group? Pass groups= (the ids of each group's members), or"
            " group_ids= (the name of the group of each sample of the batch)"
        )
    named = as_ids(group_ids)
    batch = resolve(running, batch_ids, origin, len(named) if batch_ids is None else None)
    if len(named) != len(batch):
        raise SignalShapeError(
            f"expected {len(batch)} group_ids, one per sample of the batch, got {len(named)}"
        )
    numbers = {name: number for number, name in enumerate(dict.fromkeys(named))}
    return Groups(list(numbers), batch, np.asarray([numbers[one] for one in named], np.int64))


def _per_group(running: Session, signal: str, value: Any, count: int) -> Values:
    check_kind(running, signal, "group")
    shape = tuple(value.shape) if hasattr(value, "shape") else None
    if shape is None:
        shape = (len(value),) if isinstance(value, (list, tuple)) else ()
    if not shape:
        one = value.reshape(1).expand(count) if hasattr(value, "detach") else [value] * count
        return deferred.sample_values(signal, one, count)
    if shape[0] != count:
        raise SignalShapeError(
            f"signal {signal!r}: expected {count} values, one per group, got shape {list(shape)}"
        )
    return deferred.sample_values(signal, value, count)
