"""Whether two groups of numbers differ: Welch's t-test, Hedges' g, and Holm's correction.

Everything is vectorised over many pairs of groups, of which only count, sum and sum of squares are
needed (`Moments`). Which groups are compared is the callers' business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_TINY = 1e-300  # instead of zero in a denominator, as in the modified method of Lentz
_PRECISION = 1e-15
_ROUNDS = 100_000  # far beyond what any number of rows needs; it ends where nothing changes


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Count, sum and sum of squares of many groups, arrays of one shape.

    Give values whose mean over all is about zero, or the sums of squares lose their digits.
    """

    count: Floats
    total: Floats
    squares: Floats

    @classmethod
    def of(cls, groups: npt.NDArray[np.intp], values: Floats, size: int) -> Moments:
        """Of the values ``[m]`` in groups ``groups[m]`` of ``size``."""
        with np.errstate(over="ignore"):
            squared = values * values
        count, total, squares = (
            np.asarray(np.bincount(groups, weights=weights, minlength=size), np.float64)
            for weights in (None, values, squared)
        )
        return cls(count, total, squares)

    @classmethod
    def joined(cls, several: Sequence[Moments]) -> Moments:
        """Several ``[k]`` one after the other."""
        parts = ((one.count, one.total, one.squares) for one in several)
        return cls(*(np.concatenate(sums) for sums in zip(*parts, strict=True)))

    def __sub__(self, part: Moments) -> Moments:
        """What is left without the part."""
        return Moments(
            self.count - part.count, self.total - part.total, self.squares - part.squares
        )

    def __getitem__(self, where: Any) -> Moments:
        return Moments(self.count[where], self.total[where], self.squares[where])

    def mean(self) -> Floats:
        """NaN where there is nothing."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.total / self.count

    def variance(self) -> Floats:
        """That of a sample, with n - 1 below; NaN where there are fewer than two."""
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = (self.squares - self.total * self.total / self.count) / (self.count - 1)
        return np.where(self.count > 1, np.clip(spread, 0, None), np.nan)


def centred(values: Floats) -> Floats:
    """The values less their mean; what is left of equal ones by rounding is made zero."""
    if not len(values):
        return values
    rest: Floats = values - values.mean()
    rest[np.abs(rest) < 1e-14 * np.abs(values).max()] = 0.0
    return rest


def hedges_g(first: Moments, second: Moments) -> Floats:
    """How many standard deviations the first group's mean lies above the second's.

    Cohen's d, pooled, times ``1 - 3 / (4 df - 1)`` with ``df = n1 + n2 - 2``, which takes its bias
    away in small groups: Hedges (1981), "Distribution theory for Glass's estimator of effect size
    and related estimators", J. Educational Statistics 6(2). NaN where a group has fewer than two
    values, or none of them differ.
    """
    free = first.count + second.count - 2
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = (first.count - 1) * first.variance() + (second.count - 1) * second.variance()
        deviation = np.sqrt(pooled / free)
        effect = (first.mean() - second.mean()) / deviation * (1 - 3 / (4 * free - 1))
    return np.where(deviation > 0, effect, np.nan)


def welch_p(first: Moments, second: Moments) -> Floats:
    """One-sided p: how likely a difference is that is as high, were the first mean not above.

    Welch (1947), "The generalization of 'Student's' problem when several different population
    variances are involved", Biometrika 34(1-2), with Satterthwaite's degrees of freedom. 1 where a
    group has fewer than two values. Where no values differ within either group, 0 or 1.
    """
    mine, theirs = first.variance() / first.count, second.variance() / second.count
    difference = first.mean() - second.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        t = difference / np.sqrt(mine + theirs)
        below = mine**2 / (first.count - 1) + theirs**2 / (second.count - 1)
        p = student_tail(t, (mine + theirs) ** 2 / below)
    p = np.where(mine + theirs > 0, p, np.where(difference > 0, 0.0, 1.0))
    enough = (first.count > 1) & (second.count > 1)
    return np.where(enough, p, 1.0)


def student_tail(t: Floats, free: Floats) -> Floats:
    """P(T > t) of Student's t with ``free`` degrees of freedom; relative error about 1e-9."""
    t, free = np.broadcast_arrays(np.asarray(t, np.float64), np.asarray(free, np.float64))
    with np.errstate(invalid="ignore", over="ignore"):
        whole = free + t * t
        tail = 0.5 * incomplete_beta(free / 2, free / whole, t * t / whole)
    return np.where(t >= 0, tail, 1 - tail)


def incomplete_beta(a: Floats, x: Floats, y: Floats) -> Floats:
    """The regularised incomplete beta function I_x(a, 1/2); ``y`` is 1 - x, as exact as x is.

    By its continued fraction: Press et al., "Numerical Recipes", 3rd ed., 6.4. NaN where x is.
    """
    shape = np.broadcast(a, x).shape
    a, x, y = (np.broadcast_to(one, shape).ravel() for one in (a, x, y))
    turned = x > (a + 1) / (a + 2.5)  # where I_x(a, b) = 1 - I_y(b, a) converges faster
    p, q = np.where(turned, 0.5, a), np.where(turned, a, 0.5)
    low, high = np.where(turned, y, x), np.where(turned, x, y)
    inside = low > 0
    result = np.where(np.isnan(x), np.nan, 0.0)
    p, q, low, high = p[inside], q[inside], low[inside], high[inside]
    log_front = _log_gamma_step(a[inside]) - math.lgamma(0.5)
    log_front += p * _log_beside(low, high) + q * _log_beside(high, low)
    result[inside] = np.exp(log_front) * _fraction(p, q, low) / p
    return np.where(turned, 1 - result, result).reshape(shape)


def _log_gamma_step(a: Floats) -> Floats:
    """log Γ(a + 1/2) - log Γ(a), by its asymptotic series where the difference of two large
    numbers would lose digits: Tricomi & Erdélyi (1951), Pacific J. Mathematics 1(1).
    """
    near = [math.lgamma(one + 0.5) - math.lgamma(one) for one in np.minimum(a, 1e4).tolist()]
    with np.errstate(divide="ignore"):
        far = 0.5 * np.log(a) - 1 / (8 * a) + 1 / (192 * a**3)
    return np.where(a < 1e4, near, far)


def _log_beside(x: Floats, rest: Floats) -> Floats:
    """The logarithm of x, which is 1 - rest."""
    with np.errstate(divide="ignore"):
        return np.where(x < 0.5, np.log(x), np.log1p(-rest))


def _fraction(a: Floats, b: Floats, x: Floats) -> Floats:
    """The continued fraction of the incomplete beta function, by the modified method of Lentz."""
    c = np.ones_like(a)
    d = 1 / _not_zero(1 - (a + b) * x / (a + 1))
    result = d.copy()
    left = np.arange(len(a))
    for m in range(1, _ROUNDS):
        if not len(left):
            break
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _not_zero(1 + term * d)
            c = _not_zero(1 + term / c)
            result[left] *= c * d
        going = np.abs(c * d - 1) > _PRECISION
        left, a, b, x, c, d = left[going], a[going], b[going], x[going], c[going], d[going]
    return result


def _not_zero(values: Floats) -> Floats:
    return np.where(np.abs(values) < _TINY, _TINY, values)


def holm(p: Floats) -> Floats:
    """p-values ``[k]`` corrected so that with probability 1 - alpha none below alpha is chance.

    Holm (1979), "A simple sequentially rejective multiple test procedure", Scand. J. Statistics
    6(2). It holds however the tests depend on one another.
    """
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(raised, 1.0)
    return corrected
