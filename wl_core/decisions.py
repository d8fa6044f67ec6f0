"""Which decisions count: those of the log that were not undone, and what they discard.

`SampleView` and `InstanceView` fold the same events for readers; here the training process keeps
what it must obey in every step.
"""

from __future__ import annotations

from collections.abc import Iterable

from wl_core.codec import Frame, SampleId
from wl_core.requests import Request, requests_of

CURATION = frozenset({"tagged", "discarded", "category_registered", "categorised"})


def undone_positions(frames: Iterable[Frame]) -> set[int]:
    """The positions of the decisions that do not count, in the light of all of these frames."""
    undone: set[int] = set()
    for frame in frames:
        for request in requests_of(frame):
            if request.kind.name == "undone":
                positions = set(request.field("positions"))
                undone = undone | positions if request.field("undone") else undone - positions
    return undone


class Discards:
    """The samples and instances that are discarded now: ``(origin, sample_id, annotation_id)``.

    ``keys`` is replaced when it changes, never changed in place: who has compared it by identity
    knows that nothing happened.
    """

    def __init__(self) -> None:
        self.keys: frozenset[tuple[str, SampleId, int]] = frozenset()

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
        held = list(frames)
        undone = undone_positions(held)
        self.keys = frozenset()
        for frame in held:
            for request in requests_of(frame):
                if request.kind.name == "discarded" and request.position not in undone:
                    self.apply(request)
