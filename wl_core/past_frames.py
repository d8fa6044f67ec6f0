"""The frames of a log as if what was computed after the fact had been there when it happened.

Such events stand at the end of the log, in frames of their own. Each says from which event it was
computed, and here it comes right after that one. How they got there is `backfill`'s business.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TypeAlias

from wl_core.codec import Frame
from wl_core.events import CATALOGUE, Catalogue, WireEvent
from wl_core.log import EventLog
from wl_core.staging import Staging

MARK = "computed_later"
FROM_THE_DATA = -1  # the source of values that no event called for

# Where a frame that was computed after the fact belongs, whether it is not in the log yet, and it.
_Later: TypeAlias = tuple[int, bool, Frame]


@dataclass(frozen=True, slots=True)
class Moment:
    """A frame with all that was computed from it after the fact.

    ``positions`` are those of its events, or of the events that they were computed from.
    ``next_position`` is where the log's next frame stands. ``is_new`` is a frame that is not in
    the log yet, and was computed from none that is.
    """

    frame: Frame
    positions: Sequence[int]
    next_position: int
    is_new: bool = False


def source_of(frame: Frame) -> int | None:
    """The position of the first event that this frame was computed from after the fact, if it was.

    -1 for what was computed from the data alone.
    """
    first = frame.events[0]
    return first[2] if first[0] == MARK else None


def moments(log: EventLog, stop: int, staged: Iterable[Frame] = ()) -> Iterator[Moment]:
    """The readable frames before ``stop``, with what was computed from them there or is staged."""
    heads = [head for head in log.backfills() if head.position < stop]
    later = heapq.merge(
        *(_sourced(_computed(log, head, stop), False) for head in heads),
        _sourced(staged, True),
        key=itemgetter(0),
    )
    waiting = next(later, None)
    for frame in _recorded(log, stop):
        end, mine = frame.position + frame.count, []
        while waiting is not None and waiting[0] < end:
            source, is_new, found = waiting
            if source < frame.position:  # from the data, or from a frame that is damaged by now
                yield Moment(replace(found, position=-1), [source] * found.count, 0, is_new)
            else:
                mine.append(found)
            waiting = next(later, None)
        yield _joined(frame, mine)


def _recorded(log: EventLog, stop: int) -> Iterator[Frame]:
    for frame in log.frames(0, stop):
        if isinstance(frame, Frame) and source_of(frame) is None:
            yield frame


def _computed(log: EventLog, head: Frame, stop: int) -> Iterator[Frame]:
    """The frames that such a head announces; other writers' may lie between them."""
    left = sum(event[6] for event in head.events if event[0] == "backfilled")
    for frame in log.frames(head.position + head.count, stop):
        if left <= 0:
            return
        if isinstance(frame, Frame) and frame.writer == head.writer:
            left -= 1
            yield frame


def _sourced(frames: Iterable[Frame], is_new: bool) -> Iterator[_Later]:
    for frame in frames:
        source = source_of(frame)
        if source is not None:
            yield source, is_new, frame


def _joined(frame: Frame, later: Sequence[Frame]) -> Moment:
    end = frame.position + frame.count
    if not later:
        return Moment(frame, range(frame.position, end), end)
    blobs = list(frame.blobs)
    computed: defaultdict[int, list[WireEvent]] = defaultdict(list)
    for one in later:
        source = frame.position
        for event in one.events:
            if event[0] == MARK:
                source = event[2]
            else:
                computed[source].append(_shifted(event, len(blobs) // 2))
        blobs += one.blobs
    events: list[WireEvent] = []
    positions: list[int] = []
    for position, event in enumerate(frame.events, frame.position):
        both = [event, *computed[position]]
        events += both
        positions += [position] * len(both)
    return Moment(replace(frame, blobs=blobs, events=events), positions, end)


def _shifted(event: WireEvent, by: int) -> WireEvent:
    """The event as it is where its frame's blobs come after so many others."""
    kind = CATALOGUE.get(event[0])
    assert kind is not None
    fields = list(event)
    for place, field in enumerate(kind.fields, 2):
        if field.type in ("vector", "ids") and fields[place] is not None:
            fields[place] += by
    return tuple(fields)


class PastLog:
    """What a log held at a moment of the past, with what was computed for it so far.

    ``played`` is how many of its `moments` lie before that one, and ``next_position`` where the
    next frame stands.
    """

    def __init__(self, log: EventLog, stop: int, staging: Staging) -> None:
        self._log = log
        self._stop = stop
        self._staging = staging
        self.played = 0
        self.next_position = 0

    @property
    def catalogue(self) -> Catalogue:
        return self._log.catalogue

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """All of them: whoever asks here reads the whole past."""
        left = self.played
        for moment in moments(self._log, self._stop, self._staging.frames()):
            if not moment.is_new:
                if left == 0:
                    return
                left -= 1
            yield moment.frame
