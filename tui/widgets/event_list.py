"""The tail of the log: one line an event, the newest at the bottom, only visible lines drawn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.words import event_line
from wl_core.codec import Event

_LINE_WIDTH = 160


class EventList(ScrollView, can_focus=True):
    """Remembers the last ``limit`` events; follows the end until somebody scrolls up."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"events--failed", "events--wish"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "Up", show=False),
        Binding("down,j", "scroll_down", "Down", show=False),
        Binding("home,g", "scroll_home", "First", show=False),
        Binding("end,G", "scroll_end", "Latest"),
    ]

    def __init__(self, *, limit: int = 1_000, widget_id: str | None = None) -> None:
        super().__init__(id=widget_id)
        self.events: deque[Event] = deque(maxlen=limit)
        self._following = True

    def add(self, events: Iterable[Event], *, reset: bool = False) -> None:
        """Append newer events, with ``reset`` in place of all; the oldest are forgotten."""
        if reset:
            self.events.clear()
        self.events.extend(events)
        self.virtual_size = Size(_LINE_WIDTH, len(self.events))
        self._follow()
        self.refresh()

    def _follow(self) -> None:
        if self._following:
            self.scroll_end(animate=False, force=True, immediate=True, x_axis=False)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._following = new_value >= self.max_scroll_y

    def on_resize(self) -> None:
        self._follow()

    def render_line(self, y: int) -> Strip:
        scroll_x, scroll_y = self.scroll_offset
        place, width = scroll_y + y, self.size.width
        if place >= len(self.events):
            return Strip.blank(width, self.rich_style)
        event = self.events[place]
        style = self.rich_style
        if event.failed or event.kind.endswith("_failed"):
            style += self.get_component_rich_style("events--failed", partial=True)
        elif event.kind in _WISHES:
            style += self.get_component_rich_style("events--wish", partial=True)
        strip = Strip([Segment(" " + event_line(event), style)])
        return strip.crop_extend(scroll_x, scroll_x + width, self.rich_style)


_WISHES = frozenset({"tagged", "discarded", "pause_requested", "resume_requested"})
