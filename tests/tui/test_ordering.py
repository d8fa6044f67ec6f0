"""Orders of rows: made once, then left alone while the table goes on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.tables import losses
from tui.widgets.ordering import RowOrder, follow_rows, make_order, rows_of
from wl_core.errors import UnknownNameError
from wl_core.row_order import SortKey


def test_sorting_puts_empty_and_nan_cells_last_in_both_directions() -> None:
    table = losses([0.3, None, 0.9, float("nan"), 0.1])
    up = make_order(table, [SortKey("loss", False)], None, 0, 0.0)
    down = make_order(table, [SortKey("loss", True)], None, 0, 0.0)
    assert up.rows is not None
    assert down.rows is not None
    assert up.rows[:3].tolist() == [4, 0, 2]
    assert down.rows[:3].tolist() == [2, 0, 4]
    assert set(up.rows[3:].tolist()) == set(down.rows[3:].tolist()) == {1, 3}


def test_a_filter_keeps_the_order_of_the_sort() -> None:
    table = losses([0.3, 0.2, 0.9, 0.1])
    order = make_order(
        table, [SortKey("loss", True)], lambda t: t.column("loss").values < 0.5, 7, 0.0
    )
    assert order.rows is not None
    assert order.rows.tolist() == [0, 1, 3]
    assert order.filtered
    assert order.step == 7


def test_sorting_by_an_unknown_column_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'loss'"):
        make_order(losses([1.0]), [SortKey("los", True)], None, 0, 0.0)


def test_new_rows_between_the_old_ones_come_last_in_a_sorted_order() -> None:
    order = RowOrder(np.array([2, 0, 1]))
    before, after = np.array([10, 20, 30]), np.array([10, 15, 20, 25, 30])
    moved = follow_rows(order, before, after)
    assert moved.rows is not None
    assert after[moved.rows].tolist() == [30, 10, 20, 15, 25]
    assert moved.late == 2


def test_new_rows_stay_out_of_a_filtered_order_and_are_counted() -> None:
    order = RowOrder(np.array([1]), filtered=True)
    moved = follow_rows(order, np.array([10, 20]), np.array([5, 10, 20]))
    assert moved.rows is not None
    assert moved.rows.tolist() == [2]
    assert moved.late == 1


def test_rows_that_are_gone_leave_the_order() -> None:
    moved = follow_rows(RowOrder(np.array([1, 0])), np.array([10, 20]), np.array([10]))
    assert moved.rows is not None
    assert moved.rows.tolist() == [0]


@given(st.sets(st.integers(-50, 50)), st.sets(st.integers(-50, 50)), st.randoms())
def test_every_known_row_keeps_its_neighbours(before: set[int], after: set[int], random) -> None:  # type: ignore[no-untyped-def]
    old, new = random.sample(sorted(before), len(before)), random.sample(sorted(after), len(after))
    places = random.sample(range(len(old)), len(old))
    order = RowOrder(np.array(places, np.intp))
    moved = follow_rows(order, np.array(old, np.intp), np.array(new, np.intp))
    assert moved.rows is not None
    shown = [new[row] for row in moved.rows]
    survivors = [old[place] for place in places if old[place] in after]
    assert shown[: len(survivors)] == survivors
    assert sorted(shown) == sorted(new)


def test_ids_that_are_not_there_have_no_row() -> None:
    assert rows_of(np.array([3, 9]), np.array([9, 1])).tolist() == [-1, 0]
    assert rows_of(np.array([3]), np.array([], np.intp)).tolist() == [-1]
