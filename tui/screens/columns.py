"""All columns of a table, to be shown, hidden, moved and pinned; what is chosen is seen at once.

The table behind the list is the only one that keeps the layout; this screen asks it for changes.
"""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList

from tui.widgets.column_layout import TRAJECTORY_MARK, Layout, Placed
from tui.widgets.key_bar import KeyBar
from tui.widgets.table import VirtualTable

_HEADING = "Columns   [x] shown   ⇤ pinned at the left"


class ColumnsScreen(ModalScreen[None]):
    """The list has the keys; ``/`` leads to the line that narrows it, Enter back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "switch", "Show/hide", id="columns.show"),
        Binding("K", "shift(-1)", "Higher", id="columns.higher"),
        Binding("J", "shift(1)", "Lower", id="columns.lower"),
        Binding("P", "pin", "Pin", id="columns.pin"),
        Binding("w", "trajectory", "Over time", id="columns.trajectory"),
        Binding("R", "reset", "Reset", id="columns.reset"),
        Binding("slash", "narrow", "Find", key_display="/", id="columns.narrow"),
        Binding("j", "move(1)", "Down", show=False, id="columns.down"),
        Binding("k", "move(-1)", "Up", show=False, id="columns.up"),
        Binding("escape,c", "leave", "Back", key_display="esc", id="columns.leave"),
    ]

    def __init__(self, table: VirtualTable) -> None:
        super().__init__()
        self._table = table
        self._listed: list[Placed] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(_HEADING, classes="dialog--title", markup=False)
            yield Input(placeholder="/ to find a column by its name", compact=True)
            yield OptionList(markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()
        under = self._table.shown_under_cursor
        self._list("" if under is None else under.name)

    def _list(self, at: str) -> None:
        """Write the list anew, with the cursor on the column of that name."""
        words = self.query_one(Input).value.lower().split()
        self._listed = [
            one for one in self._table.placed if all(word in one.name.lower() for word in words)
        ]
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(self._prompt(one) for one in self._listed)
        names = [one.name for one in self._listed]
        if names:
            options.highlighted = names.index(at) if at in names else 0

    def _prompt(self, one: Placed) -> str:
        shown = "[ ]" if one.hidden else "[x]"
        over_time = one.signal is None and one.name in self._table.signals
        note = f"   w {TRAJECTORY_MARK}" if over_time else ""
        return f"{shown} {'⇤' if one.pinned else ' '} {one.name}{note}"

    @property
    def _chosen(self) -> Placed | None:
        at = self.query_one(OptionList).highlighted
        return None if at is None or at >= len(self._listed) else self._listed[at]

    def _change(self, layout: Layout) -> None:
        chosen = self._chosen
        self._table.choose_layout(layout)
        self._list("" if chosen is None else chosen.name)

    @on(Input.Changed)
    def _narrowed(self, event: Input.Changed) -> None:
        event.stop()
        chosen = self._chosen
        self._list("" if chosen is None else chosen.name)

    @on(Input.Submitted)
    def _found(self, event: Input.Submitted) -> None:
        event.stop()
        self.query_one(OptionList).focus()

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.action_switch()

    def action_narrow(self) -> None:
        self.query_one(Input).focus()

    def action_move(self, by: int) -> None:
        options = self.query_one(OptionList)
        if by > 0:
            options.action_cursor_down()
        else:
            options.action_cursor_up()

    def action_switch(self) -> None:
        chosen = self._chosen
        if chosen is None:
            return
        shown = [one for one in self._table.placed if not one.hidden]
        if shown == [chosen]:
            self.notify("one column must stay")
            return
        self._change(self._table.column_layout.with_hidden(chosen.name, not chosen.hidden))

    def action_shift(self, by: int) -> None:
        chosen = self._chosen
        if chosen is not None:
            table = self._table
            self._change(table.column_layout.moved(table.placed, chosen.name, by, seen=False))

    def action_pin(self) -> None:
        chosen = self._chosen
        if chosen is not None:
            self._change(self._table.column_layout.with_pin(self._table.placed, chosen.name))

    def action_trajectory(self) -> None:
        chosen = self._chosen
        if chosen is None:
            return
        signal = chosen.signal or chosen.name
        if signal in self._table.signals:
            self._change(self._table.column_layout.with_trajectory(signal))
        else:
            self.notify(f"{signal} is no signal: it has no values over time", markup=False)

    def action_reset(self) -> None:
        self._change(Layout())

    def action_leave(self) -> None:
        """Escape in the line that narrows the list: back to the whole list first."""
        line = self.query_one(Input)
        if line.has_focus:
            line.value = ""
            self.query_one(OptionList).focus()
        else:
            self.dismiss(None)
