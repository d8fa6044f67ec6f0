"""The samples table as it is shown: who a row is, and which columns come first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from wl_core.decide import Chosen
from wl_core.row_index import SampleIndex
from wl_core.table import Table, TableColumn

if TYPE_CHECKING:
    from wl_core.run import Run

WHO = ("origin", "sample_id")
BOOKKEEPING = ("times_seen", "last_step", "instances", "discarded", "tags")


class SampleKey(NamedTuple):
    """Who a sample is: ids are known within their origin only, and ``1`` is not ``"1"``."""

    origin: str
    sample_id: int | str

    def __str__(self) -> str:
        return f"{self.origin} / {self.sample_id}"


class RowKey(NamedTuple):
    """What is decided upon: a sample (``annotation_id`` is None) or one of its instances."""

    origin: str
    sample_id: int | str
    annotation_id: int | None = None

    @property
    def sample(self) -> SampleKey:
        return SampleKey(self.origin, self.sample_id)

    def __str__(self) -> str:
        one = str(self.sample)
        return one if self.annotation_id is None else f"instance {self.annotation_id} of {one}"


@dataclass(frozen=True, slots=True, eq=False)
class SampleRows:
    """Who stands in which row of a samples table.

    ``ids[i]`` is the number of the sample in row ``i``; it never changes, while rows move when
    new samples come between them.
    """

    ids: npt.NDArray[np.intp]
    _index: SampleIndex

    def key(self, row: int) -> SampleKey:
        """The sample in that row.

        Asks the view's index from the event loop: who a numbered sample is never changes, so
        there is nothing to wait for.
        """
        number = int(self.ids[row])
        return SampleKey(self._index.origin(number), self._index.sample_id(number))

    def row_key(self, row: int) -> RowKey:
        """The same, as what is decided upon."""
        return RowKey(*self.key(row))

    def find(self, key: RowKey) -> int | None:
        """Where that sample stands, None when it is not in this table."""
        return self.row_of(key.sample)

    def chosen(self, rows: npt.NDArray[np.intp]) -> list[Chosen]:
        """The samples in those rows, as they are decided upon."""
        return [Chosen(origin, ids) for origin, _, ids in self._index.by_origin(self.ids[rows])]

    def row_of(self, sample: SampleKey) -> int | None:
        """Where that sample stands, None when it is not in this table."""
        number = self._index.find(*sample)
        rows = np.flatnonzero(self.ids == number)
        return int(rows[0]) if number >= 0 and len(rows) else None


NO_ROWS = SampleRows(np.empty(0, np.intp), SampleIndex())


def sample_rows(run: Run) -> SampleRows:
    """Who stands in which row of ``run.samples()`` now."""
    index = run.view("samples").index
    return SampleRows(index.order(), index)


_ROLES = ("loss", "metric")


def column_order(table: Table, signals: Mapping[str, str], lazy: Collection[str] = ()) -> list[str]:
    """Names of all columns: who, signals, lazy ones, what the data set says, the bookkeeping.

    ``signals`` is ``{name: role}``. On 80 columns only about five are in sight, and people come for
    the losses, then for the metrics: first those that most samples have, so that a row's cells are
    rarely empty.
    """

    def rank(column: TableColumn) -> tuple[int, int, int]:
        if column.name in WHO:
            return 0, 0, 0
        if column.name in BOOKKEEPING:
            return 3, 0, 0
        if column.name in lazy:
            return 1, 3, 0  # behind the signals that it is about
        if column.name not in signals:
            return 2, 0, 0
        role = signals[column.name]
        return 1, _ROLES.index(role) if role in _ROLES else 2, -column.filled

    return [column.name for column in sorted(table.columns, key=rank)]


def roles_of(run: Run, signals: Iterable[str]) -> dict[str, str]:
    """What each of these signals is to the training: loss, metric, or just a signal."""
    declared = run.view("samples").declared
    return {name: declared[name][1] if name in declared else "signal" for name in signals}


def metrics_of(signals: Mapping[str, str]) -> frozenset[str]:
    """Those whose low values are the bad ones."""
    return frozenset(name for name, role in signals.items() if role == "metric")


def arranged(table: Table, names: Collection[str]) -> Table:
    """The same columns in the order of ``names``."""
    return Table(tuple(table.column(name) for name in names))


def without_empty(table: Table, kept: Collection[str] = ()) -> Table:
    """The table without columns in which every cell is empty, save those ``kept``."""
    return Table(tuple(c for c in table.columns if c.name in kept or c.filled))
