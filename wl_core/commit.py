"""GroupCommit: takes frames from the recording thread and brings them into the log.

The recording thread pays one write call per step (`tail`); this file's thread pays LMDB and the
disk, for many steps at once. It is the only thread that wl runs beside a training loop, and G3 is
why it exists. It also compresses arrays, since that is too slow for a step.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from wl_core.arrays import ArrayStore
from wl_core.errors import DetachedRunError, LogWriteError
from wl_core.log import EventLog
from wl_core.tail import Entry, Tail, read_tails, tail_paths

# How long a committed group is collected. Two of these and an fsync are what a reader in another
# process waits for a value; fewer commits leave more of the interpreter to the training.
GROUP_SECONDS = 0.02
_GROUP_FRAMES = 4096
_GROUP_BYTES = 32 << 20


class GroupCommit:
    """The way from a recorded frame to the log of one writer.

    ``submit`` may be called from one thread at a time. In a process that was forked from the one
    that made it, nothing may be called (`DetachedRunError`): both would write the same tail.
    """

    def __init__(self, log: EventLog, arrays: ArrayStore, directory: Path, writer: bytes) -> None:
        self._pid = os.getpid()
        self._log = log
        self._arrays = arrays
        self._tail = Tail(directory, writer)
        self._lock = threading.Lock()
        self._queue: list[Entry] = []
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._committed = threading.Condition()
        self._submitted_number = 0
        self.durable_number = 0  # the writer's last frame that is in the log and on disk
        self.failure: LogWriteError | None = None
        self._thread = threading.Thread(target=self._run, name="wl-commit", daemon=True)
        self._thread.start()

    def submit(self, entry: Entry) -> None:
        """Returns when the entry survives the death of this process (G2).

        Raises:
            LogWriteError: the disk refuses, now or since an earlier frame.
            DetachedRunError: this is a forked child.
        """
        self._check()
        if self.failure is not None:
            raise self.failure
        with self._lock:
            self._tail.append(entry)
            self._queue.append(entry)
        self._submitted_number = entry.number
        if not self._wake.is_set():
            self._wake.set()

    def flush(self, timeout: float | None = None) -> bool:
        """Returns True when everything submitted before is in the log and on disk.

        False when ``timeout`` seconds went by first.

        Raises:
            LogWriteError: the disk refused; what was submitted is in the tail at best.
        """
        self._check()
        target = self._submitted_number
        with self._committed:
            done = self._committed.wait_for(
                lambda: self.durable_number >= target or self.failure is not None, timeout
            )
        if self.failure is not None and self.durable_number < target:
            raise self.failure
        return done

    def close(self) -> None:
        """Brings everything into the log and ends the thread.

        What the disk refuses stays in the tail, for the next who opens the run.
        """
        self._check()
        self._closing.set()
        self._wake.set()
        self._thread.join()
        self._tail.close(remove=self.failure is None)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._closing.wait(GROUP_SECONDS)
            self._wake.clear()
            try:
                self._commit()
            except Exception as error:  # noqa: BLE001  # the next `submit` raises it
                with self._committed:
                    self.failure = _as_failure(error)
                    self._committed.notify_all()
                return
            if self._closing.is_set() and not self._queue:
                return

    def _commit(self) -> None:
        with self._lock:
            group, self._queue = self._queue, []
            full = self._tail.turn()
        if group:
            commit_entries(self._log, self._arrays, group)
        if full is not None:
            self._tail.empty(full)
        if group:
            with self._committed:
                self.durable_number = group[-1].number
                self._committed.notify_all()

    def _check(self) -> None:
        if self._pid != os.getpid():
            raise DetachedRunError(
                f"this process was forked from process {self._pid}, which records: only that one"
                " may. Let a data loader's worker return what it learns with its batch"
            )


def _as_failure(error: Exception) -> LogWriteError:
    if isinstance(error, LogWriteError):
        return error
    failure = LogWriteError(f"the log cannot be written: {error}")
    failure.__cause__ = error
    return failure


def commit_entries(log: EventLog, arrays: ArrayStore, entries: Iterable[Entry]) -> int:
    """Arrays first, then the events that name them: a crash between leaves at most orphans.

    Gives the number of entries.
    """
    count = 0
    for group in _groups(entries):
        named = [pair for entry in group for pair in entry.arrays]
        if named:
            arrays.put_raw(named)
        log.append(group)
        count += len(group)
    return count


def _groups(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """What one transaction takes: LMDB holds its pages in memory, and only so many of them."""
    group: list[Entry] = []
    size = 0
    for entry in entries:
        group.append(entry)
        size += len(entry.frame) + sum(len(record) for _, record in entry.arrays)
        if size > _GROUP_BYTES or len(group) >= _GROUP_FRAMES:
            yield group
            group, size = [], 0
    if group:
        yield group


def recover(log: EventLog, arrays: ArrayStore, directory: Path) -> int:
    """Commits what dead writers left in their tails; gives the number of entries found.

    After power loss a tail may have a hole; what comes after it is given up, so that what is left
    of a writer is always the beginning of what it wrote. Call it only while no writer is alive in
    this directory (`run` sees to that).

    Raises:
        LogWriteError: the disk refuses; the tails are still there.
    """
    count = commit_entries(log, arrays, _without_gaps(log, read_tails(directory)))
    for path in tail_paths(directory):
        path.unlink()
    return count


def _without_gaps(log: EventLog, entries: Iterable[Entry]) -> Iterator[Entry]:
    last: dict[bytes, int] = {}
    for entry in entries:
        if entry.writer not in last:
            last[entry.writer] = log.committed(entry.writer)
        if entry.number <= last[entry.writer] + 1:
            last[entry.writer] = max(entry.number, last[entry.writer])
            yield entry
