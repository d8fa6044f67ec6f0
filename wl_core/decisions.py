"""What the training must know of the decisions that count: discards and categories.

`SampleView` and `InstanceView` fold the same events for readers; here the training process keeps
what it must know in every step. Which decision is undone by which is `undoing`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wl_core.codec import Frame, SampleId
from wl_core.requests import Request, requests_of


def undone_positions(frames: Iterable[Frame]) -> set[int]:
    """The positions of the decisions that do not count, in the light of all of these frames."""
    undone: set[int] = set()
    for frame in frames:
        for request in requests_of(frame):
            if request.kind.name == "undone":
                positions = set(request.field("positions"))
                undone = undone | positions if request.field("undone") else undone - positions
    return undone


def _counting(frames: Iterable[Frame], kind: str) -> Iterator[Request]:
    """The events of that kind that were not undone."""
    held = list(frames)
    undone = undone_positions(held)
    for frame in held:
        for request in requests_of(frame):
            if request.kind.name == kind and request.position not in undone:
                yield request


def tagged_samples(frames: Iterable[Frame], origin: str, tag: str) -> list[SampleId]:
    """The samples of that origin that have the tag, in the order in which they got it."""
    held = list(frames)
    undone = undone_positions(held)
    found: dict[SampleId, None] = {}
    for request in (one for frame in held for one in requests_of(frame)):
        if request.kind.name != "tagged" or request.position in undone:
            continue
        if (request.field("tag"), request.field("origin")) != (tag, origin):
            continue
        if request.field("annotation_ids") is not None:
            continue
        for one in request.ids():
            if request.field("add"):
                found[one] = None
            else:
                found.pop(one, None)
    return list(found)


class Discards:
    """The samples and instances that are discarded now: ``(origin, sample_id, annotation_id)``.

    ``keys`` is replaced when it changes, never changed in place: who has compared it by identity
    knows that nothing happened. ``ahead`` says that it holds what this process decided itself, of
    which it does not know yet between which decisions of others the log has put it.
    """

    def __init__(self) -> None:
        self.keys: frozenset[tuple[str, SampleId, int]] = frozenset()
        self.ahead = False

    def apply(self, request: Request) -> None:
        """Takes in one ``discarded`` event."""
        self.change(
            request.field("discarded"),
            request.field("origin"),
            request.ids(),
            request.vector("annotation_ids") or [0],
        )

    def change(
        self, discarded: bool, origin: str, ids: list[SampleId], annotations: list[int]
    ) -> None:
        if len(annotations) == 1:
            annotations = annotations * len(ids)
        keys = frozenset(
            (origin, one, number) for one, number in zip(ids, annotations, strict=True)
        )
        self.keys = self.keys | keys if discarded else self.keys - keys

    def rebuild(self, frames: Iterable[Frame]) -> None:
        """Starts anew from all decisions of the log, after one of them was undone."""
        fresh = Discards()
        for request in _counting(frames, "discarded"):
            fresh.apply(request)
        self.ahead = False
        if fresh.keys != self.keys:
            self.keys = fresh.keys


class Categories(dict[str, tuple[str, ...]]):
    """The categorical tags by name, and the categories that each has now."""

    @classmethod
    def of(cls, frames: Iterable[Frame]) -> Categories:
        """Those of a log."""
        found = cls()
        found.rebuild(frames)
        return found

    def rebuild(self, frames: Iterable[Frame]) -> None:
        """Starts anew from all decisions of the log."""
        self.clear()
        for request in _counting(frames, "category_registered"):
            self.apply(request)

    def apply(self, request: Request) -> None:
        """Takes in one ``category_registered`` event."""
        self[request.field("name")] = tuple(request.field("categories"))
