"""A table of a million rows, of which only the visible ones are ever formatted.

It draws a `wl_core.table.Table` with Textual's line API. Here are its keys and the mouse: moving,
sorting, marking rows, choosing columns, copying. What the rows mean is not known here: the pane
hears `Highlighted` and `Chosen` and looks the row up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual import events, work
from textual.binding import Binding, BindingType
from textual.message import Message

from tui.widgets.cells import ColumnPlace
from tui.widgets.column_layout import Layout
from tui.widgets.copying import as_json_lines, as_tsv
from tui.widgets.ordered_table import OrderedTable
from tui.widgets.ordering import Rows
from wl_core.row_order import SortKey
from wl_core.table import Table

COPIED_ROWS = 10_000  # that many at most: terminals take no more than about a megabyte
_EDITS = frozenset(
    {"mark", "mark_range", "mark_all", "mark_invert", "hide", "pin", "shift", "widen", "columns"}
)


class VirtualTable(OrderedTable, can_focus=True):
    """Rows and columns with a cursor over both.

    ``opens`` says whether Enter does something: whether anybody hears `Chosen`. ``edited`` says
    whether rows can be marked and columns arranged. `set_table` may be called several times a
    second: the order, the cursor and the scroll position stay, until a key or `reorder` asks for a
    new order. ``fixed`` columns at the left are pinned until somebody pins others.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Row up", show=False, id="table.up"),
        Binding("down,j", "move(1)", "Row down", show=False, id="table.down"),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False, id="table.page_up"),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False, id="table.page_down"),
        Binding("home,g", "top", "First row", show=False, id="table.top"),
        Binding("end,G", "bottom", "Last row", show=False, id="table.bottom"),
        Binding("left,h", "move_column(-1)", "Column left", show=False, id="table.left"),
        Binding("right,l", "move_column(1)", "Column right", show=False, id="table.right"),
        Binding("s", "sort", "Sort", id="table.sort"),
        Binding("S", "sort_further", "Sort by this column too", show=False, id="table.sort_too"),
        Binding("r", "reorder", "Sort and filter anew", show=False, id="table.reorder"),
        Binding("enter", "choose", "Open", id="table.open"),
        Binding("m", "mark", "Mark", id="table.mark"),
        Binding("M", "mark_range", "Mark up to here", show=False, id="table.mark_range"),
        Binding("a", "mark_all", "Mark all rows", show=False, id="table.mark_all"),
        Binding("i", "mark_invert", "Invert the marks", show=False, id="table.mark_invert"),
        Binding("escape", "mark_none", "Take marks off", show=False, id="table.mark_none"),
        Binding("c", "columns", "Columns", show=False, id="table.columns"),
        Binding("H", "hide", "Hide the column", show=False, id="table.hide"),
        Binding("P", "pin", "Pin the column", show=False, id="table.pin"),
        Binding("w", "trajectory", "Show values over time", show=False, id="table.trajectory"),
        Binding("left_curly_bracket", "shift(-1)", "Put column left", show=False, key_display="{",
                id="table.column_left"),
        Binding("right_curly_bracket", "shift(1)", "Put column right", show=False, key_display="}",
                id="table.column_right"),
        Binding("less_than_sign", "widen(-1)", "Narrower column", show=False, key_display="<",
                id="table.narrower"),
        Binding("greater_than_sign", "widen(1)", "Wider column", show=False, key_display=">",
                id="table.wider"),
        Binding("y", "copy('TSV')", "Copy rows as TSV", show=False, id="table.copy_tsv"),
        Binding("Y", "copy('JSON')", "Copy rows as JSON", show=False, id="table.copy_json"),
    ]  # fmt: skip

    @dataclass
    class Chosen(Message):
        """Enter, or a double click, on a row of the table."""

        table: VirtualTable
        row: int

        @property
        def control(self) -> VirtualTable:
            return self.table

    @dataclass
    class Marked(Message):
        """Other rows are marked than before."""

        table: VirtualTable

        @property
        def control(self) -> VirtualTable:
            return self.table

    @dataclass
    class LaidOut(Message):
        """Somebody has arranged the columns: ``table.column_layout`` is another."""

        table: VirtualTable

        @property
        def control(self) -> VirtualTable:
            return self.table

    @dataclass
    class ColumnsWanted(Message):
        """The list of all columns is wanted."""

        table: VirtualTable

        @property
        def control(self) -> VirtualTable:
            return self.table

    def __init__(
        self,
        *,
        fixed: int = 1,
        dim_flag: str = "discarded",
        opens: bool = False,
        edited: bool = False,
        widget_id: str | None = None,
    ) -> None:
        super().__init__(pinned_first=fixed, dim_flag=dim_flag, widget_id=widget_id)
        self.opens = opens
        self.edited = edited
        self.signals: frozenset[str] = frozenset()  # columns that have values over time
        self.worst_low: frozenset[str] = frozenset()  # columns whose low values are the bad ones
        self._dragged: ColumnPlace | None = None  # the column whose edge the mouse holds
        self._was_dragged = False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "choose":
            return self.opens
        if action == "mark_none":
            return self.marks.count > 0
        if action == "trajectory":
            return self.edited and bool(self.signals)
        return self.edited if action in _EDITS else True

    # Moving

    def action_move(self, rows: int) -> None:
        self._move_cursor(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        self._move_cursor(self.cursor + pages * max(1, self.size.height - 2))

    def action_top(self) -> None:
        self._move_cursor(0)

    def action_bottom(self) -> None:
        self._move_cursor(self.row_count - 1)

    def action_move_column(self, columns: int) -> None:
        self._move_cursor_column(self.cursor_column + columns)

    def action_choose(self) -> None:
        row = self.cursor_row
        if row is not None:
            self._tell(self.Chosen(self, row))

    # Sorting

    def action_sort(self) -> None:
        """The cursor's column alone: worst first, then the other way, then the table's order."""
        directions = self._directions()
        if directions is None:
            return
        first, second = directions
        if self.sort_keys == (first,):
            self.sort_by(second)
        elif self.sort_keys == (second,):
            self.sort_by()
        else:
            self.sort_by(first)

    def action_sort_further(self) -> None:
        """The cursor's column as the next key; then the other way; then no longer."""
        directions = self._directions()
        if directions is None:
            return
        first, second = directions
        keys = list(self.sort_keys)
        if first in keys:
            keys[keys.index(first)] = second
        elif second in keys:
            keys.remove(second)
        else:
            keys.append(first)
        self.sort_by(*keys)

    def _directions(self) -> tuple[SortKey, SortKey] | None:
        """The cursor's column both ways, the worst first: what is large, or low among metrics."""
        column = self.column_under_cursor
        if column is None:
            return None
        first = not column.is_coded and column.name not in self.worst_low
        return SortKey(column.name, first), SortKey(column.name, not first)

    def action_reorder(self) -> None:
        self.reorder()

    # Marking

    def _marks_changed(self) -> None:
        self.redraw()
        self._tell(self.Marked(self))

    def action_mark(self) -> None:
        """Mark the row, or take its mark off, and go on to the next."""
        row = self.cursor_row
        if row is not None:
            self.marks.toggle(int(self.ids[row]))
            self._move_cursor(self.cursor + 1)
            self._marks_changed()

    def action_mark_range(self) -> None:
        """From the row that was marked last to the cursor; without one, the cursor's alone."""
        if not self.row_count:
            return
        begin = self._place_of_id(self.marks.last)
        low, high = sorted((self.cursor if begin is None else begin, self.cursor))
        self.marks.put(self._ids_at(low, high + 1), True)
        self.marks.last = int(self.ids[self.order.row_at(self.cursor)])
        self._marks_changed()

    def action_mark_all(self) -> None:
        self.marks.put(self._ids_at(0, self.row_count), True)
        self._marks_changed()

    def action_mark_invert(self) -> None:
        self.marks.invert(self._ids_at(0, self.row_count))
        self._marks_changed()

    def action_mark_none(self) -> None:
        count = self.marks.count
        self.marks.clear()
        self._marks_changed()
        self.notify(f"{count:,} mark{'s' if count > 1 else ''} taken off")

    # Columns

    def set_layout(self, layout: Layout) -> None:
        """Arrange the columns so."""
        self.column_layout = layout
        self._lay_out()
        self._show_column()

    def choose_layout(self, layout: Layout) -> None:
        """What a person wants, which is told."""
        if layout != self.column_layout:
            self.set_layout(layout)
            self._tell(self.LaidOut(self))

    def _arrange_column(self, change: Callable[[str], Layout]) -> None:
        shown = self.shown_under_cursor
        if shown is not None:
            self.choose_layout(change(shown.name))

    def action_hide(self) -> None:
        shown = self.shown_under_cursor
        if shown is None or len(self.shown) == 1:
            return
        self.choose_layout(self.column_layout.with_hidden(shown.name, True))
        self.notify(f"{shown.name} is hidden: c lists all columns", markup=False)

    def action_pin(self) -> None:
        self._arrange_column(lambda name: self.column_layout.with_pin(self.placed, name))

    def action_shift(self, by: int) -> None:
        self._arrange_column(lambda name: self.column_layout.moved(self.placed, name, by))

    def action_widen(self, by: int) -> None:
        if self._places:
            width = self._places[self.cursor_column].width + by
            self._arrange_column(lambda name: self.column_layout.with_width(name, width))

    def action_trajectory(self) -> None:
        """The values over time of the signal under the cursor, beside it, or no longer."""
        column = self.column_under_cursor
        if column is None:
            return
        if column.name not in self.signals:
            self.notify(f"{column.name} is no signal: it has no values over time", markup=False)
            return
        self.choose_layout(self.column_layout.with_trajectory(column.name))

    def action_columns(self) -> None:
        self._tell(self.ColumnsWanted(self))

    # Copying

    def action_copy(self, form: str) -> None:
        """The marked rows, else the cursor's, with the columns that are shown."""
        rows = self.rows_acted_on
        columns = tuple(one.column for one in self.shown if one.drawn is None)
        if not len(rows) or not columns:
            self.notify("there is no row to copy")
            return
        self._copy(Table(columns), rows, form)

    @work(thread=True, exclusive=True, group="copy")
    def _copy(self, table: Table, rows: Rows, form: str) -> None:
        taken = table.take(rows[:COPIED_ROWS])
        text = as_tsv(taken) if form == "TSV" else as_json_lines(taken)
        of = "" if len(taken) == len(rows) else f"the first {len(taken):,} of "
        plural = "s" if len(rows) > 1 else ""
        said = f"copied {of}{len(rows):,} row{plural} as {form}" + (": x exports all" if of else "")
        self.app.call_from_thread(self._to_clipboard, text, said)

    def _to_clipboard(self, text: str, said: str) -> None:
        self.app.copy_to_clipboard(text)
        self.notify(said)

    # The mouse

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        if self._was_dragged:
            self._was_dragged = False
        elif event.y == 0:
            self._click_header(event.x)
        elif self.scroll_offset.y + event.y - 1 < self.row_count:
            self._move_cursor(self.scroll_offset.y + event.y - 1)
            if event.chain == 2:
                self.action_choose()

    def _click_header(self, x: int) -> None:
        place = self._place_at(x)
        if place is not None:
            self.cursor_column = place.index
            self.action_sort()

    def _place_at(self, x: int) -> ColumnPlace | None:
        """The column at so many cells from the widget's left edge."""
        content_x = x if x < self._fixed_width else x + self.scroll_offset.x
        places = self._visible_places()
        return next((place for place in places if place.x <= content_x < place.end), None)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """The gap behind a column's name is its edge, to be dragged."""
        self._was_dragged = False
        if event.y != 0 or not self.edited:
            return
        place = self._place_at(event.x)
        if place is not None and self._place_at(event.x + 1) != place:
            self._dragged = place
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._dragged is None:
            return
        place = self._places[self._dragged.index]
        left = place.x - (self.scroll_offset.x if place.index >= self.fixed else 0)
        name = self.shown[place.index].name
        self._was_dragged = True
        self.set_layout(self.column_layout.with_width(name, event.x - left))

    def on_mouse_up(self) -> None:
        if self._dragged is not None:
            self._dragged = None
            self.release_mouse()
            self.screen.clear_selection()  # to Textual it looks as if text had been selected
            if self._was_dragged:
                self._tell(self.LaidOut(self))
