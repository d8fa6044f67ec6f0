"""Which row of a table stands at which place: sorted, filtered, and then left alone.

An order is made once and stays as it is while new data arrives, so that nothing moves under the
cursor; it knows when it was made, so that the screen can say how old it is. This file holds no
widget: `VirtualTable` makes orders on a worker thread and draws by them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.row_order import SortKey, sorted_rows
from wl_core.table import Table

Rows = npt.NDArray[np.intp]
Ids = npt.NDArray[np.integer[Any]]

# Ids are looked up in a table of all of them unless fewer than one in eight of its entries is used.
_SPARSE, _ALWAYS_DIRECT = 8, 1024
RowFilter = Callable[[Table], npt.NDArray[np.bool_]]


@dataclass(frozen=True, slots=True, eq=False)
class RowOrder:
    """The rows of a table in the order in which they are shown.

    ``rows`` is None when every row stands at its own place. ``late`` counts the rows that the
    table gained after the order was made: they follow at the end, unless a filter chose the rows,
    for then it is not known before the next ordering whether they match.
    """

    rows: Rows | None = None
    filtered: bool = False
    late: int = 0
    step: int = 0
    made_at: float = 0.0

    def count(self, table_rows: int) -> int:
        """How many places there are for a table of ``table_rows`` rows."""
        return table_rows if self.rows is None else len(self.rows)

    def row_at(self, place: int) -> int:
        """The table row that stands at ``place``."""
        return place if self.rows is None else int(self.rows[place])

    def place_of(self, row: int) -> int | None:
        """The place at which table row ``row`` stands; None when the filter has left it out."""
        if self.rows is None:
            return row
        found = np.flatnonzero(self.rows == row)
        return int(found[0]) if len(found) else None


def make_order(
    table: Table,
    keys: Sequence[SortKey],
    row_filter: RowFilter | None,
    step: int,
    now: float,
) -> RowOrder:
    """Sort and filter ``table``; slow for large tables, so call it off the event loop.

    Raises:
        UnknownNameError: the table has no column of a sort key's name.
        FilterError: the filter does not fit the table.
    """
    rows = sorted_rows(table, keys) if keys else None
    if row_filter is not None:
        mask = row_filter(table)
        rows = np.flatnonzero(mask) if rows is None else rows[mask[rows]]
    return RowOrder(rows, row_filter is not None, 0, step, now)


def follow_rows(order: RowOrder, before: Ids, after: Ids) -> RowOrder:
    """The same order for a table whose rows moved: row ``i`` was ``before[i]``, is ``after[i]``.

    Rows that are gone leave it; new ones come at its end, or nowhere when it is filtered.
    """
    if order.rows is None or before is after:
        return order
    moved = rows_of(before[order.rows], after)
    new = np.flatnonzero(rows_of(after, before) < 0)
    rows = [moved[moved >= 0]] if order.filtered else [moved[moved >= 0], new]
    return replace(order, rows=np.concatenate(rows), late=order.late + len(new))


def rows_of(wanted: Ids, ids: Ids) -> Rows:
    """Where each wanted id stands in ``ids``, -1 where it does not; ids are distinct."""
    if not len(ids) or not len(wanted):
        return np.full(len(wanted), -1, np.intp)
    low, high = int(ids.min()), int(ids.max())
    if high - low >= _SPARSE * len(ids) + _ALWAYS_DIRECT:
        return _searched_rows(wanted, ids)
    places = np.full(high - low + 1, -1, np.intp)
    places[ids - low] = np.arange(len(ids))
    inside = (wanted >= low) & (wanted <= high)
    return np.where(inside, places[np.where(inside, wanted - low, 0)], -1).astype(np.intp)


def _searched_rows(wanted: Ids, ids: Ids) -> Rows:
    by_id = np.argsort(ids, kind="stable")
    at = by_id[np.minimum(np.searchsorted(ids, wanted, sorter=by_id), len(ids) - 1)]
    return np.where(ids[at] == wanted, at, -1).astype(np.intp)
