"""One LMDB environment, held the way LMDB wants to be held.

LMDB allows one environment per path and process, forbids growing the map while a transaction of
the process is open, and is corrupted by a forked child that touches what it inherited. All of that
is dealt with here, once, for the log, the array store and the checkpoints: environments are shared
by path within the process, transactions take turns, the map grows by itself, a child of a fork is
cut off, and the backend's errors become ours.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import lmdb
from lmdb.verify import VerifyError, verify

from wl_core.errors import (
    DetachedRunError,
    LogWriteError,
    NetworkFileSystemError,
    RunNotFoundError,
    StorageError,
)

T = TypeVar("T")
# Generic in lmdb's stubs alone, hence the string.
Transaction: TypeAlias = "lmdb.Transaction[bytes]"

# The engine whose files every LMDB ever released can read (0.9), not the one of LMDB 1.0.
_FILE_FORMAT = 0
_FIRST_MAP = 64 << 20
_NEARLY_FULL = 1 << 20
_NETWORK = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "afs",
    "ceph",
    "lustre",
    "glusterfs",
    "fuse.sshfs",
    "beegfs",
)


class Environment:
    """A shared handle on the environment at one path; get it with `open_environment`."""

    def __init__(self, path: Path, *, databases: int, map_size: int) -> None:
        self.path = path
        self.readonly = not os.access(path, os.W_OK)
        self._pid = os.getpid()
        self._turn = threading.RLock()
        self._users = 0
        with translated(path):
            self._env = lmdb.open(
                str(path),
                map_size=map_size,
                max_dbs=databases,
                readonly=self.readonly,
                # A reader registers in LMDB's lock file. Where it cannot, by the same permissions
                # no writer can be at work as this user, and locking is neither possible nor needed.
                lock=not self.readonly,
                readahead=False,
                max_spare_txns=2,
                lib_version=_FILE_FORMAT,
            )
        self._databases: dict[bytes, Any] = {}

    def database(self, name: bytes) -> Any:
        """The named database, made if it is missing and this handle may write; else None."""
        self._check()
        with self._turn, translated(self.path):
            if name not in self._databases:
                try:
                    self._databases[name] = self._growing(
                        lambda: self._env.open_db(name, create=not self.readonly)
                    )
                except (lmdb.NotFoundError, lmdb.ReadonlyError):
                    return None
            return self._databases[name]

    @contextlib.contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A read transaction; keep it short, nothing in this process writes while it is open."""
        self._check()
        with self._turn, translated(self.path), self._growing(self._env.begin) as transaction:
            yield transaction

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Runs ``work`` in a write transaction; it is run again when the map had to grow first."""
        self._check()

        def attempt() -> T:
            with self._env.begin(write=True) as transaction:
                return work(transaction)

        with self._turn, translated(self.path):
            return self._growing(attempt)

    def _growing(self, attempt: Callable[[], T]) -> T:
        """``attempt()``, again after each time that the map turned out to be too small."""
        while True:
            try:
                return attempt()
            except lmdb.MapResizedError:  # another process grew it: take its size
                self._env.set_mapsize(0)
            except lmdb.MapFullError:
                self._env.set_mapsize(2 * self._env.info()["map_size"])

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """This process's turn for longer than one transaction; other threads wait."""
        self._check()  # in a child the turn may have been taken by a thread that is not there
        with self._turn:
            yield

    def try_turn(self) -> bool:
        """Takes this process's turn unless that would mean waiting; end it with `end_turn`."""
        return self._turn.acquire(blocking=False)

    def end_turn(self) -> None:
        self._turn.release()

    def last_transaction(self) -> int:
        """The id of the last committed transaction of any process; about 1 µs, takes no lock."""
        return self._env.info()["last_txnid"]

    def bytes_used(self) -> int:
        """The size in bytes of the pages in use, the meta pages included."""
        self._check()
        with self._turn:
            return (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]

    def sync(self) -> None:
        """Returns when everything committed is on disk."""
        self._check()
        with self._turn, translated(self.path):
            self._env.sync(True)

    def _check(self) -> None:
        if self._pid != os.getpid():
            raise DetachedRunError(
                f"this process was forked from process {self._pid}, which holds {self.path}: only"
                " that one may use it. Let a data loader's worker return what it learns with its"
                " batch, or start the second process by spawn and open the run there"
            )

    def close(self) -> None:
        """Gives the handle back; the last user closes the environment."""
        with _registry_lock:
            self._users -= 1
            if self._users == 0 and self._pid == os.getpid():
                _open.pop(os.path.realpath(self.path), None)
                with self._turn:
                    self._env.close()


_open: dict[str, Environment] = {}
_registry_lock = threading.Lock()


def open_environment(
    path: Path, *, create: bool = False, databases: int = 8, map_size: int = _FIRST_MAP
) -> Environment:
    """The process's one handle on the environment at ``path``; give it back by `close`.

    A directory that cannot be written to is opened for reading alone.

    Raises:
        RunNotFoundError: there is nothing at ``path`` and ``create`` was not asked for.
        NetworkFileSystemError: ``path`` lies on a network file system.
        StorageError: what is there is not an LMDB environment, or it is damaged.
    """
    refuse_network_file_system(path)
    if create:
        path.mkdir(parents=True, exist_ok=True)
    elif not (path / "data.mdb").exists():
        raise RunNotFoundError(f"there is no log at {path}")
    key = os.path.realpath(path)
    with _registry_lock:
        found = _open.get(key)
        if found is None:
            found = Environment(path, databases=databases, map_size=map_size)
            _refuse_truncated(found)
            _open[key] = found
        found._users += 1
        return found


def structural_damage(path: Path) -> list[str]:
    """What is wrong with the pages of the environment at ``path``, which LMDB would trust.

    Reads the file and never opens it by LMDB, which a damaged page can make end the process. While
    somebody writes the environment, what is found may be no damage.
    """
    try:
        found: list[str] = verify(str(path))  # type: ignore[no-untyped-call]
        return found
    except VerifyError as error:
        return [str(error)]


def _refuse_truncated(environment: Environment) -> None:
    """The end of a copy that was cut off is not there: to read it would end the process.

    Pages that a transaction took and gave back at once may be missing with no harm.
    """
    path = environment.path
    want = environment.bytes_used()
    have = (path / "data.mdb").stat().st_size
    damage = structural_damage(path) if have < want else []
    if damage:
        environment._env.close()
        raise StorageError(
            f"{path}/data.mdb is damaged: it has {have:,} bytes of {want:,} ({damage[0]}). If it is"
            " a copy, copy it again"
        )


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Maps the backend's errors to ours; what is left of LMDB in a message is its reason."""
    try:
        yield
    except (lmdb.DiskError, lmdb.ReadonlyError) as error:
        raise LogWriteError(f"{path} cannot be written: {error}") from error
    except (lmdb.MapFullError, lmdb.MapResizedError):
        raise
    except lmdb.Error as error:
        text = str(error)
        if any(word in text for word in ("No space", "File too large", "quota", "Input/output")):
            raise LogWriteError(f"{path} cannot be written: {_refusal(path, text)}") from error
        raise StorageError(f"LMDB cannot use {path}: {text}") from error


def _refusal(path: Path, text: str) -> str:
    """Why the disk refused. Where a part of a page fits, LMDB speaks of an input/output error."""
    try:
        free = shutil.disk_usage(path).free
    except OSError:
        return text
    full = "Input/output" in text and free < _NEARLY_FULL
    reason = f"{os.strerror(errno.ENOSPC)} ({text})" if full else text
    return f"{reason} ({free:,} bytes are free on its disk)"


def refuse_network_file_system(path: Path, mounts: str | None = None) -> None:
    """Raises `NetworkFileSystemError` when ``path`` is mounted from another machine.

    ``mounts`` is the text of a mount table in the format of /proc/mounts; None reads the
    system's own, and does nothing on systems that have none.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/mounts").read_text()
        except OSError:
            return
    real = os.path.realpath(path)
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    if kind.startswith(_NETWORK):
        raise NetworkFileSystemError(
            f"{path} is on a network file system ({kind} at {best}), where LMDB's memory map and"
            " locks do not work and data is lost: choose a directory on a local disk, by --root,"
            " $WL_ROOT or root_log_dir"
        )


def _cut_off_child() -> None:
    """In a forked child: never close what the parent holds, not even at the child's exit.

    Closing an inherited environment releases the parent's reader slots behind its back. One
    reference too many keeps the handle from ever being finalised here.
    """
    for environment in _open.values():
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(environment._env))
    _open.clear()
    _registry_lock.release()


os.register_at_fork(
    before=_registry_lock.acquire,
    after_in_parent=_registry_lock.release,
    after_in_child=_cut_off_child,
)
