"""EventLog: append frames, read them, follow them, verify them.

Database ``frames``: the position of the frame's first event, u64 big-endian -> the frame (`codec`).
Database ``meta``: the format and the next position. Database ``landmarks``: the positions of
frames that begin, pause or end a run. Positions are given inside the write
transaction, so they are dense and frames of several processes interleave whole (G1, G4). Beside each frame goes its writer's number for it, so that a frame which is found
again in a tail is committed once (`tail`, `commit`). Views are not this file's business.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wl_core.codec import FORMAT, DamagedFrame, Frame, decode
from wl_core.environment import Environment, Transaction, open_environment
from wl_core.errors import DamagedFrameError, UnsupportedFormatError
from wl_core.events import CATALOGUE, Catalogue
from wl_core.tail import Entry

_KEY = struct.Struct(">Q")
_READ_FRAMES = 2_000
_READ_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `EventLog.verify` found wrong; ``position`` is that of the frame."""

    position: int
    reason: str


class EventLog:
    """The append-only log of one run and rank, at ``path``.

    Raises:
        RunNotFoundError: nothing there and ``create`` not asked for.
        UnsupportedFormatError: made by a newer wl.
    """

    def __init__(
        self,
        path: Path,
        *,
        create: bool = False,
        map_size: int = 64 << 20,
        catalogue: Catalogue = CATALOGUE,
    ) -> None:
        self.path = path
        self.catalogue = catalogue
        self._environment = open_environment(path, create=create, map_size=map_size)
        self._meta = self._environment.database(b"meta")
        self._frames = self._environment.database(b"frames")
        self._writers = self._environment.database(b"writers")
        self._landmarks = self._environment.database(b"landmarks")
        self._check_format()
        self._own_next = self.next_position  # up to here this handle knows what came
        self._foreign: list[tuple[int, int]] = []
        self._seen_transaction = self._environment.last_transaction()

    @property
    def environment(self) -> Environment:
        return self._environment

    def _check_format(self) -> None:
        found = None
        if self._meta is not None:
            with self._environment.reading() as txn:
                found = txn.get(b"format", db=self._meta)
        if found is not None and int(found) > FORMAT:
            self._environment.close()
            raise UnsupportedFormatError(
                f"the log at {self.path} is of format {int(found)}, and this wl reads up to format"
                f" {FORMAT}: read it with a newer wl"
            )
        if found is None and not self._environment.readonly:
            self._environment.write(
                lambda txn: txn.put(b"format", str(FORMAT).encode(), db=self._meta)
            )

    # -- writing -----------------------------------------------------------

    def append(self, entries: Sequence[Entry]) -> int:
        """Commits frames in one transaction and gives the position after the last.

        An entry that its writer has committed before is passed over. Returns when LMDB has it on
        disk.

        Raises:
            LogWriteError: the disk refused; nothing of it is in the log.
        """

        def work(txn: Transaction) -> tuple[int, int, int]:
            start = at = self._next(txn)
            done: dict[bytes, int] = {}
            for entry in entries:
                if entry.writer not in done:
                    done[entry.writer] = _number(txn.get(entry.writer, db=self._writers))
                if entry.number <= done[entry.writer]:
                    continue
                txn.put(_KEY.pack(at), entry.frame, append=True, db=self._frames)
                if entry.landmark:
                    txn.put(_KEY.pack(at), b"", append=True, db=self._landmarks)
                at += entry.count
                done[entry.writer] = entry.number
            for writer, number in done.items():
                txn.put(writer, _KEY.pack(number), db=self._writers)
            txn.put(b"next", _KEY.pack(at), db=self._meta)
            return start, at, txn.id()

        start, stop, transaction = self._environment.write(work)
        if start > self._own_next:
            self._foreign.append((self._own_next, start))
        self._own_next = stop
        self._seen_transaction = transaction
        return stop

    def committed(self, writer: bytes) -> int:
        """The number of that writer's last frame in the log, 0 when there is none."""
        if self._writers is None:
            return 0
        with self._environment.reading() as txn:
            return _number(txn.get(writer, db=self._writers))

    def flush(self) -> None:
        """Returns when everything committed so far is on disk."""
        self._environment.sync()

    # -- reading -----------------------------------------------------------

    @property
    def next_position(self) -> int:
        """The position that the next event will get: the number of events in the log."""
        if self._meta is None:
            return 0
        with self._environment.reading() as txn:
            return self._next(txn)

    def _next(self, txn: Transaction) -> int:
        return _number(txn.get(b"next", db=self._meta))

    def landmarks(self) -> Iterator[Frame]:
        """The frames that begin, pause or end a run, the newest first, without reading the rest."""
        keys = []
        if self._landmarks is not None:
            with self._environment.reading() as txn:
                keys = [_number(key) for key, _ in txn.cursor(db=self._landmarks)]
        for position in reversed(keys):
            found = next(self.frames(position, position + 1), None)
            if isinstance(found, Frame):
                yield found

    def last_frame(self) -> Frame | None:
        """The newest frame that can be read, None when there is none."""
        for position in range(self.next_position - 1, -1, -1):
            found = next(self.frames(position), None)
            if isinstance(found, Frame):
                return found
        return None

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame | DamagedFrame]:
        """The frames from the one that holds ``start`` up to position ``stop``, in order.

        Each read transaction is short, however long the caller takes between frames. A frame
        that cannot be decoded comes as a `DamagedFrame`, and reading goes on after it (G5).

        Raises:
            UnsupportedFormatError: a frame was written by a newer wl.
        """
        expected: int | None = None
        inside = True
        while True:
            chunk = self._read(start, stop, inside=inside)
            inside = False
            for position, data in chunk:
                if expected is not None and position != expected:
                    yield DamagedFrame(expected, f"events {expected} to {position - 1} are missing")
                try:
                    frame = decode(position, data, self.catalogue)
                except DamagedFrameError as error:
                    expected = None
                    yield DamagedFrame(position, error.reason)
                else:
                    expected = position + frame.count
                    yield frame
                start = position + 1 if expected is None else expected
            if not chunk:
                return

    def _read(
        self, start: int, stop: int | None, *, inside: bool
    ) -> list[tuple[int, bytes]]:
        """Raw frames from ``start`` on; ``inside`` steps back to the frame that holds it."""
        frames = self._frames
        if frames is None:
            return []
        found, size = [], 0
        with self._environment.reading() as txn:
            if start >= self._next(txn):
                return []
            cursor = txn.cursor(db=frames)
            there = cursor.set_range(_KEY.pack(start))
            if inside and start > 0 and (not there or cursor.key() != _KEY.pack(start)):
                there = cursor.prev() if there else cursor.last()
            while there and size < _READ_BYTES and len(found) < _READ_FRAMES:
                position = _KEY.unpack(cursor.key())[0]
                if stop is not None and position >= stop:
                    break
                data = cursor.value()
                found.append((position, data))
                size += len(data)
                there = cursor.next()
        return found

    def follow(
        self, start: int = 0, *, poll: float = 0.05
    ) -> Iterator[Frame | DamagedFrame]:
        """Frames as they come, for ever; sleeps ``poll`` seconds when nothing was committed."""
        seen = -1
        while True:
            transaction = self._environment.last_transaction()
            if transaction == seen:
                time.sleep(poll)
                continue
            seen = transaction
            for frame in self.frames(start):
                yield frame
                start = frame.position + (frame.count if isinstance(frame, Frame) else 1)

    def foreign_frames(self, writer: bytes) -> list[Frame]:
        """What other writers committed since the last call; about 1 µs when there is nothing.

        Never waits: while this process's own commit is under way the answer is empty and the
        next call tells.
        """
        if self._environment.last_transaction() == self._seen_transaction and not self._foreign:
            return []
        if not self._environment.try_turn():
            return []
        try:
            self._seen_transaction = self._environment.last_transaction()
            stop = self.next_position
            ranges = [*self._foreign, (self._own_next, stop)]
            self._foreign, self._own_next = [], stop
            return [
                frame
                for low, high in ranges
                if low < high
                for frame in self.frames(low, high)
                if isinstance(frame, Frame) and frame.writer != writer
            ]
        finally:
            self._environment.end_turn()

    def verify(self) -> Iterator[Finding | int]:
        """Reads every frame; gives a `Finding` for each damage, and positions as progress."""
        for frame in self.frames():
            if isinstance(frame, DamagedFrame):
                yield Finding(frame.position, frame.reason)
            else:
                yield frame.position + frame.count

    @property
    def bytes_used(self) -> int:
        """The size of the log in bytes of used pages."""
        return self._environment.bytes_used()

    def close(self) -> None:
        self._environment.close()


def _number(data: bytes | None) -> int:
    return 0 if data is None else int(_KEY.unpack(data)[0])
