"""How a table is drawn: layout, header, rows, and the text that a mouse selects.

Only the rows and columns in sight are formatted, and drawn rows are kept until the data change.
Moving the cursor, sorting and filtering are `VirtualTable`'s part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeAlias

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual.cache import LRUCache
from textual.geometry import Size, clamp
from textual.selection import Selection
from textual.strip import Strip

from tui.widgets.cells import GAP, ColumnPlace, ShownColumn, fit_name, place_columns
from tui.widgets.column_layout import Layout, Placed
from tui.widgets.extent import ExtentView
from tui.widgets.marks import Ids, Marks
from tui.widgets.ordering import RowOrder
from wl_core.row_order import SortKey
from wl_core.table import Table, TableColumn

GUTTER = 3  # the cursor's mark, that of a marked and that of a discarded row
CURSOR_MARK = "▸"
ROW_MARK = "●"
DISCARDED_MARK = "✗"
BORDER = "│"  # between the pinned columns and those that scroll
DrawTrajectory: TypeAlias = Callable[[int, str], str]  # of a row and a signal
CacheKey: TypeAlias = tuple[int, int, int, bool, int, int, bool]


class TableView(ExtentView):
    """A picture of a table: state that is shown, and the line API that shows it.

    ``pinned_first`` columns at the left never scroll away, until a layout says which. Rows whose
    flag column ``dim_flag`` is true are dimmed and marked.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "table--header",
        "table--header-cursor",
        "table--cursor",
        "table--cursor-blurred",
        "table--cell-cursor",
        "table--odd",
        "table--dim",
    }

    def __init__(self, *, pinned_first: int, dim_flag: str, widget_id: str | None) -> None:
        super().__init__(id=widget_id)
        self.pinned_first = pinned_first
        self.dim_flag = dim_flag
        self.table = Table(())
        self.ids: Ids = np.empty(0, np.intp)
        self.order = RowOrder()
        self.sort_keys: tuple[SortKey, ...] = ()
        self.marks = Marks()
        self.column_layout = Layout()
        self.draw_trajectory: DrawTrajectory = _no_trajectory
        self.placed: list[Placed] = []  # all columns, hidden ones too
        self.shown: list[ShownColumn] = []
        self.fixed = 0  # how many of them are pinned
        self.cursor = 0
        self.cursor_column = 0
        self._places: list[ColumnPlace] = []
        self._generation = 0
        self._strips: LRUCache[CacheKey, Strip] = LRUCache(512)
        self._styles: dict[str, Style] = {}  # looking one up walks all ancestors

    @property
    def row_count(self) -> int:
        """Places in the table: rows after the filter."""
        return self.order.count(len(self.table))

    @property
    def cursor_row(self) -> int | None:
        """The table row under the cursor, None when no row is shown."""
        return self.order.row_at(self.cursor) if self.row_count else None

    @property
    def shown_under_cursor(self) -> ShownColumn | None:
        return self.shown[self.cursor_column] if self.cursor_column < len(self.shown) else None

    @property
    def column_under_cursor(self) -> TableColumn | None:
        """The table's column under the cursor: that of the signal, on a trajectory."""
        shown = self.shown_under_cursor
        return None if shown is None else shown.column

    @property
    def rows_in_sight(self) -> list[int]:
        """The table's rows that the scroll position leaves on the screen."""
        top = self.scroll_offset.y
        places = range(top, min(top + max(0, self.size.height - 1), self.row_count))
        return [self.order.row_at(place) for place in places]

    @property
    def columns_in_sight(self) -> list[str]:
        """Names of the table's columns that the scroll position leaves on the screen."""
        return [one.column.name for one in self._shown_in_sight() if one.drawn is None]

    @property
    def trajectories_in_sight(self) -> list[str]:
        """The signals whose trajectories the scroll position leaves on the screen."""
        return [one.column.name for one in self._shown_in_sight() if one.drawn is not None]

    def _shown_in_sight(self) -> list[ShownColumn]:
        return [self.shown[p.index] for p in self._visible_places() if p.index < len(self.shown)]

    def redraw(self) -> None:
        """What is drawn of the rows has changed."""
        self._generation += 1
        self.refresh()

    def _lay_out(self) -> None:
        """Place the columns of the table; the column cursor stays on the column of its name."""
        under = self.shown_under_cursor
        widths = {self.shown[place.index].name: place.width for place in self._places}
        self.placed = self.column_layout.placed(self.table.names, self.pinned_first)
        seen = [one for one in self.placed if not one.hidden]
        self.shown = [self._shown_column(one) for one in seen]
        self.fixed = sum(one.pinned for one in seen)
        self._places = place_columns(self.shown, self.column_layout.widths, widths, GUTTER)
        self._put_column_cursor(under)
        self.cursor = clamp(self.cursor, 0, max(0, self.row_count - 1))
        width = self._places[-1].end if self._places else GUTTER
        self.extent = Size(width, self.row_count + 1)
        self.redraw()

    def _put_column_cursor(self, under: ShownColumn | None) -> None:
        names = [one.name for one in self.shown]
        if under is not None and under.name in names:
            self.cursor_column = names.index(under.name)
        else:
            self.cursor_column = clamp(self.cursor_column, 0, max(0, len(names) - 1))

    def _shown_column(self, placed: Placed) -> ShownColumn:
        if placed.signal is None:
            return ShownColumn(placed.name, self.table.column(placed.name))
        signal, draw = placed.signal, self.draw_trajectory
        return ShownColumn(placed.name, self.table.column(signal), lambda row: draw(row, signal))

    @property
    def _fixed_width(self) -> int:
        fixed = self._places[: self.fixed]
        return fixed[-1].end if fixed else GUTTER

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._generation += 1
        self._styles.clear()

    def _style(self, component: str = "") -> Style:
        """The style of a part of the table, its own when none is named."""
        style = self._styles.get(component)
        if style is None:
            style = self.get_component_rich_style(component) if component else self.rich_style
            self._styles[component] = style
        return style

    # Drawing

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        scroll_x, scroll_y = self.scroll_offset
        if y == 0:
            return self._header(scroll_x, width)
        place = scroll_y + y - 1
        if place >= self.row_count:
            return Strip.blank(width, self._style())
        row, at_cursor = self.order.row_at(place), place == self.cursor
        column = self.cursor_column if at_cursor else -1
        hot = at_cursor and self.has_focus  # focus changes a row's style only under the cursor
        marked = self._is_marked(row)
        key = (self._generation, row, place % 2, hot, column, scroll_x, marked)
        strip = None if self.text_selection else self._strips.get(key)
        if strip is None or strip.cell_length != width:
            style = self._row_style(row, place, at_cursor)
            strip = self._row(row, style, at_cursor).crop_extend(0, width, style)
            self._strips[key] = strip
        return strip.apply_offsets(scroll_x, place + 1)

    def _row_style(self, row: int, place: int, at_cursor: bool) -> Style:
        if at_cursor:
            return self._style("table--cursor" if self.has_focus else "table--cursor-blurred")
        style = self._style("table--odd") if place % 2 else self._style()
        if self._is_dim(row):
            style += self.get_component_rich_style("table--dim", partial=True)
        return style

    def _is_dim(self, row: int) -> bool:
        if self.dim_flag not in self.table.names:
            return False
        return bool(self.table.column(self.dim_flag).cell(row))

    def _is_marked(self, row: int) -> bool:
        return self.marks.count > 0 and int(self.ids[row]) in self.marks

    def _row(self, row: int, style: Style, at_cursor: bool) -> Strip:
        gutter = (
            (CURSOR_MARK if at_cursor else " ")
            + (ROW_MARK if self._is_marked(row) else " ")
            + (DISCARDED_MARK if self._is_dim(row) else " ")
        )
        cells = [(p.index, self._cell_text(p, row) + " " * GAP) for p in self._visible_places()]
        hot = self._style("table--cell-cursor") if at_cursor else style
        return self._assemble(gutter, cells, style, hot if self.has_focus else style)

    def _cell_text(self, place: ColumnPlace, row: int) -> str:
        """A cell; of a number that the edge would cut only an ellipsis, for half a number lies."""
        shown = self.shown[place.index]
        if not shown.is_number or place.index < self.fixed:
            return shown.fit(row, place.width)
        scroll_x, there = self.scroll_offset.x, shown.column.is_filled(row)
        if place.x < self._fixed_width + scroll_x:
            return ("…" if there else "").rjust(place.width)
        if place.x + place.width > scroll_x + self.size.width:
            return ("…" if there else "").ljust(place.width)
        return shown.fit(row, place.width)

    def _header(self, scroll_x: int, width: int) -> Strip:
        style = self._style("table--header")
        cells = [(place.index, self._heading(place)) for place in self._visible_places()]
        gutter = "  ‹" if scroll_x else "   "
        hot = self._style("table--header-cursor")
        strip = self._assemble(gutter, cells, style, hot).crop_extend(0, width, style)
        if self.virtual_size.width - scroll_x > width:
            strip = Strip.join([strip.crop(0, width - 1), Strip([Segment("›", style)])])
        return strip

    def _heading(self, place: ColumnPlace) -> str:
        shown = self.shown[place.index]
        arrow = "" if shown.drawn is not None else self._sort_mark(shown.column.name)
        name = fit_name(shown.name, place.width, arrow)
        aligned = name.rjust if shown.is_number else name.ljust
        is_last_pinned = place.index == self.fixed - 1 < len(self.shown) - 1
        return aligned(place.width) + (BORDER if is_last_pinned else " ")

    def _sort_mark(self, name: str) -> str:
        """``▼``, the largest first, or ``▲``; with the number of the key where there are many."""
        for number, key in enumerate(self.sort_keys, 1):
            if key.column == name:
                arrow = "▼" if key.descending else "▲"
                return f"{arrow}{number}" if len(self.sort_keys) > 1 else arrow
        return ""

    def _assemble(
        self, gutter: str, cells: list[tuple[int, str]], style: Style, hot: Style
    ) -> Strip:
        """One line from its cells, the scrolled ones cut where the fixed ones end."""
        scroll_x = self.scroll_offset.x
        fixed = [Segment(gutter, style)]
        scrolled: list[Segment] = []
        scrolled_x = self._fixed_width
        for index, text in cells:
            segment = Segment(text, hot if index == self.cursor_column else style)
            if index < self.fixed:
                fixed.append(segment)
            else:
                if not scrolled:
                    scrolled_x = self._places[index].x
                scrolled.append(segment)
        cut = self._fixed_width + scroll_x - scrolled_x
        rest = Strip(scrolled)
        return Strip.join([Strip(fixed), rest.crop(cut, rest.cell_length) if cut > 0 else rest])

    def _visible_places(self) -> list[ColumnPlace]:
        left = self._fixed_width + self.scroll_offset.x
        right = self.scroll_offset.x + self.size.width
        scrolled = [p for p in self._places[self.fixed :] if p.end > left and p.x < right]
        return self._places[: self.fixed] + scrolled

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected rows as lines of text, whole rows; only those are formatted."""
        top = max(1, selection.start.y if selection.start else 1)  # line 0 is the header
        bottom = min(selection.end.y if selection.end else self.row_count, self.row_count)
        lines = [
            self._row(self.order.row_at(line - 1), self._style(), False).text.rstrip()
            for line in range(top, bottom + 1)
        ]
        return "\n".join(lines), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()


def _no_trajectory(row: int, signal: str) -> str:
    return ""
