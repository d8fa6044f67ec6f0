"""A cross table: numbers where two facets cross, shaded, with headings that never scroll away.

What the numbers, marks and names are is `tui.slicing`'s; what a cell is opened for, the pane's.
Only the cells in sight are formatted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size, clamp
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.slicing import DOUBT, MARKS, Cross
from tui.words import shorten

HEADINGS = 2  # lines that do not scroll: the names of the columns, and the totals
CURSOR_MARK = "▸"
_MARKED = 4  # a gap, two cells for how far it is from chance, one for doubt
_WIDEST_NAME, _WIDEST_HEADING, _LOOKED_AT = 17, 26, 2_000
_SHADES = {2: "more-more", 1: "more", -1: "less", -2: "less-less"}


class CrossTable(ScrollView, can_focus=True):
    """Cells with a cursor over them; place 0 of each direction is the total, always in sight."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "cross--header",
        "cross--header-cursor",
        "cross--total",
        "cross--cursor",
        *(f"cross--{shade}" for shade in _SHADES.values()),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1, 0)", "Cell up", show=False, id="cross.up"),
        Binding("down,j", "move(1, 0)", "Cell down", show=False, id="cross.down"),
        Binding("left,h", "move(0, -1)", "Cell left", show=False, id="cross.left"),
        Binding("right,l", "move(0, 1)", "Cell right", show=False, id="cross.right"),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False, id="cross.page_up"),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False, id="cross.page_down"),
        Binding("home,g", "row(0)", "First row", show=False, id="cross.top"),
        Binding("end,G", "row(-1)", "Last row", show=False, id="cross.bottom"),
        Binding("s", "sort", "Sort rows by this column", show=False, id="cross.sort"),
        Binding("enter", "drill", "Show these rows", id="cross.drill"),
    ]

    @dataclass
    class Moved(Message):
        """The cursor stands on another cell."""

        row: int
        column: int

    @dataclass
    class Drilled(Message):
        """The rows of a cell are wanted, or of a whole row or column where the other is 0."""

        row: int
        column: int

    def __init__(self, *, widget_id: str | None = None) -> None:
        super().__init__(id=widget_id)
        self.cross: Cross | None = None
        self.line = 0  # of the cursor, 0 the totals
        self.column = 0
        self.sorted_by: int | None = None
        self._widths: list[int] = []
        self._heading = 0
        self._number = 0

    # What is shown

    def show(self, cross: Cross) -> None:
        """Shows newer numbers; the cursor stays at the groups of these names if they are there."""
        names = self._names_at_cursor()
        by = None if self.sorted_by is None or self.cross is None else self.cross.column_names
        self.cross = cross
        if by is not None and self.sorted_by is not None:
            self.sorted_by = _place(cross.column_names, by[self.sorted_by])
        cross.sort_by(self.sorted_by)
        if names is not None:
            row = _place(cross.row_names, names[0])
            self.line = list(cross.order).index(row)
            self.column = _place(cross.column_names, names[1])
        self._lay_out()
        self._show_cursor()

    def _names_at_cursor(self) -> tuple[str, str] | None:
        if self.cross is None:
            return None
        return self.cross.row_names[self.row], self.cross.column_names[self.column]

    @property
    def row(self) -> int:
        """The place of the row under the cursor, whatever the order."""
        return 0 if self.cross is None else self.cross.order[self.line]

    def _lay_out(self) -> None:
        cross = self.cross
        if cross is None:
            return
        rows, columns = range(len(cross.row_names)), range(len(cross.column_names))
        looked_at = [(r, c) for r in rows[: 1 + _LOOKED_AT // len(columns)] for c in columns]
        self._number = max(3, *(len(cross.text(r, c)) for r, c in looked_at))
        names = [min(len(name), _WIDEST_NAME) for name in cross.column_names]
        self._widths = [max(name, self._number + _MARKED) + 1 for name in names]
        self._widths[0] -= _MARKED - 1  # a total is not marked
        longest = max(len(_corner(cross)), *(len(name) for name in cross.row_names))
        self._heading = min(longest, _WIDEST_HEADING) + 2
        self.virtual_size = Size(
            self._heading + sum(self._widths), HEADINGS + len(cross.row_names) - 1
        )
        self.refresh()

    @property
    def _fixed(self) -> int:
        """The width of what never scrolls: the names of the rows and their totals."""
        return self._heading + self._widths[0]

    # Drawing

    def render_line(self, y: int) -> Strip:
        cross, width = self.cross, self.size.width
        if cross is None:
            return Strip.blank(width, self.rich_style)
        if y == 0:
            return self._names(cross)
        line = y - 1 if y < HEADINGS else y - 1 + self.scroll_offset.y
        if line >= len(cross.order):
            return Strip.blank(width, self.rich_style)
        return self._row(cross, line)

    def _names(self, cross: Cross) -> Strip:
        style = self.get_component_rich_style("cross--header")
        hot = self.get_component_rich_style("cross--header-cursor")
        corner = shorten(_corner(cross), self._heading)
        parts = [Segment(f"{corner:<{self._heading}}", style)]
        for column, room in self._columns_in_sight():
            arrow = "▼" if column == self.sorted_by else ""
            name = shorten(cross.column_names[column], self._widths[column] - 1 - len(arrow))
            text = f"{arrow}{name:>{self._widths[column] - 1 - len(arrow)}} "
            parts.append(Segment(text[:room], hot if column == self.column else style))
        return Strip(parts).crop_extend(0, self.size.width, style)

    def _row(self, cross: Cross, line: int) -> Strip:
        row, at_cursor = cross.order[line], line == self.line
        plain = self.get_component_rich_style("cross--total") if not row else self.rich_style
        name = (
            f"{CURSOR_MARK if at_cursor else ' '}{shorten(cross.row_names[row], self._heading - 2)}"
        )
        header = "cross--header-cursor" if at_cursor else "cross--header"
        parts = [
            Segment(f"{name:<{self._heading}}", self.get_component_rich_style(header)),
        ]
        for column, room in self._columns_in_sight():
            whole = room == self._widths[column]
            text = self._cell(cross, row, column) if whole else "…".ljust(room)
            parts.append(Segment(text, self._style(cross, row, column, at_cursor, plain)))
        return Strip(parts).crop_extend(0, self.size.width, plain)

    def _cell(self, cross: Cross, row: int, column: int) -> str:
        said = cross.text(row, column)
        if column:
            doubt = DOUBT if cross.is_doubtful(row, column) else " "
            said = f"{said} {MARKS[cross.mark(row, column)]}{doubt}"
        return f"{said} ".rjust(self._widths[column])

    def _style(self, cross: Cross, row: int, column: int, at_cursor: bool, plain: Style) -> Style:
        if at_cursor and column == self.column and self.has_focus:
            return self.get_component_rich_style("cross--cursor")
        shade = _SHADES.get(cross.mark(row, column))
        if shade is not None:
            return self.get_component_rich_style(f"cross--{shade}")
        return plain if column else self.get_component_rich_style("cross--total")

    def _columns_in_sight(self) -> list[tuple[int, int]]:
        """``(column, cells that there is room for)``, the total first."""
        found = [(0, self._widths[0])]
        left, x = self.scroll_offset.x, 0
        room = self.size.width - self._fixed
        for column, width in enumerate(self._widths[1:], 1):
            low, high = max(x, left), min(x + width, left + room)
            if low < high:
                found.append((column, high - low))
            x += width
        return found

    # Moving

    def _go(self, line: int, column: int) -> None:
        cross = self.cross
        if cross is None:
            return
        self.line = clamp(line, 0, len(cross.row_names) - 1)
        self.column = clamp(column, 0, len(cross.column_names) - 1)
        self._show_cursor()
        self.refresh()
        self.post_message(self.Moved(self.row, self.column))

    def _show_cursor(self) -> None:
        x, y = self.scroll_offset
        page = max(1, self.size.height - HEADINGS)
        if self.line:
            y = clamp(y, self.line - page, self.line - 1)
        if self.column and self._widths:
            start = sum(self._widths[1 : self.column])
            end = start + self._widths[self.column]
            x = min(start, max(x, end - max(1, self.size.width - self._fixed)))
        if (x, y) != self.scroll_offset:
            self.scroll_to(x=x, y=y, animate=False, force=True, immediate=True)

    def on_resize(self) -> None:
        self._show_cursor()

    def action_move(self, lines: int, columns: int) -> None:
        self._go(self.line + lines, self.column + columns)

    def action_page(self, pages: int) -> None:
        self._go(self.line + pages * max(1, self.size.height - HEADINGS - 1), self.column)

    def action_row(self, line: int) -> None:
        if self.cross is not None:
            self._go(line % len(self.cross.row_names), self.column)

    def action_sort(self) -> None:
        """The rows by the cursor's column, the largest first, then in the facet's order again."""
        if self.cross is None:
            return
        row = self.row
        self.sorted_by = None if self.sorted_by == self.column else self.column
        self.cross.sort_by(self.sorted_by)
        self._go(list(self.cross.order).index(row), self.column)

    def action_drill(self) -> None:
        if self.cross is not None:
            self.post_message(self.Drilled(self.row, self.column))

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        if self.cross is None:
            return
        line = event.y - 1 if event.y <= 1 else event.y - 1 + self.scroll_offset.y
        x = 0
        for column, room in self._columns_in_sight():
            x += room
            if event.x < self._heading + x:
                self._go(line, column)
                break
        if event.chain == 2:
            self.action_drill()


def _corner(cross: Cross) -> str:
    return f"{cross.corner[0]} ↓ {cross.corner[1]} →"


def _place(names: list[str], name: str) -> int:
    """Where that name stands, else that of the total."""
    return names.index(name) if name in names else 0
