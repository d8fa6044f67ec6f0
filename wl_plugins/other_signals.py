"""Signals of samples that are not one number per sample: values of their groups, and labels.

They have columns of their own, beside the numbers in `row_facts`, since only events of one kind
and name come in the order of the log: what a column holds must not depend on how that was cut.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.batches import EventGroup
from wl_core.columns import Column, Digest, Rows, State, pack, unpack
from wl_core.label_column import LabelColumn


class OtherSignals:
    """Per row and signal: the value of the last group that it was in, or its last label."""

    __slots__ = ("groups", "labels", "nonfinite")

    def __init__(self) -> None:
        self.groups: dict[str, Column] = {}
        self.nonfinite: dict[str, int] = {}  # how many values of groups were NaN or infinite
        self.labels: dict[str, LabelColumn] = {}

    # -- folding -----------------------------------------------------------

    def put_groups(self, signal: str, rows: Rows, group: EventGroup, size: int) -> None:
        """Takes in ``group_values`` events; ``rows [M]`` are those of the members."""
        column = self.groups.setdefault(signal, Column())
        column.put(rows, values_of_members(group), size)
        values = group.vector("values")
        bad = len(values) - int(np.count_nonzero(np.isfinite(values)))
        self.nonfinite[signal] = self.nonfinite.get(signal, 0) + bad

    def put_labels(self, signal: str, rows: Rows, group: EventGroup, size: int) -> None:
        """Takes in ``labels`` events about these rows."""
        column = self.labels.setdefault(signal, LabelColumn())
        column.put(rows, [one for event in group.field("values") for one in event], size)

    def merge(self, later: OtherSignals, rows: Rows, size: int) -> None:
        """Takes in later ones, whose row ``i`` is this one's row ``rows[i]``."""
        for signal, column in later.groups.items():
            self.groups.setdefault(signal, Column()).merge(column, rows, size)
            self.nonfinite[signal] = self.nonfinite.get(signal, 0) + later.nonfinite[signal]
        for signal, labels in later.labels.items():
            self.labels.setdefault(signal, LabelColumn()).merge(labels, rows, size)

    # -- checkpoints -------------------------------------------------------

    def snapshot(self, prefix: str, size: int, state: State) -> None:
        state[f"{prefix}/names"] = pack((list(self.groups), list(self.labels), self.nonfinite))
        for number, column in enumerate(self.groups.values()):
            column.snapshot(f"{prefix}/groups/{number}", size, state)
        for number, labels in enumerate(self.labels.values()):
            labels.snapshot(f"{prefix}/labels/{number}", size, state)

    def restore(self, prefix: str, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        groups, labels, nonfinite = unpack(state, f"{prefix}/names")
        self.nonfinite = dict(nonfinite)
        for number, name in enumerate(groups):
            self.groups[name] = Column()
            self.groups[name].restore(f"{prefix}/groups/{number}", state)
        for number, name in enumerate(labels):
            self.labels[name] = LabelColumn()
            self.labels[name].restore(f"{prefix}/labels/{number}", state)

    def update(self, digest: Digest, order: Rows) -> None:
        """Adds the content to a digest, rows in the given order, which is of all rows."""
        digest.add(list(self.groups), sorted(self.nonfinite.items()), list(self.labels))
        for column in self.groups.values():
            digest.column(column, order)
        for labels in self.labels.values():
            labels.update(digest, order)

    # -- reading -----------------------------------------------------------

    def find(self, name: str) -> Column | LabelColumn | None:
        """The column of a signal, also as ``groups/NAME`` or ``labels/NAME``."""
        found = self.groups.get(name) or self.labels.get(name)
        if found is None:
            found = self.groups.get(name.removeprefix("groups/"))
        return found or self.labels.get(name.removeprefix("labels/"))

    def named(self, taken: Collection[str]) -> Iterator[tuple[str, Column | LabelColumn]]:
        """Each column and the name that it is shown by.

        It is the signal's own, or ``groups/NAME`` and ``labels/NAME`` where that is taken.
        """
        for name, column in self.groups.items():
            yield (f"groups/{name}" if name in taken else name), column
        for name, labels in self.labels.items():
            is_taken = name in taken or name in self.groups
            yield (f"labels/{name}" if is_taken else name), labels


def values_of_members(group: EventGroup) -> npt.NDArray[Any]:
    """The value of its group for each member ``[M]`` of ``group_values`` events."""
    at, members, lengths = group.vector("group_idx"), group.ids().lengths, group.lengths("values")
    if not np.array_equal(group.lengths("group_idx"), members):
        raise ValueError(f"members of {group.key[0]!r} without a group")
    if len(at) and (int(at.min()) < 0 or bool((at >= np.repeat(lengths, members)).any())):
        raise ValueError(f"members of {group.key[0]!r} are in groups that are not there")
    if len(at) and not members.all():  # values of nobody leave no trace, not even by their type
        parts = [values_of_members(one) for one in group.singly() if len(one.ids())]
        return np.concatenate(parts)
    starts = np.cumsum(lengths) - lengths
    values: npt.NDArray[Any] = group.vector("values")[np.repeat(starts, members) + at]
    return values
