"""The seven shapes: what they mean, how often they are found, and what must not change them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wl_core as wl
from wl_core.shapes import LOSS_SHAPES, Shapes, classify_all, classify_rows
from wl_core.testing.shapes import FAMILIES, trajectories, trajectory
from wl_core.trajectories import Trajectories


def ragged(*rows: list[float]) -> Trajectories:
    counts = [len(row) for row in rows]
    total = sum(counts)
    return Trajectories(
        np.arange(len(rows)),
        np.zeros(len(rows), np.int64),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.arange(total),
        np.array([value for row in rows for value in row], np.float64),
    )


EXAMPLES = {
    "monotonic": [1.0, 0.8, 0.65, 0.5, 0.4, 0.3, 0.22, 0.15, 0.1, 0.08],
    "plateaued": [1.0, 0.7, 0.58, 0.57, 0.58, 0.57, 0.57, 0.58, 0.57, 0.58],
    "flat_high": [1.0, 1.02, 0.99, 1.01, 1.0, 0.98, 1.01, 1.0, 1.02, 0.99],
    "high_variance": [1.0, 0.5, 1.4, 0.7, 1.5, 0.6, 1.3, 0.5, 1.6, 0.8],
    "u_shape": [1.0, 0.7, 0.4, 0.2, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8],
    "forgotten": [1.0, 0.6, 0.3, 0.1, 0.1, 0.8, 0.82, 0.8, 0.81, 0.8],
    "spiked": [1.0, 0.9, 0.8, 0.7, 2.4, 0.55, 0.5, 0.42, 0.35, 0.3],
}


def test_the_names_are_in_a_fixed_order() -> None:
    assert tuple(EXAMPLES) == wl.LOSS_SHAPES


@pytest.mark.parametrize("shape", LOSS_SHAPES)
def test_an_example_of_each_shape(shape: str) -> None:
    assert wl.classify_loss_shape(EXAMPLES[shape]) == shape


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("length", "least"), [(20, 0.95), (50, 0.97), (100, 0.97)])
def test_at_moderate_noise_19_of_20_are_found(family: str, length: int, least: float) -> None:
    rng = np.random.default_rng(5)
    values, shapes = trajectories(rng, 1000, length, 0.05, family)  # type: ignore[arg-type]
    values *= rng.uniform(1e-3, 1e3, (len(values), 1))
    found = classify_rows(values)
    assert (found == shapes).mean() >= least
    for shape in range(len(LOSS_SHAPES)):  # none is bought at the price of another
        assert (found == shapes)[shapes == shape].mean() >= 0.85, LOSS_SHAPES[shape]


SOME_VALUES = st.lists(
    st.floats(-1e6, 1e6, allow_subnormal=False), min_size=5, max_size=40
) | st.lists(st.sampled_from([0.0, 1.0]), min_size=5, max_size=40)


@given(SOME_VALUES, st.integers(-200, 200))
def test_a_power_of_two_never_changes_a_shape(values: list[float], power: int) -> None:
    scaled = np.ldexp(np.array(values), power)
    if (np.ldexp(scaled, -power) == values).all():  # nothing was lost in subnormals
        assert wl.classify_loss_shape(scaled) == wl.classify_loss_shape(values)


@given(
    st.sampled_from(LOSS_SHAPES), st.integers(0, 2**32), st.integers(5, 60), st.floats(1e-9, 1e9)
)
def test_no_factor_changes_a_shape(shape: str, seed: int, length: int, factor: float) -> None:
    values = trajectory(np.random.default_rng(seed), shape, length, 0.05)
    assert wl.classify_loss_shape(values * factor) == wl.classify_loss_shape(values)


@given(SOME_VALUES)
def test_one_trajectory_and_many_are_judged_alike(values: list[float]) -> None:
    codes = classify_rows(np.array([values, values[::-1], values]))
    assert LOSS_SHAPES[codes[0]] == LOSS_SHAPES[codes[2]] == wl.classify_loss_shape(values)


@pytest.mark.parametrize(
    "values",
    [
        [0.0] * 9,
        [3.0] * 7,
        [-1.0] * 6,
        [5e-324] * 8,
        [1e308] * 5 + [-1e308],
        [1e-310, 1e300, 1e-310, 1e300, 1e-310],
        [math.inf, 1, 2, -math.inf, 1, 2, 1, math.nan],
    ],
)
def test_odd_values_neither_warn_nor_crash(values: list[float]) -> None:
    assert wl.classify_loss_shape(values) in LOSS_SHAPES
    stats = wl.trajectory_stats(values)
    assert stats is not None
    assert not any(math.isnan(value) for value in stats.values())


def test_what_never_moved_is_flat_at_any_level() -> None:
    assert [wl.classify_loss_shape([level] * 5) for level in (0.0, -1.0, 1e-300, 7.0)] == [
        "flat_high"
    ] * 4


def test_under_five_values_there_is_no_shape() -> None:
    assert wl.classify_loss_shape([4.0, 3.0, 2.0, 1.0]) is None
    assert wl.classify_loss_shape([4.0, 3.0, math.nan, 2.0, 1.0]) is None
    assert wl.classify_loss_shape([5.0, 4.0, 3.0, 2.0, 1.0]) == "monotonic"
    assert wl.classify_loss_shape([]) is None


def test_rows_of_all_lengths_are_judged_as_each_by_itself() -> None:
    rng = np.random.default_rng(2)
    rows = [
        trajectory(rng, shape, length, 0.03).tolist()
        for length in (3, 30, 12, 0, 5, 12)
        for shape in (LOSS_SHAPES if length > 4 else ["monotonic"])
    ]
    rows[4] = [math.nan, *rows[4], math.inf]
    codes = classify_all(ragged(*rows))
    assert codes.dtype == np.int8
    expected = [wl.classify_loss_shape(row) for row in rows]
    assert [None if code < 0 else LOSS_SHAPES[code] for code in codes] == expected
    assert None in expected
    assert len(set(expected)) > 5


def test_stats_say_what_the_shape_was_judged_by() -> None:
    assert wl.trajectory_stats([1.0]) is None
    falling = wl.trajectory_stats(EXAMPLES["monotonic"])
    back = wl.trajectory_stats(EXAMPLES["forgotten"])
    spiked = wl.trajectory_stats(EXAMPLES["spiked"])
    assert falling is not None
    assert back is not None
    assert spiked is not None
    assert falling["n"] == 10
    assert falling["level"] == pytest.approx(np.mean(EXAMPLES["monotonic"]), rel=1e-6)
    assert falling["drop_z"] > 10
    assert falling["trend_z"] < -10
    assert falling["rebound_z"] < 1
    assert back["rebound_z"] > 5
    assert back["unsettled_share"] < 0.3
    assert spiked["spike_z"] > 10
    assert spiked["spike_share"] > 1
    doubled = wl.trajectory_stats(np.multiply(EXAMPLES["spiked"], 2))
    assert doubled is not None
    assert doubled.pop("level") == 2 * spiked.pop("level")
    assert doubled.pop("noise") == 2 * spiked.pop("noise")
    assert doubled == spiked


def test_a_function_of_one_trajectory_labels_many() -> None:
    found = Shapes.by(
        lambda values: None if len(values) < 2 else "up" if values[-1] > values[0] else "down",
        ragged([1.0, 2.0], [2.0, math.nan, 1.0], [], [3.0], [0.0, 9.0]),
    )
    assert [found.label(row) for row in range(5)] == ["up", "down", None, None, "up"]
    with pytest.raises(wl.WlError, match="text or None, not 3"):
        Shapes.by(lambda values: 3, ragged([1.0]))
