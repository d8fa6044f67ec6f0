"""Choose one of some names, or write something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList

from tui.widgets.key_bar import KeyBar


class ChooseScreen(ModalScreen[str | None]):
    """Gives one of the names, None after Escape; where ``free``, also what is none of them.

    What is written narrows the list; Enter takes the marked name of those that are left.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "Down", show=False, priority=True, id="choose.down"),
        Binding("up", "move(-1)", "Up", show=False, priority=True, id="choose.up"),
        Binding("enter", "take", "Take", id="choose.take"),
        Binding("escape", "leave", "Leave", id="choose.leave"),
    ]

    def __init__(
        self, heading: str, names: Sequence[str], now: str, hint: str, *, free: bool = False
    ) -> None:
        super().__init__()
        self._heading = heading
        self._names = names
        self._shown = list(names)
        self._now = now
        self._hint = hint
        self._free = free

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(self._heading, classes="dialog--title", markup=False)
            yield Input(placeholder=self._hint, compact=True)
            yield OptionList(*self._names, markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        self._mark(self._now)
        self.query_one(Input).focus()

    def _mark(self, name: str) -> None:
        at = self._shown.index(name) if name in self._shown else 0
        self.query_one(OptionList).highlighted = at if self._shown else None

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        word = event.value.strip().lower()
        self._shown = [name for name in self._names if word in name.lower()]
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(self._shown)
        self._mark(event.value.strip())

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._shown[event.option_index])

    def action_move(self, by: int) -> None:
        options = self.query_one(OptionList)
        if by > 0:
            options.action_cursor_down()
        else:
            options.action_cursor_up()

    @on(Input.Submitted)
    def action_take(self) -> None:
        """Enter: not before the line has got what was typed ahead of it."""
        at = self.query_one(OptionList).highlighted
        written = self.query_one(Input).value.strip()
        if at is not None and self._shown:
            self.dismiss(self._shown[at])
        elif self._free and written:
            self.dismiss(written)

    def action_leave(self) -> None:
        self.dismiss(None)
