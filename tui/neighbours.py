"""What comes before and after a sample, in the order of the table from which it was opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tui.sample_table import SampleKey, SampleRows
from tui.widgets.table import VirtualTable


class Neighbours(Protocol):
    """Samples in some order."""

    def step(self, sample: SampleKey, by: int) -> SampleKey | None:
        """The sample that stands ``by`` places after it, None when there is none."""

    def place(self, sample: SampleKey) -> tuple[int, int] | None:
        """Its place, counted from 1, and how many there are; None when it is not among them."""

    def stand_on(self, sample: SampleKey) -> None:
        """Let the cursor stand on it, for it is what was looked at last."""


class TableNeighbours:
    """The rows of a table of samples as they stand: sorted, filtered, and frozen.

    Args:
        rows: gives who stands in which row of the table that ``table`` shows now.
    """

    def __init__(self, table: VirtualTable, rows: Callable[[], SampleRows | None]) -> None:
        self._table = table
        self._rows = rows

    def _place_of(self, sample: SampleKey) -> int | None:
        rows = self._rows()
        row = None if rows is None else rows.row_of(sample)
        return None if row is None else self._table.order.place_of(row)

    def step(self, sample: SampleKey, by: int) -> SampleKey | None:
        place, rows = self._place_of(sample), self._rows()
        if place is None or rows is None or not 0 <= place + by < self._table.row_count:
            return None
        return rows.key(self._table.order.row_at(place + by))

    def place(self, sample: SampleKey) -> tuple[int, int] | None:
        place = self._place_of(sample)
        return None if place is None else (place + 1, self._table.row_count)

    def stand_on(self, sample: SampleKey) -> None:
        place = self._place_of(sample)
        if place is not None:
            self._table.action_move(place - self._table.cursor)
