"""Which row of a table stands at which place: sorted, filtered, and then left alone.

An order is made once and stays as it is while new data arrives, so that nothing moves under the
cursor; it knows when it was made, so that the screen can say how old it is. This file holds no
widget: `VirtualTable` makes orders on a worker thread and draws by them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wl_core.table import Table

Rows = npt.NDArray[np.intp]
RowFilter = Callable[[Table], npt.NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class SortKey:
    """A column and a direction."""

    column: str
    descending: bool


@dataclass(frozen=True, slots=True, eq=False)
class RowOrder:
    """The rows of a table in the order in which they are shown.

    ``rows`` is None when every row stands at its own place. Rows that the table gained after the
    order was made follow at its end, unless a filter chose the rows: whether a new row matches is
    not known before the next ordering.
    """

    rows: Rows | None = None
    table_rows: int = 0
    filtered: bool = False
    step: int = 0
    made_at: float = 0.0

    def count(self, table_rows: int) -> int:
        """How many places there are for a table that now has ``table_rows`` rows."""
        if self.rows is None:
            return table_rows
        return len(self.rows) + (0 if self.filtered else max(0, table_rows - self.table_rows))

    def row_at(self, place: int) -> int:
        """The table row that stands at ``place``."""
        if self.rows is None:
            return place
        if place < len(self.rows):
            return int(self.rows[place])
        return self.table_rows + place - len(self.rows)

    def place_of(self, row: int) -> int | None:
        """The place at which table row ``row`` stands; None when the filter has left it out."""
        if self.rows is None:
            return row
        if row >= self.table_rows:
            return None if self.filtered else len(self.rows) + row - self.table_rows
        found = np.flatnonzero(self.rows == row)
        return int(found[0]) if len(found) else None

    def fits(self, table_rows: int) -> bool:
        """Whether every place still names a row of a table of that length."""
        return self.rows is None or table_rows >= self.table_rows


def make_order(
    table: Table, sort: SortKey | None, row_filter: RowFilter | None, step: int, now: float
) -> RowOrder:
    """Sort and filter ``table``; slow for large tables, so call it off the event loop.

    Raises:
        UnknownNameError: the table has no column of the sort key's name.
        FilterError: the filter does not fit the table.
    """
    rows = None if sort is None else table.column(sort.column).order(descending=sort.descending)
    if row_filter is not None:
        mask = row_filter(table)
        rows = np.flatnonzero(mask) if rows is None else rows[mask[rows]]
    return RowOrder(rows, len(table), row_filter is not None, step, now)
