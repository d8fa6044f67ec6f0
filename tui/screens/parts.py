"""A screen of parts: side by side where a terminal is large, on a small one a page each.

What is in the parts is the subclass's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from tui.jumping import JumpingScreen

WIDE, TALL = 120, 30  # cells from which all parts are in sight


class PartedScreen(JumpingScreen):
    """The part ``NAME`` is the widget ``#part-NAME``, and its first child is its title."""

    PARTS: ClassVar[Mapping[str, str]] = {}  # titles by name
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "next_part(1)", "Next part", id="sample.next_part"),
        Binding("shift+tab", "next_part(-1)", "Part before", show=False, id="sample.part_before"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.part = next(iter(self.PARTS))  # that the keys go to

    def stops(self) -> Sequence[Widget]:
        """What the keys can go to now, in order."""
        raise NotImplementedError

    def said_of(self, name: str) -> str:
        """What a part's title says behind its name."""
        raise NotImplementedError

    def part_taken(self) -> None:
        """The keys go to another part, or to something else in the same."""

    def action_next_part(self, by: int) -> None:
        stops = self.stops()
        at = stops.index(self.focused) if self.focused in stops else -by
        self.go_to_widget(stops[(at + by) % len(stops)])

    def go_to_widget(self, widget: Widget) -> None:
        """Bring its part to the front and give it the keys."""
        self._take_part(widget)  # in sight first: what is hidden cannot take the focus
        self.set_focus(widget)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self._take_part(event.widget)
        self.refresh_bindings()

    def _take_part(self, widget: Widget) -> None:
        for name in self.PARTS:
            if widget in self.query_one(f"#part-{name}").children:
                self.part = name
        self.lay_out_parts()
        self.part_taken()

    def on_resize(self) -> None:
        self.lay_out_parts()

    def lay_out_parts(self) -> None:
        """Show what there is room for, and in the titles what is said of each part."""
        small = self.size.width < WIDE or self.size.height < TALL
        self.set_class(small, "-single")
        for name in self.PARTS:
            part, is_active = self.query_one(f"#part-{name}"), name == self.part
            part.set_class(is_active, "-active")
            part.query_one(".pane--title", Static).update(self._title(name, is_active, small))

    def _title(self, name: str, is_active: bool, small: bool) -> Content:
        """Its name and what is to be said of it; on a small terminal the other parts' as well."""
        marked = Content.styled(f"{'▸' if is_active else ' '}{self.PARTS[name]} ", "bold")
        others = [title for key, title in self.PARTS.items() if key != name] if small else []
        said = f" {self.said_of(name)}" if self.said_of(name) else ""
        return Content.assemble(
            marked, said, ("  tab: " + " · ".join(others), "dim") if others else ""
        )
