"""Every key that does something here, read from the bindings themselves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Label, Static

from tui.keys import KeyRow
from tui.widgets.key_bar import KeyBar


class HelpScreen(ModalScreen[None]):
    """The keys of the screen below it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape,question_mark,q", "app.pop_screen", "Back", key_display="esc", id="help.back"
        ),
        Binding("j", "scroll(1)", "Down", show=False, id="help.down"),
        Binding("k", "scroll(-1)", "Up", show=False, id="help.up"),
    ]

    def __init__(self, rows: Sequence[KeyRow]) -> None:
        super().__init__()
        self._rows = rows

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label("Keys", classes="dialog--title")
            with VerticalScroll():
                yield Static(self._text())
                yield Static(
                    "\nctrl+p finds all of this by name. Other keys can be set in tui.toml"
                    " (`wl tui --help`).",
                    markup=False,
                    classes="help--note",
                )
        yield KeyBar()

    def _text(self) -> Content:
        width = max((len(row.keys) for row in self._rows), default=0)
        parts: list[str | tuple[str, str]] = []
        for where, rows in groupby(self._rows, key=lambda row: row.where):
            parts.append((f"{where}\n", "bold $primary"))
            parts += [f" {row.keys:>{width}}  {row.what}\n" for row in rows]
        return Content.assemble(*parts)

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)
