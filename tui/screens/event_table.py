"""The events that made a sample what it is: looked for in bites, opened by Enter."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, cast

from textual import on, work
from textual.message import Message

from tui.sample_events import EventSearch, read_event
from tui.sample_table import SampleKey
from tui.screens.event import EventScreen
from tui.widgets.table import VirtualTable
from wl_core.errors import WlError

if TYPE_CHECKING:
    from tui.app import WlApp


class EventTable(VirtualTable):
    """The events of one sample, the newest first; at the last of them older ones are looked for."""

    class Searched(Message):
        """More of the log was looked at."""

    def __init__(self, sample: SampleKey) -> None:
        super().__init__(fixed=1, opens=True, widget_id="events")
        self._search = EventSearch(sample)
        self._decided: frozenset[int] = frozenset()

    def show_sample(self, sample: SampleKey) -> None:
        """Forget what was found: it is of another sample, or of another moment."""
        self._search = EventSearch(sample)
        self.show_other(*self._search.table())

    def look(self, decided: Collection[int]) -> None:
        """Look for what is new; ``decided`` are the positions of all decisions on the sample."""
        self._decided = frozenset(decided)
        self._read()

    @property
    def said(self) -> str:
        """How many there are, and how much of the log was looked at."""
        search = self._search
        said = [f"{len(search.found):,}"]
        if search.share < 1:
            said.append(f"{search.share:.0%} of the log looked at")
            if not search.is_hungry:
                said.append("older ones: G")
        if search.damaged:
            said.append(f"{search.damaged} damaged frames left out")
        return ", ".join(said)

    @work(exclusive=True, group="events")
    async def _read(self) -> None:
        """A bite after the other, as long as there is something new or more is wanted."""
        search, more = self._search, True
        while more:
            bite = partial(search.bite, decided=self._decided)
            try:
                more = await cast("WlApp", self.app).ask(bite)
            except (WlError, OSError):
                return  # the screen says it, which asks for the rest at the same time
            if search is not self._search:
                return
            self.set_table(*search.table())
            self.post_message(self.Searched())

    @on(VirtualTable.Highlighted)
    def _highlighted(self, event: VirtualTable.Highlighted) -> None:
        event.stop()
        found = len(self._search.found)
        if found and self.cursor == found - 1 and not self._search.is_hungry:
            self._search.want_more()
            self._read()

    @on(VirtualTable.Chosen)
    @work(group="event")
    async def _opened(self, message: VirtualTable.Chosen) -> None:
        position = int(self.ids[message.row])
        event = await cast("WlApp", self.app).ask(lambda run: read_event(run, position))
        if event is None:
            self.notify(f"the event at position {position} cannot be read: `wl verify`")
        else:
            self.app.push_screen(EventScreen(event))
