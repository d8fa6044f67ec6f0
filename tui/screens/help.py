"""Every key that does something here, read from the bindings themselves."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, Label, Static

_HIDDEN = frozenset(
    {"app.copy_text", "screen.copy_text", "app.help_quit", "page_left", "page_right"}
)


def key_rows(screen: Screen[Any]) -> list[tuple[str, str]]:
    """``(keys, what they do)`` that work now, those of the footer first."""
    rows: dict[tuple[str, str], list[str]] = {}
    for active in sorted(screen.active_bindings.values(), key=lambda one: not one.binding.show):
        binding = active.binding
        if binding.description and binding.action not in _HIDDEN and active.enabled:
            rows.setdefault((_owner(active), binding.description), []).append(
                screen.app.get_key_display(binding)
            )
    return [(" ".join(keys), description) for (_, description), keys in rows.items()]


def _owner(active: ActiveBinding) -> str:
    return type(active.node).__name__


class HelpScreen(ModalScreen[None]):
    """The keys of the screen below it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "app.pop_screen", "Back", key_display="esc")
    ]

    def __init__(self, rows: list[tuple[str, str]]) -> None:
        super().__init__()
        self._rows = rows

    def compose(self) -> ComposeResult:
        width = max((len(keys) for keys, _ in self._rows), default=0)
        text = "\n".join(f" {keys:>{width}}  {description}" for keys, description in self._rows)
        with Vertical(classes="dialog"):
            yield Label("Keys", classes="dialog--title")
            with VerticalScroll():
                yield Static(text, markup=False)
        yield Footer(show_command_palette=False)
