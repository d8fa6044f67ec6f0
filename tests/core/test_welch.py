"""Student's t, Welch's test, Hedges' g and Holm's correction, beside known values."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from wl_core.welch import Moments, centred, hedges_g, holm, student_tail, welch_p


def tail(t: float, free: float) -> float:
    return float(student_tail(np.asarray(t), np.asarray(free)))


@pytest.mark.parametrize(
    ("t", "free", "p"),
    [  # printed tables of Student's t
        (6.313752, 1, 0.05),
        (12.706205, 1, 0.025),
        (63.656741, 1, 0.005),
        (4.302653, 2, 0.025),
        (2.570582, 5, 0.025),
        (1.812461, 10, 0.05),
        (3.169273, 10, 0.005),
        (2.042272, 30, 0.025),
        (1.983972, 100, 0.025),
        (3.390491, 100, 0.0005),
    ],
)
def test_student_agrees_with_printed_tables(t: float, free: float, p: float) -> None:
    assert tail(t, free) == pytest.approx(p, rel=2e-6)
    assert tail(-t, free) == pytest.approx(1 - p, rel=2e-6)


@pytest.mark.parametrize("t", [0.0, 1e-9, 0.01, 0.5, 1, 3, 10, 100])
def test_student_agrees_with_closed_forms(t: float) -> None:
    """Abramowitz & Stegun, 26.7.3 and 26.7.4, for 1 to 4 degrees of freedom."""
    angle = {free: math.atan(t / math.sqrt(free)) for free in (1, 2, 3, 4)}
    inside = {
        1: 2 / math.pi * angle[1],
        2: math.sin(angle[2]),
        3: 2 / math.pi * (angle[3] + math.sin(angle[3]) * math.cos(angle[3])),
        4: math.sin(angle[4]) * (1 + math.cos(angle[4]) ** 2 / 2),
    }
    for free, within in inside.items():
        assert tail(t, free) == pytest.approx((1 - within) / 2, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("t", [0.001, 0.5, 1, 2, 4, 8])
def test_many_degrees_of_freedom_are_the_normal_distribution(t: float) -> None:
    assert tail(t, 1e9) == pytest.approx(math.erfc(t / math.sqrt(2)) / 2, rel=2e-6)


def test_far_tails_keep_their_digits_and_the_farthest_is_zero() -> None:
    # 1/2 - atan(t) / pi is about 1 / (pi t) far out, where the difference has no digits left.
    assert tail(1e9, 1) == pytest.approx(1 / (math.pi * 1e9), rel=1e-9)
    assert tail(math.inf, 7) == 0
    assert tail(-math.inf, 7) == 1
    assert math.isnan(tail(math.nan, 7))


def moments(*groups: list[float]) -> Moments:
    values = np.asarray([value for group in groups for value in group])
    numbers = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    return Moments.of(numbers, values, len(groups))


def test_welch_on_a_case_worked_by_hand() -> None:
    """Means 4 and 2 of 4 and 5 values, variances 10/3 and 5/2: t = 2 / sqrt(5/6 + 1/2)."""
    first, second = [2.0, 3.0, 5.0, 6.0], [0.0, 1.0, 2.0, 3.0, 4.0]
    t = 2 / math.sqrt(5 / 6 + 1 / 2)
    free = (5 / 6 + 1 / 2) ** 2 / ((5 / 6) ** 2 / 3 + (1 / 2) ** 2 / 4)
    both = moments(first, second)
    assert welch_p(both[:1], both[1:])[0] == pytest.approx(tail(t, free))
    assert welch_p(both[1:], both[:1])[0] == pytest.approx(1 - tail(t, free))


def test_welch_rejects_as_often_as_it_says() -> None:
    """Of 4000 pairs without a difference, of unlike sizes and spreads, alpha are below alpha."""
    random = np.random.default_rng(0)
    small, large = random.normal(0, 3, (4000, 12)), random.normal(0, 1, (4000, 40))
    pairs = [
        Moments(np.full(4000, some.shape[1], float), some.sum(1), (some**2).sum(1))
        for some in (small, large)
    ]
    p = welch_p(*pairs)
    for alpha in (0.01, 0.05, 0.5):
        assert abs((p < alpha).mean() - alpha) < 4 * math.sqrt(alpha * (1 - alpha) / 4000)


def test_what_cannot_be_compared_is_no_finding() -> None:
    both = moments([1.0], [1.0, 2.0], [3.0, 3.0], [2.0, 2.0], [2.0, 2.0])
    assert welch_p(both[:1], both[1:2])[0] == 1
    assert math.isnan(hedges_g(both[:1], both[1:2])[0])
    assert welch_p(both[2:3], both[3:4])[0] == 0
    assert welch_p(both[3:4], both[2:3])[0] == 1
    assert welch_p(both[3:4], both[4:5])[0] == 1
    assert math.isnan(hedges_g(both[3:4], both[4:5])[0])


def test_hedges_g_is_cohens_d_with_its_bias_taken_away() -> None:
    first, second = [2.0, 3.0, 5.0, 6.0], [0.0, 1.0, 2.0, 3.0, 4.0]
    pooled = (3 * statistics.variance(first) + 4 * statistics.variance(second)) / 7
    both = moments(first, second)
    expected = 2 / math.sqrt(pooled) * (1 - 3 / 27)
    assert hedges_g(both[:1], both[1:])[0] == pytest.approx(expected)
    assert hedges_g(both[1:], both[:1])[0] == pytest.approx(-expected)


def test_values_far_from_zero_keep_their_spread_when_centred() -> None:
    values = np.asarray([0.0, 1.0, 2.0, 3.0]) + 1e12
    all_of_them = Moments.of(np.zeros(4, np.intp), centred(values), 1)
    assert all_of_them.variance()[0] == pytest.approx(5 / 3)
    assert not centred(np.full(10, 0.1)).any()


def test_holm_on_its_textbook_case() -> None:
    corrected = holm(np.asarray([0.01, 0.04, 0.03, 0.005]))
    assert corrected.tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.asarray([0.9, 0.8])).tolist() == [1, 1]
    assert len(holm(np.empty(0))) == 0
