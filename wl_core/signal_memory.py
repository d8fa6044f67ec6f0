"""SignalMemory: the latest values of a signal and their histories, for the functions of signals.

Nothing is kept until somebody asks. The first question for a signal reads the log once; from there
on its values are taken from the frames as they are recorded, so that a value of this step is there
at once. A signal of which the latest value is asked takes 16 bytes a sample; one whose history is
asked about 120 bytes a sample and 18 a value. They share an index of the samples, about 100 bytes
each. Other questions (metadata, decisions, a value by its column) are `local`'s.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from wl_core.codec import Frame, SampleId
from wl_core.columns import grown
from wl_core.events import CATALOGUE, WireEvent
from wl_core.local import so_far
from wl_core.recorder import OpenFrame, Recorder
from wl_core.running import Log

# A sample's id, or that and an annotation_id: no sample id is a tuple.
Key: TypeAlias = SampleId | tuple[SampleId, int]
Trajectory: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
_Rows: TypeAlias = npt.NDArray[np.intp]

_SIGNAL, _ORIGIN = 2, 3  # where an event of values says whose they are
_NEVER = -1


class _Latest:
    """The last value of each row and its step."""

    def __init__(self) -> None:
        self._steps = np.empty(0, np.int64)
        self._values = np.empty(0, np.float64)

    def put(self, rows: _Rows, step: int, values: npt.NDArray[Any]) -> None:
        self._reserve(rows)
        self._steps[rows] = step
        self._values[rows] = values  # where a row comes twice the last one counts

    def _reserve(self, rows: _Rows) -> None:
        size = int(rows.max()) + 1 if len(rows) else 0
        self._steps = grown(self._steps, size, _NEVER)
        self._values = grown(self._values, size, np.nan)

    def of(self, rows: _Rows) -> Trajectory:
        """``(steps, values)`` of each row, -1 and NaN where there is none."""
        self._reserve(rows)
        return self._steps[rows], self._values[rows]


class _Trails:
    """All values of each row: its steps and values in turn, in one growing array."""

    def __init__(self) -> None:
        self._rows: list[array[float]] = []
        self._newest = _NEVER
        self._in_order = True  # until a script records something for a step of the past

    def put(self, rows: _Rows, step: int, values: npt.NDArray[Any]) -> None:
        self._in_order = self._in_order and step >= self._newest
        self._newest = max(step, self._newest)
        missing = int(rows.max()) + 1 - len(self._rows) if len(rows) else 0
        self._rows += [array("d") for _ in range(missing)]
        for row, value in zip(rows.tolist(), values.tolist(), strict=True):
            self._rows[row].extend((step, value))

    def of(self, row: int, step: int) -> Trajectory:
        found = np.array(self._rows[row] if row < len(self._rows) else (), np.float64)
        steps, values = found[0::2].astype(np.int64), found[1::2]
        if not len(steps) or (self._in_order and steps[-1] <= step):
            return steps, values
        return steps[steps <= step], values[steps <= step]


_Kept: TypeAlias = _Latest | _Trails


class SignalMemory:
    """What was recorded of the signals that somebody asked for, as of this very moment.

    ``flush`` returns when everything recorded is in ``log``.
    """

    def __init__(self, log: Log, recorder: Recorder, flush: Callable[[], None]) -> None:
        self._log = log
        self._recorder = recorder
        self._flush = flush
        self._rows: defaultdict[str, dict[Key, int]] = defaultdict(dict)
        self._kept: dict[str, dict[type[_Kept], defaultdict[str, Any]]] = {}
        self._taken: dict[OpenFrame, int] = {}  # how many events of an open frame are in here

    def add(self, frame: Frame, opened: OpenFrame) -> None:
        """A frame of this process was committed."""
        if self._kept:
            self._take(frame, self._taken.pop(opened, 0))

    def latest(self, name: str, origin: str, keys: Sequence[Key]) -> Trajectory:
        """The step and value ``[B]`` of what was recorded last of each; -1 and NaN for nothing."""
        kept = self._of(name, _Latest, origin)
        found: Trajectory = kept.of(self._rows_of(origin, keys))
        return found

    def histories(
        self, name: str, origin: str, keys: Sequence[Key]
    ) -> list[Callable[[int], Trajectory]]:
        """For each key what gives its steps and values ``[N]`` up to a step, in the log's order."""
        kept = self._of(name, _Trails, origin)
        return [partial(kept.of, row) for row in self._rows_of(origin, keys).tolist()]

    def _rows_of(self, origin: str, keys: Sequence[Key]) -> _Rows:
        known = self._rows[origin]
        return np.asarray([known.setdefault(key, len(known)) for key in keys], np.intp)

    # -- taking values in ----------------------------------------------------------------------

    def _of(self, name: str, kind: type[_Kept], origin: str) -> Any:
        self._recorder.settle()
        self._catch_up()
        kept = self._kept.get(name)
        if kept is None or kind not in kept:
            self._begin(name, kind)
        return self._kept[name][kind][origin]

    def _begin(self, name: str, kind: type[_Kept]) -> None:
        """Reads the past of one signal: the log, and what the open frames held until now."""
        into: defaultdict[str, Any] = defaultdict(kind)
        self._flush()
        for frame in self._log.frames(0, self._log.next_position):
            if isinstance(frame, Frame):
                self._read(frame, frame.events, {name: {kind: into}})
        for opened in self._recorder.frames:
            frame = so_far(self._recorder.writer, opened)
            self._taken.setdefault(opened, len(frame.events))
            self._read(frame, frame.events[: self._taken[opened]], {name: {kind: into}})
        self._kept.setdefault(name, {})[kind] = into

    def _catch_up(self) -> None:
        if not self._kept:
            return
        for opened in self._recorder.frames:
            taken, count = self._taken.get(opened, 0), len(opened.builder.events)
            if taken < count:
                self._taken[opened] = count
                self._take(so_far(self._recorder.writer, opened), taken)

    def _take(self, frame: Frame, start: int) -> None:
        self._read(frame, frame.events[start:], self._kept)

    def _read(
        self,
        frame: Frame,
        events: Sequence[WireEvent],
        kept: dict[str, dict[type[_Kept], defaultdict[str, Any]]],
    ) -> None:
        for event in events:
            if event[0] not in _KEYS or event[_SIGNAL] not in kept:
                continue
            origin: str = event[_ORIGIN]
            rows = self._rows_of(origin, _KEYS[event[0]](frame, event))
            values = frame.vector(_field(event, "values"))
            for into in kept[event[_SIGNAL]].values():
                into[origin].put(rows, frame.step, values)


def _field(event: WireEvent, name: str) -> Any:
    kind = CATALOGUE.get(event[0])
    assert kind is not None
    return event[kind.index(name)]


def _keys_of_samples(frame: Frame, event: WireEvent) -> Sequence[Key]:
    return frame.ids(_field(event, "ids"))


def _keys_of_instances(frame: Frame, event: WireEvent) -> Sequence[Key]:
    ids = frame.ids(_field(event, "ids"))
    at = frame.vector(_field(event, "batch_idx")).tolist()
    numbers = frame.vector(_field(event, "annotation_ids")).tolist()
    return [(ids[place], number) for place, number in zip(at, numbers, strict=True)]


_KEYS: dict[str, Callable[[Frame, WireEvent], Sequence[Key]]] = {
    "values": _keys_of_samples,
    "instance_values": _keys_of_instances,
}
