"""What a Projector reads: the frames of a log, from one position to another or to a step.

`projection` folds them; how they lie on the disk is `log`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from wl_core.codec import DamagedFrame, Frame


class FrameSource(Protocol):
    """What a Projector reads: an `EventLog`, or anything else that has frames."""

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame | DamagedFrame]: ...

    @property
    def next_position(self) -> int: ...


class FrameStream:
    """The frames to fold from ``start`` on; remembers the damage it met and where it ended."""

    def __init__(
        self, log: FrameSource, start: int, stop: int | None, last_step: int | None
    ) -> None:
        self.damaged: dict[int, DamagedFrame] = {}
        self.end = start
        self.reached_last_step = False
        self._items = log.frames(start, stop)
        self._start, self._stop, self._last_step = start, stop, last_step

    def __iter__(self) -> Iterator[Frame]:
        for item in self._items:
            if isinstance(item, DamagedFrame):
                self.damaged[item.position] = item
                self.end = max(self.end, item.position + 1)
            elif item.position >= self._start:  # a log may step back to the frame around start
                if self._last_step is not None and item.step > self._last_step:
                    self.reached_last_step = True
                    return
                yield item
                self.end = item.position + item.count
        if self._stop is not None:
            self.end = self._stop
