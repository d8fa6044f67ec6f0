"""Tables: what a view looks like from outside.

A `Table` is a set of named columns of equal length that share the view's memory where they can.
The filter language, the CLI, the TUI and the exporters all read tables and nothing else; how a
view keeps its columns (`wl_core.columns`) is its own business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from wl_core.errors import UnknownNameError, nearest

ColumnKind = Literal["number", "text", "flag"]
Scalar = float | int | bool | str | None


def normalise_name(name: str) -> str:
    """The one name of a signal: ``signals_x``, ``signals//x`` and ``x`` all give ``x``."""
    for prefix in ("signals//", "signals_"):
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


@dataclass(frozen=True, slots=True, eq=False)
class TableColumn:
    """One column of a table, length ``[n]``.

    ``values`` is a float or integer array for ``number``, a bool array for ``flag`` and an int32
    array of indices into ``categories`` for ``text``. Where ``present`` is False the cell is
    empty, whatever ``values`` holds there; a NaN in a present cell was recorded as a NaN.
    ``aggregated`` (or None for "nowhere") is True where the cell was empty on the sample's own row
    and shows its instances' mean, or their first text.
    """

    name: str
    kind: ColumnKind
    values: npt.NDArray[Any]
    present: npt.NDArray[np.bool_]
    categories: Sequence[str] = ()
    aggregated: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.present)

    def cell(self, row: int) -> Scalar:
        """The value of one row as a plain Python value, None when the cell is empty."""
        if not self.present[row]:
            return None
        if self.kind == "text":
            return self.categories[int(self.values[row])]
        value: Scalar = self.values[row].item()
        return value

    def is_aggregated(self, row: int) -> bool:
        return self.aggregated is not None and bool(self.aggregated[row])

    def sort_key(self) -> npt.NDArray[Any]:
        """An array ``[n]`` that sorts as the column does; the rank of the text for ``text``."""
        if self.kind != "text":
            return self.values
        rank = np.empty(max(1, len(self.categories)), np.int32)
        rank[np.argsort(np.asarray(self.categories, dtype=np.str_), kind="stable")] = (
            np.arange(len(self.categories), dtype=np.int32) if self.categories else 0
        )
        key: npt.NDArray[np.int32] = rank[np.clip(self.values, 0, None)]
        return key

    def order(self, *, descending: bool = False) -> npt.NDArray[np.intp]:
        """Row numbers in sorted order, stable; empty and NaN cells come last either way."""
        key = self.sort_key()
        last = ~self.present
        if key.dtype.kind == "f":
            last = last | np.isnan(key)
        if key.dtype.kind == "b":
            key = key.astype(np.int8)
        if descending:
            key = -key if key.dtype.kind == "f" else -key.astype(np.int64)
        if last.any():
            keep, rest = np.flatnonzero(~last), np.flatnonzero(last)
            return np.concatenate([keep[np.argsort(key[keep], kind="stable")], rest])
        return np.argsort(key, kind="stable")

    def take(self, rows: npt.NDArray[np.intp]) -> TableColumn:
        aggregated = None if self.aggregated is None else self.aggregated[rows]
        return TableColumn(
            self.name, self.kind, self.values[rows], self.present[rows], self.categories, aggregated
        )


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Columns of equal length ``[n]``, in the order in which they should be shown."""

    columns: tuple[TableColumn, ...]
    _by_name: dict[str, TableColumn] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {column.name: column for column in self.columns})

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def __iter__(self) -> Iterator[TableColumn]:
        return iter(self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    def column(self, name: str) -> TableColumn:
        """The column of that name; ``signals_x`` and ``signals//x`` find ``x``.

        Raises:
            UnknownNameError: there is no such column; the nearest name is given.
        """
        found = self._by_name.get(name) or self._by_name.get(normalise_name(name))
        if found is None:
            raise UnknownNameError(f"there is no column {name!r}.{nearest(name, self.names)}")
        return found

    def take(self, rows: npt.NDArray[np.intp]) -> Table:
        return Table(tuple(column.take(rows) for column in self.columns))

    def row(self, row: int) -> dict[str, Scalar]:
        """One row as ``{column: value}`` with empty cells left out."""
        return {c.name: c.cell(row) for c in self.columns if c.present[row]}
