"""Values over time in one line of text, for the rows of a table that are in sight.

What is drawn is kept by row and signal, and read again when the run has gone on, but not so often
that following a training by them costs much. Which rows are in sight is the pane's to know.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from tui.sample_table import RowKey
from tui.widgets.cells import TRAJECTORY_WIDTH
from tui.widgets.sparkline import sparkline

if TYPE_CHECKING:
    from wl_core.run import Run

Wanted: TypeAlias = tuple[int, str]  # the id of a row, a signal
NOT_YET = "…"
READING = 0.25  # seconds of work on the history of values, between two looks at the log
REST = 1.0  # seconds between two readings, at least
SHARE = 10  # … and so many times what the last one took
KEPT = 2_000  # trajectories that are kept


class Trajectories:
    """What is known of the rows' trajectories, each with the position of the log it was read at."""

    def __init__(self) -> None:
        self._texts: dict[Wanted, tuple[str, int]] = {}
        self._moment: int | None = None
        self._rest_until = 0.0
        self.is_reading = False

    def text(self, row_id: int, signal: str) -> str:
        """As drawn, ``…`` while it is not known."""
        found = self._texts.get((row_id, signal))
        return NOT_YET if found is None else found[0]

    def show_moment(self, moment: int | None) -> None:
        """Another moment has other values."""
        if moment != self._moment:
            self.forget()
            self._moment = moment

    def forget(self) -> None:
        self._texts.clear()
        self._rest_until = 0.0

    def due(self, ids: Iterable[int], signals: Sequence[str], position: int) -> list[Wanted]:
        """What of the rows in sight is to be read now, at that position of the log."""
        if self.is_reading:
            return []
        seen = [(one, signal) for one in ids for signal in signals]
        if time.monotonic() < self._rest_until:
            return [one for one in seen if one not in self._texts]
        return [one for one in seen if self._texts.get(one, ("", -1))[1] != position]

    def put(self, texts: Mapping[Wanted, str], position: int, took: float) -> bool:
        """Keeps what was read; whether anything is drawn otherwise than before."""
        changed = any(self.text(*one) != text for one, text in texts.items())
        if len(self._texts) + len(texts) > KEPT:
            self._texts.clear()
        self._texts.update({one: (text, position) for one, text in texts.items()})
        self._rest_until = time.monotonic() + max(REST, SHARE * took)
        return changed


def reading(
    wanted: Mapping[Wanted, RowKey],
) -> Callable[[Run], tuple[dict[Wanted, str], float] | None]:
    """A job that reads trajectories, and says how long it took; None: the history is not folded."""

    def read(run: Run) -> tuple[dict[Wanted, str], float] | None:
        if not run.prepare("history", budget_seconds=READING):
            return None
        began, texts = time.monotonic(), {}
        for one, row in wanted.items():
            texts[one] = sparkline(_values(run, one[1], row), TRAJECTORY_WIDTH)
            if time.monotonic() - began > READING:  # the others come next
                break
        return texts, time.monotonic() - began

    return read


def _values(run: Run, signal: str, row: RowKey) -> npt.NDArray[np.float64]:
    """The row's own; else those of its sample, or the means of its instances at each step."""
    _, values = run.signal_history(signal, *row.sample, row.annotation_id or 0)
    if len(values):
        return values
    if row.annotation_id is not None:
        return run.signal_history(signal, *row.sample)[1]
    numbers = run.view("instances").annotation_ids(*row.sample)
    found = [run.signal_history(signal, *row.sample, number) for number in numbers]
    if not found:
        return values
    steps, values = map(np.concatenate, zip(*found, strict=True))
    _, which = np.unique(steps, return_inverse=True)
    return np.bincount(which, values) / np.bincount(which)
