"""The tail file: what was recorded and is not in the log yet, safe from the death of the process.

LMDB's commit waits for the disk, which a training step must not. So a step is first written here,
with one write call and no fsync: the page cache survives the process. The commit thread moves it
to the log; after a crash `read_tails` gives back what it had not moved (G2). Two files take turns,
so that one can be emptied while the other grows.

    file   = b"WLTAIL01" + writer (8 bytes) + records
    record = length u64, crc32 u32 of the rest, number u64, count u32, model age u64,
             frame length u32, landmark u8, frame, arrays
    arrays = nothing, or msgpack [[reference, record], …]

All numbers are little-endian. ``docs/log-format.md`` says the same for other languages.
"""

from __future__ import annotations

import heapq
import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgpack

from wl_core.errors import LogWriteError

_MAGIC = b"WLTAIL01"
_HEAD = struct.Struct("<QI")
_BODY = struct.Struct("<QIQIB")
_ROTATE_BYTES = 1 << 20


@dataclass(slots=True)
class Entry:
    """One frame on its way to the log, with the arrays that its events name.

    ``number`` counts the writer's frames from 1; ``count`` is the frame's number of events;
    ``model_age`` is the number of training guards exited once the frame is there, 0 from a writer
    that does not train. ``landmark`` is how it is found again without reading the log, as in
    `wl_core.events.Kind`.
    """

    writer: bytes
    number: int
    count: int
    frame: bytes
    model_age: int = 0
    arrays: Sequence[tuple[bytes, bytes]] = ()
    landmark: int = 0


class Tail:
    """The writing end; the recording thread calls `append`, the commit thread the rest."""

    def __init__(self, directory: Path, writer: bytes) -> None:
        self._paths = [directory / f"tail-{writer.hex()}-{n}" for n in (0, 1)]
        self._header = header_of(writer)
        self._files = [os.open(p, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o644) for p in self._paths]
        for file in self._files:
            os.ftruncate(file, 0)
            os.write(file, self._header)
        self._active = 0
        self._size = 0

    def append(self, entry: Entry) -> None:
        """Writes one record, with one call unless it has gigabytes.

        Raises:
            LogWriteError: the disk refused; the record is not there, not even in part.
        """
        parts = record_of(entry)
        file = self._files[self._active]
        want = sum(map(len, parts))
        try:
            written = os.writev(file, parts)
            if written < want:
                _write_rest(file, parts, written)
        except OSError as error:
            os.ftruncate(file, len(self._header) + self._size)
            path = self._paths[self._active]
            raise LogWriteError(f"{path} cannot be written: {error}") from error
        self._size += want

    def turn(self) -> int | None:
        """Lets new records go to the other file if this one is long; gives the one to `empty`."""
        if self._size < _ROTATE_BYTES:
            return None
        full, self._active, self._size = self._active, 1 - self._active, 0
        return full

    def empty(self, which: int) -> None:
        """Forgets the records of a file that is not written to, after they are in the log."""
        os.ftruncate(self._files[which], len(self._header))

    def close(self, *, remove: bool) -> None:
        """Closes the files; ``remove`` once all their records are in the log."""
        for file, path in zip(self._files, self._paths, strict=True):
            os.close(file)
            if remove:
                path.unlink(missing_ok=True)


def header_of(writer: bytes) -> bytes:
    """How a tail file of that writer begins."""
    return _MAGIC + writer


def record_of(entry: Entry) -> tuple[bytes, ...]:
    """The parts of an entry's record, to be written one after the other."""
    arrays = msgpack.packb(entry.arrays) if entry.arrays else b""
    body = _BODY.pack(entry.number, entry.count, entry.model_age, len(entry.frame), entry.landmark)
    crc = zlib.crc32(arrays, zlib.crc32(entry.frame, zlib.crc32(body)))
    length = _BODY.size + len(entry.frame) + len(arrays)
    return _HEAD.pack(length, crc), body, entry.frame, arrays


def _write_rest(file: int, parts: Sequence[bytes], written: int) -> None:
    """A nearly full disk takes a part first and says no at the next call; Linux takes 2 GiB."""
    rest = memoryview(b"".join(parts))[written:]
    while rest:
        rest = rest[os.write(file, rest) :]


def tail_paths(directory: Path) -> list[Path]:
    """The tail files that lie in a directory."""
    return sorted(directory.glob("tail-*-[01]"))


def read_tails(directory: Path) -> Iterator[Entry]:
    """The whole records of all tails of a directory, each writer's in order, read as they come.

    A record that a dying process or machine left unfinished ends its file: what comes after it was
    never acknowledged by a living machine.
    """
    files = [read_tail(path) for path in tail_paths(directory)]
    return heapq.merge(*files, key=lambda entry: (entry.writer, entry.number))


def read_tail(path: Path) -> Iterator[Entry]:
    """The whole records of one tail file, in their order."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < len(_MAGIC) + 8:
            return
        # Mapped: what was computed after the fact may be longer than what memory holds.
        yield from _records(memoryview(mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ)))


def _records(data: memoryview) -> Iterator[Entry]:
    if bytes(data[:8]) != _MAGIC:
        return
    writer, at = bytes(data[8:16]), 16
    while at + _HEAD.size <= len(data):
        length, crc = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + length]
        if len(body) < max(length, _BODY.size) or zlib.crc32(body) != crc:
            return
        number, count, model_age, size, landmark = _BODY.unpack_from(body)
        frame = bytes(body[_BODY.size : _BODY.size + size])
        rest = body[_BODY.size + size :]
        arrays = msgpack.unpackb(rest, use_list=False) if len(rest) else ()
        yield Entry(writer, number, count, frame, model_age, arrays, landmark)
        at += _HEAD.size + length
