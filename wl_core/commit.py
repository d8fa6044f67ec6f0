"""GroupCommit: takes frames from the recording thread and brings them into the log.

The recording thread pays one write call per step (`tail`); this file's thread pays LMDB and the
disk, for many steps at once. It is the only thread that wl runs beside a training loop, and G3 is
why it exists. It also compresses arrays, since that is too slow for a step.
"""

from __future__ import annotations

import threading
from pathlib import Path

from wl_core.arrays import ArrayStore
from wl_core.errors import LogWriteError, WlError
from wl_core.log import EventLog
from wl_core.tail import Entry, Tail, read_tails, tail_paths

# How long a committed group is collected. Two of these and an fsync are what a reader in another
# process waits for a value; fewer commits leave more of the interpreter to the training.
GROUP_SECONDS = 0.02


class GroupCommit:
    """The way from a recorded frame to the log of one writer.

    ``submit`` may be called from one thread at a time.
    """

    def __init__(self, log: EventLog, arrays: ArrayStore, directory: Path, writer: bytes) -> None:
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
        """
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
        target = self._submitted_number
        with self._committed:
            done = self._committed.wait_for(
                lambda: self.durable_number >= target or self.failure is not None, timeout
            )
        if self.failure is not None and self.durable_number < target:
            raise self.failure
        return done

    def close(self) -> None:
        """Brings everything into the log and ends the thread."""
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
            except WlError as error:
                failure = error if isinstance(error, LogWriteError) else LogWriteError(str(error))
                with self._committed:
                    self.failure = failure
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


def commit_entries(log: EventLog, arrays: ArrayStore, entries: list[Entry]) -> None:
    """Arrays first, then the events that name them: a crash between leaves at most orphans."""
    named = [pair for entry in entries for pair in entry.arrays]
    if named:
        arrays.put_raw(named)
    log.append(entries)


def recover(log: EventLog, arrays: ArrayStore, directory: Path) -> int:
    """Commits what dead writers left in their tails; gives the number of entries found.

    Call it only while no writer is alive in this directory (`run` sees to that).
    """
    entries = list(read_tails(directory))
    if entries:
        commit_entries(log, arrays, entries)
    for path in tail_paths(directory):
        path.unlink()
    return len(entries)


