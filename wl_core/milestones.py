"""Milestones: what views were at some positions of the past, so that `run.at` need not fold it all.

A milestone of a view is its snapshot at a position, with the greatest step folded until then: the
view as of step N is folded on from any milestone that has seen no step beyond N. While a Projector
folds, a `Trail` leaves milestones so far apart that folding from one to the next takes some tenths
of a second, and when there are too many of them, it thins them out evenly. They may be deleted at
any time. What a view is now is kept by `checkpoints`.

Database ``marks``: ``<projection> 00 <position>`` -> header; ``blobs``: the SHA-256 of bytes, cut
to 128 bits -> these bytes. What did not change from one milestone to the next (ids, metadata) is so
stored once. Arrays are stored in the narrowest type that holds them, those of equal elements as one
element. A milestone of which a byte is not what it was is never used.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
import warnings
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgpack
import numpy as np
import numpy.typing as npt

from wl_core.checkpoints import Checkpoint
from wl_core.environment import Environment, Transaction, open_environment
from wl_core.errors import MilestoneWarning, RunNotFoundError, StorageError

# Of a view, at most so many; they are this far apart at least, measured as `EventBatch.weight`:
# about 2 M values, which are folded in some tenths of a second.
MOST = 48
DISTANCE = 20 << 20
# So much more must have been folded than a milestone adds to the disk, so that all milestones are
# at most half as large as the log, and than is to be looked through for it, so that they cost less
# time than they spare.
_PER_BYTE_STORED = 2.0
_PER_BYTE_READ = 0.25

_FORMAT = 1
_POSITION = struct.Struct(">Q")
_Stored = tuple[str, str, tuple[int, ...], str, bool, bytes]


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a view stood: ``position`` is that of the next event, ``last_step`` the greatest step
    before it, ``weight`` what had been folded.
    """

    position: int
    last_step: int
    weight: int


class Folded(Protocol):
    """What the `Trail` needs of a projection."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    def snapshot(self) -> dict[str, npt.NDArray[Any] | bytes]: ...


@dataclass(frozen=True, slots=True)
class _Milestone:
    name: str
    version: int
    identity: bytes
    mark: Mark
    entries: tuple[_Stored, ...]  # name, dtype or "", shape, stored dtype, constant or not, hash
    blobs: Mapping[bytes, bytes]


class Milestones:
    """The milestones of one run, in an LMDB environment at ``path`` that is made when needed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def marks(self, name: str, version: int, identity: bytes) -> list[Mark]:
        """Where there are milestones of that projection and log, the first one first."""
        with self._reading() as (txn, marks, _):
            if txn is None:
                return []
            found = [header for _, header in _headers(txn, marks, name)]
        return [h.mark for h in found if h and (h.version, h.identity) == (version, identity)]

    def load(
        self, name: str, version: int, identity: bytes, position: int
    ) -> dict[str, npt.NDArray[Any] | bytes] | None:
        """The snapshot at that position, None if there is no whole one that fits."""
        with self._reading() as (txn, marks, blobs):
            if txn is None:
                return None
            header = _read(txn.get(_key(name, position), db=marks))
            if header is None or (header.version, header.identity) != (version, identity):
                return None
            state: dict[str, npt.NDArray[Any] | bytes] = {}
            for entry in header.entries:
                data = txn.get(entry[-1], db=blobs)
                if data is None or _hash(data) != entry[-1]:
                    return None
                state[entry[0]] = _unpacked(entry, data)
        return state

    def missing(self, digests: Collection[bytes]) -> list[bytes]:
        """Those of the blobs of these hashes that are not stored."""
        with self._reading() as (txn, _, blobs):
            return [one for one in digests if txn is None or txn.get(one, db=blobs) is None]

    def save(self, milestones: Sequence[_Milestone]) -> bool:
        """Writes all or none; False when the directory is read-only.

        Raises:
            LogWriteError: the disk refused.
        """

        def work(txn: Transaction, marks: Any, blobs: Any) -> None:
            for one in milestones:
                for digest, data in one.blobs.items():
                    if txn.get(digest, db=blobs) != data:  # it is not there, or damaged
                        txn.put(digest, data, db=blobs)
                txn.put(_key(one.name, one.mark.position), _header(one), db=marks)
            if sum(_thin(txn, marks, one) for one in milestones):
                _drop_unused(txn, marks, blobs)

        return self._write(work, create=True)

    def clear(self, names: Iterable[str]) -> None:
        """Removes every milestone of these projections."""
        wanted = list(names)

        def work(txn: Transaction, marks: Any, blobs: Any) -> None:
            keys = [key for name in wanted for key, _ in _headers(txn, marks, name)]
            if sum(txn.delete(key, db=marks) for key in keys):
                _drop_unused(txn, marks, blobs)

        self._write(work, create=False)

    def remove(self, name: str, position: int) -> None:
        """Removes one milestone, if it is there."""

        def work(txn: Transaction, marks: Any, blobs: Any) -> None:
            if txn.delete(_key(name, position), db=marks):
                _drop_unused(txn, marks, blobs)

        self._write(work, create=False)

    def _write(self, work: Any, *, create: bool) -> bool:
        try:
            environment = open_environment(self.path, create=create, databases=2)
        except (PermissionError, RunNotFoundError):
            return False
        with contextlib.closing(environment):
            if environment.readonly:
                return False
            marks, blobs = environment.database(b"marks"), environment.database(b"blobs")
            environment.write(lambda txn: work(txn, marks, blobs))
        return True

    @contextlib.contextmanager
    def _reading(self) -> Iterator[tuple[Transaction | None, Any, Any]]:
        environment: Environment | None = None
        with contextlib.suppress(RunNotFoundError):
            environment = open_environment(self.path, databases=2)
        if environment is None:
            yield None, None, None
            return
        with contextlib.closing(environment):
            marks, blobs = environment.database(b"marks"), environment.database(b"blobs")
            if marks is None or blobs is None:
                yield None, None, None
                return
            with environment.reading() as txn:
                yield txn, marks, blobs


class Trail:
    """Leaves milestones of views while they are folded, and finds those to go on from.

    A disk that refuses costs time and nothing else: it is warned of once, then left alone.

    Args:
        milestones: where they are kept.
        identity: names the log, None as long as that is empty.
        leave: whether any are left; else they are only found.
    """

    def __init__(
        self, milestones: Milestones, identity: Callable[[], bytes | None], *, leave: bool
    ) -> None:
        self._milestones = milestones
        self._identity = identity
        self._leaves = leave
        self._due: dict[str, int] = {}  # by view, the weight at which there is one to leave

    def leave(self, views: Iterable[tuple[Folded, Mark]]) -> None:
        """Leaves a milestone of each of these views that has come far enough since the last.

        One whose snapshot is large beside what was folded since then waits.
        """
        if not self._leaves:
            return
        due = [
            (view, mark)
            for view, mark in views
            if mark.weight >= self._due.get(view.name, DISTANCE)
        ]
        if due:
            with self._as_far_as_possible():
                self._save(due)

    def _save(self, due: list[tuple[Folded, Mark]]) -> None:
        identity = self._identity()
        if identity is None:
            return
        found = [self._milestone(view, mark, identity) for view, mark in due]
        milestones = [one for one in found if one is not None]
        if milestones and not self._milestones.save(milestones):
            self._leaves = False  # a read-only place

    def forget(self, names: Iterable[str]) -> None:
        """Removes the milestones of these views: they will be folded from the beginning."""
        self._due.clear()
        with self._as_far_as_possible():
            self._milestones.clear(names)

    def nearest(self, view: Folded, last_step: int, low: int, high: int) -> Checkpoint | None:
        """The last milestone of the view that has seen no step beyond ``last_step``.

        Its position is greater than ``low`` and no greater than ``high``.
        """
        with self._as_far_as_possible():
            identity = self._identity()
            if identity is None:
                return None
            fitting = view.name, view.version, identity
            for mark in reversed(self._milestones.marks(*fitting)):
                if mark.last_step > last_step or not low < mark.position <= high:
                    continue
                state = self._milestones.load(*fitting, mark.position)
                if state is not None:
                    return Checkpoint(
                        view.name,
                        view.version,
                        mark.position,
                        identity,
                        state,
                        last_step=mark.last_step,
                        weight=mark.weight,
                    )
                if self._leaves:  # it is damaged, and no other is left beside it
                    self._milestones.remove(view.name, mark.position)
        return None

    @contextlib.contextmanager
    def _as_far_as_possible(self) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            self._leaves = False
            warnings.warn(
                f"the milestones at {self._milestones.path} cannot be used, so going back in time"
                f" takes longer; make room, or delete the directory: {error}",
                MilestoneWarning,
                stacklevel=2,
            )

    def _milestone(self, view: Folded, mark: Mark, identity: bytes) -> _Milestone | None:
        marks = self._milestones.marks(view.name, view.version, identity)
        if not self._is_due(view.name, mark, marks, DISTANCE):
            return None
        state = view.snapshot()
        distance = max(DISTANCE, int(_PER_BYTE_READ * sum(map(_size, state.values()))))
        if not self._is_due(view.name, mark, marks, distance):
            return None
        found = _packed(view, identity, mark, state)
        added = sum(len(found.blobs[one]) for one in self._milestones.missing(found.blobs))
        distance = max(distance, int(_PER_BYTE_STORED * added))
        if not self._is_due(view.name, mark, marks, distance):
            return None
        self._due[view.name] = mark.weight + distance
        return found

    def _is_due(self, name: str, mark: Mark, marks: list[Mark], distance: int) -> bool:
        """Whether the next milestone is near enough to none; remembers where it would be."""
        distance = max(distance, mark.weight // MOST)
        due = mark.weight
        for weight in (0, *(one.weight for one in marks)):
            if abs(due - weight) < distance:
                due = weight + distance
        self._due[name] = due
        return due <= mark.weight


# -- thinning ----------------------------------------------------------------------------------


def _thin(txn: Transaction, marks: Any, new: _Milestone) -> int:
    """Removes what cannot be used and what is too many; tells how many that were."""
    fits = (new.version, new.identity)
    kept: list[tuple[bytes, int]] = []
    gone: list[bytes] = []
    for key, header in _headers(txn, marks, new.name):
        if header is None or (header.version, header.identity) != fits:
            gone.append(key)
        else:
            kept.append((key, header.mark.weight))
    while len(kept) > MOST:
        weights = [0, *(weight for _, weight in kept)]
        gaps = [weights[at + 2] - weights[at] for at in range(len(kept) - 1)]
        gone.append(kept.pop(gaps.index(min(gaps)))[0])
    for key in gone:
        txn.delete(key, db=marks)
    return len(gone)


def _drop_unused(txn: Transaction, marks: Any, blobs: Any) -> None:
    used = {
        entry[-1]
        for _, data in txn.cursor(db=marks)
        if (header := _read(data))
        for entry in header.entries
    }
    for key in list(txn.cursor(db=blobs).iternext(keys=True, values=False)):
        if key not in used:
            txn.delete(key, db=blobs)


# -- bytes -------------------------------------------------------------------------------------


def _key(name: str, position: int) -> bytes:
    return name.encode() + b"\0" + _POSITION.pack(position)


def _headers(txn: Transaction, marks: Any, name: str) -> list[tuple[bytes, _Milestone | None]]:
    prefix = name.encode() + b"\0"
    cursor = txn.cursor(db=marks)
    found = []
    there = cursor.set_range(prefix)
    while there and cursor.key().startswith(prefix):
        found.append((cursor.key(), _read(cursor.value())))
        there = cursor.next()
    return found


def _header(one: _Milestone) -> bytes:
    mark = (one.mark.position, one.mark.last_step, one.mark.weight)
    body: bytes = msgpack.packb((_FORMAT, one.name, one.version, one.identity, mark, one.entries))
    return struct.pack("<I", zlib.crc32(body)) + body


def _read(data: bytes | None) -> _Milestone | None:
    """The header, None when there is none, it is damaged or of a wl that does it otherwise."""
    if data is None or len(data) < 4 or zlib.crc32(data[4:]) != struct.unpack("<I", data[:4])[0]:
        return None
    format_, *fields = msgpack.unpackb(data[4:], use_list=False)
    if format_ != _FORMAT:
        return None
    name, version, identity, mark, entries = fields
    return _Milestone(name, version, identity, Mark(*mark), entries, {})


def _size(value: npt.NDArray[Any] | bytes) -> int:
    return value.nbytes if isinstance(value, np.ndarray) else len(value)


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]


def _packed(
    view: Folded, identity: bytes, mark: Mark, state: Mapping[str, npt.NDArray[Any] | bytes]
) -> _Milestone:
    entries: list[_Stored] = []
    blobs: dict[bytes, bytes] = {}
    for name, value in state.items():
        dtype, shape, narrow, constant = "", (), "", False
        if isinstance(value, np.ndarray):
            dtype, shape = value.dtype.str, value.shape
            array = _narrowed(value)
            constant = _is_constant(array)
            if constant:
                array = array.reshape(-1)[:1]
            narrow, data = array.dtype.str, np.ascontiguousarray(array).tobytes()
        else:
            data = value
        digest = _hash(data)
        blobs[digest] = data
        entries.append((name, dtype, shape, narrow, constant, digest))
    return _Milestone(view.name, view.version, identity, mark, tuple(entries), blobs)


def _unpacked(entry: _Stored, data: bytes) -> npt.NDArray[Any] | bytes:
    _, dtype, shape, narrow, constant, _ = entry
    if not dtype:
        return data
    array = np.frombuffer(data, narrow)
    if constant:
        return np.full(shape, array[0], dtype)
    return array.astype(dtype, copy=False).reshape(shape)


def _narrowed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Integers in the narrowest type that holds them."""
    if array.dtype.kind not in "iu" or array.size == 0:
        return array
    low, high = array.min(), array.max()
    narrow = np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high))
    return array.astype(narrow) if narrow.itemsize < array.dtype.itemsize else array


def _is_constant(array: npt.NDArray[Any]) -> bool:
    """Whether all its elements are the same, bit for bit."""
    size = array.dtype.itemsize
    if array.size < 2 or size not in (1, 2, 4, 8) or array.dtype.hasobject:
        return False
    bits = np.ascontiguousarray(array).reshape(-1).view(f"u{size}")
    return bool((bits[:64] == bits[0]).all() and (bits == bits[0]).all())
