"""Lines of single samples or instances, to be drawn over the curves of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tui.sample_table import RowKey
from wl_core.series import Series

if TYPE_CHECKING:
    from wl_core.run import Run

# So long, in seconds, somebody waits for the history of a long log to be read; the rest comes with
# the next question.
PATIENCE = 0.3
MOST = 8  # lines of rows over each curve: more cannot be told apart


def row_lines(
    run: Run, signals: Sequence[str], rows: Sequence[RowKey]
) -> dict[str, list[Series]] | None:
    """The values of each row, for those of the signals that it has; runs in the run's thread.

    Returns:
        The lines by signal; None when the history is not read as far as needed yet: ask again.
    """
    if not run.prepare("history", budget_seconds=PATIENCE):
        return None
    history = run.view("history")
    names = frozenset(history.names())
    return {
        signal: [line for row in rows if (line := _line(run, signal, row)) is not None]
        for signal in signals
        if signal in names
    }


def _line(run: Run, signal: str, row: RowKey) -> Series | None:
    steps, values = run.signal_history(signal, *row.sample, row.annotation_id or 0)
    if not len(steps):
        return None
    instance = "" if row.annotation_id is None else f" #{row.annotation_id}"
    # As `wl curves --sample` names it.
    name = f"{signal} of {row.sample_id}{instance}"
    return Series(name, np.asarray(steps, np.float64), values, group=signal)
