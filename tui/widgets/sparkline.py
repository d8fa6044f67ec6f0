"""A trajectory in one line of text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: npt.NDArray[np.float64], width: int) -> str:
    """At most ``width`` bars, from the lowest to the highest value; NaN and inf are blank.

    When there are more values than bars each bar is the highest of its share, so that no spike
    is lost.
    """
    if not len(values):
        return ""
    finite = np.where(np.isfinite(values), values, np.nan)
    if len(finite) > width:
        starts = np.linspace(0, len(finite), width + 1).astype(np.intp)[:-1]
        finite = np.fmax.reduceat(finite, starts)
    there = ~np.isnan(finite)
    if not there.any():
        return " " * len(finite)
    low, high = float(finite[there].min()), float(finite[there].max())
    scaled = (np.where(there, finite, low) - low) / ((high - low) or 1.0)
    levels = np.minimum((scaled * len(BARS)).astype(np.intp), len(BARS) - 1)
    return "".join(
        BARS[level] if shown else " "
        for level, shown in zip(levels.tolist(), there.tolist(), strict=True)
    )
