"""Facets: how a column is cut, what its groups are called, and the filters that find them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.core.slice_tables import column
from wl_core.errors import UnknownNameError, UsageError
from wl_core.facets import cut, quantiles
from wl_core.filters import Filter
from wl_core.grouping import Grouping
from wl_core.table import Table


def numbers(*cells: Any, name: str = "size", dtype: type = np.float64) -> Table:
    return Table((column(name, "number", cells, dtype),))


def labels(grouping: Grouping) -> list[str]:
    return [label for (label,) in grouping.labels]


def check_filters(grouping: Grouping, table: Table) -> None:
    for group, text in enumerate(grouping.filters):
        assert text is not None
        assert Filter.parse(text).mask(table).tolist() == grouping.rows_of(group).tolist(), text


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.floats(width=32) | st.none() | st.integers(-5, 5).map(float), max_size=40),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from(["size", "size:2", "size:7", "size:each", "size@-0.1,0,1e10"]),
)
@example([float("inf"), float("-inf")], np.float32, "size:2")  # none by which to part them
def test_every_row_is_in_one_group_of_numbers_and_its_filter_finds_it(
    cells: list[float | None], dtype: type, facet: str
) -> None:
    table = numbers(*cells, dtype=dtype)
    grouping = cut(table, facet)
    assert grouping.counts().sum() == len(cells)
    assert (grouping.counts() > 0).all()
    check_filters(grouping, table)


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=30))
def test_large_whole_numbers_are_told_apart(cells: list[int]) -> None:
    table = numbers(*cells, dtype=np.int64)
    for facet in ("size:4", "size:each"):
        check_filters(cut(table, facet), table)


@pytest.mark.parametrize("bins", [2, 3, 4, 10])
@pytest.mark.parametrize("count", [12, 100, 1001])
def test_quantile_groups_are_of_like_size(bins: int, count: int) -> None:
    values = np.random.default_rng(0).permutation(count).astype(float)
    counts = cut(numbers(*values), f"size:{bins}").counts()
    assert len(counts) == bins
    assert counts.max() - counts.min() <= 1


def test_equal_numbers_are_never_parted() -> None:
    grouping = cut(numbers(*[0.5] * 7, 1.5, 2.5, 3.5), "size:4")
    assert grouping.counts().tolist() == [8, 2]
    assert quantiles(np.full(9, 2.5), 4) == [2.5]


def test_quartiles_are_the_default_of_numbers_but_few_whole_ones_stand_by_themselves() -> None:
    assert len(cut(numbers(*np.linspace(0.5, 9, 50)), "size")) == 4
    assert len(cut(numbers(*range(50)), "size")) == 4
    assert labels(cut(numbers(3.0, 1.0, 2.0, 1.0, None, math.nan), "size")) == [
        "1", "2", "3", "NaN", "(empty)",
    ]  # fmt: skip
    assert labels(cut(numbers(0.5, 0.25, 0.5), "size:each")) == ["0.25", "0.5"]


def test_edges_are_lower_bounds() -> None:
    grouping = cut(numbers(-1, 0, 9.9, 10, 100, 1e9), "size@0,10,100")
    assert labels(grouping) == ["< 0", "0 .. 10", "10 .. 100", ">= 100"]
    assert grouping.counts().tolist() == [1, 2, 1, 2]
    assert grouping.filters[1] == "0 <= size < 10"


def test_edges_are_shown_with_the_digits_that_tell_them_apart() -> None:
    assert labels(cut(numbers(0, 2), "size@1.00001,1.00002")) == ["< 1.00001", ">= 1.00002"]


def test_a_float32_is_found_by_the_decimal_that_was_typed() -> None:
    table = numbers(0.1, 0.2, dtype=np.float32)
    grouping = cut(table, "size:each")
    assert grouping.filters == ["size == 0.1", "size == 0.2"]
    check_filters(grouping, table)
    check_filters(cut(table, "size@0.2"), table)


def test_a_tag_within_another_is_found_exactly() -> None:
    table = Table((column("tags", "text", ["blurry", "very blurry", "blurry,dark", None, "dark"]),))
    grouping = cut(table, "tags")
    assert labels(grouping) == ["blurry", "dark", "very blurry", "(empty)"]
    assert grouping.counts().tolist() == [2, 2, 1, 1]
    check_filters(grouping, table)
    assert grouping.filters[1] == "tags contains 'dark'"


def test_tags_of_the_sample_are_tags_too() -> None:
    table = Table((column("sample/tags", "text", ["a,b", "b"]),))
    assert labels(cut(table, "sample/tags")) == ["a", "b"]


def test_an_element_that_a_list_holds_twice_counts_once() -> None:
    table = Table((column("classes", "list", [(1, 1, 2), (2,), ()]),))
    grouping = cut(table, "classes")
    assert labels(grouping) == ["[]", "1", "2"]
    assert grouping.counts().tolist() == [1, 1, 2]
    check_filters(grouping, table)


def test_odd_column_names_are_written_in_backquotes() -> None:
    for name in ("time of day", "and", "inf", "a-", "1st", "größe"):
        table = Table((column(name, "text", ["x", "y", None]),))
        check_filters(cut(table, name), table)


def test_names_that_look_like_facets_are_found_whole() -> None:
    for name in ("size:4", "size@1", "http://x:80"):
        table = Table((column(name, "text", ["x", "y"]),))
        assert labels(cut(table, name)) == ["x", "y"]
    assert len(cut(numbers(*np.linspace(0, 1, 9), name="a:b"), "a:b:3")) == 3


def test_what_no_filter_can_say_has_none() -> None:
    table = Table((column("a`b", "text", ["x", "y"]),))
    assert cut(table, "a`b").filters == [None, None]
    texts = ["\"1'", "\"2'", "\"3'"]
    assert cut(Table((column("w", "text", texts),)), "w").filters[1] is None


@pytest.mark.parametrize(
    ("facet", "message", "at"),
    [
        ("size:1", "expected the number of bins", 5),
        ("size:x", "expected the number of bins", 5),
        ("size:", "expected the number of bins", 5),
        ("size@", "expected numbers that rise", 5),
        ("size@1,,3", "expected numbers that rise", 7),
        ("size@1,1", "expected numbers that rise", 7),
        ("size@1,nan", "expected numbers that rise", 7),
        ("weather:4", "weather is a text column", 7),
        ("weather@1", "weather is a text column", 7),
    ],
)
def test_the_error_points_at_what_is_wrong(facet: str, message: str, at: int) -> None:
    table = Table((column("size", "number", [1, 2]), column("weather", "text", ["x", "y"])))
    with pytest.raises(UsageError, match=message) as caught:
        cut(table, facet)
    assert str(caught.value).splitlines()[-2:] == [f"  {facet}", f"  {' ' * at}^"]


def test_a_column_that_is_not_there_is_asked_back_for_by_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'size'"):
        cut(numbers(1), "sise:4")
    with pytest.raises(UnknownNameError, match="at least 5 values"):
        cut(numbers(1), "shape")
    with pytest.raises(UnknownNameError, match=r"ctx.target.max\(\)"):
        cut(numbers(1), "class")


def test_ids_are_refused_as_facets() -> None:
    table = Table((column("path", "text", [str(at) for at in range(10_001)]),))
    with pytest.raises(UsageError, match="10,001 groups"):
        cut(table, "path")
