"""What went wrong, with its traceback: parked projections, a dead follower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Label, Static

from tui.widgets.key_bar import KeyBar


class TroubleScreen(ModalScreen[None]):
    """Reports as ``(heading, traceback)``, one below the other."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,e", "app.pop_screen", "Back", key_display="esc", id="trouble.back")
    ]

    def __init__(self, reports: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._reports = reports

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -large"):
            yield Label("Trouble", classes="dialog--title")
            with VerticalScroll():
                for heading, traceback in self._reports:
                    yield Static(heading, classes="trouble--heading", markup=False)
                    yield Static(traceback, markup=False)
        yield KeyBar()
