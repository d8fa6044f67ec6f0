"""A small screen over another one: choose from a list."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList

from tui.widgets.key_bar import KeyBar


class PickScreen(ModalScreen[Sequence[str] | None]):
    """Choose any of some names; gives them in the list's order, None when left by Escape.

    What is written in the line above the list narrows it; names that it hides stay chosen.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "take", "Show these", priority=True, id="pick.take"),
        Binding("space", "mark_this", "Mark", priority=True, id="pick.mark"),
        Binding("slash", "narrow", "Narrow the list", key_display="/", id="pick.narrow"),
        Binding("j", "move(1)", "Down", show=False, id="pick.down"),
        Binding("k", "move(-1)", "Up", show=False, id="pick.up"),
        Binding("a", "mark_all", "All", id="pick.all"),
        Binding("x", "mark_none", "None", id="pick.none"),
        Binding("escape", "leave", "Leave", id="pick.leave"),
    ]

    def __init__(self, heading: str, names: Sequence[str], picked: Sequence[str]) -> None:
        super().__init__()
        self._heading = heading
        self._names = names
        self._shown = list(names)
        self._picked = set(picked)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(self._heading, classes="dialog--title", markup=False)
            yield Input(placeholder="/ to narrow the list", compact=True)
            yield OptionList(*(self._prompt(name) for name in self._names), markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()

    def _prompt(self, name: str) -> str:
        return f"[{'x' if name in self._picked else ' '}] {name}"

    def _mark(self, names: Collection[str]) -> None:
        self._picked = set(names)
        options = self.query_one(OptionList)
        for index, name in enumerate(self._shown):
            options.replace_option_prompt_at_index(index, self._prompt(name))

    @on(Input.Changed)
    def _narrowed(self, event: Input.Changed) -> None:
        words = event.value.lower().split()
        self._shown = [n for n in self._names if all(word in n.lower() for word in words)]
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(self._prompt(name) for name in self._shown)
        options.highlighted = 0 if self._shown else None

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self._mark(self._picked ^ {self._shown[event.option_index]})

    def action_narrow(self) -> None:
        self.query_one(Input).focus()

    def action_mark_this(self) -> None:
        at = self.query_one(OptionList).highlighted
        if at is not None:
            self._mark(self._picked ^ {self._shown[at]})

    def action_move(self, by: int) -> None:
        options = self.query_one(OptionList)
        if by > 0:
            options.action_cursor_down()
        else:
            options.action_cursor_up()

    def action_take(self) -> None:
        """From the line that narrows, Enter goes to the list first."""
        if isinstance(self.focused, Input):
            self.query_one(OptionList).focus()
        else:
            self.dismiss([name for name in self._names if name in self._picked])

    def action_mark_all(self) -> None:
        self._mark(self._picked | set(self._shown))

    def action_mark_none(self) -> None:
        self._mark(self._picked - set(self._shown))

    def action_leave(self) -> None:
        self.dismiss(None)
