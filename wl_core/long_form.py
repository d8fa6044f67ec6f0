"""Histories in the long form: tables with one row per value, all of them or a part at a time.

A filter chooses samples or instances by their rows as they are now; what is made of the tables is
the business of `query` and `export`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from wl_core.filters import Filter
from wl_core.table import Table, TableColumn
from wl_core.trajectories import Trajectories

if TYPE_CHECKING:
    from wl_core.row_index import SampleIndex
    from wl_core.run import Run

_Rows: TypeAlias = npt.NDArray[np.intp]
_ANNOTATION_BITS = 32  # a row and an annotation_id in one integer


class Keys:
    """Samples or instances that were chosen, by the rows of the view ``history``."""

    def __init__(self, samples: npt.NDArray[np.int64], annotation_ids: _Rows | None) -> None:
        self._samples = samples
        self._annotation_ids = annotation_ids

    @classmethod
    def matching(cls, reader: Run, where: str, *, instances: bool) -> Keys:
        """Those whose row matches the filter; of samples it chooses all instances as well."""
        target: SampleIndex = reader.view("history").index
        if not instances:
            index = reader.view("samples").index
            places = matching(reader.samples(), where)
            return cls(_mapped(index, target)[index.order()[places]], None)
        view = reader.view("instances")
        rows = view.index.order(view.samples.ranks())[matching(reader.instances(), where)]
        samples = _mapped(view.samples, target)[view.index.sample_rows[rows]]
        return cls(samples, view.index.annotation_ids[rows])

    def mask(self, found: Trajectories) -> npt.NDArray[np.bool_]:
        """Which trajectories ``[R]`` are of what was chosen."""
        if self._annotation_ids is None:
            return np.isin(found.sample_rows, self._samples)
        bits = _ANNOTATION_BITS
        keys = (self._samples.astype(np.int64) << bits) | self._annotation_ids
        return np.isin((found.sample_rows << bits) | found.annotation_ids, keys)


def _mapped(index: SampleIndex, target: SampleIndex) -> npt.NDArray[np.int64]:
    return index.mapped_into(target, create=False).astype(np.int64)


def matching(table: Table, where: str | None) -> _Rows:
    """The numbers of the rows that match a filter; of all rows without one."""
    if where is None:
        return np.arange(len(table))
    return np.flatnonzero(Filter.parse(where).mask(table))


class LongForm:
    """The values of one signal in the long form, a part at a time.

    ``len`` is how many trajectories there are; they stand in the order in which samples are shown.
    """

    def __init__(self, history: Any, signal: str, keys: Keys | None, *, instances: bool) -> None:
        found: Trajectories = history.trajectories(signal, instances=instances)
        rows = np.arange(len(found)) if keys is None else np.flatnonzero(keys.mask(found))
        ranks = history.index.ranks()[found.sample_rows[rows]]
        # The view gives them by its own rows; those of a sample keep their order.
        self._rows = rows[np.argsort(ranks, kind="stable")]
        self._found = found
        self._ids = history.index.table_columns(found.sample_rows[self._rows])
        self.signal = signal
        self.counts = found.counts[self._rows]

    @classmethod
    def nothing(cls, history: Any) -> Table:
        """A table without rows: the columns of all tables of that view."""
        empty = np.empty(0, np.int64)
        ids = history.index.table_columns(empty)
        return _long(ids, empty, empty, np.empty(0))

    def __len__(self) -> int:
        return len(self._rows)

    def table(self, first: int, stop: int) -> Table:
        """One row per value of the trajectories ``first`` to ``stop``."""
        rows, counts = self._rows[first:stop], self.counts[first:stop]
        of = np.repeat(np.arange(first, first + len(rows)), counts)
        at = _ranges(self._found.offsets[rows], counts)
        return _long(
            [column.take(of) for column in self._ids],
            self._found.annotation_ids[self._rows[of]],
            self._found.steps[at],
            self._found.values[at],
        )

    def tables(self, values: int) -> Iterator[Table]:
        """All of it in tables of about so many values; a trajectory is never split."""
        ends = np.cumsum(self.counts)
        first = 0
        while first < len(self):
            before = ends[first - 1] if first else 0
            stop = max(first + 1, int(np.searchsorted(ends, before + values, "right")))
            yield self.table(first, stop)
            first = stop


def _long(
    ids: Iterable[TableColumn],
    annotation_ids: npt.NDArray[np.int64],
    steps: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
) -> Table:
    everywhere = np.ones(len(values), np.bool_)
    numbers = {"annotation_id": annotation_ids, "step": steps, "value": values}
    columns = (TableColumn(name, "number", n, everywhere) for name, n in numbers.items())
    return Table((*ids, *columns))


def _ranges(
    starts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64] | slice:
    """``starts[i] … starts[i] + counts[i] - 1`` for each i, one after the other."""
    ends = np.cumsum(counts)
    if len(starts) and (starts[1:] == (starts + counts)[:-1]).all():
        return slice(int(starts[0]), int(starts[0]) + int(ends[-1]))  # copies nothing
    total = int(ends[-1]) if len(ends) else 0
    at: npt.NDArray[np.int64] = np.arange(total) + np.repeat(starts - (ends - counts), counts)
    return at
