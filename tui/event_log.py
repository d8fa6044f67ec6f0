"""Events read from the log: some of them as lines, one in full, and all that a filter wants.

Runs in the follower's thread. A long log takes long to look through, so `EventSearch.bite` reads
for a few milliseconds and is asked again as long as there is more. What is shown of it where is
`tui.widgets.event_list`'s business.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from tui.words import event_line
from wl_core.codec import DamagedFrame, Event, Frame, frame_events
from wl_core.event_filter import EventFilter

if TYPE_CHECKING:
    from wl_core.run import Run

BITE = 0.03  # seconds of reading; more would make the follower late
PAGE = 20_000  # events that are found before somebody has to scroll for more
_FIRST, _LARGEST = 256, 8_192  # positions that are read at once
_WISHES = frozenset({"tagged", "discarded", "categorised", "undone"})


class EventLine(NamedTuple):
    """An event on one line; ``look`` is "failed", "wish" or nothing."""

    text: str
    look: str = ""


@dataclass(frozen=True, slots=True)
class WholeEvent:
    """An event, and who wrote it: ``writer`` in hexadecimal, as its frame ``number``."""

    event: Event
    writer: str
    number: int


def line_of(event: Event) -> EventLine:
    """How an event is listed."""
    look = ""
    if event.failed or event.kind.endswith("_failed"):
        look = "failed"
    elif event.kind in _WISHES or event.kind.endswith("_requested"):
        look = "wish"
    return EventLine(event_line(event), look)


def read_lines(run: Run, positions: Sequence[int]) -> dict[int, EventLine]:
    """The lines of the events at these ascending positions; damage has a line that says so."""
    wanted, found = frozenset(positions), {}
    for start, stop in _stretches(positions):
        for frame in run.log.frames(start, stop):
            if isinstance(frame, DamagedFrame):
                found[frame.position] = EventLine(f"damaged: {frame.reason}", "failed")
                continue
            if wanted.isdisjoint(range(frame.position, frame.position + frame.count)):
                continue
            events = (event for event in frame_events(frame) if event.position in wanted)
            found.update((event.position, line_of(event)) for event in events)
    for lost in wanted - found.keys():
        found[lost] = EventLine("in a damaged frame", "failed")
    return found


def _stretches(positions: Sequence[int]) -> Iterator[tuple[int, int]]:
    """``(start, stop)`` of what lies close together: a frame holds some dozen events."""
    start = last = None
    for position in positions:
        if start is None or last is None:
            start = position
        elif position > last + 64:
            yield start, last + 1
            start = position
        last = position
    if start is not None and last is not None:
        yield start, last + 1


def read_whole(run: Run, position: int) -> WholeEvent | None:
    """The event at a position, decoded in full; None when it cannot be read."""
    for frame in run.log.frames(position, position + 1):
        if isinstance(frame, Frame):
            for event in frame_events(frame):
                if event.position == position:
                    return WholeEvent(event, frame.writer.hex(), frame.number)
    return None


@dataclass(slots=True)
class EventSearch:
    """Looks for the events of a filter, back from the end of the log, and for new ones.

    Nothing but `bite`, in the follower's thread, reads the log; the rest is for the event loop, and
    between two bites nothing changes.
    """

    wanted: EventFilter
    damaged: set[int] = field(default_factory=set)  # positions of frames that cannot be read
    wanted_count: int = PAGE
    _older: list[int] = field(default_factory=list)  # descending
    _newer: list[int] = field(default_factory=list)
    _low: int | None = None
    _high: int = 0
    _size: int = _FIRST

    @property
    def positions(self) -> list[int]:
        """What was found so far, ascending."""
        return list(chain(reversed(self._older), self._newer))

    @property
    def count(self) -> int:
        return len(self._older) + len(self._newer)

    @property
    def share(self) -> float:
        """How much of the log was looked through, 0 to 1."""
        if self._low is None:
            return 0.0
        return 1.0 if not self._high else 1 - self._low / self._high

    @property
    def is_hungry(self) -> bool:
        """Whether another bite is wanted, were nothing written meanwhile."""
        return self._low is None or (self._low > 0 and self.count < self.wanted_count)

    def want_more(self) -> None:
        """Look for another page of older ones."""
        self.wanted_count = max(self.wanted_count, self.count + PAGE)

    def bite(self, run: Run, seconds: float = BITE) -> bool:
        """Read for about so long, what is new first; gives whether there is more to do."""
        until, end = time.monotonic() + seconds, run.end
        if self._low is None:
            self._low = self._high = end
        while self._high < end or self.is_hungry:
            if self._high < end:
                self._high = self._go_on(run, min(end, self._high + self._size))
            else:
                self._low = self._go_back(run, max(0, self._low - self._size))
            if time.monotonic() >= until:
                break
        return self._high < end or self.is_hungry

    def _go_on(self, run: Run, stop: int) -> int:
        found, _, high = self._read(run, self._high, stop)
        self._newer += [one for one in found if one >= self._high]
        return max(high, stop)

    def _go_back(self, run: Run, start: int) -> int:
        assert self._low is not None
        before = self._low
        found, low, _ = self._read(run, start, before)
        self._older += [one for one in reversed(found) if one < before]
        return min(low, start)

    def _read(self, run: Run, start: int, stop: int) -> tuple[list[int], int, int]:
        """The places in whole frames, and the positions between which these were."""
        began, low, high = time.monotonic(), start, start
        found: list[int] = []
        for frame in run.log.frames(start, stop):
            if isinstance(frame, DamagedFrame):
                self.damaged.add(frame.position)
                continue
            low, high = min(low, frame.position), max(high, frame.position + frame.count)
            found += [frame.position + place for place in self.wanted.places(frame)]
        took = time.monotonic() - began
        self._size = max(
            _FIRST, min(_LARGEST, self._size * 2 if took < BITE / 4 else self._size // 2)
        )
        return found, low, high
