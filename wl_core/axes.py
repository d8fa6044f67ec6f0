"""Axes: round numbers to mark them at, how these are written, and what a scale makes of values."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high``."""
    span = high - low
    if not (span > 0 and math.isfinite(span)):
        return [low]
    raw = span / max(1, count)
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [tick * step for tick in range(first, last + 1)] or [low]


def tick_label(value: float) -> str:
    """A number in at most seven characters."""
    size = abs(value)
    if size and (size >= 1e6 or size < 1e-3):
        return f"{value:.0e}".replace("e+0", "e").replace("e-0", "e-")
    return f"{value / 1000:.4g}k" if size >= 10_000 else f"{value:.4g}"


def logarithm(values: Floats) -> Floats:
    """The decimal logarithm; NaN, which is not drawn, of what is not positive."""
    return np.log10(np.where(values > 0, values, np.nan))


def value_range(extremes: Iterable[Floats]) -> tuple[float, float]:
    """Lowest and highest finite value with a little air; 0 to 1 when there is none."""
    finite = [found for values in extremes if len(found := values[np.isfinite(values)])]
    if not finite:
        return 0.0, 1.0
    low, high = min(float(one.min()) for one in finite), max(float(one.max()) for one in finite)
    air = (high - low) * 0.02 or abs(low) * 0.1 or 0.5
    return low - air, high + air
