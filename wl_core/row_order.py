"""The order of a table's rows by several columns, as the command line and the screen ask for it.

How one column is sorted is the column's business (`TableColumn.order`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wl_core.table import Table

_ENDINGS = {":desc": True, ":asc": False}


@dataclass(frozen=True, slots=True)
class SortKey:
    """A column and a direction."""

    column: str
    descending: bool

    def __str__(self) -> str:
        return f"{self.column}:{'desc' if self.descending else 'asc'}"


def parse_sort(text: str, names: Collection[str], *, descending: bool = False) -> list[SortKey]:
    """The keys that ``"loss:desc,origin"`` names, the most important one first.

    ``descending`` is for columns that say neither ``:asc`` nor ``:desc``. A column of ``names``
    that is called just like the text, or a part of it with its ending, is that column.
    """
    parts = [text] if text in names else text.split(",")
    return [_parse_key(part.strip(), names, descending) for part in parts]


def _parse_key(text: str, names: Collection[str], descending: bool) -> SortKey:
    for ending, direction in _ENDINGS.items():
        if text not in names and text.endswith(ending):
            return SortKey(text.removesuffix(ending), direction)
    return SortKey(text, descending)


def sorted_rows(table: Table, keys: Sequence[SortKey]) -> npt.NDArray[np.intp]:
    """Row numbers ``[n]`` by the first key, rows that are equal there by the next, and so on.

    Stable. Cells that are empty or NaN come last, whatever the direction.

    Raises:
        UnknownNameError: the table has no column of a key's name.
    """
    columns = [table.column(key.column) for key in keys]
    rows: npt.NDArray[np.intp] | None = None
    # From the last key to the first: a stable sort keeps, among equals, what was sorted before.
    for key, column in zip(reversed(keys), reversed(columns), strict=True):
        if rows is None:
            rows = column.order(descending=key.descending)
        else:
            rows = rows[column.take(rows).order(descending=key.descending)]
    return np.arange(len(table)) if rows is None else rows


def sort_table(table: Table, sort: str, *, descending: bool = False) -> tuple[Table, list[str]]:
    """The table sorted by what `parse_sort` reads, and the names of the columns of its keys.

    Raises:
        UnknownNameError: the table has no column of a key's name.
    """
    keys = parse_sort(sort, table.names, descending=descending)
    names = [table.column(key.column).name for key in keys]
    return table.take(sorted_rows(table, keys)), names
