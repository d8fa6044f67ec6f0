"""A scrolled view whose extent changes all the time, such as a list of events that grows.

Textual lays out and draws the whole screen when a virtual size changes, though nothing moves unless
a scroll bar comes or goes. With four changes a second that was most of what the application did.
"""

from __future__ import annotations

from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.widget import Widget


class ExtentView(ScrollView):
    """Set `extent` in place of ``virtual_size``; whoever sets it draws what has changed."""

    @property
    def extent(self) -> Size:
        """How large what is scrolled is, in cells."""
        return self.virtual_size

    @extent.setter
    def extent(self, size: Size) -> None:
        if size == self.virtual_size:
            return
        if not self.size or self._bars(size) != self._bars(self.virtual_size):
            self.virtual_size = size
            return
        self.set_reactive(Widget.virtual_size, size)
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.window_virtual_size = size.height
        if self.show_horizontal_scrollbar:
            self.horizontal_scrollbar.window_virtual_size = size.width
        self.scroll_x, self.scroll_y = self.scroll_x, self.scroll_y  # no further than it reaches

    def _bars(self, size: Size) -> tuple[bool, ...]:
        """What of that size goes beyond the view, with and without scroll bars."""
        width, height = self.container_size
        beside, below = self.styles.scrollbar_size_vertical, self.styles.scrollbar_size_horizontal
        return (
            size.width > width,
            size.width > width - beside,
            size.height > height,
            size.height > height - below,
        )
