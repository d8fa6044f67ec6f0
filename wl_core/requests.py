"""Requests: what other processes append for the training to obey, and that it did.

A request is an event in the log like any other. Parts of the session say by `on` which kinds they
obey; here it is seen to that each is obeyed once, and that it is recorded what was obeyed and when.
What still holds when a run is continued is `decisions`' and `settings`'.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wl_core.codec import Frame, SampleId
from wl_core.errors import RefusedError
from wl_core.events import CATALOGUE, Kind, WireEvent
from wl_core.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Request:
    """One event that asks something of the training; ``position`` is -1 before it is committed."""

    kind: Kind
    frame: Frame
    event: WireEvent
    position: int

    def field(self, name: str) -> Any:
        """A scalar field by its name in the catalogue."""
        return self.event[self.kind.index(name)]

    def ids(self, name: str = "ids") -> list[SampleId]:
        return self.frame.ids(self.field(name))

    def vector(self, name: str) -> list[Any] | None:
        """A vector field as a list, None where it is absent."""
        index = self.field(name)
        return None if index is None else self.frame.vector(index).tolist()


Handler = Callable[[Request], None]


def requests_of(frame: Frame) -> list[Request]:
    """The frame's events of known kinds."""
    found = []
    for offset, event in enumerate(frame.events):
        kind = CATALOGUE.get(event[0])
        if kind is not None:
            position = frame.position + offset if frame.position >= 0 else -1
            found.append(Request(kind, frame, event, position))
    return found


class Requests:
    """Who obeys which kind of event."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._handlers: dict[str, Handler] = {}

    def on(self, kind: str, handler: Handler) -> None:
        """``handler`` obeys events of that kind; it raises `RefusedError` where it cannot."""
        self._handlers[kind] = handler

    def obey(self, frame: Frame) -> None:
        """Does what a frame of another process asks, and records that."""
        for request in requests_of(frame):
            handler = self._handlers.get(request.kind.name)
            if handler is None:
                continue
            refused = ""
            try:
                handler(request)
            except RefusedError as error:
                refused = str(error)
            self._recorder.add("obeyed", request.position, refused)
