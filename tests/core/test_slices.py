"""Slices and where they cross, beside what plain Python counts; their filters find their rows."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.slice_tables import Row, column, groups, rows, table_of
from wl_core.errors import FilterError, UnknownNameError, UsageError
from wl_core.filters import Filter
from wl_core.slices import cross_tab, slice_by
from wl_core.table import Table

FACETS = ("weather", "time of day", "tags", "classes", "night", "size@-1,0.1,3")


def column_of(facet: str) -> str:
    return facet.partition("@")[0]


def finite(many: Sequence[Row]) -> list[float]:
    losses = [row["loss"] for row in many if row["loss"] is not None]
    return [float(np.float32(one)) for one in losses if math.isfinite(one)]


def found(many: Sequence[Row], facet: str) -> dict[str, list[int]]:
    """The numbers of the rows in each group of a facet, row by row."""
    result: dict[str, list[int]] = {}
    for at, row in enumerate(many):
        for group in groups(facet, row[column_of(facet)]):
            result.setdefault(group, []).append(at)
    return result


def lines(table: Table, *facets: str) -> dict[tuple[str, ...], dict[str, Any]]:
    """Each line by what its groups are called; no two are called the same."""
    listed = [table.row(at) for at in range(len(table))]
    result = {tuple(str(line[facet]) for facet in facets): line for line in listed}
    assert len(result) == len(table)
    return result


def check_filter(line: dict[str, Any], table: Table, where: list[int]) -> None:
    mask = Filter.parse(line["filter"]).mask(table)
    assert np.flatnonzero(mask).tolist() == where, line["filter"]


def check_values(line: dict[str, Any], losses: list[float]) -> None:
    assert line["measured"] == len(losses)
    assert line.get("mean") == (pytest.approx(statistics.fmean(losses)) if losses else None)
    assert line.get("median") == (pytest.approx(statistics.median(losses)) if losses else None)


@settings(max_examples=60, deadline=None)
@given(rows, st.sampled_from(FACETS))
def test_slices_hold_what_plain_python_counts(many: list[Row], facet: str) -> None:
    table = table_of(many)
    listed = lines(slice_by(table, facet, "loss"), facet)
    expected = found(many, facet)
    assert set(listed) == {(group,) for group in expected}
    for (group,), line in listed.items():
        where = expected[group]
        assert line["count"] == len(where)
        assert line["share"] == len(where) / len(many)
        check_values(line, finite([many[at] for at in where]))
        check_filter(line, table, where)


@settings(max_examples=60, deadline=None)
@given(rows, st.sampled_from(list(itertools.combinations(FACETS, 2))))
def test_cells_hold_what_plain_python_counts(many: list[Row], facets: tuple[str, str]) -> None:
    table = table_of(many)
    listed = lines(cross_tab(table, *facets, "loss"), *facets)
    first, second = (found(many, facet) for facet in facets)
    assert set(listed) == set(itertools.product(first, second))
    for (a, b), line in listed.items():
        where = sorted(set(first[a]) & set(second[b]))
        expected = len(first[a]) * len(second[b]) / len(many)
        assert line["count"] == len(where)
        assert line["row_share"] == pytest.approx(len(where) / len(first[a]))
        assert line["expected"] == pytest.approx(expected)
        assert line["lift"] == pytest.approx(len(where) / expected)
        check_values(line, finite([many[at] for at in where]))
        check_filter(line, table, where)


@settings(max_examples=30, deadline=None)
@given(rows)
def test_several_facets_combine(many: list[Row]) -> None:
    table = table_of(many)
    listed = lines(slice_by(table, ["tags", "classes", "night"]), "tags", "classes", "night")
    tags, classes, night = (found(many, facet) for facet in ("tags", "classes", "night"))
    expected = {
        (a, b, c): sorted(set(tags[a]) & set(classes[b]) & set(night[c]))
        for a, b, c in itertools.product(tags, classes, night)
    }
    assert set(listed) == {names for names, where in expected.items() if where}
    for names, line in listed.items():
        assert line["count"] == len(expected[names])
        check_filter(line, table, expected[names])


def test_the_adjusted_residuals_of_a_table_worked_by_hand() -> None:
    """20 of 30 rainy images are flat, 10 of 70 dry ones: z of two proportions, pooled."""
    cells = [("rainy", "flat")] * 20 + [("rainy", "good")] * 10
    cells += [("dry", "flat")] * 10 + [("dry", "good")] * 60
    table = Table(
        (
            column("weather", "text", [a for a, _ in cells]),
            column("shape", "text", [b for _, b in cells]),
        )
    )
    z = (20 / 30 - 10 / 70) / math.sqrt(0.3 * 0.7 * (1 / 30 + 1 / 70))
    listed = lines(cross_tab(table, "weather", "shape"), "weather", "shape")
    assert listed["rainy", "flat"]["residual"] == pytest.approx(z)
    assert listed["rainy", "good"]["residual"] == pytest.approx(-z)
    assert listed["dry", "flat"]["residual"] == pytest.approx(-z)
    assert listed["rainy", "flat"]["expected"] == pytest.approx(9)
    assert listed["rainy", "flat"]["lift"] == pytest.approx(20 / 9)


def test_a_group_of_all_rows_has_no_residual() -> None:
    table = Table((column("a", "text", ["x"] * 4), column("b", "text", ["y", "y", "z", "z"])))
    crossing = cross_tab(table, "a", "b")
    assert not crossing.column("residual").present.any()
    assert crossing.column("lift").values.tolist() == [1, 1]


def test_the_effect_is_that_of_the_slice_against_all_other_rows() -> None:
    inside, outside = [3.0, 4.0, 5.0, 7.0], [1.0, 2.0, 2.0, 3.0, 1.5]
    table = Table(
        (
            column("weather", "text", ["rainy"] * 4 + ["dry"] * 3 + [None] * 2),
            column("loss", "number", inside + outside, np.float64),
        )
    )
    pooled = (3 * statistics.variance(inside) + 4 * statistics.variance(outside)) / 7
    d = (statistics.fmean(inside) - statistics.fmean(outside)) / math.sqrt(pooled)
    first = slice_by(table, "weather", "loss").row(0)
    assert first["weather"] == "rainy"
    assert first["effect"] == pytest.approx(d * (1 - 3 / (4 * 7 - 1)))


def test_equal_values_have_no_effect_whatever_rounding_leaves() -> None:
    table = Table(
        (
            column("weather", "text", ["rainy"] * 3 + ["dry"] * 7),
            column("loss", "number", [0.1] * 10, np.float64),
        )
    )
    assert not slice_by(table, "weather", "loss").column("effect").present.any()


def test_order_is_by_strength_and_without_a_signal_by_size() -> None:
    table = Table(
        (
            column("weather", "text", ["a"] * 5 + ["b"] * 3 + ["c"] * 4),
            column("loss", "number", [1, 2, 1, 2, 1, -9, -8, -9, 3, 2, 3, 3]),
        )
    )
    by_size, by_effect = slice_by(table, "weather"), slice_by(table, "weather", "loss")
    assert [by_size.row(at)["weather"] for at in range(3)] == ["a", "c", "b"]
    assert by_effect.row(0)["weather"] == "b"
    residuals = np.abs(cross_tab(table, "weather", "loss").column("residual").values)
    assert (np.diff(residuals) <= 0).all()


def test_where_is_part_of_every_filter() -> None:
    table = table_of(
        [
            {"weather": w, "time of day": "day", "tags": None, "classes": None, "night": n,
             "size": s, "loss": 1.0}
            for w, n, s in itertools.product(["dry", "rainy"], [True, False], [1.0, 2.0, 3.0])
        ]
    )  # fmt: skip
    where = "size < 2 or night"
    for listed in (
        slice_by(table, "weather", where=where),
        cross_tab(table, "weather", "night", where=where),
    ):
        for at in range(len(listed)):
            line = listed.row(at)
            assert Filter.parse(line["filter"]).mask(table).sum() == line["count"]
    assert slice_by(table, "weather", where=where).column("count").values.sum() == 8
    with pytest.raises(FilterError):
        slice_by(table, "weather", where="size <")


def test_a_table_without_rows_has_no_slices() -> None:
    table = table_of([])
    assert len(slice_by(table, "weather", "loss")) == 0
    assert len(cross_tab(table, "weather", ["tags", "size"], "loss")) == 0


def test_facets_named_like_a_measure_are_kept_apart() -> None:
    table = Table((column("count", "text", ["x", "y", "y"]),))
    listed = slice_by(table, "count")
    assert listed.names[:2] == ("slice/count", "count")
    assert listed.column("count").values.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda t: slice_by(t, "wether"), UnknownNameError, "Did you mean 'weather'"),
        (lambda t: slice_by(t, "weather", "los"), UnknownNameError, "Did you mean 'loss'"),
        (lambda t: slice_by(t, "weather", "weather"), UsageError, "has no mean"),
        (lambda t: slice_by(t, []), UsageError, "at least one facet"),
        (lambda t: cross_tab(t, "weather", "weather"), UsageError, "crossed with itself"),
    ],
)
def test_what_cannot_be_sliced_is_said(ask: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ask(table_of([]))


def test_too_many_cells_are_refused_before_they_are_made() -> None:
    names = [f"{at}" for at in range(2000)]
    table = Table((column("a", "text", names), column("b", "text", names)))
    with pytest.raises(UsageError, match="4,000,000 cells"):
        cross_tab(table, "a", "b")
