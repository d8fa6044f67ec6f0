"""The statistics that a shape is judged by, and the judgement: of many trajectories at once.

All are in units of the trajectory's own noise or of its own level, so that no factor changes a
shape. Time runs along the first axis, so that each operation is one pass over memory. What goes in
is scaled already, finite and of one length; `shapes` sees to that, and says what each means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["LOSS_SHAPES", "Codes", "Statistics"]

LOSS_SHAPES = (
    "monotonic",
    "plateaued",
    "flat_high",
    "high_variance",
    "u_shape",
    "forgotten",
    "spiked",
)

MONOTONIC, PLATEAUED, FLAT_HIGH, HIGH_VARIANCE, U_SHAPE, FORGOTTEN, SPIKED = range(7)


# Thresholds. They are no round numbers, so that small whole numbers do not lie on one of them,
# where rounding would decide.
_SIGNIFICANT = 3.71  # standard errors that a drop or a rebound must have, for long trajectories
_SHORT = 7.3  # … and how many more of them, over the length, for short ones
_SHARE_OF_LEVEL = 0.137  # what a drop or a rebound must be of the level, however small the noise
_SHARE_OF_RANGE = 0.223  # what a rebound must be of everything that the value went through
_SHORTEST_DIP = 12  # of the length: what is shorter is an outlier, of which a long one has many
_NOISY = 0.171  # noise over level from which on a trajectory without direction is an oscillation
_WILD = 1.43  # how much more it takes where the noise is that of an oscillation
_SPIKE = 5.3  # noises that a spike must have
_SPIKE_OVER_NEXT = 1.83  # how much higher it must be than the next highest
_SPIKE_OF_RANGE = 0.353  # what it must be of the range of all the other values
_EARLY = 0.337  # a plateau's mean height over its end, of its drop, is less (a line has 0.5)
_STILL_HIGH = 0.363  # what a plateau's end must be of its start
_SETTLED = 0.307  # the same as _EARLY for what comes after the dip, upside down


_TINY = np.float32(1e-30)
_NO_LEVEL = np.float32(1e-20)  # the level of zeros; values are scaled, so that no other is as small


_Floats: TypeAlias = npt.NDArray[np.float32]
_Ints: TypeAlias = npt.NDArray[np.intp]
_Flags: TypeAlias = npt.NDArray[np.bool_]
Codes: TypeAlias = npt.NDArray[np.int8]


@dataclass(slots=True)
class Statistics:
    """Of trajectories ``[n, R]`` of one length: each ``[R]``."""

    level: _Floats
    noise: _Floats
    spike: _Spike
    drop: _Drop
    rebound: _Rebound
    values: _Floats  # without the spike where there is one

    @classmethod
    def of(cls, x: _Floats) -> Statistics:
        level = np.maximum(_mean(np.abs(x)), _NO_LEVEL)
        least = np.float32(1e-6) * level + _TINY
        spike = _Spike.of(x, level, least)
        y = np.where(spike.there, spike.calm, x) if spike.there.any() else x
        noise = np.maximum(_noise(y), least)
        stretches = list(_stretches(y))
        end = _mean(y[-max(1, len(y) // 8) :])
        drop = _Drop.of(y, stretches, noise, end)
        return cls(level, noise, spike, drop, _Rebound.of(y, stretches, noise, end), y)

    def codes(self) -> Codes:
        is_noisy = self.noise > _NOISY * self.level
        needed = (_SIGNIFICANT + _SHORT / len(self.values)) * np.where(is_noisy, _WILD, 1)
        least = _SHARE_OF_LEVEL * self.level
        dropped = (self.drop.z > needed) & (self.drop.size > least)
        rebounded = (self.rebound.z > needed) & (
            self.rebound.size > np.maximum(least, _SHARE_OF_RANGE * np.ptp(self.values, axis=0))
        )
        still_high = self.drop.end > _STILL_HIGH * self.drop.start
        codes = np.full(len(self.level), FLAT_HIGH, np.int8)
        codes[dropped] = MONOTONIC
        codes[dropped & still_high & (self.drop.early < _EARLY)] = PLATEAUED
        back = np.flatnonzero(rebounded)
        unsettled = self.rebound.unsettled(self.values, back) > _SETTLED
        codes[back] = np.where(unsettled, U_SHAPE, FORGOTTEN)
        noisy = ~dropped & ~rebounded & is_noisy
        codes[noisy] = HIGH_VARIANCE
        codes[self.spike.there & ~noisy] = SPIKED
        return codes

    def shares(self) -> Mapping[str, npt.NDArray[Any]]:
        rows = np.arange(len(self.level))
        return {
            "level_cv": self.noise / (self.level + _TINY),
            "drop_z": self.drop.z,
            "rebound_z": self.rebound.z,
            "rebound_share": self.rebound.size / (np.ptp(self.values, axis=0) + _TINY),
            "end_share": self.drop.end / _not_zero(self.drop.start),
            "early_share": self.drop.early,
            "unsettled_share": self.rebound.unsettled(self.values, rows),
            "spike_z": self.spike.height / self.spike.noise,
            "spike_share": self.spike.height / (self.spike.range + _TINY),
            "trend_z": _trend(self.values, self.noise),
        }


@dataclass(slots=True)
class _Spike:
    """The highest peak of one value: what it stands out above the higher of its two neighbours.

    ``calm`` ``[n, R]`` has the mean of the neighbours in its place; ``noise`` and ``range`` are
    those of ``calm``.
    """

    height: _Floats
    calm: _Floats
    noise: _Floats
    range: _Floats
    there: _Flags

    @classmethod
    def of(cls, x: _Floats, level: _Floats, least: _Floats) -> _Spike:
        height, second, calm = _without_highest(x)
        noise, calm_range = np.maximum(_noise(calm), least), np.ptp(calm, axis=0)
        there = (
            (height > np.float32(_SPIKE * (1 + 4 / len(x))) * noise)
            & (height > _SPIKE_OVER_NEXT * second)
            & (height > _SPIKE_OF_RANGE * np.maximum(calm_range, 0.3 * level))
        )
        return cls(height, calm, noise, calm_range, there)


@dataclass(slots=True)
class _Drop:
    """From the start, over whatever stretch shows it best, to the end."""

    z: _Floats
    size: _Floats
    start: _Floats
    end: _Floats
    early: _Floats

    @classmethod
    def of(
        cls, y: _Floats, stretches: list[tuple[int, _Floats]], noise: _Floats, end: _Floats
    ) -> _Drop:
        half = len(y) // 2
        tail = half, _mean(y[-half:])
        z, start = np.full(len(noise), -np.inf, np.float32), y[0]
        for width, means in stretches:
            for last_width, last in ((width, means[-1]), tail):
                found = (means[0] - last) / (noise * _standard_error(width, last_width))
                start, z = np.where(found > z, means[0], start), np.maximum(found, z)
        size = start - end
        return cls(z, size, start, end, (_mean(y) - end) / _not_zero(size))


@dataclass(slots=True)
class _Rebound:
    """From the lowest stretch to the end; ``width`` is that of the stretch."""

    z: _Floats
    size: _Floats
    end: _Floats
    width: _Ints
    _stretches: list[tuple[int, _Floats]]

    @classmethod
    def of(
        cls, y: _Floats, stretches: list[tuple[int, _Floats]], noise: _Floats, end: _Floats
    ) -> _Rebound:
        third = max(1, len(y) // 3)
        tail = third, _mean(y[-third:])
        z, low = np.full(len(noise), -np.inf, np.float32), y[0]
        best = np.zeros(len(noise), np.intp)
        least = min(len(y) // _SHORTEST_DIP, stretches[-1][0])
        for width, means in stretches:
            if 2 * width <= least:
                continue
            lowest = _before_the_end(width, means).min(axis=0)
            for last_width, last in ((width, means[-1]), tail):
                found = (last - lowest) / (noise * _standard_error(width, last_width))
                better = found > z
                z = np.maximum(found, z)
                low, best = np.where(better, lowest, low), np.where(better, width, best)
        return cls(z, end - low, end, best, stretches)

    def unsettled(self, y: _Floats, rows: _Ints) -> _Floats:
        """Mean depth below the end of what comes after the lowest stretch, over the rebound."""
        found = np.zeros(len(rows), np.float32)
        for width, means in self._stretches:
            mine = np.flatnonzero(self.width[rows] == width)
            if len(mine):
                some = rows[mine]
                lowest = _before_the_end(width, means)[:, some].argmin(axis=0)
                first = np.minimum(lowest + width // 2 + 1, len(y) - 1)
                depth = self.end[some] - _mean_from(y[:, some], first)
                found[mine] = depth / _not_zero(self.size[some])
        return found


def _before_the_end(width: int, means: _Floats) -> _Floats:
    """The stretches that share no value with the last one."""
    return means[: max(1, len(means) - width)]


def _standard_error(one: int, other: int) -> np.float32:
    """That of the difference of two means of so many values, in noises."""
    return np.float32(np.sqrt(1 / one + 1 / other))


def _mean_from(y: _Floats, first: _Ints) -> _Floats:
    """The mean of each column from a row of its own on."""
    total: _Floats = np.cumsum(y[::-1], axis=0, dtype=np.float32)
    count = len(y) - first
    last = total[count - 1, np.arange(y.shape[1])]
    return np.divide(last, count, dtype=np.float32)


def _mean(x: _Floats) -> _Floats:
    mean: _Floats = x.mean(axis=0, dtype=np.float32)
    return mean


def _not_zero(x: _Floats) -> _Floats:
    """Values are scaled: a difference as small as that is rounding, and nothing to divide by."""
    return np.where(np.abs(x) < _NO_LEVEL, np.float32(1), x)


def _without_highest(x: _Floats) -> tuple[_Floats, _Floats, _Floats]:
    """How far the highest peak of one value stands out, the next one, and ``x`` without it.

    A value's peak is what it is above the higher of its two neighbours. The highest is replaced by
    the mean of its neighbours.
    """
    calm = x.copy()
    if len(x) < 3:
        nothing = np.zeros(x.shape[1], np.float32)
        return nothing, nothing, calm
    columns = np.arange(x.shape[1])
    peaks = x[1:-1] - np.maximum(x[:-2], x[2:])
    at = peaks.argmax(axis=0)
    highest = peaks[at, columns]
    peaks[at, columns] = -np.inf
    second = np.maximum(peaks.max(axis=0), 0)
    calm[at + 1, columns] = (x[at, columns] + x[at + 2, columns]) * np.float32(0.5)
    return highest, second, calm


def _noise(x: _Floats) -> _Floats:
    """The standard deviation of what is no trend; see `trajectory_stats`.

    From mean absolute differences, with those cut off that stand out: the corner of a trend is no
    noise. 0.78 is what is left of the mean of a normal distribution's absolute values after the
    cut, and 1.5 the variance of a value minus the mean of two others.
    """
    if len(x) < 3:
        return np.asarray(np.abs(x[1] - x[0]) * np.sqrt(0.5), np.float32)
    off = x[:-2] + x[2:]
    off *= np.float32(-0.5)
    off += x[1:-1]
    np.abs(off, out=off)
    mean = _mean(off)
    for _ in range(3):
        mean = _mean(np.minimum(off, np.float32(2.5) * mean))
    return mean * np.float32(1 / 0.78 / np.sqrt(1.5))


def _stretches(x: _Floats) -> Iterator[tuple[int, _Floats]]:
    """``(width, means [n - width + 1, R])`` of all stretches of 1, 2, 4, … values."""
    widest, width = max(1, len(x) // 5), 1
    means = x
    yield width, means
    while 2 * width <= widest:
        means = np.multiply(means[:-width] + means[width:], 0.5, dtype=np.float32)
        width *= 2
        yield width, means


def _trend(x: _Floats, noise: _Floats) -> _Floats:
    time = np.arange(len(x), dtype=np.float32) - np.float32((len(x) - 1) / 2)
    spread = np.float32(np.sqrt((time**2).sum()))
    slope: _Floats = (time[:, None] * x).sum(axis=0) / spread
    return slope / noise
