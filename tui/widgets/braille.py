"""Numbers to dots: thinning and rasters of a plot drawn in braille characters.

A braille character has 2 x 4 dots, so a plot of ``w`` x ``h`` cells is a picture of ``2w`` x ``4h``
dots. Everything here is numpy on plain arrays; `CurvePlot` gives it colours and keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Dots = npt.NDArray[np.bool_]

BRAILLE = 0x2800
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint8)
_COUNTS = np.array([pattern.bit_count() for pattern in range(256)], np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Thinned:
    """One value range per dot column, each ``[columns]``, NaN where there is nothing.

    ``low`` and ``high`` keep the extremes of all points that share a dot column, so that a spike
    of one step among ten thousand is still drawn; ``last`` is where the next column joins on.
    """

    low: Floats
    high: Floats
    last: Floats


def thin(x: Floats, y: Floats, x_range: tuple[float, float], columns: int) -> Thinned:
    """Points to dot columns; sparse points are joined by straight lines."""
    first, stop = np.searchsorted(x, x_range)
    x, y = x[max(0, first - 1) : stop + 1], y[max(0, first - 1) : stop + 1]
    finite = np.isfinite(y)
    x, y = x[finite], y[finite]
    if len(x) < 2 * columns:
        return _join(x, y, x_range, columns)
    left, right = x_range
    bins = np.clip(((x - left) / (right - left) * columns).astype(np.int64), 0, columns - 1)
    starts = np.flatnonzero(np.r_[True, np.diff(bins) > 0])
    out = Thinned(*(np.full(columns, np.nan) for _ in range(3)))
    at = bins[starts]
    out.low[at] = np.minimum.reduceat(y, starts)
    out.high[at] = np.maximum.reduceat(y, starts)
    out.last[at] = y[np.r_[starts[1:], len(y)] - 1]
    return out


def _join(x: Floats, y: Floats, x_range: tuple[float, float], columns: int) -> Thinned:
    at = np.linspace(*x_range, columns)
    if not len(x):
        line = np.full(columns, np.nan)
    else:
        line = np.interp(at, x, y, left=np.nan, right=np.nan)
        # A point between two dot columns, and above all a lone one, must not fall through.
        nearest = np.clip(np.rint((x - at[0]) / (at[-1] - at[0]) * (columns - 1)), -1, columns)
        inside = (nearest >= 0) & (nearest < columns)
        line[nearest[inside].astype(np.intp)] = y[inside]
    return Thinned(line, line, line)


def line_dots(line: Thinned, y_range: tuple[float, float], rows: int) -> Dots:
    """Dots ``[rows, columns]`` of a line; each column reaches to where the one before ended."""
    before = np.r_[np.nan, line.last[:-1]]
    dots = fill_dots(np.fmin(line.low, before), np.fmax(line.high, before), y_range, rows)
    dots[:, np.isnan(line.high)] = False
    return dots


def fill_dots(low: Floats, high: Floats, y_range: tuple[float, float], rows: int) -> Dots:
    """Dots ``[rows, columns]`` from ``low`` to ``high`` in every column; NaN columns stay empty."""
    bottom, top = y_range

    def to_row(values: Floats) -> Floats:
        scaled = (rows - 1) * (1 - (values - bottom) / (top - bottom))
        return np.rint(np.nan_to_num(scaled, nan=-1.0, posinf=rows, neginf=-1.0))

    row = np.arange(rows)[:, None]
    filled: Dots = (row >= to_row(high)) & (row <= to_row(low))
    filled &= ~np.isnan(high) & ~np.isnan(low)
    return filled


def band_dots(low: Floats, high: Floats, y_range: tuple[float, float], rows: int) -> Dots:
    """A band as a sparse checker of dots, so that lines stay readable in front of it."""
    dots = fill_dots(low, high, y_range, rows)
    row, column = np.indices(dots.shape)
    dots &= (row % 4 == 0) & (column % 4 == 0) | (row % 4 == 2) & (column % 4 == 2)
    return dots


def every_other(dots: Dots) -> Dots:
    """A line with gaps, for what is behind another one where there is no colour to say so."""
    thinner = dots.copy()
    thinner[:, 1::2] = False
    return thinner


def to_cells(dots: Dots) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """Dots ``[4h, 2w]`` to braille bit patterns ``[h, w]`` and the number of dots in each."""
    rows, columns = dots.shape
    patterns = np.zeros((rows // 4, columns // 2), np.uint8)
    for (row, column), bit in np.ndenumerate(_BITS):
        patterns |= dots[row::4, column::2] * bit
    return patterns, _COUNTS[patterns]
