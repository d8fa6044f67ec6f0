"""Curves of the chosen signals over steps, and over them the lines of chosen samples."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.follow import TAIL, News
from tui.life import KINDS, marks_of
from tui.pane import Pane
from tui.sample_lines import MOST, row_lines
from tui.sample_table import RowKey, SampleKey, column_order
from tui.screens.ask import AskScreen
from tui.screens.pick import PickScreen
from tui.widgets.plot import LAYOUTS, WEIGHTS, CurvePlot
from wl_core.errors import WlError
from wl_core.series import Series

if TYPE_CHECKING:
    from tui.app import WlApp
    from tui.screens.main import MainScreen
    from wl_core.curve import Curve

AT_FIRST = 4  # curves that are shown before anybody chose


class CurvesPane(Pane):
    """A plot of some of the run's curves; which ones is chosen with a list."""

    title: ClassVar[str] = "Curves"
    dashboard: ClassVar[int | None] = 3
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "pick", "Choose", id="curves.choose"),
        Binding("i", "toggle_rows", "Lines of samples", id="curves.samples"),
        Binding("x", "export", "Export", show=False, id="curves.export"),
    ]

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._curves: Mapping[str, Curve] = {}
        self._now: Mapping[str, Curve] = {}  # as they were last seen live
        self._moment: int | None = None
        self._picked: tuple[str, ...] | None = None
        self._first: tuple[str, ...] = ()
        self._with_rows = False
        self._lines: Mapping[str, Sequence[Series]] = {}
        self._marks_known = False

    def compose_body(self) -> ComposeResult:
        yield CurvePlot(widget_id="curves")

    def on_mount(self) -> None:
        memory = self.wl_app.memory
        picked, plot = memory.get("curves.picked"), self.plot
        self._picked = None if picked is None else tuple(map(str, picked))
        self._with_rows = bool(memory.get("curves.samples", False))
        layout, weight = memory.get("curves.layout"), memory.get("curves.smooth")
        plot.arrangement = layout if layout in LAYOUTS else plot.arrangement
        plot.weight = weight if weight in WEIGHTS else plot.weight
        plot.log_y = bool(memory.get("curves.log_y", False))
        plot.show_band = bool(memory.get("curves.band", True))

    @on(CurvePlot.Changed)
    def _remember(self) -> None:
        memory, plot = self.wl_app.memory, self.plot
        memory.set("curves.picked", None if self._picked is None else list(self._picked))
        memory.set("curves.samples", self._with_rows)
        memory.set("curves.layout", plot.arrangement)
        memory.set("curves.smooth", plot.weight)
        memory.set("curves.log_y", plot.log_y)
        memory.set("curves.band", plot.show_band)

    @property
    def wl_app(self) -> WlApp:
        return cast("WlApp", self.app)

    @property
    def plot(self) -> CurvePlot:
        return self.query_one("#curves", CurvePlot)

    @property
    def shown(self) -> tuple[str, ...]:
        """Names of the curves in the plot."""
        if self._picked is None:
            return self._first
        return tuple(name for name in self._picked if name in self._curves)

    # What is told

    def run_changed(self, news: News) -> None:
        is_other = news.curves.keys() != self._curves.keys() or news.moment != self._moment
        if news.curves.keys() != self._curves.keys():
            columns = column_order(news.samples, news.signals)
            of_samples = [name for name in columns if name in news.curves]
            others = [name for name in news.curves if name not in columns]
            self._first = tuple(of_samples + others)[:AT_FIRST]
        self._curves, self._moment = news.curves, news.moment
        if news.moment is None:
            self._now = news.curves
        if any(event.kind in KINDS for event in news.events) or len(news.events) == TAIL:
            self._marks_known = False
        if is_other:
            self._draw()
        else:
            self.paced(self._draw)

    def sample_chosen(self, sample: SampleKey | None) -> None:
        if self._with_rows:
            self._draw()

    def came_into_sight(self) -> None:
        self._draw()

    def chosen_rows(self) -> Sequence[RowKey]:
        """The samples whose lines are shown."""
        return self._rows() if self._with_rows else ()

    def command(self, run: str) -> str:
        words = ["wl", "curves", *self.shown, "--run", run]
        rows = self._rows() if self._with_rows else ()
        for row in rows:
            words += ["--sample", str(row.sample_id)]
        if rows and len({row.origin for row in rows}) == 1:
            words += ["--origin", rows[0].origin]
        if self.plot.weight:
            words += ["--smooth", f"{self.plot.weight:g}"]
        if self.plot.window is not None:
            left, right = self.plot.window
            words += ["--from", str(round(left)), "--to", str(round(right))]
        if self._moment is not None:
            words += ["--at-step", str(self._moment)]
        return shlex.join(words)

    def search(self) -> None:
        self.action_pick()

    # Keys

    def action_pick(self) -> None:
        def take(names: Sequence[str] | None) -> None:
            if names is not None:
                self._picked = tuple(names)
                self._remember()
                self._draw()

        self.app.push_screen(PickScreen("Curves", tuple(self._curves), self.shown), take)

    def action_toggle_rows(self) -> None:
        self._with_rows = not self._with_rows
        self._remember()
        if self._with_rows and not self._rows():
            self.notify("no sample is chosen yet: its line comes once one is")
        self._lines = {}
        self._draw()

    # Drawing

    def _rows(self) -> Sequence[RowKey]:
        """The rows that are marked in a table, else the chosen sample."""
        for pane in cast("MainScreen", self.screen).panes:
            marked = () if pane is self else pane.chosen_rows()
            if len(marked) > 1:
                return marked[:MOST]
        return () if self.sample is None else (RowKey(*self.sample),)

    def _draw(self) -> None:
        hint = f"{len(self.shown)} of {len(self._curves)} · c chooses"
        rows = self._rows() if self._with_rows and self.is_mounted else ()
        if rows:
            who = str(rows[0].sample_id) if len(rows) == 1 else f"{len(rows)} samples"
            hint += f" · with {who}"
        self.set_heading(hint)
        if not self.in_sight:
            return
        self._show()
        if rows or not self._marks_known:
            self._load(rows)

    def _show(self) -> None:
        self.plot.set_series(list(self._series()), moment=self._moment)

    def _series(self) -> Iterator[Series]:
        """The curves, and behind each the lines of samples; in the past what came later faint."""
        for name in self.shown:
            series = Series.of_curve(self._curves[name])
            later = self._now.get(name)
            if self._moment is not None and later is not None:
                series = series.over(Series.of_curve(later))
            yield series
            yield from self._lines.get(name, ())

    @work(exclusive=True, group="curves")
    async def _load(self, rows: Sequence[RowKey]) -> None:
        """Reads what the news does not hold; asks again while there is more to read."""
        if not self._marks_known:
            marks = await self.ask(marks_of)
            if marks is None:
                return
            self._marks_known = True
            self.plot.set_marks(marks)
        if not rows:
            return
        names = self.shown
        lines = await self.ask(lambda run: row_lines(run, names, rows))
        if lines is None:
            self.set_heading("reading the history of single samples …")
            self.call_later(self._draw)
        elif self._with_rows:
            self._lines = lines
            self._show()

    # Export

    def action_export(self) -> None:
        """Asks for a file; ``!`` at its end says that one that is there may be replaced."""
        if self.wl_app.read_only:
            self.notify("read-only: nothing is written from here", severity="error")
            return
        series, left, right = self.plot.series, *self.plot.x_range
        shown = [one.between(left, right) for one in series]

        def take(text: str | None) -> None:
            if text is not None:
                self._export(text, shown)

        heading = f"Write these {len(shown)} lines to a file"
        hint = ".svg is a picture, .csv and others are tables"
        self.app.push_screen(AskScreen(heading, hint, f"{self.wl_app.path.name}.svg"), take)

    @work(group="curves export")
    async def _export(self, text: str, shown: Sequence[Series]) -> None:
        path = Path(text.removesuffix("!").strip()).expanduser()
        if path.exists() and not text.endswith("!"):
            said = f"{path} is there already: choose another name, or end it with ! to replace it"
            self.notify(said, severity="error", markup=False)
            return
        try:
            points = await asyncio.to_thread(self._write, path, shown)
        except (WlError, OSError) as error:
            self.notify(str(error), severity="error", markup=False)
        else:
            self.notify(f"{points:,} points of {len(shown)} lines in {path}", markup=False)

    def _write(self, path: Path, shown: Sequence[Series]) -> int:
        from wl_core.curve_files import write_series

        plot = self.plot
        return write_series(
            path,
            shown,
            title=self.wl_app.path.name,
            log_y=plot.log_y,
            bands=plot.show_band and plot.arrangement != "scaled",
            apart=plot.arrangement != "together",
            marks=[(mark.step, mark.text) for mark in plot.marks],
        )
