"""The frames of a log as if what was computed after the fact had been there when it happened.

Such frames stand at the end of the log, and each says from which frame it was computed. Here they
come right after that one. How they got there is `backfill`'s business.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import TypeAlias

from wl_core.codec import Frame
from wl_core.events import Catalogue
from wl_core.log import EventLog
from wl_core.staging import Staging

Sourced: TypeAlias = tuple[int, Frame]

_MARK = "computed_later"
FROM_THE_DATA = -1  # the source of values that no frame called for


def source_of(frame: Frame) -> int | None:
    """The position of the frame that this one was computed from after the fact; None if it was not.

    -1 for what was computed from the data alone.
    """
    first = frame.events[0]
    return first[2] if first[0] == _MARK else None


def past_frames(log: EventLog, stop: int) -> Iterator[Sourced]:
    """The readable frames before ``stop``, each with the position where it belongs."""
    heads = [head for head in log.backfills() if head.position < stop]
    return merged(_recorded(log, stop), *(_computed(log, head, stop) for head in heads))


def merged(*streams: Iterable[Sourced]) -> Iterator[Sourced]:
    """All frames in the order of where they belong, those of earlier streams first."""
    return heapq.merge(*streams, key=itemgetter(0))


def _recorded(log: EventLog, stop: int) -> Iterator[Sourced]:
    for frame in log.frames(0, stop):
        if isinstance(frame, Frame) and source_of(frame) is None:
            yield frame.position, frame


def _computed(log: EventLog, head: Frame, stop: int) -> Iterator[Sourced]:
    """The frames that such a head announces; other writers' may lie between them."""
    left = sum(event[6] for event in head.events if event[0] == "backfilled")
    for frame in log.frames(head.position + head.count, stop):
        if left <= 0:
            return
        if isinstance(frame, Frame) and frame.writer == head.writer:
            source = source_of(frame)
            if source is not None:
                left -= 1
                yield source, frame


class PastLog:
    """What a log held at a moment of the past, with what was computed for it so far.

    ``played`` is how many of `past_frames` lie before that moment and ``next_position`` where the
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
        staged = ((source_of(frame) or 0, frame) for frame in self._staging.frames())
        before = ((source, frame, True) for source, frame in past_frames(self._log, self._stop))
        new = ((source, frame, False) for source, frame in staged)
        for _, frame, is_known in heapq.merge(before, new, key=itemgetter(0)):
            if is_known:
                if left == 0:
                    return
                left -= 1
            yield frame
