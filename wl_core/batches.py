"""What a projection folds: many frames' events, grouped, their vectors already concatenated.

Python is paid once per event for sorting it into its group; from there on numpy does the work,
which is what makes a fold run at tens of millions of values a second. Vectors that several groups
share (the ids of a batch, under each of its signals) are concatenated once.
`tests/benchmarks/bench_fold.py` measures this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from wl_core.codec import DTYPES, Frame, SampleId
from wl_core.events import CATALOGUE, Catalogue, Kind, WireEvent

T = TypeVar("T")
_TEXT_BYTES = 64  # what a short text takes in memory
_EVENT_BYTES = 256  # what Python takes for an event, or a frame, measured in bytes of vectors
_Blobs = tuple[list[str], list[Any]]  # of each event, the dtype code and the bytes (or ids)


class IdVector:
    """The sample ids of many events, one after the other.

    ``integers`` is an int64 array ``[n]`` when every id is an integer, else None and ``mixed`` is
    the list of them. ``lengths`` says how many each event brought ``[E]``. Two groups that were
    logged with the same ids share one `IdVector`, so a projection may keep what it computed from
    one by its identity for as long as the batch lives (`EventBatch.shared`).
    """

    __slots__ = ("integers", "lengths", "mixed")

    def __init__(self, blobs: _Blobs) -> None:
        codes, data = blobs
        self.integers: npt.NDArray[np.int64] | None = None
        self.mixed: list[SampleId] = []
        if "s" not in codes:
            self.integers = _concatenate(blobs).astype(np.int64, copy=False)
            self.lengths = _lengths(blobs)
            return
        lengths = []
        for code, part in zip(codes, data, strict=True):
            ids = part if code == "s" else np.frombuffer(part, DTYPES[code]).tolist()
            self.mixed.extend(ids)
            lengths.append(len(ids))
        self.lengths = np.asarray(lengths, np.int64)

    def __len__(self) -> int:
        return len(self.mixed) if self.integers is None else len(self.integers)

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where each event's ids begin ``[E]``."""
        starts: npt.NDArray[np.int64] = np.cumsum(self.lengths) - self.lengths
        return starts

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
        self._positions: list[int] = []
        self._by_name: dict[str, _Blobs] = {}

    def __len__(self) -> int:
        return len(self._events)

    @property
    def first_position(self) -> int:
        """The position of the first event."""
        return self._positions[0]

    @cached_property
    def positions(self) -> npt.NDArray[np.int64]:
        """The position of each event ``[E]``."""
        return np.asarray(self._positions, np.int64)

    @cached_property
    def steps(self) -> npt.NDArray[np.int64]:
        """The step that each event was recorded at ``[E]``."""
        return np.asarray(list(map(_step_of, self._frames)), np.int64)

    @property
    def phases(self) -> list[str]:
        """The phase of each event ``[E]``."""
        return [frame.phase for frame in self._frames]

    @property
    def times(self) -> list[float]:
        """The wall-clock time of each event ``[E]``, for display only: views must not need it."""
        return [frame.time for frame in self._frames]

    @cached_property
    def _tables(self) -> list[Sequence[Any]]:
        """The blob table that each event's vectors are in ``[E]``."""
        return list(map(_blobs_of, self._frames))

    def field(self, name: str) -> list[Any]:
        """A scalar field of each event ``[E]``."""
        return list(map(itemgetter(self.kind.index(name)), self._events))

    def ids(self, name: str = "ids") -> IdVector:
        """The sample ids of all events, concatenated."""
        return self._shared("ids", name, IdVector)

    def vector(self, name: str) -> npt.NDArray[Any]:
        """A vector field of all events, concatenated; mixed dtypes are promoted without loss."""
        return self._shared("vector", name, _concatenate)

    def lengths(self, name: str) -> npt.NDArray[np.int64]:
        """How many elements of `vector` each event brought ``[E]``; 0 where it is absent."""
        return self._shared("lengths", name, _lengths)

    def singly(self) -> Iterator[EventGroup]:
        """Each event as a group of its own; for kinds that are rare and short."""
        for frame, position, event in zip(self._frames, self._positions, self._events, strict=True):
            one = EventGroup(self._batch, self.kind, self.key)
            one._add(frame, position, event)
            yield one

    def _add(self, frame: Frame, position: int, event: WireEvent) -> None:
        self._frames.append(frame)
        self._positions.append(position)
        self._events.append(event)

    def _shared(self, what: str, name: str, make: Callable[[_Blobs], T]) -> T:
        codes, data = blobs = self._blobs(name)
        # Blobs live as long as the batch's frames do, so their identities are a sound cache key;
        # with the dtypes, because Python has only one b"" and one of each byte.
        return self._batch.shared((what, "".join(codes), *map(id, data)), make, blobs)

    def _blobs(self, name: str) -> _Blobs:
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name[name] = self._find_blobs(self.field(name))
        return found

    def _find_blobs(self, at: list[int | None]) -> _Blobs:
        tables = self._tables
        places = set(at)
        if len(places) == 1 and None not in places:  # as in most logs: every step does the same
            code = 2 * places.pop()  # type: ignore[operator]  # not None, as just said
            return list(map(itemgetter(code), tables)), list(map(itemgetter(code + 1), tables))
        absent = ("u1", b"")
        pairs = [
            absent if a is None else (table[2 * a], table[2 * a + 1])
            for table, a in zip(tables, at, strict=True)
        ]
        return [code for code, _ in pairs], [data for _, data in pairs]


_step_of = attrgetter("step")
_blobs_of = attrgetter("blobs")


def _concatenate(blobs: _Blobs) -> npt.NDArray[Any]:
    codes, data = blobs
    kinds = set(codes)
    if len(kinds) > 1:
        kinds = {code for code, part in zip(codes, data, strict=True) if part} or {"u1"}
    if len(kinds) == 1:
        return np.frombuffer(b"".join(data), DTYPES[kinds.pop()])
    parts = [np.frombuffer(part, DTYPES[c]) for c, part in zip(codes, data, strict=True) if part]
    return np.concatenate(parts)


def _lengths(blobs: _Blobs) -> npt.NDArray[np.int64]:
    codes, data = blobs
    sizes = [DTYPES[code].itemsize for code in (codes[:1] if len(set(codes)) == 1 else codes)]
    lengths: npt.NDArray[np.int64] = np.asarray(list(map(len, data)), np.int64) // sizes
    return lengths


class EventBatch:
    """The events of consecutive frames, as a projection gets them.

    ``start`` is the first position in it and ``stop`` the one after its last, ``last_step`` the
    greatest step of its frames, -1 if there are none.
    """

    def __init__(self, frames: Sequence[Frame], catalogue: Catalogue = CATALOGUE) -> None:
        self._frames = frames  # keeps the blobs alive, see EventGroup._shared
        self._catalogue = catalogue
        self._cache: dict[tuple[Any, ...], Any] = {}
        self.start = frames[0].position if frames else 0
        self.stop = frames[-1].position + frames[-1].count if frames else 0
        self.last_step = max(map(_step_of, frames), default=-1)

    @property
    def frame_count(self) -> int:
        return len(self._frames)

    @property
    def count(self) -> int:
        """The number of events."""
        return sum(len(frame.events) for frame in self._frames)

    @cached_property
    def weight(self) -> int:
        """What folding it costs, in about the time that a byte of vectors takes."""
        return sum(map(_bytes, self._frames)) + _EVENT_BYTES * (self.frame_count + self.count)

    @cached_property
    def _groups(self) -> dict[str, list[EventGroup]]:
        groups: dict[str, list[EventGroup]] = {}
        by_key: dict[WireEvent, Callable[[Frame, int, WireEvent], None]] = {}
        ends: dict[str, int] = {}
        for frame in self._frames:
            for position, event in enumerate(frame.events, frame.position):
                name = event[0]
                if name not in ends:
                    ends[name] = 2 + self._kind(name).key
                key = event[: ends[name]]
                add = by_key.get(key)
                if add is None:
                    group = EventGroup(self, self._kind(name), key[2:])
                    groups.setdefault(name, []).append(group)
                    add = by_key[key] = group._add
                add(frame, position, event)
        return groups

    def _kind(self, name: str) -> Kind:
        return self._catalogue.get(name) or Kind(name, "a kind that no plugin here knows")

    def groups(self, kind: str) -> Sequence[EventGroup]:
        """The groups of that kind, one for each key, in the order of their first event."""
        return self._groups.get(kind, ())

    def shared(self, key: tuple[Any, ...], make: Callable[[Any], T], argument: Any) -> T:
        """What ``make(argument)`` gives, computed once per batch and key."""
        try:
            found: T = self._cache[key]
        except KeyError:
            found = self._cache[key] = make(argument)
        return found


def batches(
    frames: Iterable[Frame], catalogue: Catalogue = CATALOGUE, *, max_bytes: int = 1 << 20
) -> Iterator[EventBatch]:
    """Cuts a stream of frames into batches of about that many bytes of vectors.

    The default is where a fold is fastest: less pays Python too often, more leaves the CPU's cache.
    """
    held: list[Frame] = []
    size = 0
    for frame in frames:
        held.append(frame)
        size += _EVENT_BYTES + _bytes(frame)
        if size >= max_bytes:
            yield EventBatch(held, catalogue)
            held, size = [], 0
    if held:
        yield EventBatch(held, catalogue)


def _bytes(frame: Frame) -> int:
    """How many bytes its vectors are."""
    size = sum(map(len, frame.blobs[1::2]))
    if "s" in frame.blobs[0::2]:  # there it is the number of ids that was added
        texts = (data for data in frame.blobs[1::2] if isinstance(data, tuple))
        size += _TEXT_BYTES * sum(map(len, texts))
    return size
