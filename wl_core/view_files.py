"""Files that a view keeps beside its checkpoints, for what is too large to be held in memory.

A file is written once, under a name that nobody had before, and never changed: it can stay mapped
while others read it, and several checkpoints may name it. It counts once a checkpoint names it
(`Projection.files`). Until then it is of the process that wrote it, which holds a lock as long as
it lives; a file that no checkpoint names and no living process owns is removed when the next
checkpoint is saved. When checkpoints are saved and taken over is `projection`'s business.

VIEWS/files.lock        held while checkpoints with files are saved and others removed
VIEWS/files/NAME/       of the projection of that name
    TOKEN.lock          held by the owner of the files TOKEN-*
    TOKEN-000001        a file
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import mmap
import os
import secrets
import weakref
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from wl_core.durability import bring_to_disk
from wl_core.errors import LogWriteError

_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
_LOCK_SUFFIX = ".lock"


class ViewFiles:
    """The files of one projection of a run; nothing is made on disk before the first `write`.

    Args:
        views: the directory of the run's checkpoints.
        name: the projection's.
    """

    def __init__(self, views: Path, name: str) -> None:
        self._views = views
        self.directory = views / "files" / name
        self._token = ""
        self._numbers = itertools.count(1)
        self._unsaved: set[str] = set()

    @property
    def writable(self) -> bool:
        """Whether `write` may be called: not on read-only media."""
        there = next(one for one in (self.directory, *self.directory.parents) if one.exists())
        return os.access(there, os.W_OK | os.X_OK)

    def write(self, arrays: Sequence[npt.NDArray[Any]]) -> str:
        """Writes a new file of these arrays' bytes, one after the other; gives its name.

        Raises:
            LogWriteError: the disk refused; nothing is left of the file.
        """
        try:
            if not self._token:
                self._own()
            name = f"{self._token}-{next(self._numbers):06d}"
            self._unsaved.add(name)
            with (self.directory / name).open("xb") as file:
                for array in arrays:
                    file.write(array.data)
        except OSError as error:
            if self._token:
                (self.directory / name).unlink(missing_ok=True)
            raise LogWriteError(
                f"a view's file could not be written in {self.directory} ({error}): make room,"
                " then open the run again; the log is unharmed"
            ) from error
        return name

    def _own(self) -> None:
        for path in (self._views, self.directory.parent, self.directory):
            path.mkdir(exist_ok=True)  # not the run's: one that was removed stays removed
        with exclusive(self._views):
            token = secrets.token_hex(8)
            lock = self.directory / f"{token}{_LOCK_SUFFIX}"
            descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._token = token
        weakref.finalize(
            self, _disown, os.getpid(), descriptor, lock, self.directory, self._unsaved
        )

    def map(self, name: str) -> mmap.mmap:
        """The bytes of a file, mapped for reading; they stay readable when it is removed.

        Raises:
            FileNotFoundError: there is no such file (any more).
        """
        with (self.directory / name).open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def sizes(self, names: Collection[str]) -> dict[str, int] | None:
        """How many bytes each of these files has; None when one is missing."""
        try:
            return {name: (self.directory / name).stat().st_size for name in sorted(names)}
        except FileNotFoundError:
            return None

    def sync(self, names: Collection[str]) -> None:
        """Brings those of these files that were written here to the disk.

        Raises:
            LogWriteError: the disk refused.
        """
        mine = self._unsaved.intersection(names)
        try:
            for path in (*(self.directory / name for name in sorted(mine)), self.directory):
                if mine:
                    bring_to_disk(path)
        except OSError as error:
            raise LogWriteError(f"{self.directory} could not be written: {error}") from error

    def collect(self, named: Collection[str]) -> None:
        """Removes what neither a checkpoint names nor a living process owns.

        Only to be called by who holds `exclusive`. ``named`` are the files of all checkpoints.
        """
        self._unsaved.difference_update(named)
        alive = {self._token}
        for lock in self.directory.glob(f"*{_LOCK_SUFFIX}"):
            if lock.stem != self._token and not _is_held(lock):
                lock.unlink(missing_ok=True)
            else:
                alive.add(lock.stem)
        for path in self.directory.iterdir():
            is_file = path.suffix != _LOCK_SUFFIX
            if is_file and path.name not in named and path.name.split("-")[0] not in alive:
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(views: Path) -> Iterator[bool]:
    """Held by one process at a time; False, and held by nobody, on read-only media."""
    try:
        descriptor = os.open(views / "files.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield True
    finally:
        os.close(descriptor)


def _is_held(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _disown(pid: int, descriptor: int, lock: Path, directory: Path, unsaved: set[str]) -> None:
    """The end of an owner: what no checkpoint names is of no use to anybody."""
    if os.getpid() != pid:
        return  # a fork: the files are its parent's
    for name in unsaved:
        (directory / name).unlink(missing_ok=True)
    lock.unlink(missing_ok=True)
    os.close(descriptor)
