"""Where views are kept between processes: LMDB beside the log, one transaction per checkpoint.

Database ``checkpoints``: ``<projection> 00`` -> its header (version, position, identity of the
log, what follows); ``<projection> 00 <number>`` -> one array of it, raw. Each array has a checksum
in the header: a checkpoint is used whole or not at all, and a log can always do without. The header
also names the files that the view keeps beside it, with their sizes; those are `view_files`'.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from wl_core.environment import Environment, Transaction, open_environment
from wl_core.errors import RunNotFoundError

_DATABASE = b"checkpoints"
_FORMAT = 3
UNKNOWN = (1 << 63) - 1  # a step that is later than any


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A view's arrays together with the position they stand at.

    ``identity`` names the log that was folded. ``version`` is the projection's. ``files`` are those
    beside the checkpoint that the state needs, with their sizes in bytes.
    """

    name: str
    version: int
    position: int
    identity: bytes
    state: Mapping[str, npt.NDArray[Any] | bytes]
    files: Mapping[str, int] = field(default_factory=dict)
    last_step: int = UNKNOWN  # the greatest step that was folded
    weight: int = 0  # what was folded, as `EventBatch.weight` has it


@dataclass(frozen=True, slots=True)
class _Header:
    version: int
    position: int
    identity: bytes
    entries: tuple[tuple[str, str, tuple[int, ...], int], ...]  # name, dtype or "", shape, crc32
    files: tuple[tuple[str, int], ...]
    last_step: int
    weight: int


class Checkpoints:
    """The checkpoints of one run, in an LMDB environment at ``path`` that is made when needed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, checkpoints: Sequence[Checkpoint], *, replace: bool = False) -> bool:
        """Writes all of them or none, in one transaction.

        Those that are stored already for the same log and version, as far or further, are left
        as they are, unless ``replace``. Returns False when the directory is read-only.

        Raises:
            LogWriteError: the disk refused; what was stored before is still there.
        """
        try:
            environment = open_environment(self.path, create=True, databases=1)
        except PermissionError:
            return False
        with contextlib.closing(environment):
            if environment.readonly:
                return False
            database = environment.database(_DATABASE)

            def work(txn: Transaction) -> None:
                for one in checkpoints:
                    if replace or not _is_ahead(_read_header(txn, database, one.name), one):
                        _put(txn, database, one)

            environment.write(work)
        return True

    def load(
        self, name: str, version: int, identity: bytes, last_step: int = UNKNOWN
    ) -> Checkpoint | None:
        """The checkpoint of that projection, None when there is no whole one that fits.

        With ``last_step`` it fits only if no later step was folded into it.
        """
        with self._reading() as (txn, database):
            if txn is None:
                return None
            header = _read_header(txn, database, name)
            if header is None or (header.version, header.identity) != (version, identity):
                return None
            if header.last_step > last_step:
                return None
            state: dict[str, npt.NDArray[Any] | bytes] = {}
            for number, (entry, dtype, shape, checksum) in enumerate(header.entries):
                data = txn.get(_key(name, number), db=database)
                if data is None or zlib.crc32(data) != checksum:
                    return None
                state[entry] = np.frombuffer(data, dtype).reshape(shape) if dtype else data
        files, last_step, weight = dict(header.files), header.last_step, header.weight
        return Checkpoint(name, version, header.position, identity, state, files, last_step, weight)

    def files(self, name: str) -> set[str]:
        """The files beside it that any stored checkpoint of that projection names."""
        with self._reading() as (txn, database):
            header = None if txn is None else _read_header(txn, database, name)
        return set() if header is None else {file for file, _ in header.files}

    def position(self, name: str) -> int | None:
        """The position of the stored checkpoint of that projection, None when there is none."""
        with self._reading() as (txn, database):
            header = None if txn is None else _read_header(txn, database, name)
        return None if header is None else header.position

    @contextlib.contextmanager
    def _reading(self) -> Iterator[tuple[Transaction | None, Any]]:
        environment: Environment | None = None
        with contextlib.suppress(RunNotFoundError):
            environment = open_environment(self.path, databases=1)
        if environment is None:
            yield None, None
            return
        with contextlib.closing(environment):
            database = environment.database(_DATABASE)
            if database is None:
                yield None, None
                return
            with environment.reading() as txn:
                yield txn, database


def _key(name: str, number: int | None = None) -> bytes:
    return name.encode() + b"\0" + (b"" if number is None else struct.pack(">I", number))


def _is_ahead(stored: _Header | None, new: Checkpoint) -> bool:
    return (
        stored is not None
        and (stored.version, stored.identity) == (new.version, new.identity)
        and stored.position >= new.position
    )


def _read_header(txn: Transaction, database: Any, name: str) -> _Header | None:
    """The header, None when there is none or it was written by a wl that does it otherwise."""
    data = txn.get(_key(name), db=database)
    if data is None or zlib.crc32(data[4:]) != struct.unpack("<I", data[:4])[0]:
        return None
    format_, *fields = msgpack.unpackb(data[4:], use_list=False)
    return _Header(*fields) if format_ == _FORMAT else None


def _put(txn: Transaction, database: Any, one: Checkpoint) -> None:
    cursor = txn.cursor(db=database)
    prefix = _key(one.name)
    while cursor.set_range(prefix) and cursor.key().startswith(prefix):
        cursor.delete()
    entries: list[tuple[str, str, tuple[int, ...], int]] = []
    for number, (name, value) in enumerate(one.state.items()):
        if isinstance(value, np.ndarray):
            data, dtype, shape = value.tobytes(), value.dtype.str, value.shape
        else:
            data, dtype, shape = value, "", ()
        entries.append((name, dtype, shape, zlib.crc32(data)))
        txn.put(_key(one.name, number), data, db=database)
    files = [*one.files.items()]
    stands = one.last_step, one.weight
    body = msgpack.packb(
        (_FORMAT, one.version, one.position, one.identity, entries, files, *stands)
    )
    txn.put(prefix, struct.pack("<I", zlib.crc32(body)) + body, db=database)
