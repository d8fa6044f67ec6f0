"""The tail of the event log."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult

from tui.follow import News
from tui.pane import Pane
from tui.widgets.event_list import EventList


class EventsPane(Pane):
    """What happened last, one line an event."""

    title: ClassVar[str] = "Events"
    dashboard: ClassVar[int | None] = 4

    def compose_body(self) -> ComposeResult:
        yield EventList(widget_id="events")

    def run_changed(self, news: News) -> None:
        self.query_one("#events", EventList).add(news.events, reset=news.events_reset)
        self.set_heading(f"{news.position:,} in the log")
