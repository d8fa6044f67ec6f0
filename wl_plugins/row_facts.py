"""What samples and instances have in common: signals, decisions and arrays of dense rows.

Which row is which is up to the view that owns the facts (`sample_view`, `instance_view`).
Decisions are `decided`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.columns import Column, Digest, Rows, State, pack, unpack
from wl_core.kept import Kept
from wl_core.references import ArrayEvents, Reference, ReferenceColumn
from wl_core.table import TableColumn
from wl_plugins.decided import Decided

_OWN_PREFIX = "signals/"


class RowFacts:
    """Signals' last values, decisions and array references, by row."""

    __slots__ = ("_kept", "arrays", "decided", "nonfinite", "signals")

    def __init__(self) -> None:
        self.signals: dict[str, Column] = {}
        self.nonfinite: dict[str, int] = {}  # how many values of a signal were NaN or infinite
        self.decided = Decided()
        self.arrays: dict[str, ReferenceColumn] = {}
        self._kept = Kept()

    # -- folding -----------------------------------------------------------

    def put_values(self, signal: str, rows: Rows, values: npt.NDArray[Any], size: int) -> None:
        column = self.signals.get(signal)
        if column is None:
            column = self.signals[signal] = Column()
            self.nonfinite[signal] = 0
        column.put(rows, values, size)
        if values.dtype.kind == "f":
            self.nonfinite[signal] += len(values) - int(np.count_nonzero(np.isfinite(values)))

    def put_arrays(
        self,
        field: str,
        rows: Rows,
        found: ArrayEvents,
        which: npt.NDArray[np.bool_],
        size: int,
    ) -> None:
        """Takes in those of the arrays that ``which`` says ``[A]``; they belong to ``rows``."""
        column = self.arrays.setdefault(field, ReferenceColumn())
        column.put(rows, found.refs[which], found.spec_index[which], found.specs, size)

    def merge(self, later: RowFacts, rows: Rows, size: int) -> None:
        """Takes in later facts, whose row ``i`` is this one's row ``rows[i]``."""
        for signal, column in later.signals.items():
            self.signals.setdefault(signal, Column()).merge(column, rows, size)
            self.nonfinite[signal] = self.nonfinite.get(signal, 0) + later.nonfinite[signal]
        for field, references in later.arrays.items():
            self.arrays.setdefault(field, ReferenceColumn()).merge(references, rows, size)
        self.decided.merge(later.decided, rows)

    # -- checkpoints -------------------------------------------------------

    def snapshot(self, prefix: str, size: int, state: State) -> None:
        names = [list(self.signals), list(self.arrays)]
        state[f"{prefix}/names"] = pack((names, self.nonfinite))
        for number, column in enumerate(self.signals.values()):
            column.snapshot(f"{prefix}/signals/{number}", size, state)
        for number, references in enumerate(self.arrays.values()):
            references.snapshot(f"{prefix}/arrays/{number}", size, state)
        self.decided.snapshot(f"{prefix}/decided", state)

    def restore(self, prefix: str, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        (signals, fields), nonfinite = unpack(state, f"{prefix}/names")
        self.nonfinite = dict(nonfinite)
        for number, name in enumerate(signals):
            self.signals[name] = Column()
            self.signals[name].restore(f"{prefix}/signals/{number}", state)
        for number, name in enumerate(fields):
            self.arrays[name] = ReferenceColumn()
            self.arrays[name].restore(f"{prefix}/arrays/{number}", state)
        self.decided.restore(f"{prefix}/decided", state)

    def update(self, digest: Digest, order: Rows) -> None:
        """Adds the content to a digest, rows in the given order, which is of all rows."""
        digest.add(sorted(self.nonfinite.items()))
        self.decided.update(digest, order)
        digest.add(list(self.signals))
        for signal in self.signals.values():
            digest.column(signal, order)
        for field in sorted(self.arrays):
            digest.add(field)
            self.arrays[field].update(digest, order)

    # -- reading -----------------------------------------------------------

    def reference(self, field: str, row: int) -> Reference | None:
        column = self.arrays.get(field)
        return None if column is None else column.cell(row)

    def live_refs(self) -> set[bytes]:
        return set().union(*(column.live() for column in self.arrays.values()))

    def signal_columns(
        self, taken: Collection[str], order: Rows, size: int
    ) -> Iterator[TableColumn]:
        """The signals as table columns; one with a taken name is called ``signals/<name>``."""
        for name, column in self.signals.items():
            shown = _OWN_PREFIX + name if name in taken else name
            if len(order) == size:
                yield self._kept.get(
                    shown, (column.state, order), partial(column.table_column, shown, order, size)
                )
            else:  # somebody's few instances: not worth keeping
                yield column.table_column(shown, order, size)
