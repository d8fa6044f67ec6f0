"""The event log: its tail, all of it, or what a filter finds in it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from itertools import islice
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.event_log import EventSearch, read_lines, read_whole
from tui.follow import News
from tui.pane import Pane
from tui.screens.event import EventScreen
from tui.widgets.event_bar import EventBar
from tui.widgets.event_list import EventList
from tui.widgets.line_bar import LineBar
from wl_core.cli_output import to_json
from wl_core.errors import UsageError
from wl_core.event_filter import EventFilter, unknown_names
from wl_core.events import CATALOGUE

_NO_FILTER = EventFilter()
_COMPLETED_SAMPLES = 20_000  # more are not offered: matching them would be felt at each key


class EventsPane(Pane):
    """Every event of the log, one line each; `/` filters by kind, signal, sample and text."""

    title: ClassVar[str] = "Events"
    dashboard: ClassVar[int | None] = 4
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "Show all events", show=False, id="events.clear")
    ]

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._news: News | None = None
        self._end = 0  # of the log, as it is shown
        self._shown_moment: int | None = None
        self._filter = _NO_FILTER
        self._search: EventSearch | None = None
        self._is_looking = False
        self._unknown = ""

    def compose_body(self) -> ComposeResult:
        yield EventBar()
        yield EventList(widget_id="events")

    @property
    def rows(self) -> EventList:
        return self.query_one(EventList)

    # News

    def run_changed(self, news: News) -> None:
        self._news = news
        self.rows.add_events(news.events)
        if news.moment is None:
            self._end = news.position
        elif news.events:
            self._end = news.events[-1].position + 1
        if news.moment != self._shown_moment:
            self._shown_moment = news.moment
            if self._search is not None:
                self._search = EventSearch(self._filter)
        if self._search is None:
            self.rows.show(range(self._end))
        else:
            self._look()
        self._say()

    def came_into_sight(self) -> None:
        self._look()

    def _say(self) -> None:
        """What the title says: how much there is, and whether the end is followed."""
        rows = self.rows
        parts = []
        if self._search is None:
            parts.append(f"{self._end:,} in the log")
        else:
            parts.append(f"{self._search.count:,} of {self._end:,}")
            if self._search.share < 1:
                parts.append(f"{self._search.share:.0%} searched")
            if self._search.damaged:
                parts.append(f"{len(self._search.damaged)} damaged frames")
        if self._unknown:
            parts.append(self._unknown)
        elif rows.following:
            parts.append("following" if self.moment is None else "at the end")
        else:
            new = f" · {rows.new_below:,} new below" if rows.new_below else ""
            parts.append(f"at {rows.position:,}{new} (G: latest)")
        self.set_heading(" · ".join(parts))

    @on(EventList.Moved)
    def _moved(self, event: EventList.Moved) -> None:
        event.stop()
        if event.at_top and self._search is not None and not self._search.is_hungry:
            self._search.want_more()
            self._look()
        self._say()

    @on(EventList.Wanted)
    def _wanted(self, event: EventList.Wanted) -> None:
        event.stop()
        self._read(event)

    @work(exclusive=True, group="lines of events")
    async def _read(self, event: EventList.Wanted) -> None:
        lines = await self.ask(partial(read_lines, positions=event.positions))
        if lines is not None:
            self.rows.add(lines)

    # Opening and copying

    @on(EventList.Chosen)
    def _chosen(self, event: EventList.Chosen) -> None:
        event.stop()
        self._open(event)

    @work(exclusive=True, group="open event")
    async def _open(self, event: EventList.Chosen) -> None:
        whole = await self.ask(partial(read_whole, position=event.position))
        if whole is None:
            self.notify(f"the event at position {event.position:,} cannot be read")
        elif event.to_copy:
            self.app.copy_to_clipboard(to_json(asdict(whole.event)))
            self.notify(f"copied the event at position {event.position:,} as JSON")
        else:
            self.app.push_screen(EventScreen(whole.event, writer=whole.writer))

    # Filtering

    def search(self) -> None:
        bar = self.query_one(EventBar)
        if self._news is not None:
            bar.offer_names(_names(self._news))
        bar.open()

    @on(LineBar.Submitted)
    def _submitted(self, event: LineBar.Submitted) -> None:
        event.stop()
        bar = self.query_one(EventBar)
        try:
            wanted = EventFilter.parse(event.text)
            wanted.check()
        except UsageError as error:
            bar.remark(str(error))
            return
        if event.text.strip():
            bar.history = [one for one in bar.history if one != event.text] + [event.text]
            self.rows.focus()
        self.show_filter(wanted)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is something to clear only where a filter is in force."""
        return bool(self._filter) if action == "clear" else True

    def action_clear(self) -> None:
        self.query_one(EventBar).escaped()

    def show_filter(self, wanted: EventFilter) -> None:
        """Show the events of a filter; an empty one: all of them."""
        self._filter, self._unknown = wanted, ""
        self._search = EventSearch(wanted) if wanted else None
        self.rows.following = True
        self.rows.show(range(0 if wanted else self._end))
        self._look()
        self._say()
        self.screen.refresh_bindings()

    @on(LineBar.Left)
    def _left(self, event: LineBar.Left) -> None:
        event.stop()
        self.rows.focus()

    def _look(self) -> None:
        if self._search is not None and self.in_sight and not self._is_looking:
            self._is_looking = True
            self._look_through()

    @work(group="search events")
    async def _look_through(self) -> None:
        """Bite by bite, until all is found that is wanted so far."""
        try:
            while self._search is not None and self.in_sight:
                search = self._search
                more = await self.ask(search.bite)
                if search is self._search:
                    self._show_found(search)
                    if not more:
                        break
        finally:
            self._is_looking = False
        if self._search is not None and not self._search.count and not self._unknown:
            self._unknown = "; ".join(
                await self.ask(partial(unknown_names, wanted=self._filter)) or ()
            )
            self._say()

    def _show_found(self, search: EventSearch) -> None:
        if len(self.rows.positions) != search.count:
            self.rows.show(search.positions)
        self._say()

    def command(self, run: str) -> str:
        words = ["wl events", f"{shlex.quote(run)}{self.at_step_option}", self._filter.options()]
        if self.rows.following and self.moment is None:
            words.append("--follow")
        elif not self._filter and self.rows.in_sight:
            words.append(f"--from {self.rows.in_sight[0]} --limit {len(self.rows.in_sight)}")
        return " ".join(word for word in words if word)


def _names(news: News) -> Mapping[str, Iterable[str]]:
    """What can stand behind each word of a filter."""
    ids = news.sample_rows.ids
    samples = [str(news.sample_rows.key(row).sample_id) for row in
               range(min(len(ids), _COMPLETED_SAMPLES))]  # fmt: skip
    origins = islice(news.samples.column("origin").categories, 100) if len(ids) else ()
    return {
        "kind": [kind.name for kind in CATALOGUE],
        "signal": sorted(news.signals),
        "sample": samples,
        "origin": [str(one) for one in origins],
    }
