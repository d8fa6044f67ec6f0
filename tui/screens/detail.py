"""One sample, whole: its picture, everything known of it with trajectories, its instances."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer, Static

from tui.follow import News
from tui.panes.instances import ANNOTATION_ID, load_instances
from tui.sample_table import SampleKey, arranged, column_order, find_row
from tui.scene import Scene, load_scene
from tui.screens.base import RunScreen
from tui.widgets.cells import format_cell
from tui.widgets.image import OverlayImage
from tui.widgets.sparkline import sparkline
from tui.widgets.status_line import StatusLine
from tui.widgets.table import VirtualTable
from wl_core.errors import WlError
from wl_core.table import Table, TableColumn

if TYPE_CHECKING:
    from tui.app import WlApp
    from wl_core.run import Run

RELOAD = 1.0
# So long, in seconds, the screen waits for trajectories; of a long log they come later.
PATIENCE = 0.3
SPARK_WIDTH = 24


@dataclass(frozen=True, slots=True, eq=False)
class Detail:
    """What the screen shows of one sample at one moment."""

    scene: Scene
    facts: Table
    instances: Table


def load_detail(run: Run, sample: SampleKey, before: Scene | None) -> Detail:
    """Read all that is known of a sample; runs in the follower's thread."""
    return Detail(
        load_scene(run, sample, before),
        load_facts(run, sample),
        load_instances(run, sample, lazy=True),
    )


def load_facts(run: Run, sample: SampleKey) -> Table:
    """One row for each filled cell of the sample's row: name, value, trajectory."""
    row, signals = find_row(run, sample), frozenset(run.view("samples").signals)
    table = run.samples()
    table = arranged(table, column_order(table, signals))
    ready = run.prepare("history", budget_seconds=PATIENCE)
    facts = []
    for column in table:
        if not ready and not column.is_ready:
            continue
        text = "" if row is None else format_cell(column, row)
        if text:
            trajectory = "" if ready or column.name not in signals else "…"
            if ready and column.name in signals:
                _, values = run.signal_history(column.name, *sample)
                trajectory = sparkline(values, SPARK_WIDTH)
            facts.append((column.name, text, trajectory))
    return Table(tuple(_text_column(n, [f[i] for f in facts]) for i, n in enumerate(_FACTS)))


_FACTS = ("name", "value", "over its steps")


def _text_column(name: str, cells: list[str]) -> TableColumn:
    return TableColumn(
        name, "text", np.arange(len(cells), dtype=np.int32), np.ones(len(cells), np.bool_), cells
    )


class DetailScreen(RunScreen):
    """Everything about one sample; Escape goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "app.pop_screen", "Back", key_display="esc"),
        Binding("tab", "app.focus_next", "Next part", show=False),
        Binding("q", "app.quit", "Quit"),
    ]

    def __init__(self, sample: SampleKey, news: News | None) -> None:
        super().__init__()
        self._sample = sample
        self._news = news
        self._scene: Scene | None = None
        self._loaded_at = 0.0

    def compose(self) -> ComposeResult:
        yield StatusLine(str(self._sample))
        with Horizontal(id="detail"):
            with Vertical(id="detail-left"):
                yield OverlayImage(widget_id="detail-image")
            with Vertical(id="detail-right"):
                yield Static(" Sample", classes="pane--title", markup=False)
                yield VirtualTable(fixed=1, widget_id="facts")
                yield Static(" Instances", classes="pane--title", markup=False)
                yield VirtualTable(fixed=1, widget_id="detail-instances")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        if self._news is not None:
            self.query_one(StatusLine).show_news(self._news)
        self.query_one("#detail-instances", VirtualTable).focus()
        self._load()

    def run_changed(self, news: News) -> None:
        self.query_one(StatusLine).show_news(news)
        if time.monotonic() - self._loaded_at >= RELOAD:
            self._load()

    def trouble(self, text: str) -> None:
        self.query_one(StatusLine).show_trouble(text)

    @work(exclusive=True, group="detail")
    async def _load(self) -> None:
        self._loaded_at = time.monotonic()
        sample, before = self._sample, self._scene
        app = cast("WlApp", self.app)
        try:
            detail = await app.ask(lambda run: load_detail(run, sample, before))
        except (WlError, OSError) as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self._scene = detail.scene
        self.query_one("#facts", VirtualTable).set_table(detail.facts)
        self.query_one("#detail-instances", VirtualTable).set_table(detail.instances)
        self._draw()

    @on(VirtualTable.Highlighted, "#detail-instances")
    def _draw(self) -> None:
        if self._scene is None:
            return
        image = self.query_one("#detail-image", OverlayImage)
        image.choose(self._annotation_id())
        self._scene.show_in(image)

    def _annotation_id(self) -> int | None:
        table = self.query_one("#detail-instances", VirtualTable)
        row = table.cursor_row
        if row is None:
            return None
        value = table.table.column(ANNOTATION_ID).cell(row)
        return value if isinstance(value, int) else None
