"""One event of the log, decoded in full."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Label, Static

from tui.words import clock
from wl_core.codec import Event

LONGEST = 5_000  # elements of a vector that are written out


class EventScreen(ModalScreen[None]):
    """All fields of an event, one below the other."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "app.pop_screen", "Back", key_display="esc", id="event.back")
    ]

    def __init__(self, event: Event) -> None:
        super().__init__()
        self._event = event

    def compose(self) -> ComposeResult:
        event = self._event
        failed = ", in a step that FAILED" if event.failed else ""
        heading = f"{event.kind} at position {event.position}"
        with Vertical(classes="dialog -large"):
            yield Label(heading, classes="dialog--title", markup=False)
            yield Static(
                f"step {event.step}, {event.phase}, {clock(event.time)}{failed}", markup=False
            )
            with VerticalScroll():
                yield Static(event_text(event), markup=False)
        yield Footer(show_command_palette=False)


def event_text(event: Event) -> str:
    """The fields of an event: a line each, long ones over several."""
    return "\n".join(f"{name}: {_said(value)}" for name, value in event.data.items())


def _said(value: object) -> str:
    if isinstance(value, str):
        return value
    cut = ""
    if isinstance(value, Sequence) and len(value) > LONGEST:
        cut, value = f" … and {len(value) - LONGEST:,} more: `wl events --json`", value[:LONGEST]
    return json.dumps(value, default=str, ensure_ascii=False) + cut
