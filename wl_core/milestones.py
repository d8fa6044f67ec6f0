"""Milestones: what views were at some positions of the past, so that `run.at` need not fold it all.

A milestone of a view is its snapshot at a position, with the greatest step folded until then: the
view as of step N is folded on from any milestone that has seen no step beyond N. When there are too
many of a view, they are thinned out evenly. All of them may be deleted at any time. Where they are
left, and which one is the nearest, is `trail`'s business; what a view is now, `checkpoints`'.

Database ``marks``: ``<projection> 00 <position>`` -> header; ``blobs``: the SHA-256 of bytes, cut
to 128 bits -> these bytes. What did not change from one milestone to the next (ids, metadata) is so
stored once. Arrays are stored in the narrowest type that holds them, those of equal elements as one
element. A milestone of which a byte is not what it was is never used.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgpack
import numpy as np
import numpy.typing as npt

from wl_core.environment import Environment, Transaction, open_environment
from wl_core.errors import RunNotFoundError

# Of a view, at most so many.
MOST = 48

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


@dataclass(frozen=True, slots=True)
class Milestone:
    """A view at a mark. ``entries`` are its snapshot's values: name, dtype ("" for bytes), shape,
    stored dtype, whether all elements are the stored one, and the hash of what is in ``blobs``.
    """

    name: str
    version: int
    identity: bytes
    mark: Mark
    entries: tuple[_Stored, ...]
    blobs: Mapping[bytes, bytes]


class Folded(Protocol):
    """What a milestone needs of a projection."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    def snapshot(self) -> dict[str, npt.NDArray[Any] | bytes]: ...


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
                state[entry[0]] = unpacked(entry, data)
        return state

    def missing(self, digests: Collection[bytes]) -> list[bytes]:
        """Those of the blobs of these hashes that are not stored."""
        with self._reading() as (txn, _, blobs):
            return [one for one in digests if txn is None or txn.get(one, db=blobs) is None]

    def save(self, milestones: Sequence[Milestone]) -> bool:
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
        except RunNotFoundError:
            return False
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
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


# -- thinning ----------------------------------------------------------------------------------


def _thin(txn: Transaction, marks: Any, new: Milestone) -> int:
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


def _headers(txn: Transaction, marks: Any, name: str) -> list[tuple[bytes, Milestone | None]]:
    prefix = name.encode() + b"\0"
    cursor = txn.cursor(db=marks)
    found = []
    there = cursor.set_range(prefix)
    while there and cursor.key().startswith(prefix):
        found.append((cursor.key(), _read(cursor.value())))
        there = cursor.next()
    return found


def _header(one: Milestone) -> bytes:
    mark = (one.mark.position, one.mark.last_step, one.mark.weight)
    body: bytes = msgpack.packb((_FORMAT, one.name, one.version, one.identity, mark, one.entries))
    return struct.pack("<I", zlib.crc32(body)) + body


def _read(data: bytes | None) -> Milestone | None:
    """The header, None when there is none, it is damaged or of a wl that does it otherwise."""
    if data is None or len(data) < 4 or zlib.crc32(data[4:]) != struct.unpack("<I", data[:4])[0]:
        return None
    format_, *fields = msgpack.unpackb(data[4:], use_list=False)
    if format_ != _FORMAT:
        return None
    name, version, identity, mark, entries = fields
    return Milestone(name, version, identity, Mark(*mark), entries, {})


def size_of(value: npt.NDArray[Any] | bytes) -> int:
    """In bytes, as a snapshot has it."""
    return value.nbytes if isinstance(value, np.ndarray) else len(value)


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]


def packed(
    view: Folded, identity: bytes, mark: Mark, state: Mapping[str, npt.NDArray[Any] | bytes]
) -> Milestone:
    """The milestone of a view whose snapshot is ``state``, made small."""
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
    return Milestone(view.name, view.version, identity, mark, tuple(entries), blobs)


def unpacked(entry: _Stored, data: bytes) -> npt.NDArray[Any] | bytes:
    """One value of a snapshot, bit for bit as it was."""
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
