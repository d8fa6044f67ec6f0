"""Moments of a run's past: opened when they are looked at, the last few of them kept open.

What is shown of a moment, and when, is the follower's business, whose thread alone calls this.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from wl_core.errors import ProjectionParkedError

if TYPE_CHECKING:
    from wl_core.run import Run

KEPT = 4
FEW_ROWS = 100_000  # of more samples than these one moment alone is kept, for each holds its views
NEAR = 50  # steps that are folded on from the moment that is shown, which is then no longer kept


class Pasts:
    """The run as it was, at one step or another."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Run] = OrderedDict()  # by step, the one shown now last

    def at(self, run: Run, step: int) -> Run:
        """The run as it was at the end of that step; it stays open until other moments were asked.

        The next steps are folded on from the moment that was asked for last.

        Raises:
            UsageError: the run has no such step.
        """
        past = self._kept.pop(step, None)
        if past is None:
            past = self._advanced(run, step) or run.at(step=step)
        past.refresh()  # a step that is kept may have gone on since
        self._kept[step] = past
        while len(self._kept) > self._most(past):
            self._kept.popitem(last=False)[1].close()
        return past

    def _advanced(self, run: Run, step: int) -> Run | None:
        """The moment that was asked for last, gone on to that step if it is a little before."""
        if not self._kept:
            return None
        last = next(reversed(self._kept))
        if not last < step <= min(last + NEAR, run.log.model_age):
            return None
        past = self._kept[last]
        past.advance(step=step)
        del self._kept[last]
        return past

    def _most(self, past: Run) -> int:
        try:
            return KEPT if len(past.view("samples").index) <= FEW_ROWS else 1
        except ProjectionParkedError:
            return 1

    def close(self) -> None:
        """Gives all of them back."""
        while self._kept:
            self._kept.popitem()[1].close()
