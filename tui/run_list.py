"""The runs under a folder, looked at again and again; opened only if they can have changed.

All of it runs in one worker thread that the screen of the runs owns. How a run is comes from
`wl_core.run_facts`, as in `wl runs`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from tui.follow import Pace
from tui.words import STATE_SYMBOLS
from wl_core.directory import RunDirectory, list_runs, writer_of
from wl_core.run_facts import RunFacts, run_facts
from wl_core.table import Table, TableColumn

_MEBI = 1 << 20
_Sign: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class SeenRun:
    """A run as it was when it was looked at last, and how fast it went while being looked at."""

    facts: RunFacts
    steps_per_second: float | None


class RunList:
    """What is known of the runs under ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[Path, tuple[_Sign | None, RunFacts]] = {}
        self._paces: dict[Path, Pace] = {}

    def look(self) -> list[SeenRun]:
        """The runs now, the newest first, then those that were there and are no more."""
        there = list_runs(self.root)
        gone = [path for path in self._known if path not in set(there)]
        for path in gone:
            said = replace(self._known[path][1], state="unreadable", detail="deleted from disk")
            self._known[path] = None, said
        return [self._seen(path) for path in there] + [
            SeenRun(self._known[path][1], None) for path in gone
        ]

    def _seen(self, path: Path) -> SeenRun:
        sign = _sign(path)
        before = self._known.get(path)
        if before is None or sign is None or before[0] != sign:
            before = self._known[path] = sign, run_facts(path)
        facts = before[1]
        pace = self._paces.setdefault(path, Pace())
        if facts.step is not None:
            pace.see(time.monotonic(), facts.step)
        trains = facts.state in ("training", "evaluating")
        return SeenRun(facts, pace.steps_per_second if trains else None)


def _sign(path: Path) -> _Sign | None:
    """Another one after each change of the run; None while somebody writes it, or it is gone."""
    directory = RunDirectory(path)
    try:
        if writer_of(directory.lock) is not None:
            return None
        log, rank = (directory.log / "data.mdb").stat(), directory.rank_path.stat()
    except OSError:
        return None
    return log.st_mtime_ns, log.st_size, rank.st_mtime_ns


def runs_table(runs: Sequence[SeenRun], marked: Sequence[Path]) -> Table:
    """A row per run; ``marked`` have ``A`` and ``B`` before their names."""
    facts = [one.facts for one in runs]
    letters = {path: "AB"[number] for number, path in enumerate(marked)}
    return Table(
        (
            _texts("name", [f"{letters.get(one.path, '')} {one.name}".strip() for one in facts]),
            _texts("state", [f"{STATE_SYMBOLS.get(one.state, '?')} {one.state}" for one in facts]),
            _numbers("step", [one.step for one in facts]),
            _numbers("steps/s", [one.steps_per_second for one in runs]),
            _texts("last event", [_moment(one.since) for one in facts]),
            _texts("began", [_moment(one.began) for one in facts]),
            _numbers("MiB", [one.bytes and one.bytes / _MEBI for one in facts]),
            _numbers("events", [one.events for one in facts]),
            _texts("detail", [one.detail for one in facts]),
        )
    )


def _moment(seconds: float | None) -> str:
    """Local time, such that the order of texts is that of times."""
    return time.strftime("%y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""


def _numbers(name: str, cells: Sequence[float | None]) -> TableColumn:
    values = np.array([0 if cell is None else cell for cell in cells])
    return TableColumn(
        name, "number", values, np.array([cell is not None for cell in cells], np.bool_)
    )


def _texts(name: str, cells: Sequence[str]) -> TableColumn:
    words = tuple(sorted(set(cells)))
    codes = np.array([words.index(cell) for cell in cells], np.int32)
    return TableColumn(name, "text", codes, np.array([bool(one) for one in cells], np.bool_), words)
