"""One event of the log, decoded in full."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Label, Static

from tui.widgets.key_bar import KeyBar
from wl_core.cli_output import to_json
from wl_core.codec import Event

LONGEST = 5_000  # elements of a vector that are written out
GLANCE = 8  # … from so many on, something is said of all of them together


class EventScreen(ModalScreen[None]):
    """All fields of an event, one below the other."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "app.pop_screen", "Back", key_display="esc", id="event.back"),
        Binding("y,Y", "copy", "Copy as JSON", key_display="y", id="event.copy"),
    ]

    def __init__(self, event: Event, *, writer: str = "") -> None:
        super().__init__()
        self._event = event
        self._writer = writer

    def compose(self) -> ComposeResult:
        event = self._event
        failed = ", in a step that FAILED" if event.failed else ""
        heading = f"{event.kind} at position {event.position}"
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.time))
        writer = f", by writer {self._writer}" if self._writer else ""
        with Vertical(classes="dialog -large"):
            yield Label(heading, classes="dialog--title", markup=False)
            yield Static(f"step {event.step}, {event.phase}, {when}{writer}{failed}", markup=False)
            with VerticalScroll():
                yield Static(event_text(event), markup=False)
        yield KeyBar()

    def action_copy(self) -> None:
        """The object that ``wl events --json`` prints of it."""
        self.app.copy_to_clipboard(to_json(dataclasses.asdict(self._event)))
        self.notify("copied as JSON")


def event_text(event: Event) -> str:
    """The fields of an event: a line each, long ones over several."""
    return "\n".join(f"{name}: {_said(value)}" for name, value in event.data.items())


def _said(value: object) -> str:
    if isinstance(value, str):
        return value
    cut, about = "", ""
    if isinstance(value, Sequence):
        about = _statistics(value)
        if len(value) > LONGEST:
            cut = f" … and {len(value) - LONGEST:,} more: `wl events --json`"
            value = value[:LONGEST]
    return about + json.dumps(value, default=str, ensure_ascii=False) + cut


def _statistics(values: Sequence[object]) -> str:
    """Of a vector that is too long to be taken in at a glance."""
    if len(values) < GLANCE:
        return ""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    finite = [v for v in numbers if math.isfinite(v)]
    if len(numbers) < len(values) or not finite:
        return ""
    mean = math.fsum(finite) / len(finite)
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in finite) / len(finite))
    odd = f", {len(numbers) - len(finite):,} not finite" if len(finite) < len(numbers) else ""
    return (
        f"{len(values):,} numbers, {min(finite):.4g} to {max(finite):.4g}, mean {mean:.4g},"
        f" standard deviation {deviation:.4g}{odd}\n  "
    )
