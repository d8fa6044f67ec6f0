"""Where two runs part: read side by side, frame by frame, in little memory.

First frames that are the same to the last bit (a branch and its parent), then events that say the
same: what was measured and what was decided, without when, by whom and in which process. That is
how two runs of one script with the same seed compare. Settings that a script begins with are no
event to part at; those that differ, and what else the views differ in, is `diff_views`' business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from wl_core.codec import Event, Frame, frame_events
from wl_core.events import CATALOGUE, Kind
from wl_core.log import EventLog
from wl_core.setting_values import flatten

Progress = Callable[[int, int], object]

# Of the life of a process and of what it finds in its data, which each process tells anew; and of
# the pace at which people let it train.
_UNCOMPARED = frozenset(
    {
        "run_started", "run_finished", "branched", "model_saved", "model_restored",
        "object_described", "signal_declared", "metadata", "instances_found",
        "pause_requested", "resume_requested", "steps_requested", "stop_requested",
        "paused", "resumed", "obeyed", "evaluation_requested", "evaluation_cancel_requested",
        "evaluation_progressed",
    }
)  # fmt: skip
# Who did it and where it stands say nothing of what was done.
_UNCOMPARED_FIELDS = frozenset({"who", "traceback", "request"})

_MEASURED = frozenset({"values", "instance_values", "labels", "group_values", "arrays"})

_REPORT_EVERY = 2_000


@dataclass(frozen=True, slots=True)
class Fact:
    """One event as it is compared: ``what`` is equal for events that say the same."""

    frame: Frame
    offset: int
    what: tuple[Any, ...]

    @property
    def event(self) -> Event:
        """The event for people."""
        events = list(frame_events(self.frame))
        return events[self.offset]


@dataclass(frozen=True, slots=True)
class Parting:
    """Where two runs part.

    ``events`` at the beginning are the same to the last bit, up to step ``shared_step`` (None when
    there are none). Up to ``same_step`` both say the same. ``first`` are the first events that say
    something else, of either run; None where that run ends before. Both are None for runs that say
    the same throughout.
    """

    events: int
    shared_step: int | None
    same_step: int | None
    first: tuple[Fact | None, Fact | None]

    def fields(self) -> list[str]:
        """What the two first events differ in, if they are of one kind."""
        one, other = self.first
        if one is None or other is None or one.what[0] != other.what[0]:
            return []
        mine, theirs = dict(one.what[1]), dict(other.what[1])
        return [name for name in mine if mine[name] != theirs.get(name)]


def where_they_part(one: EventLog, other: EventLog, progress: Progress) -> Parting:
    """Reads both logs up to where they part; ``progress`` gets positions of the first one."""
    end = max(1, one.next_position)
    mine, theirs = _whole(one), _whole(other)
    told = _Told()
    events, shared = 0, None
    left, right = next(mine, None), next(theirs, None)
    while left is not None and left == right:
        told.take(left)
        events, shared = left.position + left.count, _later(shared, left.step)
        _report(progress, left, end)
        left, right = next(mine, None), next(theirs, None)
    same, first = _compare(
        _facts(left, mine, told.copy()), _facts(right, theirs, told), progress, end
    )
    return Parting(events, shared, _later(shared, same), first)


def _compare(
    mine: Iterator[Fact], theirs: Iterator[Fact], progress: Progress, end: int
) -> tuple[int | None, tuple[Fact | None, Fact | None]]:
    same: int | None = None
    while True:
        left, right = next(mine, None), next(theirs, None)
        if left is None or right is None or left.what != right.what:
            return same, (left, right)
        same = _later(same, left.frame.step)
        _report(progress, left.frame, end)


def _later(one: int | None, other: int | None) -> int | None:
    return max((step for step in (one, other) if step is not None), default=None)


def _report(progress: Progress, frame: Frame, end: int) -> None:
    if frame.position // _REPORT_EVERY != (frame.position + frame.count) // _REPORT_EVERY:
        progress(frame.position, end)


def _whole(log: EventLog) -> Iterator[Frame]:
    return (one for one in log.frames() if isinstance(one, Frame))


def _facts(first: Frame | None, rest: Iterator[Frame], told: _Told) -> Iterator[Fact]:
    if first is None:
        return
    yield from told.facts(first)
    for frame in rest:
        yield from told.facts(frame)


class _Told:
    """What a run has said so far of what it says again only when a process begins.

    Settings and values of a step, such as a learning rate, are compared where they change; values
    that were measured outside of guards, such as static signals, when they are said first.
    """

    def __init__(self) -> None:
        self._settings: dict[str, Any] = {}
        self._step_values: dict[str, Any] = {}
        self._outside: set[bytes] = set()  # hashes

    def copy(self) -> _Told:
        made = _Told()
        made._settings, made._step_values = dict(self._settings), dict(self._step_values)
        made._outside = set(self._outside)
        return made

    def take(self, frame: Frame) -> None:
        for event in frame.events:
            if self._changes(frame, event) is None and frame.phase == "outside":
                self._is_again(event, _said(frame, event))

    def facts(self, frame: Frame) -> Iterator[Fact]:
        for offset, event in enumerate(frame.events):
            if event[0] in _UNCOMPARED:
                continue
            changes = self._changes(frame, event)
            if changes == {} or _is_said(frame, offset):
                continue
            said = (
                _said(frame, event) if changes is None else (("values", sorted(changes.items())),)
            )
            if frame.phase == "outside" and self._is_again(event, said):
                continue
            yield Fact(frame, offset, (event[0], said, frame.step, frame.phase, frame.failed))

    def _is_again(self, event: tuple[Any, ...], said: tuple[Any, ...]) -> bool:
        """Whether the very same was measured before; it is remembered if not."""
        if event[0] not in _MEASURED:
            return False
        digest = hashlib.blake2b(repr((event[0], said)).encode(), digest_size=16).digest()
        if digest in self._outside:
            return True
        self._outside.add(digest)
        return False

    def _changes(self, frame: Frame, event: tuple[Any, ...]) -> dict[str, Any] | None:
        """What is new of an event of those kinds; None for any other event."""
        if event[0] == "hyperparameters":
            values = {name: repr(value) for name, value in flatten("", _field(event, "values"))}
            return _new(self._settings, values)
        if event[0] == "step_values":
            vector = frame.vector(_field(event, "values"))
            values = {
                name: one.tobytes()
                for name, one in zip(_field(event, "names"), vector, strict=True)
            }
            return _new(self._step_values, values)
        return None


def _is_said(frame: Frame, offset: int) -> bool:
    """Whether these are the settings of a script that begins, and not an edit of them."""
    before = frame.events[offset - 1][0] if offset else ""
    return bool(frame.events[offset][0] == "hyperparameters" and before == "object_described")


def _new(known: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    missing = object()
    found = {name: value for name, value in values.items() if known.get(name, missing) != value}
    known.update(values)
    return found


def _kind(event: tuple[Any, ...]) -> Kind | None:
    return CATALOGUE.get(event[0])


def _field(event: tuple[Any, ...], name: str) -> Any:
    kind = _kind(event)
    assert kind is not None
    return event[kind.index(name)]


def _said(frame: Frame, event: tuple[Any, ...]) -> tuple[tuple[str, Any], ...]:
    """The fields that are compared, with vectors as their bytes and JSON as text."""
    kind = _kind(event)
    if kind is None:
        return (("fields", repr(event[2:])),)
    found = []
    for field, value in zip(kind.fields, event[2:], strict=True):
        if field.name in _UNCOMPARED_FIELDS:
            continue
        plain = value
        if value is not None and field.type in ("ids", "vector"):
            code, data = frame.blobs[2 * value], frame.blobs[2 * value + 1]
            plain = (code, data)
        elif field.type in ("json", "float"):
            plain = repr(value)  # in which a NaN equals itself
        found.append((field.name, plain))
    return tuple(found)
