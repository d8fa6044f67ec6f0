"""EventLog: append frames, read them, follow them, verify them.

    frames      position of the frame's first event, u64 big-endian -> the frame (`codec`)
    meta        the format, the next position, the model's age
    writers     a writer -> the number of its last frame
    landmarks   the positions of frames that begin, pause or end a run (nothing, or 1 as their
                lowest bit), hold decisions (2), tell that a model was saved (4) or head what was
                computed after the fact (8)

Positions are given inside the write transaction, so they are dense and the frames of several
processes interleave whole (G1, G4). Beside each frame goes its writer's number for it, so that a
frame that is found again in a tail is committed once (`tail`, `commit`). A commit returns when it
is on disk. Views are not this file's business.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wl_core.codec import FORMAT, DamagedFrame, Frame, decode
from wl_core.environment import (
    Environment,
    Transaction,
    open_environment,
    structural_damage,
)
from wl_core.errors import DamagedFrameError, StorageError, UnsupportedFormatError
from wl_core.events import BACKFILLED, CATALOGUE, DECISION, LIFE, SAVED, Catalogue
from wl_core.tail import Entry

_KEY = struct.Struct(">Q")
_READ_FRAMES = 2_000
_READ_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `EventLog.verify` found wrong.

    ``position`` is that of the frame, or None when the pages beneath the frames are damaged.
    """

    position: int | None
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
        try:
            self._open()
        except BaseException:
            self._environment.close()
            raise

    def _open(self) -> None:
        self._meta = self._environment.database(b"meta")
        self._frames = self._environment.database(b"frames")
        self._writers = self._environment.database(b"writers")
        self._landmarks = self._environment.database(b"landmarks")
        self._check_format()
        # Up to here, and to this transaction, this handle knows what came.
        self._seen_transaction, self._own_next = self._snapshot()
        self._foreign: list[tuple[int, int]] = []

    @property
    def environment(self) -> Environment:
        return self._environment

    def _check_format(self) -> None:
        found = None
        if self._meta is not None:
            with self._environment.reading() as txn:
                found = txn.get(b"format", db=self._meta)
        if found is None:
            if not self._environment.readonly:
                self._environment.write(self._begin)
        elif not found.isdigit():
            raise StorageError(f"the log at {self.path} is damaged: its format reads {found!r}")
        elif int(found) > FORMAT:
            raise UnsupportedFormatError(
                f"the log at {self.path} is of format {int(found)}, and this wl reads up to format"
                f" {FORMAT}: read it with a newer wl"
            )

    def _begin(self, txn: Transaction) -> None:
        txn.put(b"format", str(FORMAT).encode(), db=self._meta)
        txn.put(b"decisions", b"1", db=self._meta)  # from the first frame on, they are landmarks

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
            age = before = _number(txn.get(b"model_age", db=self._meta))
            done: dict[bytes, int] = {}
            for entry in entries:
                if entry.writer not in done:
                    done[entry.writer] = _number(txn.get(entry.writer, db=self._writers))
                if entry.number <= done[entry.writer]:
                    continue
                txn.put(_KEY.pack(at), entry.frame, append=True, db=self._frames)
                if entry.landmark:
                    kind = bytes((entry.landmark,))
                    txn.put(_KEY.pack(at), kind, append=True, db=self._landmarks)
                at += entry.count
                age = max(age, entry.model_age)
                done[entry.writer] = entry.number
            for writer, number in done.items():
                txn.put(writer, _KEY.pack(number), db=self._writers)
            txn.put(b"next", _KEY.pack(at), db=self._meta)
            if age != before:
                txn.put(b"model_age", _KEY.pack(age), db=self._meta)
            return start, at, txn.id()

        with self._environment.turn():  # `foreign_frames` must not look in between
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

    # -- reading -----------------------------------------------------------

    @property
    def next_position(self) -> int:
        """The position that the next event will get: the number of events in the log.

        Everything before it is on disk.
        """
        if self._meta is None:
            return 0
        with self._environment.reading() as txn:
            return self._next(txn)

    def _snapshot(self) -> tuple[int, int]:
        """The id of the transaction that a reader sees now, and the next position as of then.

        Not `Environment.last_transaction`, which for a moment runs ahead of what readers see: who
        remembers that one as read has missed it.
        """
        with self._environment.reading() as txn:
            return txn.id(), 0 if self._meta is None else self._next(txn)

    @property
    def model_age(self) -> int:
        """The number of training guards exited, as far as the log knows: the step to go on at."""
        if self._meta is None:
            return 0
        with self._environment.reading() as txn:
            return _number(txn.get(b"model_age", db=self._meta))

    def _next(self, txn: Transaction) -> int:
        return _number(txn.get(b"next", db=self._meta))

    def landmarks(self) -> Iterator[Frame]:
        """The frames that begin, pause or end a run, the newest first, without reading the rest."""
        return self._marked(LIFE, newest_first=True)

    def decisions(self) -> Iterator[Frame]:
        """The frames that hold what somebody decided, the oldest first, without reading the rest.

        Of a log from before there was an index of them, all frames.
        """
        if self._has_decision_index():
            return self._marked(DECISION, newest_first=False)
        return (frame for frame in self.frames() if isinstance(frame, Frame))

    def saved_models(self) -> Iterator[Frame]:
        """The frames in which a model was saved, the newest first, without reading the rest."""
        return self._marked(SAVED, newest_first=True)

    def backfills(self) -> Iterator[Frame]:
        """The frames that head what was computed after the fact, the oldest first."""
        return self._marked(BACKFILLED, newest_first=False)

    def _has_decision_index(self) -> bool:
        if self._meta is None:
            return False
        with self._environment.reading() as txn:
            return txn.get(b"decisions", db=self._meta) is not None

    def _marked(self, kind: int, *, newest_first: bool) -> Iterator[Frame]:
        positions = []
        if self._landmarks is not None:
            with self._environment.reading() as txn:
                positions = [
                    _number(key)
                    for key, value in txn.cursor(db=self._landmarks)
                    if (value[0] if value else LIFE) & kind
                ]
        for position in reversed(positions) if newest_first else positions:
            found = next(self.frames(position, position + 1), None)
            if isinstance(found, Frame):
                yield found

    def last_frame(self, stop: int | None = None) -> Frame | None:
        """The newest frame (before ``stop``) that can be read, None when there is none."""
        position: int | None = self.next_position if stop is None else stop
        while position is not None:
            position = self._before(position)
            if position is not None:
                found = next(self.frames(position, position + 1), None)
                if isinstance(found, Frame):
                    return found
        return None

    def _before(self, position: int) -> int | None:
        """Where the last frame that begins before ``position`` begins."""
        if self._frames is None:
            return None
        with self._environment.reading() as txn:
            cursor = txn.cursor(db=self._frames)
            there = cursor.prev() if cursor.set_range(_KEY.pack(position)) else cursor.last()
            return _number(cursor.key()) if there else None

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame | DamagedFrame]:
        """The frames from the one that holds ``start`` up to position ``stop``, in order.

        Each read transaction is short, however long the caller takes between frames. A frame
        that cannot be decoded comes as a `DamagedFrame`, and reading goes on after it (G5).

        Raises:
            UnsupportedFormatError: a frame was written by a newer wl.
            StorageError: LMDB cannot read its pages.
        """
        # Where the next frame must begin; not known after damage, nor before the first frame
        # unless that is the log's first.
        expected: int | None = 0 if start == 0 else None
        inside = True
        while True:
            chunk, end = self._read(start, stop, inside=inside)
            inside = False
            for position, data in chunk:
                if expected is not None and position != expected:
                    yield _misplaced(expected, position)
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
                if expected is not None and expected < end:
                    yield _misplaced(expected, end)
                return

    def _read(
        self, start: int, stop: int | None, *, inside: bool
    ) -> tuple[list[tuple[int, bytes]], int]:
        """Raw frames from ``start`` on, and where they end if they are the last.

        ``inside`` steps back to the frame that holds ``start``.
        """
        frames = self._frames
        if frames is None:
            return [], 0
        found: list[tuple[int, bytes]] = []
        size = 0
        with self._environment.reading() as txn:
            end = self._next(txn) if stop is None else min(stop, self._next(txn))
            if start >= end:
                return [], end
            cursor = txn.cursor(db=frames)
            there = cursor.set_range(_KEY.pack(start))
            if inside and start > 0 and (not there or cursor.key() != _KEY.pack(start)):
                there = cursor.prev() if there else cursor.last()
            while there and size < _READ_BYTES and len(found) < _READ_FRAMES:
                position = _number(cursor.key())
                if position >= end:
                    break
                data = cursor.value()
                found.append((position, data))
                size += len(data)
                there = cursor.next()
        return found, end

    def follow(self, start: int = 0, *, poll: float = 0.05) -> Iterator[Frame | DamagedFrame]:
        """Frames as they come, for ever; sleeps ``poll`` seconds when nothing was committed."""
        seen = -1
        while True:
            if self._environment.last_transaction() == seen:
                time.sleep(poll)
                continue
            seen, end = self._snapshot()
            if start >= end:
                time.sleep(poll)
                continue
            for frame in self.frames(start, end):
                stop = frame.position + (frame.count if isinstance(frame, Frame) else 1)
                if stop > start:  # damage before ``start`` has been told
                    start = stop
                    yield frame

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
            self._seen_transaction, stop = self._snapshot()
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
        """Reads everything; gives a `Finding` for each damage, and positions as progress.

        The pages beneath the frames are looked at first, by code that does not trust them. If they
        are damaged the frames are not read, since LMDB could end this process.
        """
        damage = self._damaged_pages()
        yield from (Finding(None, reason) for reason in damage)
        if damage:
            return
        for frame in self.frames():
            if isinstance(frame, DamagedFrame):
                yield Finding(frame.position, frame.reason)
            else:
                yield frame.position + frame.count

    def _damaged_pages(self) -> list[str]:
        """A commit in the middle of the look makes pages seem damaged: only then writers wait."""
        damage = structural_damage(self.path)
        if damage and not self._environment.readonly:
            damage = self._environment.write(lambda _: structural_damage(self.path))
        return damage

    @property
    def bytes_used(self) -> int:
        """The size of the log in bytes of used pages."""
        return self._environment.bytes_used()

    def close(self) -> None:
        self._environment.close()


def _misplaced(expected: int, found: int) -> DamagedFrame:
    if expected < found:
        return DamagedFrame(expected, f"the events {expected} to {found - 1} are missing")
    return DamagedFrame(found, f"it begins at {found}, within the frame that ends at {expected}")


def _number(data: bytes | None) -> int:
    if data is None:
        return 0
    if len(data) != _KEY.size:
        raise StorageError(f"the log is damaged: {data!r} stands where a number of 8 bytes should")
    return int(_KEY.unpack(data)[0])
