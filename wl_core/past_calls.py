"""Calls: which events of a frame were recorded by one call of the training script.

What waits for a signal finds the values that were given with it, so `save_signals` records all
values of a call, and its arrays, before it computes anything. The declarations of signals say which
are saved together; arrays belong to the values before them if their samples are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.arrays import ArrayStore
from wl_core.codec import Frame
from wl_core.dispatch import Owners
from wl_core.events import CATALOGUE, WireEvent
from wl_core.values import BatchIds, Instances

_VALUES = frozenset(("values", "instance_values", "labels"))
_FIELDS = frozenset(("prediction", "prediction_raw", "target"))
_SPANS = {  # the fields of an event that say whose it is
    "values": ("origin", "ids"),
    "labels": ("origin", "ids"),
    "instance_values": ("origin", "ids"),
    "arrays": ("origin", "ids"),
    "metadata": ("origin", "ids"),
}


@dataclass(slots=True)
class RecordedCall:
    """The events of one call, and the arrays that were given to it."""

    events: Sequence[WireEvent]
    arrays: RecordedArrays | None = None


class Calls:
    """Cuts frames into calls; it learns from their declarations, so give it all in order."""

    def __init__(self, arrays: ArrayStore) -> None:
        self._arrays = arrays
        self._together: dict[str, frozenset[str]] = {}

    def of(self, frame: Frame) -> Iterator[RecordedCall]:
        """The calls of a frame; an event that is no value's is one of its own."""
        events, at = frame.events, 0
        while at < len(events):
            stop, arrays_from = self._end(events, at)
            given = events[arrays_from:stop]
            found = RecordedArrays(self._arrays, frame, given) if given else None
            yield RecordedCall(events[at:stop], found)
            at = stop

    def _end(self, events: Sequence[WireEvent], at: int) -> tuple[int, int]:
        """Where the call that begins there ends, and where its arrays begin."""
        first = events[at]
        if first[0] == "signal_declared":
            self._together[first[2]] = frozenset(first[6].get("with", ()))
        stop = at + 1
        if first[0] not in _VALUES:
            return stop, stop
        whose, together = _whose(first), self._together.get(first[2], frozenset())
        while stop < len(events) and _is_value_of(events[stop], whose, together):
            stop += 1
        arrays_from = stop
        while stop < len(events) and _is_array_of(events[stop], whose):
            stop += 1
        return stop, arrays_from


def _whose(event: WireEvent) -> tuple[Any, ...]:
    kind = CATALOGUE.get(event[0])
    assert kind is not None
    return tuple(event[kind.index(name)] for name in _SPANS[event[0]])


def _is_value_of(event: WireEvent, whose: tuple[Any, ...], together: frozenset[str]) -> bool:
    return event[0] in _VALUES and event[2] in together and _whose(event) == whose


def _is_array_of(event: WireEvent, whose: tuple[Any, ...]) -> bool:
    if event[0] == "arrays":
        return event[2] in _FIELDS and _whose(event) == whose
    return event[0] == "metadata" and _FIELDS.issuperset(event[4]) and _whose(event) == whose


def owners_of(frame: Frame, event: WireEvent) -> tuple[Owners, npt.NDArray[Any]]:
    """Whose the values of an event are, and the values."""
    kind = CATALOGUE.get(event[0])
    assert kind is not None
    values = frame.vector(event[kind.index("values")])
    return _owners(frame, event), values


def _owners(frame: Frame, event: WireEvent) -> Owners:
    kind = CATALOGUE.get(event[0])
    assert kind is not None
    batch = BatchIds(event[kind.index("origin")], frame.ids(event[kind.index("ids")]))
    if event[0] in ("values", "metadata") or event[kind.index("batch_idx")] is None:
        return batch
    at, numbers = event[kind.index("batch_idx")], event[kind.index("annotation_ids")]
    return Instances(
        batch,
        frame.vector(at).astype(np.int64),
        (frame.blobs[2 * at], frame.blobs[2 * at + 1]),
        (frame.blobs[2 * numbers], frame.blobs[2 * numbers + 1]),
    )


@dataclass(slots=True)
class _Stored(Sequence[npt.NDArray[Any]]):
    """Arrays of the store, each read when it is asked for."""

    store: ArrayStore
    references: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.references)

    def __getitem__(self, place: Any) -> Any:
        return self.store.get(self.references[place].tobytes())


@dataclass(slots=True)
class RecordedArrays:
    """What `GivenArrays` asks, from the events that followed the values."""

    store: ArrayStore
    frame: Frame
    events: Sequence[WireEvent] = field(default_factory=list)

    def of(self, name: str) -> tuple[Owners, Sequence[npt.NDArray[Any]]] | None:
        """Whose the arrays of a field are, and one for each of them."""
        for event in self.events:
            if event[0] == "arrays" and event[2] == name:
                kind = CATALOGUE.get("arrays")
                assert kind is not None
                references = self.frame.vector(event[kind.index("refs")])
                return _owners(self.frame, event), _Stored(self.store, references)
            if event[0] == "metadata" and name in event[4]:
                return _owners(self.frame, event), [np.asarray(one) for one in event[4][name]]
        return None
