"""Events of a log, one line each, the newest at the bottom; only those in sight are read, drawn.

A row is a position of the log: of all of them, or of those that a filter found. Lines come by
`EventList.add`; those that are missing are asked for by `EventList.Wanted`. Reading them is not
this file's business.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size, clamp
from textual.message import Message
from textual.strip import Strip

from tui.event_log import EventLine, line_of
from tui.widgets.extent import ExtentView
from wl_core.codec import Event

CURSOR_MARK = "▸"
_LINE_WIDTH = 160
_REMEMBERED = 4_000  # lines and events; more are read again


class EventList(ExtentView, can_focus=True):
    """Rows with a cursor; while it is on the last row it stays on the last row."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"events--failed", "events--wish", "events--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Event before", show=False, id="events.up"),
        Binding("down,j", "move(1)", "Next event", show=False, id="events.down"),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False, id="events.page_up"),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False, id="events.page_down"),
        Binding("home,g", "first", "First event", show=False, id="events.top"),
        Binding("end,G", "last", "Latest, and follow", id="events.bottom"),
        Binding("left,h", "scroll_left", "Left", show=False, id="events.left"),
        Binding("right,l", "scroll_right", "Right", show=False, id="events.right"),
        Binding("enter", "open", "Open", id="events.open"),
        Binding("y,Y", "copy", "Copy the event as JSON", show=False, id="events.copy"),
    ]

    @dataclass
    class Wanted(Message):
        """The lines at these positions, ascending, are about to be shown and are not known."""

        positions: Sequence[int]

    @dataclass
    class Moved(Message):
        """The cursor stands elsewhere, or events have come below it."""

        at_top: bool

    @dataclass
    class Chosen(Message):
        """The event at that position is wanted, to be looked at or to be copied."""

        position: int
        to_copy: bool = False

    def __init__(self, *, widget_id: str | None = None) -> None:
        super().__init__(id=widget_id)
        self.positions: Sequence[int] = range(0)
        self.cursor = 0
        self.following = True
        self._seen_up_to = -1  # the newest position when the end was left
        self._lines: dict[int, EventLine | Event] = {}
        self._asked: frozenset[int] = frozenset()

    # What is shown

    def add(self, lines: Mapping[int, EventLine]) -> None:
        """Lines that were asked for."""
        self._remember(lines)
        self._asked = frozenset()
        self.refresh()

    def add_events(self, found: Iterable[Event]) -> None:
        """Events that came by themselves; they are put into words when they come into sight."""
        self._remember({event.position: event for event in found})

    def _remember(self, lines: Mapping[int, EventLine | Event]) -> None:
        if len(self._lines) + len(lines) > _REMEMBERED:
            self._lines.clear()
        self._lines.update(lines)

    def show(self, positions: Sequence[int]) -> None:
        """Show the events at these ascending positions; the cursor stays on its event."""
        at, before = self.position, self.cursor
        self.positions = positions
        self.extent = Size(_LINE_WIDTH, len(positions))
        if self.following or at is None:
            self.cursor = max(0, len(positions) - 1)
        else:
            self.cursor = clamp(bisect_left(positions, at), 0, max(0, len(positions) - 1))
            moved = self.cursor - before
            if moved:  # what is in sight stays on its line of the screen
                self._scroll(self.scroll_offset.y + moved)
        self._settle()

    @property
    def position(self) -> int | None:
        """That of the event under the cursor."""
        return self.positions[self.cursor] if self.cursor < len(self.positions) else None

    @property
    def new_below(self) -> int:
        """How many events have come since the end was left."""
        if self.following:
            return 0
        return len(self.positions) - bisect_right(self.positions, self._seen_up_to)

    @property
    def in_sight(self) -> Sequence[int]:
        """The positions on the screen."""
        top = self.scroll_offset.y
        return self.positions[top : top + self.size.height]

    def _want(self) -> None:
        """Ask for what is in sight, and a page around it."""
        top, page = self.scroll_offset.y, max(1, self.size.height)
        near = self.positions[max(0, top - page) : top + 2 * page]
        here = [one for one in self.in_sight if one not in self._lines]
        if here and not self._asked.issuperset(here):
            missing = [one for one in near if one not in self._lines]
            self._asked = frozenset(missing)
            self._tell(self.Wanted(missing))

    def _tell(self, message: Message) -> None:
        """As oneself: else it would stop at the pane that called, which would never hear of it."""
        self.post_message(message.set_sender(self))

    # Moving

    def _settle(self) -> None:
        """After rows or the cursor have changed."""
        last = max(0, len(self.positions) - 1)
        self.following = self.cursor == last
        if self.following:
            self._seen_up_to = self.positions[-1] if self.positions else -1
        top, page = self.scroll_offset.y, max(1, self.size.height)
        if not top <= self.cursor < top + page:
            self._scroll(self.cursor if self.cursor < top else self.cursor - page + 1)
        self._want()
        self.refresh()
        self._tell(self.Moved(self.cursor < page))

    def _scroll(self, top: int) -> None:
        self.scroll_to(y=max(0, top), animate=False, force=True, immediate=True)

    def _go(self, row: int) -> None:
        self.cursor = clamp(row, 0, max(0, len(self.positions) - 1))
        self._settle()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """The cursor stays in sight, also where the wheel scrolls."""
        super().watch_scroll_y(old_value, new_value)
        top, page = round(new_value), max(1, self.size.height)
        last = max(0, len(self.positions) - 1)
        inside = clamp(self.cursor, top, max(top, min(last, top + page - 1)))
        if inside != self.cursor and page > 1:
            self._go(inside)
        else:
            self._want()

    def on_resize(self) -> None:
        self._settle()

    def action_move(self, rows: int) -> None:
        self._go(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        self._go(self.cursor + pages * max(1, self.size.height - 1))

    def action_first(self) -> None:
        self._go(0)

    def action_last(self) -> None:
        self._go(len(self.positions) - 1)

    def action_open(self) -> None:
        if self.position is not None:
            self._tell(self.Chosen(self.position))

    def action_copy(self) -> None:
        if self.position is not None:
            self._tell(self.Chosen(self.position, to_copy=True))

    def on_click(self, event: events.Click) -> None:
        if self.scroll_offset.y + event.y < len(self.positions):
            self._go(self.scroll_offset.y + event.y)
            if event.chain == 2:
                self.action_open()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    # Drawing

    def _line(self, position: int) -> EventLine:
        known = self._lines.get(position)
        if known is None:
            return EventLine("…")
        if isinstance(known, Event):
            known = self._lines[position] = line_of(known)
        return known

    def render_line(self, y: int) -> Strip:
        left, top = self.scroll_offset
        row, width = top + y, self.size.width
        if row >= len(self.positions):
            return Strip.blank(width, self.rich_style)
        line, style, mark = self._line(self.positions[row]), self.rich_style, " "
        if line.look:
            style += self.get_component_rich_style(f"events--{line.look}", partial=True)
        if row == self.cursor:
            mark = CURSOR_MARK
            if self.has_focus:
                style += self.get_component_rich_style("events--cursor", partial=True)
        strip = Strip([Segment(f"{mark}{line.text:<{_LINE_WIDTH}}", style)])
        return strip.crop_extend(left, left + width, self.rich_style)
