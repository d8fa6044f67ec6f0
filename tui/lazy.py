"""Lazy columns on the screen: computed once they are in sight or asked for, and not too often.

A lazy column (`wl_core.lazy_column`), such as ``shape``, can take seconds on a long run. Until
somebody wants it, its cells are empty here; from then on it is computed in the follower's thread,
the only one that may, at most once a second and for at most a fiftieth of the time.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from wl_core.lazy_column import LazyColumn
from wl_core.table import Table, TableColumn

if TYPE_CHECKING:
    from wl_core.run import Run

PREPARING = 0.25  # seconds of work on views that a column needs, between two looks at the log
_REST = 1.0  # seconds between two computations, at least
_SHARE = 50  # … and so many times what the last one took


class LazyColumns:
    """The lazy columns of the samples table, as far as somebody wants them.

    `want` may be called from any thread, everything else by the follower's alone.
    """

    def __init__(self) -> None:
        self._wanted: frozenset[str] = frozenset()
        self._computed: dict[str, TableColumn] = {}
        self._rest_until: dict[str, float] = {}
        # When a wanted column is to be computed, if it is not as new as can be.
        self._due = math.inf

    @property
    def any_wanted(self) -> bool:
        return bool(self._wanted)

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self._due

    def want(self, names: frozenset[str]) -> None:
        if not names <= self._wanted:
            self._wanted |= names
            self._due = 0

    def forget(self) -> None:
        """Another moment is shown: what was computed is not of it."""
        self._computed.clear()
        self._rest_until.clear()
        self._due = 0 if self._wanted else math.inf

    def shown(self, run: Run, table: Table) -> tuple[Table, frozenset[str]]:
        """The table with no lazy column in it, and the names of those that are not computed."""
        self._due = math.inf
        shown = [self._shown(run, column) for column in table]
        missing = {
            column.name
            for column, one in zip(table, shown, strict=True)
            if one is not column and one is not self._computed.get(column.name)
        }
        if missing & self._wanted:  # also what was wanted while this went on
            self._due = 0
        return Table(tuple(shown)), frozenset(missing)

    def _shown(self, run: Run, column: TableColumn) -> TableColumn:
        if not isinstance(column, LazyColumn):
            return column
        before = self._computed.get(column.name)
        fits = before is not None and len(before) == len(column)
        if column.name in self._wanted:
            now = time.monotonic()
            if now < self._rest_until.get(column.name, 0) and fits:
                self._due = min(self._due, self._rest_until[column.name])
            elif is_prepared(run, column):
                before = self._computed[column.name] = column.loaded()
                took = time.monotonic() - now
                self._rest_until[column.name] = now + took + max(_REST, _SHARE * took)
                fits = True
            else:
                self._due = 0
        return before if before is not None and fits else _empty(column)


def is_prepared(run: Run, column: LazyColumn) -> bool:
    """Whether the views that the column is computed from are folded; works a while on them."""
    return all(run.prepare(view, budget_seconds=PREPARING) for view in column.needs)


def _empty(column: TableColumn) -> TableColumn:
    nowhere = np.zeros(len(column), np.bool_)
    return TableColumn(column.name, column.kind, np.zeros(len(column), np.int32), nowhere)
