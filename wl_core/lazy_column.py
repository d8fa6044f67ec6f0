"""Columns whose cells are computed when somebody looks at them, and not before.

What takes long to know of a row (its shape needs its whole history) can stand in every table, as
long as nobody pays for it who does not ask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from wl_core.table import Cell, ColumnKind, TableColumn

Rows = npt.NDArray[np.intp]


# Gives the column with just these rows ``[k]`` in this order; with all when None.
Load: TypeAlias = Callable[[Rows | None], TableColumn]


class LazyColumn(TableColumn):
    """A column that is computed on the first look at ``values``, ``present`` or ``categories``.

    A look at one cell computes that cell alone, and rows that are taken before are computed by
    themselves, as far as ``load`` can. No cell stands for others (``aggregated``). The name, kind
    and length are known at once. It shows what is so when it is first looked at, which may be later
    than the rest of its table; look at it in the thread that owns the run.
    ``needs`` are the views on demand that it is computed from: a reader that must not stall has
    them prepared first (`Run.prepare`).
    """

    __slots__ = ("_cells", "_column", "_length", "_load", "needs")

    def __init__(
        self, name: str, kind: ColumnKind, length: int, load: Load, needs: Sequence[str] = ()
    ) -> None:
        for field, value in (
            ("name", name),
            ("kind", kind),
            ("_length", length),
            ("_load", load),
            ("_column", None),
            ("_cells", {}),
            ("needs", tuple(needs)),
        ):
            object.__setattr__(self, field, value)  # tables do not change, for those who read them

    _column: TableColumn | None
    _cells: dict[int, Cell]
    _length: int
    _load: Load
    needs: tuple[str, ...]

    @property
    def is_ready(self) -> bool:
        return self._column is not None

    def loaded(self) -> TableColumn:
        """The same column, computed."""
        if self._column is None:
            object.__setattr__(self, "_column", self._load(None))
        assert self._column is not None
        return self._column

    def __len__(self) -> int:
        return self._length

    @property
    def values(self) -> npt.NDArray[Any]:
        return self.loaded().values

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        return self.loaded().present

    @property
    def categories(self) -> Sequence[Any]:
        return self.loaded().categories

    @property
    def aggregated(self) -> npt.NDArray[np.bool_] | None:
        return None

    def cell(self, row: int) -> Cell:
        if self._column is not None:
            return self._column.cell(row)
        if row not in self._cells:
            self._cells[row] = self._load(np.array([row], np.intp)).cell(0)
        return self._cells[row]

    def take(self, rows: Rows) -> TableColumn:
        if self._column is not None:
            return self._column.take(rows)
        load = self._load

        def load_taken(wanted: Rows | None) -> TableColumn:
            return load(rows if wanted is None else rows[wanted])

        return LazyColumn(self.name, self.kind, len(rows), load_taken, self.needs)
