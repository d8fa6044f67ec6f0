"""Columns of a table that share their view's memory: put in order when somebody looks, not before.

A screen shows fifty rows of a million, and a sort looks at one column of thirty. So a view hands
out its arrays as they are, by its own rows, and a look at one cell reads that cell alone. The view
copies an array before it next writes to it (`wl_core.columns`), so what was handed out stays as it
was, whoever looks at it in whatever thread, and what nobody wrote to is never copied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from wl_core.table import Cell, ColumnKind, TableColumn

Rows: TypeAlias = npt.NDArray[np.intp]


class StoredColumn(TableColumn):
    """A column of numbers or flags whose cell ``i`` stands in row ``order[i]`` of a view's arrays.

    ``values`` and ``present`` of the view must not be written to any more; those of the table are
    made on the first look, and kept.
    """

    __slots__ = ("_found", "_order", "_present", "_values")

    _order: Rows
    _values: npt.NDArray[Any]
    _present: npt.NDArray[np.bool_]
    _found: dict[str, Any]

    def __init__(
        self,
        name: str,
        kind: ColumnKind,
        values: npt.NDArray[Any],
        present: npt.NDArray[np.bool_],
        order: Rows,
    ) -> None:
        for field, value in (
            ("name", name),
            ("kind", kind),
            ("_values", values),
            ("_present", present),
            ("_order", order),
            ("_found", {}),
        ):
            object.__setattr__(self, field, value)  # tables do not change, for those who read them

    def __len__(self) -> int:
        return len(self._order)

    @property
    def order_of_rows(self) -> Rows:
        """Which row of the view's arrays each cell stands in ``[n]``."""
        return self._order

    def _once(self, what: str, make: Callable[[], Any]) -> Any:
        found = self._found.get(what)
        if found is None:
            found = self._found[what] = make()
        return found

    def _of_rows(self, rows: Rows) -> npt.NDArray[Any]:
        values = self._values.take(rows)
        return values != 0 if self.kind == "flag" else values

    @property
    def values(self) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = self._once("values", lambda: self._of_rows(self._order))
        return found

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = self._once(
            "present", lambda: self._present.take(self._order)
        )
        return found

    @property
    def categories(self) -> tuple[()]:
        return ()

    @property
    def aggregated(self) -> None:
        return None

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.bool_) if self.kind == "flag" else self._values.dtype

    @property
    def is_whole(self) -> bool:
        """Whether all rows of the view are shown."""
        return len(self._order) == len(self._values)

    @property
    def filled(self) -> int:
        there = self._present if self.is_whole else self.present
        return int(self._once("filled", lambda: int(np.count_nonzero(there))))

    @property
    def extremes(self) -> tuple[Any, Any] | None:
        if not self.is_whole or self.kind == "flag":
            return super().extremes
        found: tuple[Any, Any] | None = self._once(
            "extremes", lambda: (self._values.min(), self._values.max()) if len(self) else None
        )
        return found

    def is_filled(self, row: int) -> bool:
        return bool(self._present[self._order[row]])

    def cell(self, row: int) -> Cell:
        at = self._order[row]
        if not self._present[at]:
            return None
        value: Cell = self._values[at].item()
        return bool(value) if self.kind == "flag" else value

    def is_aggregated(self, row: int) -> bool:
        return False

    def take(self, rows: Rows) -> TableColumn:
        places = self._order[rows]
        return TableColumn(self.name, self.kind, self._of_rows(places), self._present.take(places))
