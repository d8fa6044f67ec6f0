"""One line to write a filter in, and a caret under what is wrong with it."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, Label, Static

from wl_core.errors import FilterError

_PROMPT = " / "


class FilterBar(Vertical):
    """Hidden until `open`; stays in sight while a filter is in force."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Clear filter")]

    class Submitted(Message):
        """Enter: filter by this; an empty text means no filter."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """The bar gives the focus back."""

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Label(_PROMPT)
            yield Input(
                placeholder="train_bce/sample > 0.5 and not discarded",
                compact=True,
                select_on_focus=False,
            )
        yield Static("", classes="filter--error", markup=False)

    @property
    def is_being_written(self) -> bool:
        return self.query_one(Input).has_focus

    def open(self) -> None:
        self.add_class("-open")
        self.screen.set_focus(self.query_one(Input))

    def complain(self, error: FilterError) -> None:
        """Point at what is wrong and let the user go on writing."""
        self.open()
        caret = " " * (len(_PROMPT) + error.offset) + "^"
        self.query_one(".filter--error", Static).update(f"{caret}\n {error.message}")
        self.add_class("-wrong")

    def accept(self) -> None:
        """The filter is in force: leave it in sight and give the focus back."""
        self.remove_class("-wrong")
        self.set_class(bool(self.query_one(Input).value.strip()), "-open")
        self.post_message(self.Left())

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.remove_class("-wrong")
        self.post_message(self.Submitted(event.value))
        if not event.value.strip():
            self.accept()

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.remove_class("-wrong")

    def action_leave(self) -> None:
        """Escape: no filter, and back to the table."""
        self.query_one(Input).value = ""
        self.post_message(self.Submitted(""))
        self.accept()
