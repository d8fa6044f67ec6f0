"""Histories in the long form: tables with one row per value, in the order in which rows are shown.

A view keeps values by its own rows, which stand in the order in which its fold happened to meet
them. A history that is too large to be sorted in memory is read several times, each time for the
samples that come next. A filter chooses samples or instances by their rows in ``run.samples()`` or
``run.instances()``. What is made of the tables is the business of `query` and `export`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from wl_core.filters import Filter
from wl_core.table import Table, TableColumn
from wl_core.trajectories import Trajectories

if TYPE_CHECKING:
    from wl_core.row_index import SampleIndex
    from wl_core.run import Run

PART = 1 << 17  # rows of a table: enough for a row group, few enough for a list of texts a column
HELD = 1 << 23  # values that are sorted at once: 48 bytes each for a moment

_Rows: TypeAlias = npt.NDArray[np.intp]
_ANNOTATION_BITS = 32  # a row and an annotation_id in one integer


def matching(table: Table, where: str | None) -> _Rows:
    """The numbers of the rows that match a filter; of all rows without one."""
    if where is None:
        return np.arange(len(table))
    return np.flatnonzero(Filter.parse(where).mask(table))


class Keys:
    """Samples or instances that were chosen, by the rows of the view ``history``."""

    def __init__(self, samples: _Rows, annotation_ids: npt.NDArray[np.int64] | None = None) -> None:
        known = samples >= 0  # one that was never measured has no row there
        self._of_samples = annotation_ids is None
        ids = 0 if annotation_ids is None else annotation_ids[known]
        self._sorted = np.unique(_key(samples[known], ids))

    @classmethod
    def matching(cls, reader: Run, where: str, *, instances: bool) -> Keys:
        """Those whose row matches the filter; of samples it chooses all instances as well."""
        target: SampleIndex = reader.view("history").index
        if not instances:
            index = reader.view("samples").index
            places = matching(reader.samples(), where)
            return cls(index.mapped_into(target, create=False)[index.order()[places]])
        view = reader.view("instances")
        rows = view.table_rows()[matching(reader.instances(), where)]
        samples = view.samples.mapped_into(target, create=False)[view.index.sample_rows[rows]]
        return cls(samples, view.index.annotation_ids[rows])

    def mask(self, found: Trajectories) -> npt.NDArray[np.bool_]:
        """Which trajectories ``[R]`` are of what was chosen."""
        keys = _key(found.sample_rows, 0 if self._of_samples else found.annotation_ids)
        if not len(self._sorted):
            return np.zeros(len(keys), np.bool_)
        places = np.searchsorted(self._sorted, keys).clip(max=len(self._sorted) - 1)
        mask: npt.NDArray[np.bool_] = self._sorted[places] == keys
        return mask


def _key(
    samples: npt.NDArray[np.integer[Any]], annotation_ids: npt.NDArray[np.int64] | int
) -> npt.NDArray[np.int64]:
    return (samples.astype(np.int64) << _ANNOTATION_BITS) | annotation_ids


class LongForm:
    """The values of one signal, of samples or of instances: all, or those that were chosen.

    Columns: ``origin``, ``sample_id``, ``annotation_id``, ``step``, ``value``.
    """

    def __init__(self, history: Any, signal: str, keys: Keys | None, *, instances: bool) -> None:
        self._history = history
        self._signal, self._instances = signal, instances
        self._keys = keys
        self._ranks = history.index.ranks()

    @classmethod
    def nothing(cls, history: Any) -> Table:
        """A table without rows: the columns of all tables of that view."""
        return _table(history.index, _joined([]), 0, 0)

    def whole(self) -> Table:
        """All values in one table."""
        values = self._in_order(list(self._pieces()))
        return _table(self._history.index, values, 0, len(values))

    def tables(self, *, values: int = PART, held: int = HELD) -> Iterator[tuple[float, Table]]:
        """Tables of about ``values`` rows, each with how much is done after it (1 is all).

        A trajectory is never split. Not many more than ``held`` values are in memory at a time.
        """
        done = 0
        for total, block in self._blocks(held):
            columns = self._history.index.table_columns(block.sample_rows)
            first = 0
            while first < len(block):
                end = block.offsets[first] + values
                stop = max(first + 1, int(np.searchsorted(block.offsets, end, "right")) - 1)
                table = _table(self._history.index, block, first, stop, columns)
                done += len(table)
                yield done / total, table
                first = stop

    def _blocks(self, held: int) -> Iterator[tuple[int, Trajectories]]:
        """``(how many values there are in all, some of them)``, block after block in order."""
        kept: list[Trajectories] = []
        counts = np.zeros(len(self._ranks), np.int64)
        total = 0
        for piece in self._pieces():
            np.add.at(counts, self._ranks[piece.sample_rows], piece.counts)
            total += len(piece.values)
            if total <= held:
                kept.append(piece)
            else:
                kept.clear()
        if total <= held:
            yield total, self._in_order(kept)
            return
        for low, high in _spans(counts, held):
            yield total, self._in_order(list(self._pieces(low, high)))

    def _pieces(self, low: int = 0, high: int | None = None) -> Iterator[Trajectories]:
        """What was chosen of the samples with these ranks, as the view has it."""
        for found in self._history.ranges(self._signal, instances=self._instances):
            mask = np.ones(len(found), np.bool_) if self._keys is None else self._keys.mask(found)
            if high is not None:
                ranks = self._ranks[found.sample_rows]
                mask &= (ranks >= low) & (ranks < high)
            yield found if mask.all() else _taken(found, np.flatnonzero(mask))

    def _in_order(self, pieces: list[Trajectories]) -> Trajectories:
        """The pieces as one, sorted by rank; the list is emptied, to hold nothing twice."""
        found = _joined(pieces)
        pieces.clear()
        return _taken(found, np.argsort(self._ranks[found.sample_rows], kind="stable"))


def _spans(counts: npt.NDArray[np.int64], held: int) -> Iterator[tuple[int, int]]:
    """Ranges of ranks with about ``held`` values each; a single one may have more."""
    ends, low = np.cumsum(counts), 0
    while low < len(counts):
        before = ends[low] - counts[low]
        high = max(low + 1, int(np.searchsorted(ends, before + held, "right")))
        yield low, high
        low = high


def _taken(found: Trajectories, rows: _Rows) -> Trajectories:
    """Some of the trajectories, in this order."""
    counts = found.counts[rows]
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    at = np.repeat(found.offsets[rows] - (ends - counts), counts)
    at += np.arange(total)
    return Trajectories(
        found.sample_rows[rows],
        found.annotation_ids[rows],
        np.concatenate([np.zeros(1, np.int64), ends]),
        found.steps[at],
        found.values[at],
    )


def _joined(pieces: Sequence[Trajectories]) -> Trajectories:
    empty = np.empty(0, np.int64)
    counts = np.concatenate([np.zeros(1, np.int64), *(one.counts for one in pieces)])
    return Trajectories(
        np.concatenate([empty, *(one.sample_rows for one in pieces)]),
        np.concatenate([empty, *(one.annotation_ids for one in pieces)]),
        np.cumsum(counts),
        np.concatenate([empty, *(one.steps for one in pieces)]),
        np.concatenate([np.empty(0), *(one.values for one in pieces)]),
    )


def _table(
    index: SampleIndex,
    found: Trajectories,
    first: int,
    stop: int,
    ids: Iterable[TableColumn] | None = None,
) -> Table:
    """One row per value of the trajectories ``first`` to ``stop``; ``ids`` are those of all."""
    if ids is None:
        ids = index.table_columns(found.sample_rows)
    of = np.repeat(np.arange(first, stop), found.counts[first:stop])
    values = slice(int(found.offsets[first]), int(found.offsets[stop]))
    numbers = {
        "annotation_id": found.annotation_ids[of],
        "step": found.steps[values],
        "value": found.values[values],
    }
    everywhere = np.ones(len(of), np.bool_)
    columns = (TableColumn(name, "number", n, everywhere) for name, n in numbers.items())
    return Table((*(column.take(of) for column in ids), *columns))
