"""The runs beside the one that is shown: how each is now; open one, compare two."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Input, Static

from tui.run_list import RunList, SeenRun, runs_table
from tui.screens.compare import CompareScreen
from tui.widgets.key_bar import KeyBar
from tui.widgets.table import VirtualTable

if TYPE_CHECKING:
    from tui.app import WlApp

EVERY = 1.0  # seconds between two looks at the runs


class RunsScreen(Screen[None]):
    """A table of the runs under a folder, as `wl runs` lists them; Escape goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # It has priority because these marks are not the table's own: there are at most two.
        Binding("m", "mark", "Mark for comparison", priority=True, id="runs.mark"),
        Binding("c", "compare", "Compare the two marked", priority=True, id="runs.compare"),
        Binding("slash", "filter", "Filter", key_display="/", id="runs.filter"),
        Binding("escape,backspace", "back", "Back", key_display="esc", id="runs.back"),
    ]

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._list = RunList(root)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="wl-runs")
        self._runs: Sequence[SeenRun] = ()
        self._shown: Sequence[SeenRun] = ()
        self._ids: dict[Path, int] = {}
        self._pair: list[Path] = []
        self._words: list[str] = []

    def compose(self) -> ComposeResult:
        yield Static(" looking at the runs …", classes="pane--title", markup=False)
        yield Input(placeholder="/ shows the runs that hold these words", compact=True)
        yield VirtualTable(opens=True, widget_id="runs")
        yield Static(id="run-detail", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        self._table.focus()
        self.set_interval(EVERY, self._tick)
        self._look()

    def on_unmount(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def wl_app(self) -> WlApp:
        return cast("WlApp", self.app)

    @property
    def _table(self) -> VirtualTable:
        return self.query_one("#runs", VirtualTable)

    @property
    def _under_cursor(self) -> SeenRun | None:
        row = self._table.cursor_row
        return None if row is None or row >= len(self._shown) else self._shown[row]

    # Looking

    def _tick(self) -> None:
        if self.is_current and not any(w.group == "runs" and w.is_running for w in self.workers):
            self._look()

    @work(group="runs")
    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._runs = await loop.run_in_executor(self._thread, self._list.look)
        except OSError as error:
            self.query_one(".pane--title", Static).update(f" {self._list.root}: {error}")
            return
        self._show()

    def _show(self) -> None:
        self._shown = [one for one in self._runs if self._fits(one)]
        for one in self._runs:
            self._ids.setdefault(one.facts.path, len(self._ids))
        ids = np.array([self._ids[one.facts.path] for one in self._shown], np.intp)
        self._table.set_table(runs_table(self._shown, self._pair), ids)
        count = f"{len(self._shown)} of {len(self._runs)}"
        said = f" Runs  {count} · m marks two, c compares · under {self._list.root}"
        self.query_one(".pane--title", Static).update(said)
        self._show_detail()

    def _fits(self, one: SeenRun) -> bool:
        facts = one.facts
        text = f"{facts.name} {facts.state} {facts.detail}".lower()
        return all(word in text for word in self._words)

    @on(VirtualTable.Highlighted)
    def _show_detail(self) -> None:
        one = self._under_cursor
        facts = None if one is None else one.facts
        said = "" if facts is None else f" {facts.path}  {facts.detail}"
        self.query_one("#run-detail", Static).update(said)

    def command(self, _run: str) -> str:
        """The command that prints the same list."""
        return shlex.join(["wl", "runs", "--root", str(self._list.root)])

    # Keys

    @on(Input.Changed)
    def _filtered(self, event: Input.Changed) -> None:
        self._words = event.value.lower().split()
        self._show()

    @on(Input.Submitted)
    def action_list(self) -> None:
        self._table.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters that are written in the filter are no keys."""
        if action in ("mark", "compare") and isinstance(self.focused, Input):
            return False
        return super().check_action(action, parameters)

    def action_back(self) -> None:
        if isinstance(self.focused, Input):
            self._table.focus()
        else:
            self.app.pop_screen()

    def action_filter(self) -> None:
        self.query_one(Input).focus()

    def action_mark(self) -> None:
        """The first two marked are A and B; a third takes the place of the first."""
        one = self._under_cursor
        if one is None:
            return
        path = one.facts.path
        if path in self._pair:
            self._pair.remove(path)
        else:
            self._pair = [*self._pair[-1:], path]
        self._show()

    def action_compare(self) -> None:
        one = self._under_cursor
        if len(self._pair) == 1 and one is not None and one.facts.path not in self._pair:
            self._pair.append(one.facts.path)
            self._show()
        if len(self._pair) < 2:
            self.notify("mark two runs with m first, then c compares them")
            return
        self.app.push_screen(CompareScreen(*self._pair))

    @on(VirtualTable.Chosen)
    def _open(self, event: VirtualTable.Chosen) -> None:
        facts = self._shown[event.row].facts
        if facts.state == "unreadable":
            said = f"{facts.name} cannot be opened: {facts.detail}"
            self.notify(said, severity="error", markup=False)
        elif facts.path.resolve() == self.wl_app.path.resolve():
            self.app.pop_screen()
        else:
            self.wl_app.open_run(facts.path)
