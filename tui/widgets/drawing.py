"""A widget that draws itself whole, as lines, and again only when something changed."""

from __future__ import annotations

from abc import abstractmethod

from textual.strip import Strip
from textual.widget import Widget


class Drawing(Widget, can_focus=True):
    """Call `_redraw` after a change; `_draw` is asked for the lines when they are next shown."""

    _lines: list[Strip] | None = None

    @abstractmethod
    def _draw(self, width: int, height: int) -> list[Strip]:
        """At most ``height`` lines of ``width`` cells."""

    def _redraw(self) -> None:
        self._lines = None
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._lines = None

    def on_resize(self) -> None:
        self._redraw()

    def render_line(self, y: int) -> Strip:
        if self._lines is None:
            self._lines = self._draw(self.size.width, self.size.height)
        if y < len(self._lines):
            return self._lines[y]
        return Strip.blank(self.size.width, self.rich_style)
