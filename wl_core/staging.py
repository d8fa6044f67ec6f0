"""Staging: frames that are to enter a log together, in a file beside it until they are complete.

The file is built like a tail (`tail`). When all is there it is brought to disk, renamed to one, and
committed like what a killed training left behind: exactly once, also when this process dies on the
way, for then whoever opens the run next does it. The head of the frames has a file of its own,
which is renamed last: without it nothing is committed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from wl_core.codec import Frame, FrameBuilder, decode, encode
from wl_core.durability import bring_to_disk
from wl_core.errors import LogWriteError, RunLockedError
from wl_core.tail import Entry, header_of, read_tail, record_of

_BUFFER_BYTES = 1 << 20


class Staging:
    """Frames of one writer, in ``directory``; of use with ``with``, which leaves nothing behind."""

    def __init__(self, directory: Path) -> None:
        self._lock = _locked(directory)
        for orphan in directory.glob("staged-*-[01]"):
            orphan.unlink()  # of a process that was killed before all was there
        self.writer = secrets.token_bytes(8)
        self.count = 0  # of frames, without the head
        self._directory = directory
        self._path = self._named(1)
        self._file = self._path.open("wb", buffering=_BUFFER_BYTES)
        self._write(header_of(self.writer))

    def _named(self, which: int) -> Path:
        return self._directory / f"staged-{self.writer.hex()}-{which}"

    def add(self, builder: FrameBuilder, step: int, phase: str, *, failed: bool) -> None:
        """Appends a frame.

        Raises:
            LogWriteError: the disk refused.
        """
        self.count += 1
        self._write(*record_of(self._entry(self.count + 1, builder, step, phase, failed=failed)))

    def _entry(
        self, number: int, builder: FrameBuilder, step: int, phase: str, *, failed: bool
    ) -> Entry:
        frame = Frame(
            step, time.time(), self.writer, number, phase, failed, builder.blobs, builder.events
        )
        return Entry(
            self.writer, number, frame.count, encode(frame), landmark=builder.landmark
        )  # fmt: skip

    def _write(self, *parts: bytes) -> None:
        try:
            self._file.writelines(parts)
        except OSError as error:
            raise _refused(self._path, error) from error

    def frames(self) -> Iterator[Frame]:
        """The frames so far, in their order."""
        self._file.flush()
        for entry in read_tail(self._path):
            yield decode(-1, entry.frame)

    def complete(self, head: FrameBuilder, step: int) -> None:
        """Brings all to disk; what is left to do is `publish`.

        Raises:
            LogWriteError: the disk refused.
        """
        path = self._named(0)
        entry = self._entry(1, head, step, "outside", failed=False)
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            with path.open("wb") as file:
                file.writelines((header_of(self.writer), *record_of(entry)))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _refused(path, error) from error

    def publish(self) -> None:
        """Makes tails of the files, for `recover` to commit. Call it under the writer's lock."""
        for which in (1, 0):
            self._named(which).rename(self._directory / f"tail-{self.writer.hex()}-{which}")
        bring_to_disk(self._directory)

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # a full disk, which was told by what failed before
            self._file.close()
        for which in (0, 1):
            self._named(which).unlink(missing_ok=True)
        os.close(self._lock)


def _refused(path: Path, error: OSError) -> LogWriteError:
    return LogWriteError(f"{path} cannot be written: {error}; nothing was appended to the log")


def _locked(directory: Path) -> int:
    """The right to stage, which ends with the process; the directory itself is locked.

    Raises:
        RunLockedError: another process has it.
    """
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise RunLockedError(
            f"another process computes signals of {directory.parent} after the fact: let it end"
        ) from None
    return file
