"""The rows of a table in an order that holds still, and a cursor that stays on its row.

Newer data come by `OrderedTable.set_table`; what is sorted and filtered changes only when asked.
Orders are made on a worker thread. Which keys ask for it, marks and columns are `VirtualTable`'s.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from textual import work
from textual.geometry import Region, clamp
from textual.message import Message
from textual.worker import get_current_worker

from tui.widgets.marks import Ids
from tui.widgets.ordering import RowFilter, RowOrder, Rows, follow_rows, make_order, rows_of
from tui.widgets.table_view import TableView
from wl_core.errors import WlError
from wl_core.row_order import SortKey
from wl_core.table import Table, TableColumn, normalise_name

SMALL = 10_000  # rows that are sorted and filtered in about a millisecond
_NOTHING_YET = -1


@dataclass(frozen=True, slots=True, eq=False)
class _Wanted:
    """What an order is made of."""

    table: Table
    ids: Ids
    keys: tuple[SortKey, ...]
    row_filter: RowFilter | None
    step: int

    def order(self) -> RowOrder | WlError:
        try:
            return make_order(self.table, self.keys, self.row_filter, self.step, time.monotonic())
        except WlError as error:
            return error


class OrderedTable(TableView):
    """A table with a cursor over its rows and columns."""

    @dataclass
    class Highlighted(Message, namespace="virtual_table"):
        """The cursor stands on another row of the table (None: there is no row)."""

        table: OrderedTable
        row: int | None

        @property
        def control(self) -> OrderedTable:
            return self.table

    @dataclass
    class Ordered(Message, namespace="virtual_table"):
        """A new order, column or filter is in force; ``error`` says why not, if it is not."""

        table: OrderedTable
        error: WlError | None = None

        @property
        def control(self) -> OrderedTable:
            return self.table

    def __init__(self, *, pinned_first: int, dim_flag: str, widget_id: str | None) -> None:
        super().__init__(pinned_first=pinned_first, dim_flag=dim_flag, widget_id=widget_id)
        self.step = 0
        self.row_filter: RowFilter | None = None
        self._filters_by: frozenset[str] = frozenset()
        self._ordered_of: list[TableColumn] = []  # the columns that the order was made of
        self._marked: Rows = np.empty(0, np.intp)
        self._marked_of: tuple[object, object, object] = (None, None, None)
        self._announced: int | None = _NOTHING_YET

    # What is shown

    def set_table(self, table: Table, ids: Ids | None = None, step: int = 0) -> None:
        """Show newer data of the same things.

        Args:
            table: the rows now; it may have gained some, and they may stand elsewhere.
            ids: distinct integers ``[n]`` from 0 on that say what row ``i`` is, in this table and
                the next; None when row ``i`` always is what row ``i`` was. Give the same array as
                long as no row moved.
            step: the step that the data are from.
        """
        if ids is None:
            ids = self.ids if len(self.ids) == len(table) else np.arange(len(table))
        if ids is not self.ids:
            self._follow_rows(ids)
        self.table, self.ids, self.step = table, ids, step
        self._lay_out()
        self._announce()

    def _follow_rows(self, ids: Ids) -> None:
        """Keep the cursor on its row, and that row on its line of the screen."""
        row, before = self.cursor_row, self.cursor
        self.order = follow_rows(self.order, self.ids, ids)
        if row is None:
            return
        moved = int(rows_of(self.ids[row : row + 1], ids)[0])
        self._announced = moved if self._announced == row else _NOTHING_YET
        place = None if moved < 0 else self.order.place_of(moved)
        if place is not None and place != before:
            self.cursor = place
            top = self.scroll_offset.y
            if top:
                self.call_after_refresh(
                    self.scroll_to, y=top + place - before, animate=False, force=True
                )

    def show_other(self, table: Table, ids: Ids | None = None, step: int = 0) -> None:
        """Show other things altogether: the cursor goes to the top, no row is marked any more.

        The sort stays.
        """
        self.table, self.order, self.ids = Table(()), RowOrder(), np.empty(0, np.intp)
        self.cursor = 0
        self.marks.clear()
        self._announced = _NOTHING_YET
        self.set_table(table, ids, step)
        self.scroll_to(y=0, animate=False, force=True, immediate=True)
        self.sort_keys = tuple(key for key in self.sort_keys if key.column in table.names)
        if self.sort_keys or self.row_filter is not None:
            self.reorder()

    def set_filter(self, row_filter: RowFilter | None, uses: Iterable[str] = ()) -> None:
        """Show only the rows where ``row_filter(table)`` is True; `Ordered` tells the outcome.

        ``uses`` are the columns that it looks at: when they change, `is_stale` says so.
        """
        self.row_filter = row_filter
        self._filters_by = frozenset(normalise_name(name) for name in uses)
        self.reorder()

    def sort_by(self, *keys: SortKey) -> None:
        """Sort by these, the most important first, and go to the top to see the extremes.

        None: the table's own order.
        """
        self.sort_keys = keys
        self.cursor = 0
        self.reorder()

    def reorder(self) -> None:
        """Make the order anew from the present data; off the event loop when that takes time."""
        wanted = _Wanted(self.table, self.ids, self.sort_keys, self.row_filter, self.step)
        if len(self.table) > SMALL:
            self._order_in_thread(wanted)
        else:
            self._take_order(wanted.order(), wanted)

    @property
    def order_age(self) -> tuple[int, float] | None:
        """Steps and seconds since the order was made; None when it cannot go stale."""
        if self.order.rows is None:
            return None
        return max(0, self.step - self.order.step), time.monotonic() - self.order.made_at

    @property
    def is_stale(self) -> bool:
        """Whether a new order might be another: rows came, or values that it was made of did."""
        if self.order.rows is None:
            return False
        now = self._columns_used(self.table)
        same = len(now) == len(self._ordered_of)
        changed = not same or any(
            one is not before for one, before in zip(now, self._ordered_of, strict=True)
        )
        return self.order.late > 0 or self.step > self.order.step or changed

    @property
    def rows_not_ordered(self) -> int:
        """Rows that came after the order was made: at the end, or not yet filtered."""
        return self.order.late

    def _columns_used(self, table: Table) -> list[TableColumn]:
        names = self._filters_by | {key.column for key in self.sort_keys}
        return [column for column in table if column.name in names]

    @work(thread=True, exclusive=True, group="order", exit_on_error=True)
    def _order_in_thread(self, wanted: _Wanted) -> None:
        worker = get_current_worker()
        outcome = wanted.order()
        if not worker.is_cancelled:
            self.app.call_from_thread(self._take_order, outcome, wanted)

    def _take_order(self, outcome: RowOrder | WlError, wanted: _Wanted) -> None:
        if isinstance(outcome, WlError):
            self._tell(self.Ordered(self, outcome))
            return
        row = self.cursor_row
        # The table may have moved on meanwhile.
        self.order = follow_rows(outcome, wanted.ids, self.ids)
        self._ordered_of = self._columns_used(wanted.table)
        if self.cursor > 0 and row is not None:  # whoever looks at the top wants the new top
            self.cursor = self.order.place_of(row) or 0
        self._lay_out()
        self._show_cursor()
        self._announce()
        self._tell(self.Ordered(self))

    def _tell(self, message: Message) -> None:
        """Post as oneself: Textual stops a bubbling message at the widget that it came from.

        By default that is whose handler is running, such as the pane that called `set_table`,
        which would then never hear of it.
        """
        self.post_message(message.set_sender(self))

    # Marked rows

    @property
    def marked_rows(self) -> Rows:
        """The table's rows that are marked ``[k]``, in the order in which they are shown.

        Those that a filter has left out come last.
        """
        made_of = (self.marks.state, self.order, self.ids)
        if any(one is not before for one, before in zip(made_of, self._marked_of, strict=True)):
            self._marked, self._marked_of = self._find_marked(), made_of
        return self._marked

    def _find_marked(self) -> Rows:
        here = np.flatnonzero(self.marks.among(self.ids))
        if self.order.rows is None or not len(here):
            return here
        shown = self.order.rows[self.marks.among(self.ids[self.order.rows])]
        if len(shown) == len(here):
            return shown
        left_out = np.zeros(len(self.ids), np.bool_)
        left_out[here] = True
        left_out[shown] = False
        return np.concatenate([shown, np.flatnonzero(left_out)])

    @property
    def rows_acted_on(self) -> Rows:
        """The marked rows, else the one under the cursor, else none."""
        if self.marks.count:
            return self.marked_rows
        row = self.cursor_row
        return np.array([] if row is None else [row], np.intp)

    def _ids_at(self, first: int, end: int) -> Rows:
        rows = self.order.rows
        at = np.arange(first, end) if rows is None else rows[first:end]
        return self.ids[at].astype(np.intp, copy=False)

    def _place_of_id(self, one: int | None) -> int | None:
        if one is None:
            return None
        row = int(rows_of(np.array([one]), self.ids)[0])
        return None if row < 0 else self.order.place_of(row)

    # Moving

    def go_to(self, row: int) -> bool:
        """Puts the cursor on a row of the table; False when the filter has left that row out."""
        place = self.order.place_of(row)
        if place is not None:
            self._move_cursor(place)
        return place is not None

    def _move_cursor(self, place: int) -> None:
        old, self.cursor = self.cursor, clamp(place, 0, max(0, self.row_count - 1))
        top = self.scroll_offset.y
        for changed in (old, self.cursor):  # two rows to redraw, not a screen
            self.refresh(Region(0, changed - top + 1, self.size.width, 1))
        self._show_cursor()
        self._announce()

    def _announce(self) -> None:
        row = self.cursor_row
        if row != self._announced:
            self._announced = row
            self._tell(self.Highlighted(self, row))

    def _show_cursor(self) -> None:
        page = max(1, self.size.height - 1)
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True, immediate=True)
        elif self.cursor >= top + page:
            self.scroll_to(y=self.cursor - page + 1, animate=False, force=True, immediate=True)

    def _show_column(self) -> None:
        if not self.fixed <= self.cursor_column < len(self._places):
            return
        place = self._places[self.cursor_column]
        left, right = (
            self._fixed_width + self.scroll_offset.x,
            self.size.width + self.scroll_offset.x,
        )
        if place.x < left or place.end - place.x > right - left:
            self.scroll_to(x=place.x - self._fixed_width, animate=False, force=True, immediate=True)
        elif place.end > right:
            self.scroll_to(x=place.end - self.size.width, animate=False, force=True, immediate=True)

    def _move_cursor_column(self, column: int) -> None:
        if not self._places:
            return
        self.cursor_column = clamp(column, 0, len(self._places) - 1)
        self._show_column()
        self.refresh()
        self._tell(self.Ordered(self))
