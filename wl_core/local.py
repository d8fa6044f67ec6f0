"""LocalViews: the training process's own fold, where a value logged in this step is there at once.

A signal that asks for another signal's value must see what was logged a moment ago, which is not
in the log yet. So the recorder's frames are folded here as well, but only once somebody asks: a run
whose signals read nothing pays nothing. For everybody else the log is the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wl_core.batches import EventBatch, batches
from wl_core.codec import Frame, SampleId
from wl_core.log import EventLog
from wl_core.plugins import load_plugins
from wl_core.projection import Projection
from wl_core.recorder import Recorder

_NAMES = ("samples", "instances")
_HELD_FRAMES = 256


class LocalViews:
    """The ``samples`` and ``instances`` views, as of this very moment.

    ``flush`` returns when everything recorded is in ``log``.
    """

    def __init__(self, log: EventLog, recorder: Recorder, flush: Callable[[], None]) -> None:
        self._log = log
        self._recorder = recorder
        self._flush = flush
        self._views: dict[str, Projection] = {}
        self._held: list[Frame] = []
        self._from = 0

    def add(self, frame: Frame, seen: int = 0) -> None:
        """A frame was committed; ``seen`` of its events have been folded while it was open."""
        if not self._views or 0 <= frame.position < self._from:
            return
        self._held.append(_rest(frame, seen))
        if len(self._held) >= _HELD_FRAMES:
            self._fold()

    def view(self, name: str) -> Any:
        """The view of that name with everything that this process knows folded in."""
        if not self._views:
            self._begin()
        for open_frame in self._recorder.frames:
            builder = open_frame.builder
            if open_frame.seen_events < len(builder.events):
                frame = Frame(
                    open_frame.step, 0.0, self._recorder.writer, 0, open_frame.phase, False,
                    builder.blobs, builder.events,
                )  # fmt: skip
                self._held.append(_rest(frame, open_frame.seen_events))
                open_frame.seen_events = len(builder.events)
        self._fold()
        return self._views[name]

    def value(self, origin: str, sample_id: SampleId, column: str, annotation_id: int = 0) -> Any:
        """One cell: a number, text, a bool, or None when it is empty or there is no such sample."""
        if annotation_id:
            return self.view("instances").value(origin, sample_id, annotation_id, column)
        return self.view("samples").value(origin, sample_id, column)

    def _begin(self) -> None:
        """Folds what is in the log; from here on frames come by `add`."""
        classes = {made.name: made for made in load_plugins().collect("wl_projections")}
        self._views = {name: classes[name]() for name in _NAMES}
        self._flush()
        self._from = self._log.next_position
        whole = (f for f in self._log.frames(0, self._from) if isinstance(f, Frame))
        for batch in batches(whole, self._log.catalogue):
            for view in self._views.values():
                view.fold(batch)

    def _fold(self) -> None:
        if self._held:
            held, self._held = self._held, []
            batch = EventBatch(held, self._log.catalogue)
            for view in self._views.values():
                view.fold(batch)


def _rest(frame: Frame, seen: int) -> Frame:
    """The frame without its first events. Blobs are indexed, so they stay."""
    if not seen:
        return frame
    return Frame(
        frame.step, frame.time, frame.writer, frame.number, frame.phase, frame.failed,
        frame.blobs, frame.events[seen:], frame.position,
    )  # fmt: skip
