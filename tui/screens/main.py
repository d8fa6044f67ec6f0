"""The main screen: a status line, the panes, the keys.

Where there is room the panes of the dashboard are side by side; on a small terminal, and for any
other pane, one is in sight and the number keys switch. What is in a pane is the pane's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from traceback import format_exception
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.widgets import Input, Static

from tui import commands
from tui.follow import News
from tui.pane import Pane
from tui.pane_actions import PaneActionsScreen
from tui.sample_table import RowKey
from tui.screens.detail import DetailScreen
from tui.screens.trouble import TroubleScreen
from tui.widgets.key_bar import KeyBar
from tui.widgets.status_line import StatusLine
from tui.words import shorten

WIDE, TALL = 120, 30  # cells from which the dashboard is shown
NUMBERED = 9  # panes that have a key of their own


class MainScreen(PaneActionsScreen):
    """Panes, of which one is active."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(n), f"show_pane({n})", f"Pane {n}", show=False, id=f"app.pane_{n}")
            for n in range(1, NUMBERED + 1)
        ),
        Binding("tab", "next_pane(1)", "Next pane", show=False, id="app.next_pane"),
        Binding("shift+tab", "next_pane(-1)", "Previous pane", show=False, id="app.previous_pane"),
        # It has priority because what is typed ahead of the line that it opens must end there.
        Binding("slash", "search", "Filter", key_display="/", priority=True, id="app.search"),
        Binding("p,space", "pause", "Pause", key_display="p", id="run.pause"),
        Binding("z", "zoom", "One pane / all", show=False, id="app.zoom"),
        Binding("e", "show_trouble", "What went wrong", show=False, id="app.trouble"),
        Binding("q", "app.quit", "Quit", id="app.quit"),
    ]

    def __init__(self, run_name: str, panes: Sequence[type[Pane]]) -> None:
        super().__init__()
        self.panes = [pane(number) for number, pane in enumerate(panes, 1)]
        self.active = self.panes[0]
        self.active.add_class("-active", update=False)  # before any is styled
        for pane in self.panes:
            pane.set_class(pane.dashboard is None, "-page", update=False)
        self._run_name = run_name
        self._news: News | None = None
        self._zoomed = False
        self._deciding = False  # whether there are rows to decide upon, as the keys have it

    def compose(self) -> ComposeResult:
        yield StatusLine(self._run_name, read_only=self.wl_app.read_only)
        yield Static(id="pane-bar")
        with Container(id="panes"):
            yield from sorted(self.panes, key=_place)
        yield KeyBar()

    def on_mount(self) -> None:
        self._activate(self.active)

    # Layout

    def on_resize(self) -> None:
        self._arrange()

    def _arrange(self) -> None:
        small = self.size.width < WIDE or self.size.height < TALL
        self.set_class(small or self._zoomed or self.active.dashboard is None, "-single")
        self._show_bar()

    def _show_bar(self) -> None:
        """The panes in one line; where it is too short, the names of the others are."""
        names = [other.title for other in self.panes]
        marks = sum(3 + len(other.key_name) for other in self.panes)  # and two gaps
        gap = " "
        if marks + sum(map(len, names)) > self.size.width > 0:
            gap, marks = "", marks - len(names)
        longest = max(map(len, names))
        while longest > 2 and marks + sum(map(len, names)) > self.size.width > 0:
            longest -= 1
            names = [
                other.title if other is self.active else shorten(other.title, longest)
                for other in self.panes
            ]
        parts: list[str | tuple[str, str]] = []
        for other, name in zip(self.panes, names, strict=True):
            style = "bold $background on $primary" if other is self.active else "$foreground 65%"
            mark = "▸" if other is self.active else " "
            parts += [(f"{mark}{other.key_name} {name}{gap}", style), ""]
        # One line stays one line: nothing has to be laid out for it.
        self.query_one("#pane-bar", Static).update(Content.assemble(*parts), layout=False)

    def _activate(self, pane: Pane) -> None:
        self.active = pane
        for other in self.panes:
            other.set_active(other is pane)
        self._arrange()
        pane.focus_body()
        self._deciding = bool(self.chosen_rows())
        self.refresh_bindings()

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

    def show_pane(self, pane: Pane) -> None:
        """Bring it to the front and give it the keys."""
        self._activate(pane)

    def action_zoom(self) -> None:
        self._zoomed = not self._zoomed
        self._arrange()

    # News

    def run_changed(self, news: News) -> None:
        super().run_changed(news)
        self._news = news
        self.query_one(StatusLine).show_news(news)
        for pane in self.panes:
            pane.set_moment(news.moment)
        self._tell_panes(lambda pane: pane.run_changed(news))

    def _tell_panes(self, tell: Callable[[Pane], None]) -> None:
        """A pane that raises is left out from then on; the others go on."""
        failures = self.wl_app.pane_failures
        for pane in self.panes:
            if pane.title in failures:
                continue
            try:
                tell(pane)
            except Exception as error:  # noqa: BLE001  # a plugin's fault: said, and kept
                failures[pane.title] = "".join(format_exception(error))
                pane.set_heading(f"failed: {type(error).__name__} (e shows it)")

    def trouble(self, text: str) -> None:
        self.query_one(StatusLine).show_trouble(text)

    @on(Pane.SampleChosen)
    def _sample_chosen(self, event: Pane.SampleChosen) -> None:
        for pane in self.panes:
            pane.sample = event.sample
        self._tell_panes(lambda pane: pane.sample_chosen(event.sample))
        self._look_what_can_be_decided()

    @on(Pane.InstanceChosen)
    def _instance_chosen(self, event: Pane.InstanceChosen) -> None:
        self._tell_panes(lambda pane: pane.instance_chosen(event.annotation_id))
        self._look_what_can_be_decided()

    def _look_what_can_be_decided(self) -> None:
        """The keys of decisions come and go with the rows that they would be about."""
        deciding = bool(self.chosen_rows())
        if deciding != self._deciding:
            self._deciding = deciding
            self.refresh_bindings()

    @on(Pane.SampleOpened)
    def _sample_opened(self, event: Pane.SampleOpened) -> None:
        opened = DetailScreen(event.sample, self._news, event.neighbours, event.annotation_id)
        self.app.push_screen(opened)

    @on(Pane.FilterWanted)
    def _filter_wanted(self, event: Pane.FilterWanted) -> None:
        for pane in self.panes:
            if pane.filter_rows(event.text, instances=event.instances):
                self._activate(pane)
                return

    # Keys

    def chosen_rows(self) -> Sequence[RowKey]:
        return self.active.chosen_rows()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What opens a line is no action while one is written."""
        if action == "search" and isinstance(self.focused, Input):
            return False
        return super().check_action(action, parameters)

    def action_search(self) -> None:
        self.active.search()

    def action_pause(self) -> None:
        if self._news is None:
            return
        state = self._news.status.state
        if state == "paused":
            self.decide(commands.request_resume)
        elif state in ("training", "evaluating"):
            self.decide(commands.request_pause)
        else:
            self.notify(f"the run is {state}: nothing to pause")

    def action_show_trouble(self) -> None:
        reports = self.wl_app.trouble_reports()
        if reports:
            self.app.push_screen(TroubleScreen(reports))
        else:
            self.notify("all is well: no projection is parked and no pane has failed")


def _place(pane: Pane) -> tuple[bool, int]:
    """Where it comes in the grid: the dashboard's panes first."""
    return pane.dashboard is None, pane.dashboard or 0
