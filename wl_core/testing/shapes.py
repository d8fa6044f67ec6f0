"""Labelled trajectories: what each of the seven shapes means, as numbers that can be drawn.

Whoever writes a classifier measures it with these (`tests/benchmarks/bench_shapes.py` measures the
built-in one). Three families draw the same seven meanings in different ways, so that a classifier
that has merely learned the formulas of one is found out by the others:

    "lines"   lines, exponentials and broken lines; the noise is as large everywhere
    "curves"  power laws, staircases, sigmoids, wandering levels; the noise is a share of the value
    "walks"   steps of random size from one level to the next; the noise has outliers (Student, 5)

All begin near 1 and are never scaled: multiply them as you like. What the labels mean:

    monotonic      goes down all the way, to at most 0.35
    plateaued      goes down within the first 0.4 of the time, then stays at 0.4 to 0.7
    flat_high      stays where it began
    high_variance  swings about its level by 0.25 to 0.5 of it, from one step to the next
    u_shape        goes down, then up again by 0.4 or more of what it had lost, and is still rising
    forgotten      goes down, then up within 0.15 of the time by 0.4 or more, and stays there
    spiked         one of monotonic, plateaued, flat_high, with one inner point higher by 0.8 to 2
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from wl_core.shape_statistics import LOSS_SHAPES

Family = Literal["lines", "curves", "walks"]
FAMILIES: tuple[Family, ...] = ("lines", "curves", "walks")
_Random: TypeAlias = np.random.Generator
_Values: TypeAlias = npt.NDArray[np.float64]
_Draw: TypeAlias = Callable[[_Random, _Values], _Values]


def trajectory(
    rng: _Random, shape: str, length: int, noise: float = 0.0, family: Family = "lines"
) -> _Values:
    """One trajectory ``[length]`` of that shape.

    ``noise`` is the standard deviation of what is added to a trajectory that begins at 1, or, of
    "curves", of the factor that each value is multiplied by.
    """
    time = np.linspace(0, 1, length)
    draw = _SHAPES[family]
    values = _spiked(draw, rng, time) if shape == "spiked" else draw[shape](rng, time)
    if family == "walks":  # with a standard deviation of 1, as the others'
        noises = noise * rng.standard_t(5, length) / np.sqrt(5 / 3)
    else:
        noises = noise * rng.standard_normal(length)
    noisy: _Values = values + (noises * values if family == "curves" else noises)
    return noisy


def trajectories(
    rng: _Random, count: int, length: int, noise: float = 0.0, family: Family = "lines"
) -> tuple[_Values, npt.NDArray[np.int64]]:
    """``count`` trajectories ``[count, length]`` and their shapes, as indices of LOSS_SHAPES."""
    shapes = rng.integers(0, len(LOSS_SHAPES), count)
    found = [trajectory(rng, LOSS_SHAPES[shape], length, noise, family) for shape in shapes]
    return np.array(found), shapes


def _spiked(draw: Mapping[str, _Draw], rng: _Random, time: _Values) -> _Values:
    base = draw[str(rng.choice(["monotonic", "plateaued", "flat_high"]))]
    values = base(rng, time).copy()
    values[int(rng.integers(1, len(time) - 1))] += rng.uniform(0.8, 2.0)
    return values


# -- "lines" ---------------------------------------------------------------


def _monotonic_line(rng: _Random, time: _Values) -> _Values:
    end = rng.uniform(0.02, 0.35)
    kind = rng.integers(3)
    if kind == 0:
        return 1 - (1 - end) * time
    if kind == 1:
        return np.exp(-time * rng.uniform(1.5, 4.5))
    return np.asarray(end ** (time ** rng.uniform(0.7, 1.3)))


def _plateaued_line(rng: _Random, time: _Values) -> _Values:
    level, width = rng.uniform(0.4, 0.7), rng.uniform(0.1, 0.4)
    line, decay = np.maximum(0, 1 - time / width), np.exp(-3 * time / width)
    return level + (1 - level) * (line if rng.random() < 0.5 else decay)


def _flat_line(rng: _Random, time: _Values) -> _Values:
    return 1 + rng.uniform(-0.03, 0.03) * time


def _swinging(rng: _Random, time: _Values) -> _Values:
    kind, length = rng.integers(3), len(time)
    if kind == 0:
        swings = rng.standard_normal(length)
    elif kind == 1:
        angle = 2 * np.pi * np.arange(length) / rng.uniform(2, 4.5) + rng.uniform(0, 7)
        swings = np.sqrt(2) * np.sin(angle)
    else:
        swings = rng.choice([-1.0, 1.0], length)
    return 1 + rng.uniform(0.25, 0.5) * swings


def _broken_u(rng: _Random, time: _Values) -> _Values:
    low, at = rng.uniform(0.05, 0.4), rng.uniform(0.3, 0.65)
    end = low + (1 - low) * rng.uniform(0.4, 1.1)
    fall = np.clip((at - time) / at, 0, None) ** rng.uniform(1, 2)
    rise = np.clip((time - at) / (1 - at), 0, None) ** rng.uniform(0.9, 1.8)
    return low + (1 - low) * fall + (end - low) * rise


def _forgotten_line(rng: _Random, time: _Values) -> _Values:
    low, at = rng.uniform(0.05, 0.35), rng.uniform(0.2, 0.45)
    end = low + (1 - low) * rng.uniform(0.4, 1.0)
    return np.interp(time, [0, at, at + rng.uniform(0.03, 0.15), 1], [1, low, end, end])


# -- "curves" --------------------------------------------------------------


def _monotonic_curve(rng: _Random, time: _Values) -> _Values:
    end = rng.uniform(0.03, 0.35)
    kind = rng.integers(4)
    if kind == 0:  # a power law that reaches ``end`` at the end
        power = rng.uniform(0.7, 2)
        return np.asarray((1 + time * (end ** (-1 / power) - 1)) ** -power)
    if kind == 1:  # a staircase, as of a learning rate that is lowered in steps
        steps = rng.integers(3, 7)
        return np.asarray(end ** (np.floor(time * steps).clip(0, steps - 1) / (steps - 1)))
    if kind == 2:  # it takes its time to begin
        at, width = rng.uniform(0.35, 0.65), rng.uniform(0.06, 0.15)
        return end + (1 - end) * _sigmoid((at - time) / width)
    return end + (1 - end) * (1 + np.cos(np.pi * time)) / 2


def _plateaued_curve(rng: _Random, time: _Values) -> _Values:
    level, width = rng.uniform(0.4, 0.7), rng.uniform(0.1, 0.4)
    sigmoid, power = _sigmoid((width / 2 - time) * 20 / width), (1 + 8 * time / width) ** -2.0
    return level + (1 - level) * (sigmoid if rng.random() < 0.5 else power)


def _wandering_level(rng: _Random, time: _Values) -> _Values:
    return 1 + 0.03 * _wandering(rng, len(time))


def _bursts(rng: _Random, time: _Values) -> _Values:
    kind, length = rng.integers(3), len(time)
    if kind == 0:
        values = rng.lognormal(0, rng.uniform(0.25, 0.45), length)
    elif kind == 1:
        values = 1 + np.sqrt(3) * rng.uniform(0.25, 0.5) * rng.uniform(-1, 1, length)
    else:
        values = 1 + rng.uniform(0.25, 0.5) * rng.laplace(0, np.sqrt(0.5), length)
    return np.asarray(values * (1 - rng.uniform(0, 0.2) * time))


def _curved_u(rng: _Random, time: _Values) -> _Values:
    low, at = rng.uniform(0.05, 0.4), rng.uniform(0.3, 0.65)
    end = low + (1 - low) * rng.uniform(0.4, 1.1)
    rise = np.clip((time - at) / (1 - at), 0, 1)
    kind = rng.integers(3)
    if kind == 0:  # a fast power law down, then steadily up
        fall = (1 + np.minimum(time, at) / at * 8) ** -1.5
    elif kind == 1:  # a parabola on either side
        fall, rise = np.clip(1 - time / at, 0, 1) ** 2, rise**2
    else:  # half a cosine down, a staircase up
        fall = (1 + np.cos(np.pi * np.minimum(time / at, 1))) / 2
        rise = np.ceil(rise * 5) / 5
    return np.asarray(low + (1 - low) * fall + (end - low) * rise)


def _forgotten_curve(rng: _Random, time: _Values) -> _Values:
    low, at = rng.uniform(0.05, 0.35), rng.uniform(0.25, 0.5)
    end = low + (1 - low) * rng.uniform(0.4, 1.0)
    before = low + (1 - low) * np.exp(-time / at * rng.uniform(3, 6))
    after = end * (1 + 0.04 * _wandering(rng, len(time)))
    share = _sigmoid((time - at) / max(rng.uniform(0, 0.03), 1e-3))
    return before * (1 - share) + after * share


def _sigmoid(x: _Values) -> _Values:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -50, 50))))


def _wandering(rng: _Random, length: int) -> _Values:
    """A level that wanders: autoregressive noise of standard deviation 1."""
    found = np.empty(length)
    value, keep = rng.standard_normal(), 0.8
    for place, push in enumerate(rng.standard_normal(length)):
        found[place] = value
        value = keep * value + np.sqrt(1 - keep**2) * push
    return found


# -- "walks" ---------------------------------------------------------------


def _monotonic_walk(rng: _Random, time: _Values) -> _Values:
    return _walk(rng, 1, rng.uniform(0.03, 0.33), len(time))


def _plateaued_walk(rng: _Random, time: _Values) -> _Values:
    length, level = len(time), rng.uniform(0.4, 0.7)
    first = max(2, int(length * rng.uniform(0.08, 0.38)))
    return np.concatenate([_walk(rng, 1, level, first), np.full(length - first, level)])


def _slow_wave(rng: _Random, time: _Values) -> _Values:
    return 1 + rng.uniform(-0.04, 0.04) * np.sin(rng.uniform(1, 6) * time + rng.uniform(0, 6))


def _flips(rng: _Random, time: _Values) -> _Values:
    sizes = rng.uniform(0.25, 0.5) * rng.uniform(0.6, 1.4, len(time))
    return 1 + rng.choice([-1.0, 1.0], len(time)) * sizes


def _u_walk(rng: _Random, time: _Values) -> _Values:
    low, first = rng.uniform(0.05, 0.4), max(3, int(len(time) * rng.uniform(0.3, 0.65)))
    end = low + (1 - low) * rng.uniform(0.4, 1.1)
    rise = _walk(rng, low, end, len(time) - first + 1)[1:]
    return np.concatenate([_walk(rng, 1, low, first), rise])


def _forgotten_walk(rng: _Random, time: _Values) -> _Values:
    length, low = len(time), rng.uniform(0.05, 0.35)
    end = low + (1 - low) * rng.uniform(0.4, 1)
    first, rising = max(3, int(length * rng.uniform(0.2, 0.45))), int(length * rng.uniform(0, 0.12))
    rise = _walk(rng, low, end, rising + 2)[1:]
    return np.concatenate([_walk(rng, 1, low, first), rise, np.full(length, end)])[:length]


def _walk(rng: _Random, start: float, end: float, length: int) -> _Values:
    """From one level to another without turning back, by steps of random size."""
    steps = np.concatenate([[0], rng.gamma(rng.uniform(0.5, 3), 1, length - 1).cumsum()])
    return np.asarray(start + (end - start) * steps / steps[-1])


_SHAPES: dict[str, dict[str, _Draw]] = {
    "lines": {
        "monotonic": _monotonic_line,
        "plateaued": _plateaued_line,
        "flat_high": _flat_line,
        "high_variance": _swinging,
        "u_shape": _broken_u,
        "forgotten": _forgotten_line,
    },
    "curves": {
        "monotonic": _monotonic_curve,
        "plateaued": _plateaued_curve,
        "flat_high": _wandering_level,
        "high_variance": _bursts,
        "u_shape": _curved_u,
        "forgotten": _forgotten_curve,
    },
    "walks": {
        "monotonic": _monotonic_walk,
        "plateaued": _plateaued_walk,
        "flat_high": _slow_wave,
        "high_variance": _flips,
        "u_shape": _u_walk,
        "forgotten": _forgotten_walk,
    },
}
