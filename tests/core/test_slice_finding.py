"""The worst slices: planted ones are found, with what was planted and nothing by chance."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from wl_core.errors import UnknownNameError, UsageError
from wl_core.filters import Filter
from wl_core.lazy_column import LazyColumn
from wl_core.slice_finding import default_facets, find_slices
from wl_core.table import Table, TableColumn
from wl_core.welch import Moments, hedges_g, welch_p

WEATHER, ROAD, TAGS = ("dry", "rainy", "snow"), ("city", "rural"), ("", "old", "old,blurry")


def noise(seed: int, rows: int = 600) -> dict[str, TableColumn]:
    """A skewed loss and facets that have nothing to do with it; some cells are empty."""
    random = np.random.default_rng(seed)
    everywhere = np.ones(rows, np.bool_)

    def text(name: str, texts: tuple[str, ...]) -> TableColumn:
        codes = random.integers(0, len(texts), rows).astype(np.int32)
        present = np.asarray([bool(one) for one in texts])[codes]
        return TableColumn(name, "text", codes, present, texts)

    columns = (
        TableColumn("sample_id", "number", np.arange(rows), everywhere),
        text("weather", WEATHER),
        text("road", ROAD),
        text("tags", TAGS),
        TableColumn("night", "flag", random.random(rows) < 0.3, everywhere),
        TableColumn("size", "number", random.lognormal(3, 1, rows), random.random(rows) < 0.9),
        TableColumn("loss", "number", random.exponential(1, rows), random.random(rows) < 0.9),
    )
    return {column.name: column for column in columns}


def planted(columns: dict[str, TableColumn], where: str, much: float) -> Table:
    """The same with the loss higher by so much in the rows that the filter finds."""
    table = Table(tuple(columns.values()))
    columns["loss"].values[Filter.parse(where).mask(table)] += much
    return table


def slices(table: Table, **asked: Any) -> list[dict[str, Any]]:
    found = find_slices(table, "loss", **asked)
    return [found.row(at) for at in range(len(found))]


def test_pure_noise_has_no_slices_more_often_than_alpha_allows() -> None:
    """40 seeds at alpha 0.2: 8 may be wrong on average, 16 are beyond 3 deviations of that."""
    wrong = [bool(slices(Table(tuple(noise(seed).values())), alpha=0.2)) for seed in range(40)]
    assert sum(wrong) <= 16


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("facet", ["weather == 'rainy'", "night", "tags contains 'blurry'"])
def test_a_planted_slice_of_one_column_is_the_worst(seed: int, facet: str) -> None:
    found = slices(planted(noise(seed), facet, 0.9))
    assert found[0]["filter"] in (facet, "tags == 'blurry'")
    assert found[0]["effect"] > 0.5
    assert found[0]["p_adjusted"] < 0.05


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_slice_of_two_columns_is_worse_than_its_parents(seed: int) -> None:
    table = planted(noise(seed, 1500), "weather == 'rainy' and night", 1.5)
    found = slices(table)
    assert found[0]["slice"] == "weather = rainy, night = yes"
    assert found[0]["filter"] == "weather == 'rainy' and night"
    assert all(one["effect"] < found[0]["effect"] for one in found[1:])


@pytest.mark.parametrize("seed", range(5))
def test_a_slice_of_one_column_is_not_reported_again_with_a_second_one(seed: int) -> None:
    found = slices(planted(noise(seed), "weather == 'rainy'", 1.0))
    assert [one["slice"] for one in found] == ["weather = rainy"]


def test_what_is_said_of_a_slice_is_so() -> None:
    table = planted(noise(1), "weather == 'rainy' and size < 20", 2.0)
    loss = table.column("loss")
    found = slices(table, min_size=15)
    assert found
    for one in found:
        inside = Filter.parse(one["filter"]).mask(table)
        ours, rest = loss.values[inside & loss.present], loss.values[~inside & loss.present]
        assert one["count"] == inside.sum()
        assert one["measured"] == len(ours) >= 15
        assert one["mean"] == pytest.approx(ours.mean())
        assert one["rest_mean"] == pytest.approx(rest.mean())
        pair = [
            Moments(*(np.asarray([float(s)]) for s in (len(v), v.sum(), (v * v).sum())))
            for v in (ours, rest)
        ]
        assert one["effect"] == pytest.approx(hedges_g(*pair)[0])
        assert one["p"] >= welch_p(*pair)[0] * (1 - 1e-9)
        assert one["p"] <= one["p_adjusted"] <= 0.05


def test_low_values_are_the_worst_of_a_score() -> None:
    columns = noise(3)
    columns["loss"] = TableColumn(
        "loss", "number", -columns["loss"].values, columns["loss"].present
    )
    table = planted(columns, "road == 'city'", -1.0)
    (found,) = slices(table, worst="low")
    assert found["slice"] == "road = city"
    assert found["effect"] < 0
    assert not any(one["slice"] == "road = city" for one in slices(table))


def test_no_slice_is_smaller_than_asked_for() -> None:
    table = planted(noise(4), "weather == 'rainy' and night", 3.0)
    size = int(Filter.parse("weather == 'rainy' and night and loss is not empty").mask(table).sum())
    assert any(one["measured"] == size for one in slices(table, min_size=size))
    assert all(one["measured"] > size for one in slices(table, min_size=size + 1))


def test_one_column_is_all_that_is_looked_into_when_asked() -> None:
    table = planted(noise(0), "weather == 'rainy' and night", 3.0)
    assert not any("," in one["slice"] for one in slices(table, max_columns=1))


def test_facets_may_be_named() -> None:
    table = planted(noise(0), "size < 10", 2.0)
    (found,) = slices(table, facets=["size@10,100", "road"])
    assert (found["slice"], found["filter"]) == ("size@10,100 < 10", "size < 10")


def test_rows_without_a_value_are_compared_with_nothing() -> None:
    columns = noise(5)
    columns["loss"].values[:40] = np.nan
    columns["loss"].values[40:50] = np.inf
    table = planted(columns, "weather == 'rainy'", 1.0)
    assert [one["slice"] for one in slices(table)] == ["weather = rainy"]


def test_nothing_is_found_where_nothing_differs() -> None:
    columns = noise(6)
    columns["loss"] = TableColumn("loss", "number", np.full(600, 0.1), np.ones(600, np.bool_))
    assert slices(Table(tuple(columns.values()))) == []
    assert len(find_slices(Table(tuple(columns.values())).take(np.arange(0)), "loss")) == 0


def test_where_narrows_all_that_is_compared() -> None:
    table = planted(noise(7), "weather == 'rainy' and road == 'city'", 2.0)
    found = slices(table, where="road == 'city' or road == 'none'", facets=["weather"])
    assert [one["slice"] for one in found] == ["weather = rainy"]
    mask = Filter.parse(found[0]["filter"]).mask(table)
    assert mask.sum() == found[0]["count"]


def test_ids_times_signals_and_constants_are_no_facets_by_default() -> None:
    columns, everywhere = noise(0), np.ones(600, np.bool_)
    more = {
        "times_seen": np.arange(600) % 3,
        "sample/last_step": np.arange(600) % 3,
        "score": np.arange(600) % 3,
        "signals/origin": np.arange(600) % 3,
        "dynamics/aum": np.linspace(0, 1, 600),
        "constant": np.zeros(600),
        "class": np.arange(600) % 3,
        "instances": np.arange(600) % 3,
    }
    for name, values in more.items():
        columns[name] = TableColumn(name, "number", values, everywhere)
    many = [str(at) for at in range(600)]
    columns["path"] = TableColumn("path", "text", np.arange(600), everywhere, many)
    for name in ("shape", "sample/shape/loss"):
        columns[name] = TableColumn(name, "text", np.arange(600) % 3, everywhere, ("u", "v", "w"))

    def load(_: Any) -> TableColumn:
        raise AssertionError("it is computed, though nobody asks for it")

    columns["lazy"] = LazyColumn("lazy", "text", 600, load)
    table = Table(tuple(columns.values()))
    facets = default_facets(table, ["loss", "score", "origin", "class", "dynamics/p_true"])
    assert facets == ["weather", "road", "tags", "night", "size", "class", "instances"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"max_columns": 3}, "max_columns must be 1 or 2"),
        ({"min_size": 1}, "min_size must be at least 2"),
        ({"alpha": 1.0}, "alpha must be between"),
        ({"worst": "up"}, "worst must be"),
        ({"facets": ["wether"]}, "Did you mean 'weather'"),
    ],
)
def test_arguments_out_of_range_are_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        slices(Table(tuple(noise(0).values())), **asked)
    with pytest.raises(UnknownNameError):
        find_slices(Table(tuple(noise(0).values())), "los")


def test_pairs_agree_with_masks_also_where_rows_are_in_several_groups() -> None:
    """Every pair that is found is found by testing its mask; and none that passes is missed."""
    table = planted(noise(8, 900), "tags contains 'old' and road == 'city'", 1.2)
    loss = table.column("loss")
    kept = table.take(np.flatnonzero(loss.present))
    values = kept.column("loss").values
    masks = {
        text: Filter.parse(text).mask(kept)
        for text in ("tags contains 'old'", "tags contains 'blurry'", "tags is empty",
                     "road == 'city'", "road == 'rural'")
    }  # fmt: skip

    def of(mask: Any) -> Moments:
        some = values[mask]
        return Moments(*(np.asarray([float(s)]) for s in (len(some), some.sum(), (some**2).sum())))

    expected = {}
    for tag, road in itertools.product(list(masks)[:3], list(masks)[3:]):
        inside = masks[tag] & masks[road]
        p = [welch_p(of(inside), of(rest & ~inside))[0]
             for rest in (np.ones_like(inside), masks[tag], masks[road])
             if (rest & ~inside).sum() >= 20]  # fmt: skip
        if inside.sum() >= 20 and len(p) == 3:
            expected[f"{tag} and {road}"] = max(p)
    found = {one["filter"]: one["p"] for one in slices(table, facets=["tags", "road"])}
    pairs = {text: p for text, p in found.items() if " and " in text}
    assert pairs
    for text, p in pairs.items():
        assert p == pytest.approx(expected[text], rel=1e-6)
    assert "tags contains 'old' and road == 'city'" in pairs
