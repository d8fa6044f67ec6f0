"""How a table is drawn: layout, header, rows, and the text that a mouse selects.

Only the rows and columns in sight are formatted, and drawn rows are kept until the data change.
Moving the cursor, sorting and filtering are `VirtualTable`'s part.
"""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.cache import LRUCache
from textual.geometry import Size, clamp
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from tui.widgets.cells import GAP, ColumnPlace, fit_cell, fit_name, place_columns
from tui.widgets.ordering import RowOrder, SortKey
from wl_core.table import Table, TableColumn

GUTTER = 2  # the cursor's mark and the discarded row's mark
CURSOR_MARK = "▸"
DISCARDED_MARK = "✗"
CacheKey = tuple[int, int, int, bool, int, int]


class TableView(ScrollView):
    """A picture of a table: state that is shown, and the line API that shows it.

    ``fixed`` columns at the left never scroll away. Rows whose flag column ``dim_flag`` is true are
    dimmed and marked.
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

    def __init__(self, *, fixed: int, dim_flag: str, widget_id: str | None) -> None:
        super().__init__(id=widget_id)
        self.fixed = fixed
        self.dim_flag = dim_flag
        self.table = Table(())
        self.order = RowOrder()
        self.sort_key: SortKey | None = None
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
    def column_under_cursor(self) -> TableColumn | None:
        columns = self.table.columns
        return columns[self.cursor_column] if self.cursor_column < len(columns) else None

    def _lay_out(self) -> None:
        widths = {
            self.table.columns[place.index].name: place.width
            for place in self._places
            if place.index < len(self.table.columns)
        }
        self._places = place_columns(self.table, widths, GUTTER)
        self._generation += 1
        self.cursor = clamp(self.cursor, 0, max(0, self.row_count - 1))
        width = self._places[-1].end if self._places else GUTTER
        self.virtual_size = Size(width, self.row_count + 1)
        self.refresh()

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
        # Focus changes a row's style only under the cursor.
        key = (self._generation, row, place % 2, at_cursor and self.has_focus, column, scroll_x)
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

    def _row(self, row: int, style: Style, at_cursor: bool) -> Strip:
        gutter = (CURSOR_MARK if at_cursor else " ") + (
            DISCARDED_MARK if self._is_dim(row) else " "
        )
        cells = [(p.index, self._cell_text(p, row) + " " * GAP) for p in self._visible_places()]
        hot = self._style("table--cell-cursor") if at_cursor else style
        return self._assemble(gutter, cells, style, hot if self.has_focus else style)

    def _cell_text(self, place: ColumnPlace, row: int) -> str:
        """A cell; of a number that the edge would cut only an ellipsis, for half a number lies."""
        column = self.table.columns[place.index]
        if column.kind != "number" or place.index < self.fixed:
            return fit_cell(column, row, place.width)
        scroll_x = self.scroll_offset.x
        if place.x < self._fixed_width + scroll_x:
            return ("…" if column.present[row] else "").rjust(place.width)
        if place.x + place.width > scroll_x + self.size.width:
            return ("…" if column.present[row] else "").ljust(place.width)
        return fit_cell(column, row, place.width)

    def _header(self, scroll_x: int, width: int) -> Strip:
        style = self._style("table--header")
        cells = []
        for place in self._visible_places():
            column = self.table.columns[place.index]
            arrow = ""
            if self.sort_key is not None and self.sort_key.column == column.name:
                arrow = "▼" if self.sort_key.descending else "▲"
            name = fit_name(column.name, place.width, arrow)
            aligned = name.rjust if column.kind == "number" else name.ljust
            cells.append((place.index, aligned(place.width) + " "))
        gutter = " ‹" if scroll_x else "  "
        hot = self._style("table--header-cursor")
        strip = self._assemble(gutter, cells, style, hot).crop_extend(0, width, style)
        if self.virtual_size.width - scroll_x > width:
            strip = Strip.join([strip.crop(0, width - 1), Strip([Segment("›", style)])])
        return strip

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

    @property
    def columns_in_sight(self) -> list[str]:
        """Names of the columns that the scroll position leaves on the screen."""
        columns = self.table.columns
        return [columns[p.index].name for p in self._visible_places() if p.index < len(columns)]

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
