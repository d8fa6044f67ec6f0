"""Two runs side by side, as plain data for a screen: what `wl diff` says, and both runs' curves.

Everything here runs in the one thread that opened the two runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from tui.sample_facts import text_column
from wl_core.cli_output import shown
from wl_core.diff_views import chosen_signal, samples_that_differ, settings_that_differ
from wl_core.run import Run, open_run
from wl_core.series import Series
from wl_core.table import Table, TableColumn

MOST = 1_000  # samples that are listed, those that differ most


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """How two runs differ now.

    ``signals`` are those that samples can be compared by; ``signal`` the one that they are, None
    when there is none. ``differing`` is how many samples differ by it.
    """

    names: tuple[str, str]
    series: Sequence[Series]
    settings: Table
    signals: Sequence[str]
    signal: str | None
    samples: Table
    differing: int


class TwoRuns:
    """Both runs, open for reading; `close` gives them back."""

    def __init__(self, one: Path, other: Path) -> None:
        self._one = open_run(one)
        try:
            self._other = open_run(other)
        except BaseException:
            self._one.close()
            raise
        self._seen: tuple[Any, ...] = ()

    def close(self) -> None:
        self._one.close()
        self._other.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def compare(self, signal: str | None, *, again: bool) -> Comparison | None:
        """How they differ now; None when nothing has come since the last time, unless ``again``.

        Args:
            signal: what samples are compared by; None for the first loss.
        """
        runs = self._one, self._other
        for run in runs:
            run.refresh()
        seen = (signal, *(run.position for run in runs))
        if seen == self._seen and not again:
            return None
        self._seen = seen
        signals = sorted(set.intersection(*(set(run.view("samples").signals) for run in runs)))
        name = chosen_signal(*runs, signal)
        if signal is None and signals and name not in signals:  # what was measured says more
            name = signals[0]
        found = None if name is None else samples_that_differ(*runs, name, MOST)
        return Comparison(
            (self._one.name, self._other.name),
            _series(*runs),
            _settings(*runs),
            signals,
            name,
            _samples([] if found is None else found.worst),
            0 if found is None else found.differing,
        )


def _series(one: Run, other: Run) -> list[Series]:
    """Of each curve that both have, A's line and B's."""
    mine, theirs = one.curves(), other.curves()
    return [
        Series.of_curve(curves[name], name=f"{name} of {letter}")
        for name in mine
        if name in theirs
        for letter, curves in (("A", mine), ("B", theirs))
    ]


def _settings(one: Run, other: Run) -> Table:
    rows = settings_that_differ(one, other)
    columns = zip(*((name, shown(a), shown(b)) for name, a, b in rows), strict=True)
    cells = list(columns) or [(), (), ()]
    return Table(
        tuple(text_column(n, c) for n, c in zip(("hyperparameter", "A", "B"), cells, strict=True))
    )


def _samples(worst: Sequence[tuple[str, Any, float, float, float]]) -> Table:
    """Value in A, value in B, B less A, and the distance, by which they are sorted at first."""
    numbers = np.array([row[2:] for row in worst], np.float64).reshape(-1, 3)
    with np.errstate(invalid="ignore"):
        columns = {
            "A": numbers[:, 0], "B": numbers[:, 1], "B - A": numbers[:, 1] - numbers[:, 0],
            "distance": numbers[:, 2],
        }  # fmt: skip
    there = np.ones(len(worst), np.bool_)
    return Table(
        (
            text_column("origin", [row[0] for row in worst]),
            text_column("sample_id", [str(row[1]) for row in worst]),
            *(TableColumn(name, "number", v, there) for name, v in columns.items()),
        )
    )
