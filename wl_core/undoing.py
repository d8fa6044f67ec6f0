"""Undoing: which decisions a log holds, which of them count, and which are meant by "the last two".

A decision is what one call or command decided: the events of one frame, which count or are undone
together. (Frames of guards hold a whole step; there, each event is a decision.) An undo is an event
too, and does not erase: the state of things is that of all decisions that count, in the order of
the log, so a decision that is redone takes its old place among the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wl_core.codec import Frame, SampleId
from wl_core.errors import UsageError
from wl_core.requests import Request, requests_of

CURATION = frozenset({"tagged", "discarded", "categorised", "category_registered"})
_NAMED_SAMPLES = 3


@dataclass(frozen=True, slots=True)
class Decision:
    """What one call decided, and whether it counts.

    ``positions`` are those of its events. ``time`` is in seconds since 1970, ``step`` the step at
    which it was recorded, ``what`` what it says in words.
    """

    positions: tuple[int, ...]
    step: int
    time: float
    who: str
    why: str
    what: str
    undone: bool

    @property
    def position(self) -> int:
        """The position of its first event, by which it can be undone."""
        return self.positions[0]


class History:
    """The decisions of a log, given the frames that hold them (`EventLog.decisions`)."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._calls: list[list[Request]] = []
        self._undos: list[Request] = []
        for frame in frames:
            self._take(frame)
        self._marks = {
            position: undo for undo in self._undos for position in undo.field("positions")
        }

    def _take(self, frame: Frame) -> None:
        found = requests_of(frame)
        self._undos += [one for one in found if one.kind.name == "undone"]
        made = [one for one in found if one.kind.name in CURATION]
        if frame.phase == "outside" and made:
            self._calls.append(made)
        else:
            self._calls += [[one] for one in made]

    def counting(self, count: int) -> list[Decision]:
        """The last ``count`` decisions that count, the newest first."""
        return self._first(reversed(self._calls), count, undone=False)

    def undone(self, count: int) -> list[Decision]:
        """The last ``count`` decisions that were undone, the one undone last first."""
        calls = sorted(self._calls, key=self._undone_at, reverse=True)
        return self._first(iter(calls), count, undone=True)

    def at(self, position: int, *, undone: bool) -> Decision:
        """The decision of which the event at that position is one.

        Raises:
            UsageError: there is none, or it is ``undone`` or not, unlike what was asked for.
        """
        for call in self._calls:
            if position in [one.position for one in call]:
                if self._is_undone(call) != undone:
                    state = "was not undone" if undone else "is undone already"
                    raise UsageError(f"the decision at position {position} {state}")
                return self._said(call)
        raise UsageError(
            f"the event at position {position} is no decision about data: `wl history-of SAMPLE`"
            " and `wl events --kind discarded` show positions of those"
        )

    def of_sample(
        self, origin: str, sample_id: SampleId, annotation_id: int | None = None
    ) -> list[Decision]:
        """All that was decided on a sample and its instances, or on one instance, and its undos.

        In the order of the log; an undo says in ``what`` which decisions it took back.
        """
        found: list[Decision] = []
        positions: set[int] = set()
        for call in self._calls:
            about = [one for one in call if _is_about(one, origin, sample_id, annotation_id)]
            if about:
                found.append(self._said(about))
                positions.update(one.position for one in call)
        for undo in self._undos:
            taken = sorted(positions.intersection(undo.field("positions")))
            if taken:
                word = "undo" if undo.field("undone") else "redo"
                what = f"{word} {', '.join(map(str, taken))}"
                found.append(_decision([undo], what, undone=False))
        return sorted(found, key=lambda decision: decision.position)

    def _first(self, calls: Iterator[list[Request]], count: int, *, undone: bool) -> list[Decision]:
        found: list[Decision] = []
        for call in calls:
            if len(found) == count:
                break
            if self._is_undone(call) == undone:
                found.append(self._said(call))
        return found

    def _is_undone(self, call: list[Request]) -> bool:
        marks = [self._marks.get(one.position) for one in call]
        return all(mark is not None and mark.field("undone") for mark in marks)

    def _undone_at(self, call: list[Request]) -> int:
        marks = [self._marks.get(one.position) for one in call]
        return max(-1 if mark is None else mark.position for mark in marks)

    def _said(self, call: list[Request]) -> Decision:
        what = "; ".join(_what(one) for one in call)
        return _decision(call, what, undone=self._is_undone(call))


def _decision(call: list[Request], what: str, *, undone: bool) -> Decision:
    first = call[0]
    return Decision(
        tuple(one.position for one in call),
        first.frame.step,
        first.frame.time,
        first.field("who"),
        first.field("why"),
        what,
        undone,
    )


def _is_about(event: Request, origin: str, sample_id: SampleId, annotation_id: int | None) -> bool:
    if event.kind.name == "category_registered" or event.field("origin") != origin:
        return False
    ids, numbers = event.ids(), event.vector("annotation_ids")
    if annotation_id is None:
        return sample_id in ids
    return numbers is not None and (sample_id, annotation_id) in zip(ids, numbers, strict=True)


def _what(event: Request) -> str:
    match event.kind.name:
        case "category_registered":
            return f"register {event.field('name')}: {', '.join(event.field('categories'))}"
        case "tagged":
            said = f"{'tag' if event.field('add') else 'untag'} {event.field('tag')} on"
        case "categorised":
            said = f"set {event.field('name')}={event.field('value') or ''} on"
        case _:
            said = "discard" if event.field("discarded") else "restore"
    return f"{said} {_whom(event)} ({event.field('origin')})"


def _whom(event: Request) -> str:
    ids, numbers = event.ids(), event.vector("annotation_ids")
    what = "samples" if numbers is None else "instances"
    if len(ids) > _NAMED_SAMPLES:
        return f"{len(ids)} {what}"
    if numbers is None:
        return ", ".join(map(str, ids)) or "no samples"
    pairs = zip(ids, numbers, strict=True)
    return ", ".join(f"instance {number} of {one}" for one, number in pairs) or "no instances"
