"""Parking: frames that have ended and wait for values that are still on their way from a device.

A step's frame is committed when its values are here, and nobody waits for them on purpose: that is
when the guard after its own is left, or as soon as somebody needs it. Frames leave in the order in
which they came, so whatever ends behind one that waits, waits with it. In a run whose values lie on
the CPU nothing ever comes by here.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wl_core.deferred import Arriving
    from wl_core.recorder import OpenFrame, Recorder


@dataclass(frozen=True, slots=True)
class Later:
    """Something to record once some values have arrived."""

    values: Sequence[Arriving]
    record: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Parked:
    """A frame that has ended: at which age of the model, when, and in which guard counted so."""

    frame: OpenFrame
    age: int
    time: float
    guard: int

    def has_all(self) -> bool:
        return all(one.has_arrived() for later in self.frame.later for one in later.values)


class Parking:
    """The frames of one recorder that wait, the oldest first; its lock is held by who calls."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.waiting: deque[Parked] = deque()
        self._guard = 0  # how many guards with values to wait for have been left
        self._busy = False

    def park(self, frame: OpenFrame) -> None:
        """A frame has ended that has values to wait for, or comes behind one that has."""
        recorder, guard = self._recorder, self._guard
        self.waiting.append(Parked(frame, recorder.step, time.time(), guard))
        if recorder.frames or self._busy:
            return  # it is part of a step, and that goes on
        if not frame.later and frame.phase == "outside":
            # A decision, or the end of a run, is safe at once, as it always is.
            self._leave(lambda one: frame.builder.landmark != 0 or one.has_all())
            return
        self._guard += 1
        self._leave(lambda one: one.guard < guard or not one.frame.later)

    def settle(self) -> None:
        """Waits for all values on their way, those of frames that are still open among them."""
        if self._busy:
            return
        self._leave(lambda _: True)
        failures: list[Exception] = []
        frames = self._recorder.frames
        for count, frame in enumerate(frames, start=1):
            failures += self._complete(frame, frames[:count])
        _raise_first(failures)

    def _leave(self, may: Callable[[Parked], bool]) -> None:
        """Commits frames from the front as long as they may.

        What a user's function raises is raised after that: a frame is lost by no such thing.
        """
        failures: list[Exception] = []
        while self.waiting and may(self.waiting[0]):
            parked = self.waiting[0]
            failures += self._complete(parked.frame, [parked.frame])
            self.waiting.popleft()  # only now: what its functions record comes behind it
            self._recorder.write(parked.frame, parked.age, parked.time)
        _raise_first(failures)

    def _complete(self, frame: OpenFrame, frames: list[OpenFrame]) -> list[Exception]:
        """Records what waited for values, into its frame, as if that were the innermost one."""
        recorder = self._recorder
        if not frame.later:
            return []
        failures: list[Exception] = []
        around, busy = recorder.frames, self._busy
        recorder.frames, self._busy = frames, True
        try:
            while frame.later:  # a function may record more of the kind
                failures += [one for one in map(self._record, frame.take_later()) if one]
        finally:
            recorder.frames, self._busy = around, busy
        return failures

    def _record(self, later: Later) -> Exception | None:
        try:
            later.record()
        except Exception as error:  # noqa: BLE001  # raised when the frames are where they belong
            frame = self._recorder.frames[-1]
            frame.failed = True
            trace = "".join(traceback.format_exception(error))
            text = f"{type(error).__name__}: {error}"
            frame.builder.add("step_failed", frame.phase, text, trace)
            return error
        return None


def _raise_first(failures: Sequence[Exception]) -> None:
    if failures:
        raise failures[0]
