"""What was asked of the training, and what came of it, gathered from events as they come."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from tui.commands import WHO
from tui.words import clock, duration
from wl_core.codec import Event
from wl_core.setting_values import shown

_KINDS = frozenset(
    {
        "pause_requested",
        "resume_requested",
        "steps_requested",
        "stop_requested",
        "evaluation_requested",
        "evaluation_cancel_requested",
    }
)
_OF_DATA = frozenset({"tagged", "discarded", "categorised", "undone", "category_registered"})
# What a script sets itself is of these kinds as well: it is a request if it is answered.
_ANSWERED_TOO = _OF_DATA | {"hyperparameters"}
_REMEMBERED = 100  # of those


@dataclass(frozen=True, slots=True)
class Answer:
    """``step`` and ``seconds``: where, and how long after it was asked; ``refused``: why, if so."""

    step: int
    seconds: float
    refused: str


@dataclass(slots=True)
class RequestsTold:
    """Requests about how the training goes on, by position, and their answers."""

    requests: dict[int, Event] = field(default_factory=dict)
    answers: dict[int, Answer] = field(default_factory=dict)
    _edits: dict[int, Event] = field(default_factory=dict)  # that nobody has answered
    _obeyed: dict[int, Event] = field(default_factory=dict)  # of requests not seen yet

    def take(self, events: Iterable[Event]) -> None:
        """Newer events, or such as were looked up."""
        for event in events:
            if event.kind == "obeyed":
                self._obeyed[event.data["request"]] = event
            elif event.kind in _KINDS or (
                event.kind == "hyperparameters" and event.data["who"] == WHO
            ):
                self.requests[event.position] = event
            elif event.kind in _ANSWERED_TOO:
                self._edits[event.position] = event
        self._match()
        for position in list(self._edits)[:-_REMEMBERED]:
            del self._edits[position]

    def _match(self) -> None:
        for position, obeyed in list(self._obeyed.items()):
            asked = self.requests.get(position) or self._edits.pop(position, None)
            if asked is None:
                continue
            del self._obeyed[position]
            if asked.kind not in _OF_DATA:
                self.requests[position] = asked
                self.answers[position] = Answer(
                    obeyed.step, obeyed.time - asked.time, obeyed.data["refused"]
                )

    @property
    def unknown(self) -> list[int]:
        """Positions of requests that were answered and are yet to be looked up."""
        return list(self._obeyed)

    @property
    def last(self) -> Event | None:
        """The newest request."""
        return self.requests[max(self.requests)] if self.requests else None

    def forget(self, positions: Iterable[int]) -> None:
        """What was looked up in vain."""
        for position in positions:
            self._obeyed.pop(position, None)

    def edit_of(self, name: str) -> Event | None:
        """The newest request for another value of that hyperparameter."""
        edits = [
            one
            for one in self.requests.values()
            if one.kind == "hyperparameters" and name in one.data["values"]
        ]
        return max(edits, key=lambda one: one.position) if edits else None

    def outcome(self, asked: Event, *, alive: bool) -> str:
        """What came of a request, in words."""
        answer = self.answers.get(asked.position)
        if answer is None:
            if alive:
                waited = duration(time.time() - asked.time)
                return f"asked {waited} ago, the training obeys at its next guard"
            is_setting = asked.kind == "hyperparameters"
            return "holds when the run is continued" if is_setting else "nobody is there to obey"
        if answer.refused:
            return f"refused: {answer.refused}"
        return f"obeyed at step {answer.step:,}, {_shortly(answer.seconds)} after it was asked"

    def setting_state(self, name: str, *, alive: bool) -> str:
        """What came of the last edit of a hyperparameter; nothing when nobody asked for one."""
        asked = self.edit_of(name)
        if asked is None:
            return ""
        answer = self.answers.get(asked.position)
        if answer is None:
            return "asked" if alive else "for a continued run"
        if answer.refused:
            return f"refused: {answer.refused}"
        return f"in force since step {answer.step:,}"


def request_said(asked: Event) -> str:
    """``pause by tui at 12:30:01: the loss explodes``"""
    data = asked.data
    match asked.kind:
        case "steps_requested":
            what = "1 step" if data["count"] == 1 else f"{data['count']} steps"
        case "evaluation_requested":
            tag = f" ({data['tag']})" if data["tag"] else ""
            what = f"evaluate {data['origin']}{tag}"
        case "hyperparameters":
            what = ", ".join(f"{name}={shown(value)}" for name, value in data["values"].items())
        case "evaluation_cancel_requested":
            what = "give the evaluation up"
        case kind:
            what = kind.removesuffix("_requested")
    why = f": {data['why']}" if data["why"] else ""
    return f"{what} by {data['who'] or 'nobody named'} at {clock(asked.time)}{why}"


def _shortly(seconds: float) -> str:
    return f"{1000 * max(0.0, seconds):.0f} ms" if seconds < 1 else duration(seconds)
