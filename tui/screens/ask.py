"""A dialog with one line to write: a name, a reason; the base of the dialogs for tags and jumps."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Label

from tui.completion import Completion
from tui.widgets.key_bar import KeyBar
from tui.widgets.line_bar import LineBar


class _AskedLine(LineBar):
    """The line of a dialog: what it means is asked of the screen."""

    def __init__(self, asking: AskScreen, hint: str) -> None:
        super().__init__("▸ ", hint, is_open=True)
        self._asking = asking

    def complete(self, line: str, cursor: int) -> Completion:
        return self._asking.complete(line, cursor)

    def is_complete(self, line: str) -> bool:
        return not self._asking.refusal(line.strip())


class AskScreen(ModalScreen[str | None]):
    """Write one line; gives it stripped, None when left by Escape.

    Args:
        heading: what is asked for.
        hint: what stands in the empty line.
        text: what is written in it to begin with.
        may_be_empty: Enter in an empty line gives an empty text rather than None.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave", show=False, id="ask.leave")
    ]

    def __init__(
        self, heading: str, hint: str = "", text: str = "", *, may_be_empty: bool = False
    ) -> None:
        super().__init__()
        self._heading = heading
        self._hint = hint
        self._text = text
        self._may_be_empty = may_be_empty

    def heading(self, line: str) -> str:
        """What stands above the line: what Enter would do with it."""
        return self._heading

    def complete(self, line: str, cursor: int) -> Completion:
        """What could stand at the cursor."""
        return Completion(0, 0)

    def refusal(self, line: str) -> str:
        """Why this cannot be taken; empty when it can."""
        return ""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -small"):
            yield Label(self.heading(self._text), classes="dialog--title", markup=False)
            yield _AskedLine(self, self._hint)
        yield KeyBar()

    @property
    def line(self) -> LineBar:
        return self.query_one(_AskedLine)

    def on_mount(self) -> None:
        self.line.write(self._text)
        self.line.open()

    @on(LineBar.Edited)
    def _edited(self, event: LineBar.Edited) -> None:
        self.say(event.text.strip())

    def say(self, line: str) -> None:
        self.query_one(".dialog--title", Label).update(self.heading(line))

    @on(LineBar.Submitted)
    def _submitted(self, event: LineBar.Submitted) -> None:
        line = event.text.strip()
        refusal = self.refusal(line) if line else ""
        if refusal:
            self.line.remark(refusal)
        else:
            self.dismiss(line if line or self._may_be_empty else None)

    @on(LineBar.Left)
    def action_leave(self) -> None:
        self.dismiss(None)
