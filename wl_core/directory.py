"""The run directory: where things lie in it, who may write it, and which runs there are.

RUN/
  rank-0000/
    log/ arrays/          LMDB environments
    tail-*                frames that are not in the log yet
    writer.lock           held by the training process as long as it lives
  views/                  checkpoints, and files/ that they name; may be deleted at any time
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from wl_core.errors import RunLockedError, RunNotFoundError

DEFAULT_ROOT = "wl_runs"


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The paths of one run, for one rank."""

    path: Path
    rank: int = 0

    @property
    def rank_path(self) -> Path:
        return self.path / f"rank-{self.rank:04d}"

    @property
    def log(self) -> Path:
        return self.rank_path / "log"

    @property
    def arrays(self) -> Path:
        return self.rank_path / "arrays"

    @property
    def lock(self) -> Path:
        return self.rank_path / "writer.lock"

    @property
    def views(self) -> Path:
        return self.path / "views"

    @property
    def exists(self) -> bool:
        return (self.log / "data.mdb").exists()


def default_root() -> Path:
    """``$WL_ROOT``, else ``./wl_runs``."""
    return Path(os.environ.get("WL_ROOT") or DEFAULT_ROOT)


def list_runs(root: Path | str | None = None) -> list[Path]:
    """The runs directly under ``root``, the one whose training began last first."""
    base = default_root() if root is None else Path(root)
    if not base.is_dir():
        return []
    runs = [path for path in base.iterdir() if RunDirectory(path).exists]
    return sorted(runs, key=_begun, reverse=True)


def _begun(path: Path) -> tuple[float, str]:
    lock = RunDirectory(path).lock
    return (lock.stat().st_mtime if lock.exists() else 0.0, path.name)


def find_run(name: Path | str | None = None, root: Path | str | None = None) -> Path:
    """The run of that name or path; the newest under ``root`` when there is no name.

    Raises:
        RunNotFoundError: there is none; the message says where it was looked for.
    """
    base = default_root() if root is None else Path(root)
    if name is None:
        runs = list_runs(base)
        if not runs:
            raise RunNotFoundError(
                f"there is no run under {base}: train one (`wl demo` makes one), or say where the"
                " runs are by --root DIR or $WL_ROOT"
            )
        return runs[0]
    for path in (Path(name), base / name):
        if RunDirectory(path).exists:
            return path
    known = ", ".join(path.name for path in list_runs(base)[:5]) or "none"
    raise RunNotFoundError(
        f"there is no run at {name} nor at {base / name}; runs under {base}: {known}"
    )


def new_run_path(root: Path | str | None = None) -> Path:
    """A path for a new run under ``root``, named after the time in UTC."""
    base = default_root() if root is None else Path(root)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    path, number = base / stamp, 1
    while path.exists():
        number += 1
        path = base / f"{stamp}-{number}"
    return path


class WriterLock:
    """The right to write a run, which ends with the process however that ends.

    A POSIX record lock and not ``flock``: a forked data-loader worker must not inherit it, or the
    run would seem alive until the last worker has died.
    """

    _held: ClassVar[dict[str, WriterLock]] = {}

    def __init__(self, path: Path, *, attempts: int = 100) -> None:
        self._key = os.path.realpath(path)
        self.path = path
        if self._key in self._held:
            raise RunLockedError(_taken(path.parent.parent, _describe()))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                # A reader that asks whether a writer lives holds the lock for an instant, and one
                # that brings a dead writer's frames into the log a little longer.
                attempts -= 1
                if attempts <= 0:
                    holder = _read(self._file)
                    os.close(self._file)
                    raise RunLockedError(_taken(path.parent.parent, holder)) from None
                time.sleep(0.01)
        self._held[self._key] = self

    def sign(self) -> None:
        """Writes who holds it; the file's time of change is when the training began."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(_describe()).encode(), 0)

    def release(self) -> None:
        self._held.pop(self._key, None)
        os.close(self._file)

    @classmethod
    def forget_in_child(cls) -> None:
        """After a fork: the parent's locks are not ours."""
        cls._held.clear()


os.register_at_fork(after_in_child=WriterLock.forget_in_child)


def writer_of(path: Path) -> dict[str, Any] | None:
    """Who writes the run with this lock file: ``pid``, ``host``, ``command``; None for nobody."""
    if os.path.realpath(path) in WriterLock._held:
        return _describe()
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except OSError:
        return _read(file)
    finally:
        os.close(file)


def _describe() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": " ".join(sys.argv)[:500],
        "began": time.time(),
    }


def _read(file: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(file, 10_000, 0))
    except ValueError:  # it is being signed at this moment
        found = {}
    return found if isinstance(found, dict) else {}


def _taken(run: Path, holder: dict[str, Any]) -> str:
    who = f"process {holder.get('pid', 'unknown')} on {holder.get('host', 'this machine')}"
    return (
        f"{run} is being written by {who} ({holder.get('command', '?')}): let it end, or train into"
        " another run directory"
    )
