"""Series: a line over steps, ready to be drawn or written; smoothing.

Which lines there are is said by those who draw: `cli_curves` and the TUI's panes. The picture is
made in `curve_svg`, the table in `curve_files`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from wl_core.curve import Curve

Floats = npt.NDArray[np.float64]

_BLOCK = 64  # so many steps of the average are one product of matrices
_NOTHING = 1e-17  # 1 minus less than this is 1


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One line: ``steps`` ascending, ``mean`` and (or None) the range, all ``[S]``.

    Lines of one ``group`` are drawn together where each group has a plot of its own; without one
    a line stands alone. ``raw`` are the values before smoothing, None for a line that is not
    smoothed. ``faint`` is drawn behind the line, as steps ``[F]`` and values ``[F]``: what was
    recorded, also after the moment that is looked at.
    """

    name: str
    steps: Floats
    mean: Floats
    low: Floats | None = None
    high: Floats | None = None
    group: str = ""
    faint: tuple[Floats, Floats] | None = None
    raw: Floats | None = None

    @classmethod
    def of_curve(cls, curve: Curve, *, name: str = "") -> Series:
        """The mean and the range of a curve, in a group of its signal's name."""
        steps = np.asarray(curve.steps, np.float64)
        return cls(name or curve.name, steps, curve.mean, curve.low, curve.high, curve.name)

    @property
    def plot(self) -> str:
        """The name of the plot it is drawn in, where each group has one."""
        return self.group or self.name

    def index_at(self, step: float) -> int:
        """The last point at or before ``step``; the first one when all are later."""
        return max(0, int(np.searchsorted(self.steps, step, "right")) - 1)

    def smoothed(self, weight: float) -> Series:
        """The line smoothed, with the values as they were faint behind; see `smoothed`."""
        if not weight:
            return self
        faint = self.faint or (self.steps, self.mean)
        return replace(self, mean=smoothed(self.mean, weight), faint=faint, raw=self.mean)

    def over(self, whole: Series) -> Series:
        """This line with another one faint behind it."""
        return replace(self, faint=(whole.steps, whole.mean))

    def mapped(self, scale: Callable[[Floats], Floats]) -> Series:
        """The line on another scale of values."""
        low, high, raw = (None if v is None else scale(v) for v in (self.low, self.high, self.raw))
        faint = None if self.faint is None else (self.faint[0], scale(self.faint[1]))
        return replace(self, mean=scale(self.mean), low=low, high=high, raw=raw, faint=faint)

    def between(self, first: float, last: float) -> Series:
        """The points at ``first <= step <= last``."""
        at = slice(*np.searchsorted(self.steps, (first, np.nextafter(last, np.inf))))
        low, high, raw = (None if v is None else v[at] for v in (self.low, self.high, self.raw))
        faint = None
        if self.faint is not None:
            there = slice(*np.searchsorted(self.faint[0], (first, np.nextafter(last, np.inf))))
            faint = self.faint[0][there], self.faint[1][there]
        steps, mean = self.steps[at], self.mean[at]
        return replace(self, steps=steps, mean=mean, low=low, high=high, raw=raw, faint=faint)


def smoothed(values: Floats, weight: float) -> Floats:
    """The exponential moving average of ``values [S]``, without its bias towards zero.

    Of finite values ``x_1, x_2, …`` the k-th is ``m_k / (1 - weight^k)``, where ``m_0 = 0`` and
    ``m_k = weight * m_{k-1} + (1 - weight) * x_k``: what TensorBoard draws (``resmoothDataset`` in
    its ``vz_line_chart2/line-chart.ts``), with the correction of Kingma & Ba, "Adam" (2015),
    section 3. Values that are not finite stay as they are and are passed over.

    Raises:
        ValueError: ``weight`` is not in ``[0, 1)``.
    """
    if not 0 <= weight < 1:
        raise ValueError(f"the weight of smoothing must be from 0 to below 1, got {weight}")
    result = np.array(values, np.float64)
    finite = np.isfinite(result)
    inside = result[finite]
    if not weight or not len(inside) or (inside == inside[0]).all():  # exact for constants
        return result
    average = _average(inside, weight)
    biased = min(len(inside), int(np.log(_NOTHING) / np.log(weight)) + 1)
    average[:biased] /= 1 - weight ** np.arange(1, biased + 1)
    result[finite] = average
    return result


def _average(values: Floats, weight: float) -> Floats:
    """``m_k`` for each k, a block at a time: within one it is a product with powers of weight."""
    powers, carried = _powers(weight)
    blocks = np.zeros((-(-len(values) // _BLOCK), _BLOCK))
    blocks.reshape(-1)[: len(values)] = values
    blocks = np.einsum("bj,kj->bk", blocks, powers)  # in this thread: it is less than it looks
    for number in range(1, len(blocks)):
        blocks[number] += blocks[number - 1, -1] * carried
    average: Floats = blocks.reshape(-1)[: len(values)]
    return average


@lru_cache(maxsize=8)
def _powers(weight: float) -> tuple[Floats, Floats]:
    """What each value of a block, and what came before the block, weigh at each of its steps."""
    lag = np.arange(_BLOCK)[:, None] - np.arange(_BLOCK)
    powers = np.where(lag >= 0, (1 - weight) * weight ** np.maximum(lag, 0), 0.0)
    return powers, np.asarray(weight ** np.arange(1, _BLOCK + 1), np.float64)
