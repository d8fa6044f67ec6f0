"""One integer per row that is always there: how often, how late, how many."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.columns import Rows, grown
from wl_core.stored_column import StoredColumn
from wl_core.table import TableColumn


class CountColumn:
    """``nothing`` until something else is said; what is below 0 is an empty cell.

    An array that a table got is copied before it is written to: it may be read in another thread.
    """

    __slots__ = ("_column", "_is_shared", "_nothing", "_values")

    def __init__(self, nothing: int) -> None:
        self._nothing = nothing
        self._values = np.full(0, nothing, np.int64)
        self._is_shared = False
        self._column: StoredColumn | None = None

    def array(self, size: int) -> npt.NDArray[np.int64]:
        """Of all rows ``[size]``, for reading."""
        if len(self._values) < size:
            self.writable(size)
        return self._values[:size]

    def writable(self, size: int) -> npt.NDArray[np.int64]:
        """At least ``size`` long, and to be written to now; what tables got stays as it is."""
        self._column = None
        if len(self._values) < size:
            self._values = grown(self._values, size, self._nothing)
        elif self._is_shared:
            self._values = self._values.copy()
        self._is_shared = False
        return self._values

    def restore(self, values: npt.NDArray[Any]) -> None:
        """Takes over an array of a snapshot, which is copied before it is written to."""
        self._values, self._is_shared, self._column = values, True, None

    def table_column(self, name: str, order: Rows) -> TableColumn:
        """All rows as a table shows them, in the given order."""
        before = self._column
        if before is None or before.name != name or before.order_of_rows is not order:
            values = self.array(len(order))
            self._is_shared = True
            self._column = StoredColumn(name, "number", values, values >= 0, order)
        assert self._column is not None
        return self._column
