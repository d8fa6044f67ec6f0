"""The view ``history``: every value that a sample or instance ever had, in the order of the log.

A sample's value is that of itself or that of a group that it was in. Labels have no history here.
Values go into chunks; a full one is sealed: sorted by row, so that one row's values are found in
it by binary search. This version keeps all of it in memory. What a value is now is
`sample_view`'s and `instance_view`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from wl_core.batches import EventBatch, EventGroup
from wl_core.codec import SampleId
from wl_core.columns import Digest, GrowingArray, Rows, State, array_of, pack, unpack
from wl_core.hookspecs import hookimpl
from wl_core.instance_index import MAX_ANNOTATION_ID, checked_annotation_ids
from wl_core.projection import Projection
from wl_core.row_index import SampleIndex
from wl_core.table import normalise_name
from wl_core.trajectories import Trajectories
from wl_plugins.other_signals import values_of_members

CHUNK = 1 << 20
# A row is a sample's row and an annotation_id, 0 for the sample itself, in one integer.
_ANNOTATION_BITS = MAX_ANNOTATION_ID.bit_length()

Trajectory: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


@hookimpl
def wl_projections() -> Sequence[type[Projection]]:
    return [History]


class _Chunk:
    """Values sorted by row; those of one row in the order of the log."""

    __slots__ = ("rows", "steps", "values")

    def __init__(
        self,
        rows: npt.NDArray[np.int64],
        steps: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
    ) -> None:
        order = _stable_order(rows)
        self.rows, self.steps, self.values = rows[order], steps[order], values[order]

    def find(self, row: int) -> Trajectory:
        low, high = (
            np.searchsorted(self.rows, row, "left"),
            np.searchsorted(self.rows, row, "right"),
        )
        return self.steps[low:high], self.values[low:high]


class _Series:
    """All values of one signal: sealed chunks, and an open one in the order of the log."""

    __slots__ = ("_open", "_sealed", "chunks")

    def __init__(self) -> None:
        self.chunks: list[_Chunk] = []
        self._open = GrowingArray(np.int64), GrowingArray(np.int64), GrowingArray(np.float64)
        self._sealed: _Chunk | None = None  # the open values, sorted for those who ask

    def extend(self, *columns: npt.NDArray[Any]) -> None:
        for mine, more in zip(self._open, columns, strict=True):
            mine.extend(more)
        self._sealed = None
        if len(self._open[0]) >= CHUNK:
            self.chunks.append(_Chunk(*(column.array for column in self._open)))
            self._open = GrowingArray(np.int64), GrowingArray(np.int64), GrowingArray(np.float64)

    def parts(self) -> list[_Chunk]:
        """All chunks in the order of the log, the open one sorted."""
        if self._sealed is None:
            self._sealed = _Chunk(*(column.array for column in self._open))
        return [*self.chunks, self._sealed]

    def columns(self) -> list[npt.NDArray[Any]]:
        """``rows, steps, values`` of all chunks; those of one row in the order of the log."""
        parts = self.parts()
        return [
            np.concatenate([getattr(part, name) for part in parts]) for name in _Chunk.__slots__
        ]


class History(Projection):
    """Per signal: the rows, steps and values of everything that was measured."""

    name: ClassVar[str] = "history"
    version: ClassVar[int] = 2
    on_demand: ClassVar[bool] = True
    kinds: ClassVar[frozenset[str]] = frozenset({"values", "instance_values", "group_values"})

    def __init__(self) -> None:
        self.index = SampleIndex()
        # By signal, and whether it is of groups: the two have no common order within a fold.
        self._series: dict[tuple[str, bool], _Series] = {}

    def fold(self, batch: EventBatch) -> None:
        for group in batch.groups("values"):
            self._append(group, self._rows(batch, group) << _ANNOTATION_BITS, group.ids().lengths)
        for group in batch.groups("group_values"):
            rows, lengths = self._rows(batch, group) << _ANNOTATION_BITS, group.ids().lengths
            self._append(group, rows, lengths, values_of_members(group))
        for group in batch.groups("instance_values"):
            lengths = group.lengths("values")
            at = np.repeat(group.ids().starts, lengths) + group.vector("batch_idx")
            rows = self._rows(batch, group)[at] << _ANNOTATION_BITS
            ids = checked_annotation_ids(group.vector("annotation_ids"))
            self._append(group, rows + ids, lengths)

    def _rows(self, batch: EventBatch, group: EventGroup) -> Rows:
        return self.index.rows_of(batch, group, group.key[1])

    def _append(
        self,
        group: EventGroup,
        rows: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        of_members: npt.NDArray[Any] | None = None,
    ) -> None:
        key = (group.key[0], of_members is not None)
        if key not in self._series:
            self._series[key] = _Series()
        values = group.vector("values") if of_members is None else of_members
        if len(values) != len(rows):
            raise ValueError(
                f"{len(values)} values of {key[0]!r} cannot belong to {len(rows)} rows"
            )
        self._series[key].extend(rows, np.repeat(group.steps, lengths), values)

    def merge(self, later: Self) -> None:
        mapped = later.index.mapped_into(self.index)
        for signal, series in later._series.items():
            mine = self._series.setdefault(signal, _Series())
            rows, steps, values = series.columns()
            mine.extend(_renumbered(rows, mapped), steps, values)

    # -- checkpoints -------------------------------------------------------

    def snapshot(self) -> State:
        state: State = {"signals": pack(list(self._series))}
        self.index.snapshot("index", state)
        for number, series in enumerate(self._series.values()):
            for name, column in zip(_Chunk.__slots__, series.columns(), strict=True):
                state[f"{number}/{name}"] = column
        return state

    def restore(self, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        self.index.restore("index", state)
        for number, signal in enumerate(unpack(state, "signals")):
            self._series[signal] = _Series()
            self._series[signal].extend(
                *(array_of(state, f"{number}/{name}") for name in _Chunk.__slots__)
            )

    def digest(self) -> str:
        digest, order = Digest(), self.index.order()
        digest.add(self.name, self.version, *self.index.identities(order))
        ranks = self.index.ranks()
        for signal in sorted(self._series):
            rows, steps, values = self._series[signal].columns()
            chunk = _Chunk(_renumbered(rows, ranks), steps, values)
            digest.add(signal, chunk.rows, chunk.steps, chunk.values)
        return digest.hexdigest()

    # -- reading -----------------------------------------------------------

    def names(self) -> list[str]:
        """The signals that have a history, sorted."""
        return sorted({signal for signal, _ in self._series})

    def trajectories(self, signal: str, *, instances: bool = False) -> Trajectories:
        """All values of a signal, of samples or of instances, by row."""
        series = self._series.get((normalise_name(signal), False)) or _Series()
        rows, steps, values = series.columns()
        order = _stable_order(rows)
        rows, steps, values = rows[order], steps[order], values[order]
        annotation_ids = rows & ((1 << _ANNOTATION_BITS) - 1)
        mine = (annotation_ids > 0) == instances
        rows, steps, values = rows[mine], steps[mine], values[mine]
        keys, starts = np.unique(rows, return_index=True)
        return Trajectories(
            keys >> _ANNOTATION_BITS,
            keys & ((1 << _ANNOTATION_BITS) - 1),
            np.append(starts, len(rows)).astype(np.int64),
            steps,
            values,
        )

    def history(
        self, signal: str, origin: str, sample_id: SampleId, annotation_id: int = 0
    ) -> Trajectory:
        """``(steps int64 [N], values float64 [N])`` in the order of the log.

        ``annotation_id`` 0 is the sample itself. Both are empty when nothing was measured.
        ``groups/NAME`` are the values of its groups alone, where samples have a ``NAME`` too.
        """
        series = self._find(normalise_name(signal))
        row = self.index.find(origin, sample_id)
        if series is None or row < 0:
            return np.empty(0, np.int64), np.empty(0, np.float64)
        found = [chunk.find(row << _ANNOTATION_BITS | annotation_id) for chunk in series.parts()]
        steps, values = zip(*found, strict=True)
        return np.concatenate(steps), np.concatenate(values)

    def _find(self, signal: str) -> _Series | None:
        for key in (
            (signal, False),
            (signal, True),
            (signal.removeprefix("groups/"), True),
        ):
            if key in self._series:
                return self._series[key]
        return None


def _stable_order(rows: npt.NDArray[np.int64]) -> Rows:
    """What ``np.argsort(rows, kind="stable")`` gives, several times faster where that is possible.

    numpy sorts plain integers much faster than it sorts indexes by them, so where both fit into
    63 bits, row and place are sorted as one integer.
    """
    place_bits = len(rows).bit_length()
    low = int(rows.min()) if len(rows) else 0
    span = int(rows.max()) - low if len(rows) else 0
    if span.bit_length() + place_bits > 63:
        return np.argsort(rows, kind="stable")
    keys = (rows - low) << place_bits
    keys |= np.arange(len(rows))
    keys.sort()
    keys &= (1 << place_bits) - 1
    return keys


def _renumbered(
    rows: npt.NDArray[np.int64], new: npt.NDArray[np.integer[Any]]
) -> npt.NDArray[np.int64]:
    """The rows with sample row ``i`` replaced by ``new[i]``."""
    annotation_ids = rows & ((1 << _ANNOTATION_BITS) - 1)
    renumbered: npt.NDArray[np.int64] = (
        new[rows >> _ANNOTATION_BITS] << _ANNOTATION_BITS
    ) | annotation_ids
    return renumbered
