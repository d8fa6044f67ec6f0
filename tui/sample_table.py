"""The samples table as it is shown: who a row is, and which columns come first."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from tui.pane import SampleKey
from wl_core.table import Table, TableColumn

WHO = ("origin", "sample_id")
_LAST = ("times_seen", "last_step", "instances", "discarded", "tags")


def signals_first(table: Table, signals: Collection[str]) -> Table:
    """The same columns: who it is, its signals, what the data set says, and the bookkeeping.

    On 80 columns only about five are in sight, and people come for the signals.
    """

    def rank(name: str) -> int:
        if name in WHO:
            return 0
        if name in _LAST:
            return 3
        return 1 if name in signals else 2

    return Table(tuple(sorted(table.columns, key=lambda column: rank(column.name))))


def key_of(table: Table, row: int) -> SampleKey:
    """Which sample a row of the samples table is."""
    origin, sample_id = (table.column(name).cell(row) for name in WHO)
    if not isinstance(sample_id, int | str):
        raise TypeError(f"a sample_id must be an int or a str, row {row} has {sample_id!r}")
    return SampleKey(str(origin), sample_id)


def find_row(table: Table, sample: SampleKey) -> int | None:
    """The row of a sample, None when the table does not have it."""
    origin, sample_id = (table.column(name) for name in WHO)
    for row in np.flatnonzero(_equal(origin, sample.origin) & _equal(sample_id, sample.sample_id)):
        return int(row)
    return None


def _equal(column: TableColumn, value: int | str) -> npt.NDArray[np.bool_]:
    if column.kind != "text":
        return np.asarray(column.present & (column.values == value))
    if value not in column.categories:
        return np.zeros(len(column), np.bool_)
    return np.asarray(column.present & (column.values == list(column.categories).index(str(value))))
