"""Past: a run whose log is played again, so that signals are computed as if they had been there.

The frames of the log pass event by event. What a signal's function asks is answered from what had
passed; the dispatch is that of the training (`dispatch`), and what it records is staged. What of an
event tells one call from the next is `past_calls`'; the order of frames is `past_frames`', what is
known of the data `past_data`'s, and where staged frames go `backfill`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from wl_core.arrays import ArrayStore
from wl_core.codec import Frame, FrameBuilder
from wl_core.dispatch import dispatch, refuse_subscribers
from wl_core.events import CATALOGUE, WireEvent
from wl_core.local import LocalViews
from wl_core.past_calls import Calls, owners_of
from wl_core.past_frames import FROM_THE_DATA, MARK, Moment, PastLog
from wl_core.recorder import OpenFrame, Recorder
from wl_core.running import Data
from wl_core.signal_inputs import Inputs
from wl_core.signal_memory import SignalMemory
from wl_core.signals import registry
from wl_core.staging import Staging

_VALUES = ("values", "instance_values")
_Computed: TypeAlias = tuple[int, Sequence[WireEvent]]
_NO_NUMBERS = {"labels": "label", "group_values": "group"}


class PastFrame(OpenFrame):
    """A frame that is played: the events that have passed, and ``fresh``, those that are new.

    The latter come with the position of what they were computed from.
    """

    __slots__ = ("fresh",)

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame.phase, frame.step, is_step=False)
        self.failed = frame.failed
        self.builder.blobs = list(frame.blobs)
        self.fresh: list[_Computed] = []


class PastRecorder(Recorder):
    """Stages what is recorded, marked with the position that it was computed from."""

    def __init__(self, staging: Staging, past: Past) -> None:
        super().__init__(staging.writer, lambda _: None, lambda *_: None)
        self._staging = staging
        self._past = past
        self.counts: Counter[str] = Counter()  # of values, by signal
        self.steps: set[int] = set()

    def write(self, frame: OpenFrame, age: int, ended: float) -> None:
        """A frame of its own: of static signals, which no frame of the log called for."""
        events = frame.builder.events
        self.stage(frame, [(FROM_THE_DATA, events)])
        done = Frame(
            frame.step, ended, self.writer, 0, frame.phase, frame.failed,
            frame.builder.blobs, events,
        )  # fmt: skip
        self._past.passed(done, frame)

    def stage(self, frame: OpenFrame, computed: Sequence[_Computed]) -> None:
        """Stages some events of a frame."""
        builder = FrameBuilder()
        for source, events in computed:
            builder.add(MARK, source)
            for event in events:
                _copy(event, frame.builder.blobs, builder)
                self._count(event, frame.step, builder)
        self._staging.add(builder, frame.step, frame.phase, failed=frame.failed)

    def _count(self, event: WireEvent, step: int, builder: FrameBuilder) -> None:
        kind = CATALOGUE.get(event[0])
        if event[0] in _VALUES and kind is not None:
            blob = builder.events[-1][kind.index("values")]
            array = Frame(0, 0.0, b"", 0, "", False, builder.blobs, ()).vector(blob)
            self.counts[event[2]] += len(array)
        elif event[0] == "labels":
            self.counts[event[2]] += len(event[5])
        else:
            return
        self.steps.add(step)


def _copy(event: WireEvent, blobs: Sequence[Any], into: FrameBuilder) -> None:
    """Adds an event of one frame to another one, with the blobs that it names."""
    kind = CATALOGUE.get(event[0])
    assert kind is not None
    fields = list(event[2:])
    for place, field in enumerate(kind.fields):
        if field.type in ("vector", "ids") and fields[place] is not None:
            at = 2 * fields[place]
            fields[place] = into.blob(blobs[at], blobs[at + 1])
    into.add(event[0], *fields)


class Past:
    """What `Running` asks of a run, at the moment that is being played.

    ``loaders`` are the data by origin.
    """

    def __init__(self, log: PastLog, staging: Staging, arrays: ArrayStore) -> None:
        self._log = log
        self.writer = staging.writer
        self.recorder = PastRecorder(staging, self)
        self.arrays = arrays
        self.views = LocalViews(log, self.recorder, self.flush)
        self.memory = SignalMemory(log, self.recorder, self.flush)
        self.inputs = Inputs()
        self.loaders: Mapping[str, Data] = {}
        self.value_kinds: dict[str, str] = {}
        self._declared: set[str] = set()
        self._calls = Calls(arrays)

    @property
    def step(self) -> int:
        return self.recorder.step

    def flush(self) -> None:
        """There is nothing to wait for: the log holds the past, and the rest is staged."""

    def declare(
        self, signal: str, level: str, role: str, log: bool, detail: dict[str, Any]
    ) -> None:
        if signal not in self._declared:
            self._declared.add(signal)
            told = {**detail, "after_the_fact": True}
            self.recorder.add("signal_declared", signal, level, role, log, told)

    # -- playing ------------------------------------------------------------------------------

    def play(self, moment: Moment) -> None:
        """Lets one frame of the log pass, and computes what waits for what it holds."""
        frame = moment.frame
        opened = PastFrame(frame)
        self.recorder.frames.append(opened)
        try:
            self._play_events(moment, opened)
        finally:
            self.recorder.frames.pop()
        if opened.fresh:
            self.recorder.stage(opened, opened.fresh)
        self._log.played += 1
        self._log.next_position = max(self._log.next_position, moment.next_position)
        builder = opened.builder
        self.passed(replace(frame, blobs=builder.blobs, events=builder.events), opened)

    def passed(self, frame: Frame, opened: OpenFrame) -> None:
        """A frame is over, with all that was computed from it."""
        self.views.add(frame, opened)
        self.memory.add(frame, opened)

    def _play_events(self, moment: Moment, opened: PastFrame) -> None:
        events, passed = opened.builder.events, 0
        for call in self._calls.of(moment.frame):
            events += call.events
            count = len(events)
            for event in call.events:
                self._compute(moment.frame, event, call.arrays)
            passed += len(call.events)
            if len(events) > count:
                opened.fresh.append((moment.positions[passed - 1], events[count:]))

    def _compute(self, frame: Frame, event: WireEvent, arrays: Any) -> None:
        kind = event[0]
        if kind in _VALUES:
            self.value_kinds[event[2]] = "number"
            if event[2] not in registry.subscribers:
                return
            owners, values = owners_of(frame, event)
            dispatch(self, event[2], owners, values, None, arrays, step=frame.step)
        elif kind in _NO_NUMBERS:
            refuse_subscribers(self, event[2], _NO_NUMBERS[kind])
        elif kind == "step_values":
            for name in event[2]:
                refuse_subscribers(self, name, "step")
        elif kind == "run_started":  # another process: what it waited for was its own
            self.inputs = Inputs()
