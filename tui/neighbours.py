"""What comes before and after a row, in the order of the table from which it was opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tui.sample_table import RowKey
from tui.widgets.table import VirtualTable


class Neighbours(Protocol):
    """Samples, or instances, in some order."""

    def step(self, row: RowKey, by: int) -> RowKey | None:
        """What stands ``by`` places after it, None when nothing does."""

    def place(self, row: RowKey) -> tuple[int, int] | None:
        """Its place, counted from 1, and how many there are; None when it is not among them."""

    def stand_on(self, row: RowKey) -> None:
        """Let the cursor stand on it, for it is what was looked at last."""


class KnownRows(Protocol):
    """Who stands in which row of a table."""

    def row_key(self, row: int) -> RowKey:
        """Who stands in that row."""

    def find(self, key: RowKey) -> int | None:
        """Where it stands, None when it is not in this table."""


class TableNeighbours:
    """The rows of a table as they stand: sorted, filtered, and frozen.

    Args:
        rows: gives who stands in which row of the table that ``table`` shows now.
    """

    def __init__(self, table: VirtualTable, rows: Callable[[], KnownRows | None]) -> None:
        self._table = table
        self._rows = rows

    def _place_of(self, key: RowKey) -> int | None:
        rows = self._rows()
        row = None if rows is None else rows.find(key)
        return None if row is None else self._table.order.place_of(row)

    def step(self, row: RowKey, by: int) -> RowKey | None:
        place, rows = self._place_of(row), self._rows()
        if place is None or rows is None or not 0 <= place + by < self._table.row_count:
            return None
        return rows.row_key(self._table.order.row_at(place + by))

    def place(self, row: RowKey) -> tuple[int, int] | None:
        place = self._place_of(row)
        return None if place is None else (place + 1, self._table.row_count)

    def stand_on(self, row: RowKey) -> None:
        place = self._place_of(row)
        if place is not None:
            self._table.action_move(place - self._table.cursor)
