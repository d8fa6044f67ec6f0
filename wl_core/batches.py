"""What a projection folds: many frames' events, grouped, their vectors already concatenated.

Python is paid once per group and numpy does the rest, which is what makes a fold run at tens of
millions of values a second. Vectors that several groups share (the ids of a batch, under each of
its signals) are concatenated once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.codec import _DTYPES, Frame, SampleId
from wl_core.events import CATALOGUE, Catalogue, Kind, WireEvent


class IdVector:
    """The sample ids of many events, one after the other.

    ``integers`` is an int64 array ``[n]`` when every id is an integer, else None and ``mixed`` is
    the list of them. Two groups that were logged with the same ids share one `IdVector`, so a
    projection may keep what it computed from one by its identity for as long as the batch lives.
    """

    __slots__ = ("integers", "lengths", "mixed")

    def __init__(self, blobs: Sequence[tuple[str, Any]]) -> None:
        self.integers: npt.NDArray[np.int64] | None = None
        self.mixed: list[SampleId] = []
        if all(code != "s" for code, _ in blobs):
            parts = [np.frombuffer(data, _DTYPES[code]) for code, data in blobs]
            lengths = [len(part) for part in parts]
            self.integers = (
                np.concatenate(parts).astype(np.int64, copy=False) if parts else np.empty(0, np.int64)
            )
        else:
            lengths = []
            for code, data in blobs:
                ids = data if code == "s" else np.frombuffer(data, _DTYPES[code]).tolist()
                self.mixed.extend(ids)
                lengths.append(len(ids))
        self.lengths: npt.NDArray[np.int64] = np.asarray(lengths, np.int64)

    def __len__(self) -> int:
        return len(self.mixed) if self.integers is None else len(self.integers)

    def tolist(self) -> list[SampleId]:
        return self.mixed if self.integers is None else self.integers.tolist()


class EventGroup:
    """The events of one kind and key within a batch, in the order of the log.

    ``E`` below is the number of events. Fields are asked for by their names in the catalogue.
    """

    def __init__(self, batch: EventBatch, kind: Kind, key: tuple[Any, ...]) -> None:
        self.kind = kind
        self.key = key
        self._batch = batch
        self._frames: list[Frame] = []
        self._events: list[WireEvent] = []
        self._offsets: list[int] = []

    def __len__(self) -> int:
        return len(self._events)

    @cached_property
    def positions(self) -> npt.NDArray[np.int64]:
        """The position of each event ``[E]``."""
        at = [f.position + o for f, o in zip(self._frames, self._offsets, strict=True)]
        return np.asarray(at, np.int64)

    @cached_property
    def steps(self) -> npt.NDArray[np.int64]:
        """The step that each event was recorded at ``[E]``."""
        return np.asarray([frame.step for frame in self._frames], np.int64)

    @property
    def phases(self) -> list[str]:
        """The phase of each event ``[E]``."""
        return [frame.phase for frame in self._frames]

    @property
    def times(self) -> list[float]:
        """The wall-clock time of each event ``[E]``, for display only: views must not need it."""
        return [frame.time for frame in self._frames]

    def field(self, name: str) -> list[Any]:
        """A scalar field of each event ``[E]``."""
        index = self.kind.index(name)
        return [event[index] for event in self._events]

    def _blobs(self, name: str) -> list[tuple[str, Any]]:
        index = self.kind.index(name)
        found = []
        for frame, event in zip(self._frames, self._events, strict=True):
            at = event[index]
            if at is None:
                found.append(("u1", b""))
            else:
                found.append((frame.blobs[2 * at], frame.blobs[2 * at + 1]))
        return found

    def ids(self, name: str = "ids") -> IdVector:
        """The sample ids of all events, concatenated."""
        return self._batch.shared(("ids", *_identities(blobs := self._blobs(name))), IdVector, blobs)

    def vector(self, name: str) -> npt.NDArray[Any]:
        """A vector field of all events, concatenated; mixed dtypes are promoted without loss."""
        return self._batch.shared(
            ("vector", *_identities(blobs := self._blobs(name))), _concatenate, blobs
        )

    def lengths(self, name: str) -> npt.NDArray[np.int64]:
        """How many elements of `vector` each event brought ``[E]``."""
        blobs = self._blobs(name)
        return np.asarray([len(data) // _DTYPES[code].itemsize for code, data in blobs], np.int64)


def _identities(blobs: list[tuple[str, Any]]) -> list[int]:
    """Blobs live as long as the batch's frames do, so their identities are a sound cache key."""
    return [id(data) for _, data in blobs]


def _concatenate(blobs: list[tuple[str, Any]]) -> npt.NDArray[Any]:
    codes = {code for code, data in blobs if data} or {"u1"}
    if len(codes) == 1:
        return np.frombuffer(b"".join([data for _, data in blobs]), _DTYPES[codes.pop()])
    return np.concatenate([np.frombuffer(data, _DTYPES[code]) for code, data in blobs if data])


class EventBatch:
    """The events of consecutive frames, as a projection gets them.

    ``start`` is the first position in it and ``stop`` the one after its last.
    """

    def __init__(self, frames: Sequence[Frame], catalogue: Catalogue = CATALOGUE) -> None:
        self._frames = frames  # keeps the blobs alive, see _identities
        self._catalogue = catalogue
        self._shared: dict[tuple[Any, ...], Any] = {}
        self.start = frames[0].position if frames else 0
        self.stop = frames[-1].position + frames[-1].count if frames else 0

    @cached_property
    def _groups(self) -> dict[str, dict[tuple[Any, ...], EventGroup]]:
        groups: dict[str, dict[tuple[Any, ...], EventGroup]] = defaultdict(dict)
        ends: dict[str, tuple[Kind, int]] = {}
        for frame in self._frames:
            for offset, event in enumerate(frame.events):
                name = event[0]
                if name not in ends:
                    kind = self._catalogue.get(name) or Kind(name, "unknown here")
                    ends[name] = (kind, 2 + kind.key)
                kind, end = ends[name]
                key = event[2:end]
                group = groups[name].get(key)
                if group is None:
                    group = groups[name][key] = EventGroup(self, kind, key)
                group._frames.append(frame)
                group._events.append(event)
                group._offsets.append(offset)
        return groups

    def groups(self, kind: str) -> Iterable[EventGroup]:
        """The groups of that kind, one for each key, in the order of their first event."""
        found = self._groups.get(kind)
        return found.values() if found else ()

    def shared(self, key: tuple[Any, ...], make: Any, argument: Any) -> Any:
        """What ``make(argument)`` gives, computed once per batch and key."""
        try:
            return self._shared[key]
        except KeyError:
            made = self._shared[key] = make(argument)
            return made


def batches(
    frames: Iterable[Frame], catalogue: Catalogue = CATALOGUE, *, values: int = 2_000_000
) -> Iterator[EventBatch]:
    """Cuts a stream of frames into batches of about that many bytes/4, so that memory is bounded."""
    held: list[Frame] = []
    size = 0
    for frame in frames:
        held.append(frame)
        size += 64 + sum(len(data) for data in frame.blobs[1::2])
        if size >= 4 * values:
            yield EventBatch(held, catalogue)
            held, size = [], 0
    if held:
        yield EventBatch(held, catalogue)
