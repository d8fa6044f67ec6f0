"""The line of keys at the bottom of a screen: those that a newcomer needs there.

Textual's footer is a widget per key, all of them made anew whenever a focus moves, which took
longer than the rest of what a key does. This is one widget that draws one line, and only when the
line is another. Which keys are in it is said by ``show=`` of the bindings; where the line is too
short for them, those go that are the least needed to find the rest.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from textual import events
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

_KEPT = 2  # keys at the end of the line, help among them, that stay as long as any does


class ShownKey(NamedTuple):
    """A key in the line: ``display`` is how it is written, ``key`` what a click on it presses."""

    key: str
    display: str
    what: str
    is_enabled: bool

    @property
    def width(self) -> int:
        return Content(self.display).cell_length + Content(self.what).cell_length + 3


class KeyBar(Widget, can_focus=False):
    """The keys that work now and are to be shown, in one line; a click presses them."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-bar--key", "key-bar--what"}
    DEFAULT_CSS = """
    KeyBar {
        dock: bottom; height: 1; text-wrap: nowrap; text-overflow: ellipsis;
        color: $footer-foreground; background: $footer-background;
    }
    KeyBar > .key-bar--key {
        color: $footer-key-foreground; background: $footer-key-background; text-style: bold;
    }
    KeyBar > .key-bar--what {
        color: $footer-description-foreground; background: $footer-description-background;
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._keys: tuple[ShownKey, ...] = ()

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def on_unmount(self) -> None:
        self.screen.bindings_updated_signal.unsubscribe(self)

    def _bindings_changed(self, screen: Screen[object]) -> None:
        if self.is_attached and screen is self.screen:
            self.call_after_refresh(self._read_keys)

    def _read_keys(self) -> None:
        """Several changes may have come together: the line is compared, and drawn if it changed."""
        if not self.is_attached:
            return
        keys: dict[str, ShownKey] = {}
        for _, binding, enabled, _ in self.screen.active_bindings.values():
            if binding.show and binding.action not in keys:
                display = self.app.get_key_display(binding)
                keys[binding.action] = ShownKey(binding.key, display, binding.description, enabled)
        if tuple(keys.values()) != self._keys:
            self._keys = tuple(keys.values())
            self.refresh()

    @property
    def _keys_in_line(self) -> list[ShownKey]:
        """Those that have room: the first of them, and the last ones, which lead to all others."""
        first, last = list(self._keys[:-_KEPT]), list(self._keys[-_KEPT:])
        while first and sum(one.width for one in first + last) > self.size.width:
            first.pop()
        return first + last

    def render(self) -> Content:
        key_style = self.get_visual_style("key-bar--key")
        what_style = self.get_visual_style("key-bar--what")
        parts = []
        for one in self._keys_in_line:
            part = Content.assemble(
                Content.styled(f" {one.display} ", key_style),
                Content.styled(f"{one.what} ", what_style),
            )
            parts.append(part if one.is_enabled else part.stylize("dim"))
        return Content("").join(parts)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        at = 0
        for one in self._keys_in_line:
            at += one.width
            if event.x < at:
                if one.is_enabled:
                    self.app.simulate_key(one.key)
                else:
                    self.app.bell()
                return
