"""A table of a million rows, of which only the visible ones are ever formatted.

It draws a `wl_core.table.Table` with Textual's line API through a `RowOrder`, which it makes on a
worker thread. What the rows mean is not known here: the screen hears `Highlighted` and `Chosen`
and looks the row up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from textual import events, work
from textual.binding import Binding, BindingType
from textual.geometry import Region, clamp
from textual.message import Message
from textual.worker import get_current_worker

from tui.widgets.ordering import Ids, RowFilter, RowOrder, SortKey, follow_rows, make_order, rows_of
from tui.widgets.table_view import TableView
from wl_core.errors import WlError
from wl_core.table import Table

SMALL = 10_000  # rows that are sorted and filtered in about a millisecond
_NOTHING_YET = -1


class VirtualTable(TableView, can_focus=True):
    """Rows and columns with a cursor over both.

    ``opens`` says whether Enter does something: whether anybody hears `Chosen`. `set_table` may be
    called several times a second: the order, the cursor and the scroll position stay, until a key
    or `reorder` asks for a new order.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Row up", show=False),
        Binding("down,j", "move(1)", "Row down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False),
        Binding("home,g", "top", "First row", show=False),
        Binding("end,G", "bottom", "Last row", show=False),
        Binding("left,h", "move_column(-1)", "Column left", show=False),
        Binding("right,l", "move_column(1)", "Column right", show=False),
        Binding("s", "sort", "Sort"),
        Binding("r", "reorder", "Re-sort"),
        Binding("enter", "choose", "Open"),
    ]

    @dataclass
    class Highlighted(Message):
        """The cursor stands on another row of the table (None: there is no row)."""

        table: VirtualTable
        row: int | None

        @property
        def control(self) -> VirtualTable:
            return self.table

    @dataclass
    class Chosen(Message):
        """Enter, or a double click, on a row of the table."""

        table: VirtualTable
        row: int

        @property
        def control(self) -> VirtualTable:
            return self.table

    @dataclass
    class Ordered(Message):
        """A new order, column or filter is in force; ``error`` says why not, if it is not."""

        table: VirtualTable
        error: WlError | None = None

        @property
        def control(self) -> VirtualTable:
            return self.table

    def __init__(
        self,
        *,
        fixed: int = 1,
        dim_flag: str = "discarded",
        opens: bool = False,
        widget_id: str | None = None,
    ) -> None:
        super().__init__(fixed=fixed, dim_flag=dim_flag, widget_id=widget_id)
        self.ids: Ids = np.empty(0, np.intp)
        self.step = 0
        self.opens = opens
        self.row_filter: RowFilter | None = None
        self._announced: int | None = _NOTHING_YET

    # What is shown

    def set_table(self, table: Table, ids: Ids | None = None, step: int = 0) -> None:
        """Show newer data of the same things.

        Args:
            table: the rows now; it may have gained some, and they may stand elsewhere.
            ids: distinct integers ``[n]`` that say what row ``i`` is, in this table and the next;
                None when row ``i`` always is what row ``i`` was. Give the same array as long as no
                row moved.
            step: the step that the data are from.
        """
        if table.names != self.table.names:
            self._keep_column_cursor(table)
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
        """Show other things altogether: the cursor goes to the top, the sort stays."""
        self.table, self.order, self.ids = Table(()), RowOrder(), np.empty(0, np.intp)
        self.cursor = 0
        self._announced = _NOTHING_YET
        self.set_table(table, ids, step)
        self.scroll_to(y=0, animate=False, force=True, immediate=True)
        if self.sort_key is not None or self.row_filter is not None:
            self.reorder()

    def set_filter(self, row_filter: RowFilter | None) -> None:
        """Show only the rows where ``row_filter(table)`` is True; `Ordered` tells the outcome."""
        self.row_filter = row_filter
        self.reorder()

    def sort_by(self, key: SortKey | None) -> None:
        """Sort, None for the table's own order, and go to the top to see the extremes."""
        self.sort_key = key
        self.cursor = 0
        self.reorder()

    def reorder(self) -> None:
        """Make the order anew from the present data; off the event loop when that takes time."""
        wanted = (self.table, self.sort_key, self.row_filter, self.step)
        if len(self.table) > SMALL:
            self._order_in_thread(self.ids, *wanted)
        else:
            self._take_order(_order_or_error(*wanted), self.ids)

    @property
    def order_age(self) -> tuple[int, float] | None:
        """Steps and seconds since the order was made; None when it cannot go stale."""
        if self.order.rows is None:
            return None
        return max(0, self.step - self.order.step), time.monotonic() - self.order.made_at

    @property
    def rows_not_ordered(self) -> int:
        """Rows that came after the order was made: at the end, or not yet filtered."""
        return self.order.late

    @work(thread=True, exclusive=True, group="order", exit_on_error=True)
    def _order_in_thread(
        self,
        ids: Ids,
        table: Table,
        sort: SortKey | None,
        row_filter: RowFilter | None,
        step: int,
    ) -> None:
        worker = get_current_worker()
        outcome = _order_or_error(table, sort, row_filter, step)
        if not worker.is_cancelled:
            self.app.call_from_thread(self._take_order, outcome, ids)

    def _take_order(self, outcome: RowOrder | WlError, ids: Ids) -> None:
        if isinstance(outcome, WlError):
            self._tell(self.Ordered(self, outcome))
            return
        row = self.cursor_row
        self.order = follow_rows(outcome, ids, self.ids)  # the table may have moved on meanwhile
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

    def _keep_column_cursor(self, table: Table) -> None:
        column = self.column_under_cursor
        if column is not None and column.name in table.names:
            self.cursor_column = table.names.index(column.name)
        else:
            self.cursor_column = min(self.cursor_column, max(0, len(table.columns) - 1))

    # Moving

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
        if self.cursor_column < self.fixed:
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

    def action_move(self, rows: int) -> None:
        self._move_cursor(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        self._move_cursor(self.cursor + pages * max(1, self.size.height - 2))

    def action_top(self) -> None:
        self._move_cursor(0)

    def action_bottom(self) -> None:
        self._move_cursor(self.row_count - 1)

    def action_move_column(self, columns: int) -> None:
        if not self._places:
            return
        self.cursor_column = clamp(self.cursor_column + columns, 0, len(self._places) - 1)
        self._show_column()
        self.refresh()
        self._tell(self.Ordered(self))

    def action_sort(self) -> None:
        """The cursor's column: worst first, then the other way, then the table's own order."""
        column = self.column_under_cursor
        if column is None:
            return
        first = SortKey(column.name, descending=not column.is_coded)
        second = SortKey(column.name, descending=not first.descending)
        steps: dict[SortKey | None, SortKey | None] = {first: second, second: None}
        self.sort_by(steps.get(self.sort_key, first))

    def action_reorder(self) -> None:
        self.reorder()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.opens if action == "choose" else True

    def action_choose(self) -> None:
        row = self.cursor_row
        if row is not None:
            self._tell(self.Chosen(self, row))

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            self._click_header(event.x)
        elif self.scroll_offset.y + event.y - 1 < self.row_count:
            self._move_cursor(self.scroll_offset.y + event.y - 1)
            if event.chain == 2:
                self.action_choose()

    def _click_header(self, x: int) -> None:
        content_x = x if x < self._fixed_width else x + self.scroll_offset.x
        for place in self._visible_places():
            if place.x <= content_x < place.end:
                self.cursor_column = place.index
                self.action_sort()
                return


def _order_or_error(
    table: Table, sort: SortKey | None, row_filter: RowFilter | None, step: int
) -> RowOrder | WlError:
    try:
        return make_order(table, sort, row_filter, step, time.monotonic())
    except WlError as error:
        return error
