"""Small screens over the main one: choose from a list, write one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Label, SelectionList
from textual.widgets.selection_list import Selection


class PickScreen(ModalScreen[Sequence[str] | None]):
    """Choose any of some names; gives them in the list's order, None when left by Escape."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "take", "Show these", priority=True),
        Binding("space", "toggle", "Mark"),
        Binding("a", "all", "All"),
        Binding("x", "none", "None"),
        Binding("escape", "leave", "Leave"),
    ]

    def __init__(self, heading: str, names: Sequence[str], picked: Sequence[str]) -> None:
        super().__init__()
        self._heading = heading
        self._names = names
        self._picked = frozenset(picked)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(self._heading, classes="dialog--title", markup=False)
            yield SelectionList[str](
                *(Selection(name, name, name in self._picked) for name in self._names)
            )
        yield Footer()

    @property
    def _list(self) -> SelectionList[str]:
        return self.query_one(SelectionList)

    def action_take(self) -> None:
        chosen = frozenset(self._list.selected)
        self.dismiss([name for name in self._names if name in chosen])

    def action_all(self) -> None:
        self._list.select_all()

    def action_none(self) -> None:
        self._list.deselect_all()

    def action_leave(self) -> None:
        self.dismiss(None)


class AskScreen(ModalScreen[str | None]):
    """Write one line; gives it stripped, None when left by Escape or empty."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave")]

    def __init__(self, heading: str, hint: str) -> None:
        super().__init__()
        self._heading = heading
        self._hint = hint

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -small"):
            yield Label(self._heading, classes="dialog--title", markup=False)
            yield Input(placeholder=self._hint, compact=True)
        yield Footer()

    @on(Input.Submitted)
    def _take(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)

    def action_leave(self) -> None:
        self.dismiss(None)
