"""The main screen: a status line, the panes, the keys.

Where there is room all panes are side by side; on a small terminal one is in sight and the number
keys switch. What is in a pane is the pane's business; what a key asks of the run is in `commands`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from traceback import format_exception
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.widgets import Footer, Input, Static

from tui import commands
from tui.follow import News
from tui.pane import Pane
from tui.panes.curves import CurvesPane
from tui.panes.events import EventsPane
from tui.panes.instances import InstancesPane
from tui.panes.picture import PicturePane
from tui.panes.samples import SamplesPane
from tui.sample_table import SampleKey
from tui.screens.base import RunScreen
from tui.screens.detail import DetailScreen
from tui.screens.help import HelpScreen, key_rows
from tui.screens.pick import AskScreen
from tui.screens.trouble import TroubleScreen
from tui.widgets.status_line import StatusLine
from wl_core.errors import WlError

if TYPE_CHECKING:
    from tui.app import WlApp
    from wl_core.run import Run

WIDE, TALL = 120, 30  # cells from which all panes are shown at once
BUILT_IN: tuple[type[Pane], ...] = (
    SamplesPane,
    InstancesPane,
    PicturePane,
    CurvesPane,
    EventsPane,
)
MAX_PANES = 9
SomePane = TypeVar("SomePane", bound=Pane)


class MainScreen(RunScreen):
    """Panes 1 to 9; one of them is active."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(n), f"show_pane({n})", "Go to that pane", show=False)
            for n in range(1, MAX_PANES + 1)
        ),
        Binding("tab", "next_pane(1)", "Next pane", show=False),
        Binding("shift+tab", "next_pane(-1)", "Previous pane", show=False),
        # These two have priority because what is typed ahead of the screen must end in the line
        # that they open: as keys of the table it would sort, tag and discard.
        Binding("slash", "filter", "Filter", key_display="/", priority=True),
        Binding("t", "tag", "Tag", priority=True),
        Binding("d", "discard", "Discard"),
        Binding("p,space", "pause", "Pause", key_display="p"),
        Binding("v", "cycle_overlays", "Overlays", show=False),
        Binding("z", "zoom", "One pane / all", show=False),
        Binding("e", "show_parked", "What went wrong", show=False),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "app.quit", "Quit"),
    ]

    def __init__(self, run_name: str, plugin_panes: Sequence[type[Pane]]) -> None:
        super().__init__()
        classes = (*BUILT_IN, *plugin_panes)[:MAX_PANES]
        self.panes = [pane(number) for number, pane in enumerate(classes, 1)]
        self.active = self.panes[0]
        self._run_name = run_name
        self._news: News | None = None
        self._zoomed = False
        self.failures: dict[int, str] = {}  # tracebacks of plugins' panes, by number

    def compose(self) -> ComposeResult:
        yield StatusLine(self._run_name)
        yield Static(id="pane-bar")
        with Container(id="panes"):
            yield from self._grid_order()
        yield Footer(show_command_palette=False)

    def _grid_order(self) -> list[Pane]:
        """Tables on the left, what they are about on the right."""
        samples, instances, picture, *others = self.panes
        return [samples, picture, instances, *others]

    def on_mount(self) -> None:
        self._activate(self.active)

    # Layout

    def on_resize(self) -> None:
        self._arrange()

    def _arrange(self) -> None:
        small = self.size.width < WIDE or self.size.height < TALL
        self.set_class(small or self._zoomed, "-single")
        self.set_class(len(self.panes) > len(BUILT_IN), "-plugins")

    def _activate(self, pane: Pane) -> None:
        self.active = pane
        for other in self.panes:
            other.set_active(other is pane)
        parts: list[str | tuple[str, str]] = []
        for other in self.panes:
            style = "bold $background on $primary" if other is pane else "$foreground 65%"
            mark = "▸" if other is pane else " "
            parts += [(f"{mark}{other.number} {other.title} ", style), " "]
        self.query_one("#pane-bar", Static).update(Content.assemble(*parts))
        pane.focus_body()
        self.refresh_bindings()
        if isinstance(pane, InstancesPane):
            self._pane(PicturePane).instance_chosen(pane.annotation_id)

    def on_descendant_focus(self) -> None:
        """A click focuses a widget: its pane is the active one from then on."""
        for pane in self.panes:
            if pane is not self.active and pane.has_focus_within:
                self._activate_without_focus(pane)

    def _activate_without_focus(self, pane: Pane) -> None:
        focused = self.focused
        self._activate(pane)
        self.set_focus(focused)

    def action_show_pane(self, number: int) -> None:
        if number <= len(self.panes):
            self._activate(self.panes[number - 1])

    def action_next_pane(self, by: int) -> None:
        at = self.panes.index(self.active)
        self._activate(self.panes[(at + by) % len(self.panes)])

    def action_zoom(self) -> None:
        self._zoomed = not self._zoomed
        self._arrange()

    # News

    def run_changed(self, news: News) -> None:
        self._news = news
        self.query_one(StatusLine).show_news(news)
        self._tell_panes(lambda pane: pane.run_changed(news))

    def _tell_panes(self, tell: Callable[[Pane], None]) -> None:
        """A plugin's pane that raises is left out from then on; the others go on."""
        for pane in self.panes:
            if pane.number in self.failures:
                continue
            if isinstance(pane, BUILT_IN):
                tell(pane)
                continue
            try:
                tell(pane)
            except Exception as error:  # noqa: BLE001  # a plugin's fault: said, and kept
                self.failures[pane.number] = "".join(format_exception(error))
                pane.set_heading(f"failed: {type(error).__name__} (e shows it)")

    def trouble(self, text: str) -> None:
        self.query_one(StatusLine).show_trouble(text)

    @on(SamplesPane.Chosen)
    def _sample_chosen(self, event: SamplesPane.Chosen) -> None:
        for pane in self.panes:
            pane.sample = event.sample
        self._tell_panes(lambda pane: pane.sample_chosen(event.sample))

    @on(InstancesPane.Chosen)
    def _instance_chosen(self, event: InstancesPane.Chosen) -> None:
        """Pointed out once somebody looks at instances: else it would hide the prediction."""
        if isinstance(self.active, InstancesPane):
            self._pane(PicturePane).instance_chosen(event.annotation_id)

    @on(SamplesPane.Opened)
    def _sample_opened(self, event: SamplesPane.Opened) -> None:
        self.app.push_screen(DetailScreen(event.sample, self._news))

    # Keys

    def _pane(self, kind: type[SomePane]) -> SomePane:
        return next(pane for pane in self.panes if isinstance(pane, kind))

    @work(group="command")
    async def _tell_run(self, job: Callable[[Run], None], said: str) -> None:
        try:
            await cast("WlApp", self.app).ask(job)
        except (WlError, OSError) as error:
            self.notify(str(error), severity="error", markup=False)
        else:
            self.notify(said, markup=False)

    def _chosen(self) -> tuple[SampleKey, int | None, bool] | None:
        """Sample and, in the instances' pane, instance under the cursor, and if it is discarded."""
        samples = self._pane(SamplesPane)
        instances = self._pane(InstancesPane)
        if self.active is instances:
            table, sample, annotation_id = (
                instances.table,
                instances.sample,
                instances.annotation_id,
            )
        else:
            table, sample, annotation_id = samples.table, samples.sample_at_cursor, None
        row = table.cursor_row
        if row is None or sample is None:
            return None
        return sample, annotation_id, bool(table.table.column("discarded").cell(row))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Samples are decided upon where they can be seen, and never while a line is written."""
        if action in ("filter", "tag") and isinstance(self.focused, Input):
            return False
        if action in ("discard", "tag"):
            return isinstance(self.active, SamplesPane | InstancesPane | PicturePane)
        return True

    def action_filter(self) -> None:
        samples = self._pane(SamplesPane)
        self._activate(samples)
        samples.start_filter()

    def action_discard(self) -> None:
        chosen = self._chosen()
        if chosen is None:
            return
        sample, annotation_id, was = chosen
        what = str(sample) if annotation_id is None else f"instance {annotation_id} of {sample}"
        self._tell_run(
            lambda run: commands.set_discarded(run, sample, annotation_id, discarded=not was),
            f"{'restored' if was else 'discarded'} {what}",
        )

    def action_tag(self) -> None:
        chosen = self._chosen()
        if chosen is None:
            return
        sample, _, _ = chosen

        def take(text: str | None) -> None:
            if text is None:
                return
            add, tag = not text.startswith("-"), text.removeprefix("-").strip()
            said = f"{'tagged' if add else 'untagged'} {sample}: {tag}"
            self._tell_run(lambda run: commands.set_tag(run, sample, tag, add=add), said)

        self.app.push_screen(AskScreen(f"Tag {sample}", "a tag; -tag takes it off"), take)

    def action_pause(self) -> None:
        if self._news is None:
            return
        if self._news.status.state == "paused":
            self._tell_run(commands.request_resume, "asked the training to go on")
        elif self._news.status.state in ("training", "evaluating"):
            self._tell_run(commands.request_pause, "asked the training to pause")
        else:
            self.notify(f"the run is {self._news.status.state}: nothing to pause")

    def action_cycle_overlays(self) -> None:
        self._pane(PicturePane).cycle_overlays()

    def action_show_parked(self) -> None:
        reports = cast("WlApp", self.app).trouble_reports()
        reports += [(f"Pane {number} failed:", said) for number, said in self.failures.items()]
        if reports:
            self.app.push_screen(TroubleScreen(reports))
        else:
            self.notify("all is well: no projection is parked and no pane has failed")

    def action_help(self) -> None:
        self.app.push_screen(HelpScreen(key_rows(self)))
