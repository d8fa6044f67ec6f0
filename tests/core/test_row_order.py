"""Rows sorted by several columns, and how that is said."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wl_core.errors import UnknownNameError
from wl_core.row_order import SortKey, parse_sort, sort_table, sorted_rows
from wl_core.table import Table, TableColumn


def numbers(name: str, cells: Sequence[float | None]) -> TableColumn:
    present = np.array([cell is not None for cell in cells], np.bool_)
    values = np.array([0.0 if cell is None else cell for cell in cells])
    return TableColumn(name, "number", values, present)


CELLS = st.sampled_from([None, float("nan"), 0.0, 1.0, 2.0])


@given(st.lists(st.tuples(CELLS, CELLS), max_size=12), st.booleans(), st.booleans())
def test_equal_rows_are_sorted_by_the_next_key_and_empty_cells_come_last(
    cells: list[tuple[float | None, float | None]], first: bool, second: bool
) -> None:
    def rank(value: float | None, descending: bool) -> tuple[bool, float]:
        if value is None or math.isnan(value):
            return True, 0.0
        return False, -value if descending else value

    table = Table(tuple(numbers(name, [c[n] for c in cells]) for n, name in enumerate("ab")))
    rows = sorted_rows(table, [SortKey("a", first), SortKey("b", second)])
    wanted = sorted(
        range(len(cells)), key=lambda row: (rank(cells[row][0], first), rank(cells[row][1], second))
    )
    assert rows.tolist() == wanted


def test_no_key_leaves_the_rows_as_they_are() -> None:
    assert sorted_rows(Table((numbers("a", [2.0, 1.0]),)), []).tolist() == [0, 1]


def test_a_direction_is_said_by_the_column_or_for_all_that_say_none() -> None:
    assert parse_sort("a:desc, b", ["a", "b"]) == [SortKey("a", True), SortKey("b", False)]
    assert parse_sort("a:asc,b", ["a", "b"], descending=True) == [
        SortKey("a", False),
        SortKey("b", True),
    ]
    for keys in ([SortKey("a", True)], [SortKey("a", False), SortKey("b", True)]):
        assert parse_sort(",".join(map(str, keys)), ["a", "b"]) == keys


def test_a_column_of_that_very_name_is_meant() -> None:
    assert parse_sort("a,b", ["a,b"]) == [SortKey("a,b", False)]
    assert parse_sort("a:desc", ["a:desc"]) == [SortKey("a:desc", False)]


def test_the_table_and_the_names_of_the_keys_come_back() -> None:
    table = Table((numbers("loss", [2.0, 1.0]), numbers("a", [0.0, 1.0])))
    found, names = sort_table(table, "signals_loss,a:desc")
    assert found.column("loss").values.tolist() == [1.0, 2.0]
    assert names == ["loss", "a"]
    with pytest.raises(UnknownNameError, match="Did you mean 'loss'"):
        sort_table(table, "los")
