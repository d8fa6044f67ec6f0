"""Tables to slice, and what their slices hold as plain Python finds it, row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from wl_core.table import ColumnKind, Table, TableColumn

WEATHERS = ("dry", "rainy", "it's wet", 'so "wet"', 'it\'s "wet"', "", "and")
TAGS = ("a", "ab", "b", "it's")
EDGES = (-1, 0.1, 3)

Row = dict[str, Any]

numbers = st.one_of(
    st.none(),
    st.integers(-3, 5).map(float),
    st.sampled_from([0.1, 0.3, 2.5, math.nan, math.inf, -math.inf]),
)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "weather": st.none() | st.sampled_from(WEATHERS),
            "time of day": st.sampled_from(["day", "night"]),
            "tags": st.sets(st.sampled_from(TAGS)).map(lambda some: ",".join(sorted(some)) or None),
            "classes": st.none()
            | st.lists(st.sampled_from([1, 2, True, "x", "it's"]), max_size=3).map(tuple),
            "night": st.none() | st.booleans(),
            "size": numbers,
            "loss": numbers,
        }
    ),
    max_size=30,
)

KINDS: dict[str, ColumnKind] = {
    "weather": "text",
    "time of day": "text",
    "tags": "text",
    "classes": "list",
    "night": "flag",
    "size": "number",
    "loss": "number",
}


def table_of(many: Sequence[Row], dtype: type = np.float32) -> Table:
    """The rows as a table; what is None is an empty cell."""
    return Table(
        tuple(
            column(name, kind, [row[name] for row in many], dtype) for name, kind in KINDS.items()
        )
    )


def column(
    name: str, kind: ColumnKind, cells: Sequence[Any], dtype: type = np.float32
) -> TableColumn:
    present = np.asarray([cell is not None for cell in cells], np.bool_)
    if kind in ("text", "list"):
        # By their types too: 1 and True are one key of a dict, but two elements of a list.
        known = {repr(cell): cell for cell in cells if cell is not None}
        numbers = {key: number for number, key in enumerate(known)}
        codes = [numbers.get(repr(cell), -1) for cell in cells]
        return TableColumn(name, kind, np.asarray(codes, np.int32), present, list(known.values()))
    wanted = np.bool_ if kind == "flag" else dtype
    values = np.asarray([0 if cell is None else cell for cell in cells]).astype(wanted)
    return TableColumn(name, kind, values, present)


def groups(name: str, cell: Any) -> set[str]:
    """What the groups of a facet are called that a row with this cell is in."""
    if cell is None:
        return {"(empty)"}
    if name == "tags":
        return set(cell.split(","))
    if name == "classes":
        return {str(one).lower() if isinstance(one, bool) else str(one) for one in cell} or {"[]"}
    if name == "night":
        return {"yes" if cell else "no"}
    if name.startswith("size"):
        return {_bin(np.float32(cell))}
    return {cell}


def _bin(value: np.float32) -> str:
    if math.isnan(value):
        return "NaN"
    names = ("< -1", "-1 .. 0.1", "0.1 .. 3", ">= 3")
    return names[sum(bool(value >= np.float32(edge)) for edge in EDGES)]
