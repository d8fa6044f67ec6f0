"""What can be said of a run without reading it: its state, how far it is, when it began, its size.

`wl runs` prints it and the TUI lists it. Facts alone: a run that cannot be opened says why.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wl_core.directory import RunDirectory
from wl_core.errors import WlError
from wl_core.status import State


@dataclass(frozen=True, slots=True)
class RunFacts:
    """``since`` is the time of the last event and ``began`` that of the last start of its training,
    in seconds since 1970, UTC; ``bytes`` is what its directory takes on disk. What is not known is
    None; ``detail`` says in words what the state alone does not, or why it cannot be read.
    """

    path: Path
    state: State | Literal["unreadable"]
    step: int | None = None
    events: int | None = None
    since: float | None = None
    began: float | None = None
    bytes: int | None = None
    detail: str = ""

    @property
    def name(self) -> str:
        return self.path.name


def run_facts(path: Path) -> RunFacts:
    """Opens the run at that path, asks how it is and closes it again."""
    from wl_core.run import open_run

    began, size = _began(path), disk_usage(path)
    try:
        run = open_run(path)
    except (WlError, OSError) as error:
        return RunFacts(path, "unreadable", began=began, bytes=size, detail=str(error))
    try:
        status, events = run.status(), run.log.next_position
    except (WlError, OSError) as error:  # deleted or damaged under our hands
        return RunFacts(path, "unreadable", began=began, bytes=size, detail=str(error))
    finally:
        run.close()
    return RunFacts(
        path, status.state, status.step, events, status.since, began, size, status.detail
    )


def _began(path: Path) -> float | None:
    try:
        return RunDirectory(path).lock.stat().st_mtime
    except OSError:
        return None


def disk_usage(path: Path) -> int | None:
    """Bytes that the files below a folder take on disk; None when it cannot be listed."""
    total = 0
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    total += disk_usage(Path(entry.path)) or 0
                else:  # LMDB's files are larger than what they take
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
    except OSError:  # gone, or not ours to read
        return None
    return total
