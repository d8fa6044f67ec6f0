"""LocalViews: the training process's own fold, where a value logged in this step is there at once.

A signal that asks for another signal's value must see what was logged a moment ago, which is not
in the log yet. So the recorder's frames are kept here once somebody has asked: a run whose signals
read nothing pays nothing. Folding a single step costs as much as folding a hundred, so frames are
folded many at a time; a value that is in none of the folded ones is found in those that wait. For
everybody else the log is the truth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from wl_core.batches import EventBatch, batches
from wl_core.codec import Frame, SampleId
from wl_core.plugins import load_plugins, projections
from wl_core.projection import Projection
from wl_core.recorder import OpenFrame, Recorder
from wl_core.running import Log
from wl_core.table import normalise_name

_NAMES = ("samples", "instances")
_WAITING_FRAMES = 256


class _Logged:
    """One ``values`` event that is not folded yet, read when it is first asked."""

    __slots__ = ("_event", "_found", "_frame")

    def __init__(self, frame: Frame, event: tuple[Any, ...]) -> None:
        self._frame = frame
        self._event = event
        self._found: dict[SampleId, float] | None = None

    def get(self, sample_id: SampleId) -> float | None:
        if self._found is None:
            *_, ids, values = self._event
            found: list[float] = self._frame.vector(values).tolist()
            # Of equal ids the last one counts.
            self._found = dict(zip(self._frame.ids(ids), found, strict=True))
        return self._found.get(sample_id)


class LocalViews:
    """The ``samples`` and ``instances`` views, as of this very moment.

    ``flush`` returns when everything recorded is in ``log``.
    """

    def __init__(self, log: Log, recorder: Recorder, flush: Callable[[], None]) -> None:
        self._log = log
        self._recorder = recorder
        self._flush = flush
        self._views: dict[str, Projection] = {}
        self._waiting: list[Frame] = []
        self._logged: defaultdict[tuple[str, str], list[_Logged]] = defaultdict(list)
        self._from = 0
        self._next = 0

    def add(self, frame: Frame, opened: OpenFrame | None = None) -> None:
        """A frame was committed: by this process, which had it ``opened``, or by another one."""
        if not self._views or 0 <= frame.position < self._from:
            return
        if any(event[0] == "undone" for event in frame.events):
            self._forget()
            return
        folded, indexed = (opened.folded_events, opened.indexed_events) if opened else (0, 0)
        self._wait(frame, folded)
        self._index(frame, indexed)
        if len(self._waiting) >= _WAITING_FRAMES:
            self._fold()

    def _forget(self) -> None:
        """An undo speaks of positions, which frames get in the log alone: it is folded anew."""
        self._views.clear()
        self._waiting.clear()
        self._logged.clear()
        for opened in self._recorder.frames:
            opened.folded_events = opened.indexed_events = 0

    def view(self, name: str) -> Any:
        """The view of that name with everything that this process knows folded in."""
        self._recorder.settle()
        self._begin()
        self._fold()
        return self._views[name]

    def value(self, origin: str, sample_id: SampleId, column: str, annotation_id: int = 0) -> Any:
        """One cell: a number, text, bool or list; None if it is empty or of no known sample."""
        if annotation_id:
            return self.view("instances").value(origin, sample_id, annotation_id, column)
        self._recorder.settle()
        self._begin()
        for opened in self._recorder.frames:
            self._index(so_far(self._recorder.writer, opened), opened.indexed_events)
            opened.indexed_events = len(opened.builder.events)
        signal = normalise_name(column)
        for logged in reversed(self._logged.get((signal, origin), ())):
            found = logged.get(sample_id)
            if found is not None:
                return found
        samples: Any = self._views["samples"]
        if not samples.has_numbers(signal):  # another kind of column: what waits may change it
            self._fold()
        return samples.value(origin, sample_id, column)

    def _begin(self) -> None:
        """Folds what is in the log, the first time; from here on frames come by `add`."""
        if self._views:
            return
        classes = {kind.name: kind for _, kind in projections(load_plugins())}
        self._views = {name: classes[name]() for name in _NAMES}
        self._flush()
        self._from = self._next = self._log.next_position
        whole = (f for f in self._log.frames(0, self._from) if isinstance(f, Frame))
        for batch in batches(whole, self._log.catalogue):
            for view in self._views.values():
                view.fold(batch)

    def _index(self, frame: Frame, indexed: int) -> None:
        for event in frame.events[indexed:]:
            if event[0] == "values":
                self._logged[event[2], event[3]].append(_Logged(frame, event))

    def _wait(self, frame: Frame, seen: int) -> None:
        """Keeps a frame without its first events; blobs are indexed, so they stay.

        It gets a position, though not that of the log, because views order decisions by it.
        """
        events = frame.events[seen:]
        rest = Frame(
            frame.step, frame.time, frame.writer, frame.number, frame.phase, frame.failed,
            frame.blobs, events, self._next,
        )  # fmt: skip
        self._waiting.append(rest)
        self._next += len(events)

    def _fold(self) -> None:
        for opened in self._recorder.frames:
            count = len(opened.builder.events)
            if opened.folded_events < count:
                whole = so_far(self._recorder.writer, opened)
                self._wait(whole, opened.folded_events)
                opened.folded_events = opened.indexed_events = count
        if self._waiting:
            batch = EventBatch(self._waiting, self._log.catalogue)
            self._waiting = []
            self._logged.clear()
            for view in self._views.values():
                view.fold(batch)


def so_far(writer: bytes, opened: OpenFrame) -> Frame:
    """What a writer's open frame holds at this moment."""
    return Frame(
        opened.step, 0.0, writer, 0, opened.phase, False,
        opened.builder.blobs, opened.builder.events,
    )  # fmt: skip
