"""What a run that is continued knows of its settings from before: what was said, what was edited.

An edit holds for as long as the script says what it said when the edit was made; once the script
says something else, the script is right. What the script said is recorded by `settings` directly
after the ``object_described`` of the object that it said it of; any other ``hyperparameters`` event
is an edit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wl_core.codec import Frame
from wl_core.errors import RefusedError
from wl_core.requests import Request, requests_of
from wl_core.setting_values import fitting, flatten

Key = tuple[str, str]  # role and name of an object, as ``object_described`` has them


@dataclass(frozen=True, slots=True)
class Edit:
    """The last edit of a setting; ``position`` is that of its event, -1 if it is not known."""

    value: Any
    position: int


class PastSettings:
    """``said`` is what the script said last of each name; ``edits`` what was edited since.

    ``names`` are the names that each object had.
    """

    def __init__(self, frames: Iterable[Frame] = ()) -> None:
        self.said: dict[str, Any] = {}
        self.names: dict[Key, set[str]] = {}
        self.edits: dict[str, Edit] = {}
        held = list(frames)
        self._refused = _refused(held)
        for frame in held:
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        described: Key | None = None
        for request in requests_of(frame):
            kind = request.kind.name
            if kind == "hyperparameters" and described is not None:
                self._say(described, values_of(request))
            elif kind == "hyperparameters" and request.position not in self._refused:
                self._edit(request)
            described = None
            if kind == "object_described":
                described = request.field("role"), request.field("name")

    def _say(self, described: Key, values: dict[str, Any]) -> None:
        names = self.names.setdefault(described, set())
        for name, value in values.items():
            self.edits.pop(name, None)
            if value is None and name in self.said and self.said[name] is not None:
                names.discard(name)  # it is gone
                del self.said[name]
            else:
                names.add(name)
                self.said[name] = value

    def _edit(self, request: Request) -> None:
        who = request.field("who")
        for name, value in values_of(request).items():
            if who == "file" and name in self.said:
                self.said[name] = value  # the file is what the script says
            if who == "script" or self._fits(name, value):
                self.edits[name] = Edit(value, request.position)

    def _fits(self, name: str, value: Any) -> bool:
        """Of what was asked for while no training ran, nobody has checked this."""
        if name not in self.said:
            return False
        known = self.edits[name].value if name in self.edits else self.said[name]
        try:
            fitting(name, known, value)
        except RefusedError:
            return False
        return True

    def added(self, prefix: str) -> dict[str, Edit]:
        """What the script added to its mapping with that prefix while it trained."""
        others = {f"{name}." for _, name in self.names if name}
        return {
            name: edit
            for name, edit in self.edits.items()
            if name not in self.said
            and name.startswith(prefix)
            and not any(name.startswith(other) for other in others if len(other) > len(prefix))
        }

    def forget(self, names: Iterable[str]) -> None:
        """The script has spoken of these; what was before matters no more."""
        for name in list(names):
            self.said.pop(name, None)
            self.edits.pop(name, None)


def values_of(request: Request) -> dict[str, Any]:
    """The values of a ``hyperparameters`` event by full name; what is no mapping has none."""
    values = request.field("values")
    return dict(flatten("", values)) if isinstance(values, Mapping) else {}


def _refused(frames: Iterable[Frame]) -> set[int]:
    """The positions of requests that the training refused when they were made."""
    return {
        request.field("request")
        for frame in frames
        for request in requests_of(frame)
        if request.kind.name == "obeyed" and request.field("refused")
    }
