"""One sample, whole: picture, metadata, trajectories, instances, and the events that made it.

Where a terminal is large its parts stand side by side, on a small one they are pages. What is
loaded is `sample_facts`' and `sample_events`' business, what comes next `neighbours`'.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.widget import Widget
from textual.widgets import Static

from tui.follow import News
from tui.jump import Jump, Places
from tui.neighbours import Neighbours
from tui.sample_commands import (
    decisions_command,
    instances_command,
    row_command,
    trajectory_command,
)
from tui.sample_facts import Detail, facts_table, load_detail, standing, standing_of_instance
from tui.sample_table import RowKey, SampleKey
from tui.scene import ANNOTATION_ID
from tui.screens.choose import ChooseScreen
from tui.screens.event_table import EventTable
from tui.screens.parts import PartedScreen
from tui.widgets.image import OverlayImage
from tui.widgets.key_bar import KeyBar
from tui.widgets.plot import CurvePlot
from tui.widgets.status_line import StatusLine
from tui.widgets.table import VirtualTable
from wl_core.errors import WlError
from wl_core.series import Series
from wl_core.undoing import CURATION

RELOAD = 1.0  # seconds between looks at a sample of a run that goes on
SOON = 0.05  # seconds until the next bite of what is still being read
_DECISIONS = CURATION | {"undone"}


class DetailScreen(PartedScreen):
    """Everything about one sample; Escape goes back.

    Args:
        sample: the first one that is shown.
        news: the run as it is shown now.
        neighbours: what comes before and after it; None: nothing does.
        annotation_id: one of its instances, which is what is looked at.
    """

    PARTS: ClassVar[Mapping[str, str]] = {
        "picture": "Picture",
        "facts": "Values",
        "instances": "Instances",
        "events": "Events",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right_square_bracket,J", "step(1)", "Next", key_display="]", id="sample.next"),
        Binding("left_square_bracket,K", "step(-1)", "Before", key_display="[", id="sample.before"),
        Binding("slash", "search", "Find a value", show=False, key_display="/", priority=True,
                id="sample.search"),
        Binding("escape,backspace", "back", "Back", key_display="esc", id="sample.back"),
        Binding("q", "app.quit", "Quit", show=False, id="sample.quit"),
    ]  # fmt: skip

    def __init__(
        self,
        sample: SampleKey,
        news: News | None,
        neighbours: Neighbours | None = None,
        annotation_id: int | None = None,
    ) -> None:
        super().__init__()
        self._row = RowKey(*sample, annotation_id)  # what was opened, or stepped to
        self._wanted_instance = annotation_id  # once they are loaded
        self.sample = sample
        self._news = news
        self._neighbours = neighbours
        self._detail: Detail | None = None
        self._shown_sample: SampleKey | None = None  # whose instances are in the table
        self._signal: str | None = None
        self._fact_names: list[str] = []
        self._loaded_at = 0.0

    def compose(self) -> ComposeResult:
        yield StatusLine(self.wl_app.path.name, read_only=self.wl_app.read_only)
        yield Static(id="sample-heading", markup=False)
        yield Static(id="sample-standing", markup=False)
        with Container(id="sample"):
            with Vertical(id="part-picture", classes="part"):
                yield Static(classes="pane--title", markup=False)
                yield OverlayImage(widget_id="picture")
            with Vertical(id="part-facts", classes="part"):
                yield Static(classes="pane--title", markup=False)
                yield VirtualTable(fixed=1, widget_id="facts")
                yield CurvePlot(widget_id="trajectory")
            with Vertical(id="part-instances", classes="part"):
                yield Static(classes="pane--title", markup=False)
                yield VirtualTable(fixed=1, opens=True, widget_id="instances")
            with Vertical(id="part-events", classes="part"):
                yield Static(classes="pane--title", markup=False)
                yield EventTable(self.sample)
        yield KeyBar()

    def on_mount(self) -> None:
        if self._news is not None:
            self.query_one(StatusLine).show_news(self._news)
        self.trouble(self.wl_app.trouble)
        self.image.focus()
        self._show_sample()

    @property
    def image(self) -> OverlayImage:
        return self.query_one("#picture", OverlayImage)

    @property
    def facts(self) -> VirtualTable:
        return self.query_one("#facts", VirtualTable)

    @property
    def plot(self) -> CurvePlot:
        return self.query_one("#trajectory", CurvePlot)

    @property
    def instances(self) -> VirtualTable:
        return self.query_one("#instances", VirtualTable)

    @property
    def event_table(self) -> EventTable:
        return self.query_one(EventTable)

    # Parts

    def stops(self) -> Sequence[Widget]:
        plot = [self.plot] if self.plot.display else []
        return [self.image, self.facts, *plot, self.instances, self.event_table]

    def part_taken(self) -> None:
        self._say_which()
        if self.part == "instances":
            self._point_out()

    def said_of(self, name: str) -> str:
        if name == "instances":
            return f"{len(self.instances.table)}"
        if name == "events":
            return self.event_table.said
        if name == "facts" and self._detail is not None and not self._detail.complete:
            return "reading trajectories …"
        return ""

    # Samples

    def action_back(self) -> None:
        if self._neighbours is not None:
            self._neighbours.stand_on(self._row)
        self.app.pop_screen()

    def action_step(self, by: int) -> None:
        """To the next row of the table that this was opened from, or to the one before."""
        if self._neighbours is None:
            self.notify("opened by itself, not from a table: there is no next one")
            return
        found = self._neighbours.step(self._row, by)
        if found is None:
            what = "sample" if self._row.annotation_id is None else "instance"
            self.notify(f"there is no {what} {'after' if by > 0 else 'before'} this one")
            return
        self._show_row(found)

    def show_sample(self, sample: SampleKey) -> None:
        self._show_row(RowKey(*sample))

    def _show_row(self, row: RowKey) -> None:
        self._row, self._wanted_instance = row, row.annotation_id
        if row.sample == self._shown_sample == self.sample:
            self._go_to_wanted()
        else:
            self.sample = row.sample
            self._show_sample()

    def places(self, news: News) -> Places:
        return Places.of((), news.samples, (), news.status.step)

    def go_within(self, to: Jump) -> None:
        self.notify("rows are of tables: esc goes back to them")

    def _show_sample(self) -> None:
        self._detail = None
        self.image.choose(None)
        self.event_table.show_sample(self.sample)
        self._show_facts()
        self._load()

    def _say_which(self) -> None:
        shown = next(iter(self.chosen_rows()), RowKey(*self.sample))
        place = None if self._neighbours is None else self._neighbours.place(self._row)
        said = [f" {shown}"]
        if place is not None and self._row in (shown, RowKey(*self.sample)):
            what = "sample " if self._row.annotation_id is None else ""
            said.append(f"{what}{place[0]:,} of {place[1]:,} in the table's order")
        if self._news is not None and self._news.moment is not None:
            said.append(f"as it was at step {self._news.moment:,}")
        self.query_one("#sample-heading", Static).update(" · ".join(said))

    def chosen_rows(self) -> Sequence[RowKey]:
        """The instance under the cursor or pointed out where one is looked at, else the sample."""
        if self.part == "instances":
            inner = self.annotation_id
            return () if inner is None else (RowKey(*self.sample, inner),)
        return (RowKey(*self.sample, self.image.chosen if self.part == "picture" else None),)

    def command(self, run: str) -> str:
        """The command that prints what the part in use shows."""
        moment = None if self._news is None else self._news.moment
        if self.part in ("instances", "picture"):
            return instances_command(run, self.sample, moment)
        if self.part == "events":
            return decisions_command(run, self.sample, moment)
        if self.focused is self.plot and self._signal is not None:
            return trajectory_command(run, self.sample, self._signal, moment)
        return row_command(run, self.sample, moment)

    # News

    def run_changed(self, news: News) -> None:
        super().run_changed(news)
        moved = self._news is None or self._news.moment != news.moment
        self._news = news
        self.query_one(StatusLine).show_news(news)
        if moved:
            self.event_table.show_sample(self.sample)
        decided = any(event.kind in _DECISIONS for event in news.events)
        if moved or decided or time.monotonic() - self._loaded_at >= RELOAD:
            self._load()
            self._show_facts()

    def trouble(self, text: str) -> None:
        self.query_one(StatusLine).show_trouble(text)

    @work(exclusive=True, group="detail")
    async def _load(self) -> None:
        self._loaded_at = time.monotonic()
        sample, chosen = self.sample, self.annotation_id
        before = None if self._detail is None else self._detail.scene
        try:
            detail = await self.wl_app.ask(lambda run: load_detail(run, sample, chosen, before))
        except (WlError, OSError) as error:
            self.notify(str(error), severity="error", markup=False)
            return
        if sample != self.sample:
            return
        self._detail = detail
        self._show_detail(detail)
        if not detail.complete:
            self.set_timer(SOON, self._load)

    def _show_detail(self, detail: Detail) -> None:
        step = 0 if self._news is None else self._news.step
        table = detail.instances
        ids = table.column(ANNOTATION_ID).values
        if self.instances.table.names and self._shown_sample == self.sample:
            self.instances.set_table(table, ids, step)
        else:
            self._shown_sample = self.sample
            self.instances.show_other(table, ids, step)
        detail.scene.show_in(self.image)
        self._go_to_wanted()
        self._show_facts()
        self.lay_out_parts()
        self.event_table.look({at for one in detail.decisions for at in one.positions})

    def _go_to_wanted(self) -> None:
        """To the instance that was opened, in the table and in the picture."""
        wanted, self._wanted_instance = self._wanted_instance, None
        if wanted is None:
            return
        self._show_instance(wanted)
        self.image.choose(wanted)
        self._say_which()

    def _show_instance(self, annotation_id: int) -> None:
        table = self.instances
        rows = np.flatnonzero(table.table.column(ANNOTATION_ID).values == annotation_id)
        if len(rows):
            table.go_to(int(rows[0]))

    def _show_facts(self) -> None:
        self._say_which()
        if self._news is None:
            return
        detail = self._detail
        said = standing(self._news, self.sample, detail)
        if detail is not None and self.annotation_id is not None:
            inner = standing_of_instance(detail.instances, self.annotation_id)
            said = " · ".join(filter(None, (said, inner)))
        line = self.query_one("#sample-standing", Static)
        line.display = bool(said)
        line.update(f" {said}")
        table = facts_table(self._news, self.sample, detail)
        self.facts.set_table(table, self._fact_ids(table.column("name").categories), 0)
        self._show_trajectory()

    def _fact_ids(self, names: Sequence[str]) -> npt.NDArray[np.intp]:
        """Numbers by which the cursor stays on a name while others come and go."""
        self._fact_names += [name for name in names if name not in self._fact_names]
        return np.array([self._fact_names.index(name) for name in names], np.intp)

    def action_search(self) -> None:
        """To one of the values, by its name."""

        def take(name: str | None) -> None:
            if name in self._names_shown:
                self.go_to_widget(self.facts)
                self.facts.go_to(self._names_shown.index(name))

        now = self._signal or ""
        self.app.push_screen(
            ChooseScreen("Find a value", self._names_shown, now, "narrow the list"), take
        )

    @property
    def _names_shown(self) -> Sequence[str]:
        """What has a row in the table of values, in its own order."""
        return self.facts.table.column("name").categories if self.facts.table.names else ()

    # Trajectories

    @on(VirtualTable.Highlighted, "#facts")
    def _fact_chosen(self, event: VirtualTable.Highlighted) -> None:
        event.stop()
        row = self.facts.cursor_row
        if row is not None:
            self._signal = str(self.facts.table.column("name").cell(row))
        self._show_trajectory()

    def _show_trajectory(self) -> None:
        """The chosen signal of the sample, and that of the chosen instance beside it."""
        detail, name = self._detail, self._signal
        lines = []
        if detail is not None and name is not None:
            own, inner = detail.trajectories.get(name), detail.of_instance.get(name)
            if own is not None:
                lines.append(Series(name, own.steps, own.values))
            if inner is not None:
                lines.append(Series(f"of instance {self.annotation_id}", inner.steps, inner.values))
        moment = None if self._news is None else self._news.moment
        self.plot.set_series(lines, moment=moment)
        self.plot.display = bool(lines) or self.plot.has_focus

    # Instances

    @property
    def annotation_id(self) -> int | None:
        """The instance under the cursor."""
        row = self.instances.cursor_row
        if row is None or self._shown_sample != self.sample:
            return None
        value = self.instances.table.column(ANNOTATION_ID).cell(row)
        return value if isinstance(value, int) else None

    @on(VirtualTable.Highlighted, "#instances")
    def _instance_highlighted(self, event: VirtualTable.Highlighted) -> None:
        """Pointed out in the image once somebody looks at instances."""
        event.stop()
        if self.part == "instances":
            self._point_out()
        self._load()  # its trajectories

    def _point_out(self) -> None:
        if self.annotation_id != self.image.chosen:
            self.image.choose(self.annotation_id)
        self._say_which()

    @on(VirtualTable.Chosen, "#instances")
    def _instance_opened(self, event: VirtualTable.Chosen) -> None:
        """To where it is in the picture."""
        event.stop()
        self._point_out()
        self.go_to_widget(self.image)

    @on(OverlayImage.InstanceChosen)
    def _instance_stepped_to(self, event: OverlayImage.InstanceChosen) -> None:
        event.stop()
        self._show_instance(event.annotation_id)
        self._say_which()

    # Events

    @on(EventTable.Searched)
    def _searched(self) -> None:
        self.lay_out_parts()

    @on(VirtualTable.Ordered)
    def _ordered(self, event: VirtualTable.Ordered) -> None:
        event.stop()
