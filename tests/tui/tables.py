"""Small tables, and an application that is nothing but one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from textual.app import App, ComposeResult

from tui.theme import DARK
from tui.widgets.table import VirtualTable
from wl_core.errors import WlError
from wl_core.table import Table, TableColumn


def number(
    name: str, cells: Sequence[float | None], aggregated: Sequence[bool] | None = None
) -> TableColumn:
    present = np.array([cell is not None for cell in cells], np.bool_)
    values = np.array([0 if cell is None else cell for cell in cells])
    marks = None if aggregated is None else np.array(aggregated, np.bool_)
    return TableColumn(name, "number", values, present, (), marks)


def text(name: str, cells: Sequence[str]) -> TableColumn:
    categories = sorted(set(cells))
    values = np.array([categories.index(cell) for cell in cells], np.int32)
    return TableColumn(name, "text", values, np.ones(len(cells), np.bool_), categories)


def lists(name: str, cells: Sequence[Sequence[Any]]) -> TableColumn:
    codes = np.arange(len(cells), dtype=np.int32)
    return TableColumn(name, "list", codes, codes >= 0, [tuple(cell) for cell in cells])


def flag(name: str, cells: Sequence[bool]) -> TableColumn:
    return TableColumn(name, "flag", np.array(cells, np.bool_), np.ones(len(cells), np.bool_))


def losses(values: Sequence[float | None], **more: Any) -> Table:
    """Samples s0, s1, … with these losses."""
    names = [f"s{place}" for place in range(len(values))]
    columns = [text("sample_id", names), number("loss", values)]
    return Table((*columns, *(flag(name, cells) for name, cells in more.items())))


class TableApp(App[None]):
    """One table, filling the screen."""

    CSS_PATH = "../../tui/wl.tcss"

    def __init__(self, table: Table, **options: Any) -> None:
        super().__init__()
        self.first = table
        self.widget = VirtualTable(**options)
        self.heard: list[object] = []
        self.errors: list[WlError] = []

    def compose(self) -> ComposeResult:
        yield self.widget

    def on_mount(self) -> None:
        self.register_theme(DARK)
        self.theme = DARK.name
        self.widget.set_table(self.first)
        self.widget.focus()

    def on_virtual_table_highlighted(self, event: VirtualTable.Highlighted) -> None:
        self.heard.append(event.row)

    def on_virtual_table_ordered(self, event: VirtualTable.Ordered) -> None:
        if event.error is not None:
            self.errors.append(event.error)

    def on_virtual_table_chosen(self, event: VirtualTable.Chosen) -> None:
        self.heard.append(("chosen", event.row))
