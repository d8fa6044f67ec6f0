"""Tables: what a view looks like from outside.

A `Table` is a set of named columns of equal length that share the view's memory where they can.
The filter language, the CLI, the TUI and the exporters all read tables and nothing else; how a
view keeps its columns (`wl_core.columns`) is its own business.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from wl_core.errors import UnknownNameError, nearest
from wl_core.sorting import stable_order

ColumnKind = Literal["number", "text", "flag", "list"]
Scalar: TypeAlias = float | int | bool | str | None
Cell: TypeAlias = Scalar | list[Scalar]


def normalise_name(name: str) -> str:
    """The one name of a signal: ``signals_x``, ``signals//x`` and ``x`` all give ``x``."""
    for prefix in ("signals//", "signals_"):
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def list_key(elements: Sequence[Scalar]) -> tuple[tuple[int, Any], ...]:
    """What a list is sorted and compared by: equal for equal lists, whatever is among them.

    1 and 1.0 are one element, ``True`` and ``"1"`` are others; NaN equals itself and comes after
    all numbers.
    """
    return tuple(_element_key(element) for element in elements)


def _element_key(element: Scalar) -> tuple[int, Any]:
    if isinstance(element, bool):
        return 0, element
    if isinstance(element, str):
        return 3, element
    is_nan = isinstance(element, float) and math.isnan(element)
    return (2, 0) if is_nan else (1, element)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TableColumn:
    """One column of a table, length ``[n]``.

    ``values`` is a float or integer array for ``number``, a bool array for ``flag`` and an int32
    array of indices into ``categories`` for ``text`` and ``list``; the categories are texts, or
    tuples of texts, numbers and bools. Where ``present`` is False the cell is empty, whatever
    ``values`` holds there; a NaN in a present cell was recorded as a NaN. ``aggregated`` (or None
    for "nowhere") is True where the cell was empty on the sample's own row and shows its
    instances' mean, or their first text.
    """

    name: str
    kind: ColumnKind
    values: npt.NDArray[Any]
    present: npt.NDArray[np.bool_]
    categories: Sequence[Any] = ()
    aggregated: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.present)

    def __repr__(self) -> str:  # cells are not looked at: it can take long to have them
        return f"{type(self).__name__}({self.name!r}, {self.kind!r}, {len(self)} rows)"

    @property
    def is_ready(self) -> bool:
        """Whether its cells are there; those of a `LazyColumn` are computed on the first look."""
        return True

    @property
    def is_coded(self) -> bool:
        """Whether ``values`` are indices into ``categories``."""
        return self.kind in ("text", "list")

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of ``values``; to ask for it computes nothing that is not there."""
        return self.values.dtype

    @property
    def filled(self) -> int:
        """How many cells are not empty."""
        return int(np.count_nonzero(self.present))

    @property
    def extremes(self) -> tuple[Any, Any] | None:
        """The least and greatest of ``values``, whatever empty cells hold; None without rows."""
        return (self.values.min(), self.values.max()) if len(self) else None

    def is_filled(self, row: int) -> bool:
        """Whether the cell is not empty."""
        return bool(self.present[row])

    def cell(self, row: int) -> Cell:
        """The value of one row as a plain Python value, None when the cell is empty."""
        if not self.present[row]:
            return None
        value: Cell = self.values[row].item()
        if self.is_coded:
            value = self.categories[int(self.values[row])]
        return list(value) if isinstance(value, tuple) else value

    def is_aggregated(self, row: int) -> bool:
        return self.aggregated is not None and bool(self.aggregated[row])

    def sort_key(self) -> npt.NDArray[Any]:
        """An array ``[n]`` that sorts as the column does; the category's rank where it is coded.

        Lists are sorted by their first element, then their second, …; the shorter of two that
        begin alike comes first. Among elements bools come before numbers, numbers before text.
        """
        if not self.is_coded:
            return self.values
        rank = np.zeros(max(1, len(self.categories)), np.int32)
        if self.categories:
            rank[self._sorted_categories()] = np.arange(len(self.categories), dtype=np.int32)
        key: npt.NDArray[np.int32] = rank[np.clip(self.values, 0, None)]
        return key

    def _sorted_categories(self) -> npt.NDArray[np.intp]:
        if self.kind == "text":
            return np.argsort(np.asarray(self.categories, dtype=np.str_), kind="stable")
        keys = [list_key(category) for category in self.categories]
        return np.asarray(sorted(range(len(keys)), key=keys.__getitem__), np.intp)

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
            return np.concatenate([keep[stable_order(key[keep])], rest])
        return stable_order(key)

    def take(self, rows: npt.NDArray[np.intp]) -> TableColumn:
        aggregated = None if self.aggregated is None else self.aggregated[rows]
        return TableColumn(
            self.name, self.kind, self.values[rows], self.present[rows], self.categories, aggregated
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Table:
    """Columns of equal length ``[n]``, in the order in which they should be shown."""

    columns: tuple[TableColumn, ...]
    _by_name: dict[str, TableColumn] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {column.name: column for column in self.columns})

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def __repr__(self) -> str:
        return f"Table({len(self)} rows, {list(self.names)})"

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

    def row(self, row: int) -> dict[str, Cell]:
        """One row as ``{column: value}`` with empty cells left out."""
        return {c.name: c.cell(row) for c in self.columns if c.is_filled(row)}

    def to_arrow(self) -> Any:
        """The table as a ``pyarrow.Table``.

        Numbers keep their type and share the table's memory where no cell is empty; flags are
        bool, texts dictionary-encoded strings, lists lists of their elements' type, or JSON text
        where that is not one and the same. An empty cell is null and a NaN stays NaN.

        Raises:
            MissingExtraError: pyarrow is not installed (``pip install 'wl[parquet]'``).
        """
        from wl_core.arrow import to_arrow

        return to_arrow(self)

    def to_pandas(self) -> Any:
        """The table as a ``pandas.DataFrame``.

        Texts are categories; integers and flags with empty cells have pandas' nullable types.
        Among floats pandas does not tell an empty cell from a NaN.

        Raises:
            MissingExtraError: pandas or pyarrow is not installed (``pip install 'wl[pandas]'``).
        """
        from wl_core.arrow import to_arrow, to_pandas

        return to_pandas(to_arrow(self))
