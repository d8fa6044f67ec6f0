"""Two runs side by side: their curves in one plot a signal, settings, and the worst samples."""

from __future__ import annotations

import asyncio
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Static

from tui.comparison import MOST, Comparison, TwoRuns
from tui.widgets.key_bar import KeyBar
from tui.widgets.plot import CurvePlot
from tui.widgets.table import VirtualTable
from wl_core.errors import WlError

EVERY = 2.0  # seconds between two looks at the runs
WIDE = 120  # cells from which everything is side by side
PARTS = ("compare-curves", "compare-samples", "compare-settings")


class CompareScreen(Screen[None]):
    """What `wl diff` says of two runs, with their curves; Escape goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "app.pop_screen", "Back", key_display="esc", id="compare.back"),
        Binding("tab", "next_part(1)", "Next part", id="compare.next"),
        Binding("shift+tab", "next_part(-1)", "Part before", show=False, id="compare.before"),
        Binding("v", "next_signal", "Samples by the next signal", id="compare.signal"),
    ]

    def __init__(self, one: Path, other: Path) -> None:
        super().__init__()
        self._paths = one, other
        # Both runs are this thread's alone: it opens them, reads them and closes them.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="wl-compare")
        self._runs: TwoRuns | None = None
        self._signal: str | None = None
        self._found: Comparison | None = None
        self._part = 0

    def compose(self) -> ComposeResult:
        names = " and ".join(path.name for path in self._paths)
        yield Static(f" comparing {names} …", classes="pane--title", id="compare", markup=False)
        with Horizontal(id="compare-parts"):
            with Vertical(id=PARTS[0]):
                yield CurvePlot(layout="apart", widget_id="compare-plot")
            with Vertical(id="compare-tables"):
                with Vertical(id=PARTS[1]):
                    yield Static(classes="pane--title", id="samples-title", markup=False)
                    yield VirtualTable(fixed=2, widget_id="samples-table")
                with Vertical(id=PARTS[2]):
                    yield Static(classes="pane--title", id="settings-title", markup=False)
                    yield VirtualTable(widget_id="settings-table")
        yield KeyBar()

    def on_mount(self) -> None:
        self._show_part()
        self.set_interval(EVERY, self._tick)
        self._load(again=True)

    def on_unmount(self) -> None:
        self._thread.submit(self._close)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        if self._runs is not None:
            self._runs.close()

    # Layout

    def on_resize(self) -> None:
        self._show_part()

    def _show_part(self) -> None:
        """On a small terminal one part is in sight."""
        small = self.size.width < WIDE
        for number, part in enumerate(PARTS):
            self.query_one(f"#{part}").display = not small or number == self._part
        self.query_one("#compare-tables").display = not small or self._part > 0
        widgets = (CurvePlot, "#samples-table", "#settings-table")
        self.query_one(widgets[self._part]).focus()

    def action_next_part(self, by: int) -> None:
        self._part = (self._part + by) % len(PARTS)
        self._show_part()

    # Reading

    def _tick(self) -> None:
        if self.is_current and not any(one.group == "compare" for one in self.workers):
            self._load(again=False)

    @work(group="compare")
    async def _load(self, *, again: bool) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._thread, self._compare, self._signal, again)
        except (WlError, OSError) as error:
            self.query_one("#compare", Static).update(f" cannot be compared: {error}")
            return
        if found is not None:
            self._show(found)

    def _compare(self, signal: str | None, again: bool) -> Comparison | None:
        if self._runs is None:
            self._runs = TwoRuns(*self._paths)
        return self._runs.compare(signal, again=again)

    def _show(self, found: Comparison) -> None:
        self._found = found
        one, other = found.names
        said = f" A {one}   B {other} · wl diff {one} {other}"
        self.query_one("#compare", Static).update(said)
        self.query_one(CurvePlot).set_series(found.series)
        self.query_one("#samples-table", VirtualTable).set_table(found.samples)
        self.query_one("#settings-table", VirtualTable).set_table(found.settings)
        by = f"by {found.signal}" if found.signal else "by nothing: no signal of samples in both"
        said = f" Samples {by}: {found.differing:,} differ · v next signal"
        self.query_one("#samples-title", Static).update(said)
        count = len(found.settings)
        said = f" Hyperparameters: {f'{count} differ' if count else 'the same'}"
        self.query_one("#settings-title", Static).update(said)

    def command(self, _run: str) -> str:
        """The command that says how they differ."""
        words = ["wl", "diff", *map(str, self._paths), "--limit", str(MOST)]
        found = self._found
        return shlex.join(words + (["--signal", found.signal] if found and found.signal else []))

    # Keys

    def action_next_signal(self) -> None:
        signals = [] if self._found is None else list(self._found.signals)
        if self._found is None or not signals:
            self.notify("there is no signal of samples that both runs have")
            return
        at = signals.index(self._found.signal) if self._found.signal in signals else -1
        self._signal = signals[(at + 1) % len(signals)]
        self._load(again=True)
