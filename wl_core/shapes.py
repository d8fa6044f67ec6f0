"""Shapes: one word for how a value moved through training, out of seven.

Of one trajectory, or of all trajectories of a signal at once. What is measured of one, and where
the thresholds lie, is `shape_statistics`' business; which classifier answers for a signal,
`shape_classifiers`'; the column ``shape``, `wl_plugins.shapes`'. Labelled trajectories to measure a
classifier with are in `wl_core.testing.shapes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.errors import UsageError
from wl_core.shape_statistics import LOSS_SHAPES, Codes, Statistics
from wl_core.trajectories import Trajectories

__all__ = [
    "LOSS_SHAPES",
    "Shapes",
    "classify_all",
    "classify_loss_shape",
    "classify_rows",
    "trajectory_stats",
]

MIN_POINTS = 5  # fewer have no shape
NO_SHAPE = -1

_CHUNK = 1 << 18  # values that are looked at together: what fits into a core's own cache


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """The shapes of trajectories: ``codes`` ``[R]`` are indices of ``labels``, -1 for none."""

    codes: npt.NDArray[np.integer[Any]]
    labels: Sequence[str]

    @classmethod
    def by(
        cls,
        classifier: Callable[[npt.NDArray[np.float64]], object],
        trajectories: Trajectories,
    ) -> Shapes:
        """What a function of one trajectory's values says of each; None is no shape.

        NaN and infinite values are left out first; where nothing is left nobody is asked.

        Raises:
            UsageError: it returned something else than a text or None.
        """
        trajectories = without_nonfinite(trajectories)
        found: dict[str, int] = {}
        codes = np.full(len(trajectories), NO_SHAPE, np.int64)
        for row, values in enumerate(np.split(trajectories.values, trajectories.offsets[1:-1])):
            label = classifier(values) if len(values) else None
            if isinstance(label, str):
                codes[row] = found.setdefault(label, len(found))
            elif label is not None:
                name = getattr(classifier, "__qualname__", repr(classifier))
                raise UsageError(f"{name} must return a text or None, not {label!r}")
        return cls(codes, tuple(found))

    def label(self, row: int) -> str | None:
        code = int(self.codes[row])
        return None if code < 0 else self.labels[code]


def trajectory_stats(values: npt.ArrayLike) -> dict[str, float] | None:
    """What the shape of a trajectory is judged by; None under 2 values.

    NaN and infinite values are left out first. ``…_z`` are in standard errors of the trajectory's
    own noise, ``…_share`` are ratios, and all but ``level`` and ``noise`` stay as they are when the
    values are multiplied by a positive number.

    ===================  =========================================================================
    ``n``                values that count
    ``level``            mean of the absolute values
    ``noise``            standard deviation of what is no trend: of each value against the mean of
                         its two neighbours
    ``level_cv``         noise over level
    ``drop_z``           how far the end lies below the start
    ``rebound_z``        how far the end lies above the lowest stretch
    ``rebound_share``    the same, of the whole range
    ``end_share``        the end over the start
    ``early_share``      mean height above the end, over the drop: 0 at once, 0.5 a straight line
    ``unsettled_share``  mean depth below the end since the lowest stretch, over the rebound: 0 it
                         rose at once and stayed, 0.5 it rises steadily
    ``spike_z``          the highest value over the higher of its two neighbours
    ``spike_share``      the same, of the range of all the other values
    ``trend_z``          slope of the least-squares line; negative when it goes down
    ===================  =========================================================================
    """
    kept = _finite(np.asarray(values, np.float64).ravel())
    if len(kept) < 2:
        return None
    scaled, exponent = _scaled(kept[None])
    found = Statistics.of(scaled.T.copy())
    with np.errstate(over="ignore"):  # of values near the greatest float, noise may be infinite
        own = np.array([np.abs(scaled).mean(), found.noise[0]], np.float64)
        level, noise = np.ldexp(own, exponent[0])
    stats = {name: float(column[0]) for name, column in found.shares().items()}
    return {"n": float(len(kept)), "level": float(level), "noise": float(noise), **stats}


def classify_loss_shape(values: npt.ArrayLike) -> str | None:
    """The shape of one trajectory, one of `LOSS_SHAPES`; None under 5 values.

    NaN and infinite values are left out first. No positive factor changes the shape.

    - ``monotonic``: steadily decreasing
    - ``plateaued``: decreased, then level and still high
    - ``flat_high``: never moved
    - ``high_variance``: noisy oscillation
    - ``u_shape``: dipped and now rising or moving; also what only rises
    - ``forgotten``: dipped, then settled at a new worse level
    - ``spiked``: a jump of one step that reverts

    Under about 20 values, and the more noise the more often, a plateau or a forgotten sample is
    taken for one that never moved: docs/howto/shapes.md has the figures.
    """
    kept = _finite(np.asarray(values, np.float64).ravel())
    if len(kept) < MIN_POINTS:
        return None
    return LOSS_SHAPES[int(classify_rows(kept[None])[0])]


def classify_rows(values: npt.NDArray[np.floating[Any]]) -> Codes:
    """The shapes of trajectories of one length: finite ``[R, n]`` to indices of LOSS_SHAPES."""
    codes = np.full(len(values), NO_SHAPE, np.int8)
    if values.shape[1] >= MIN_POINTS:
        size = max(1, _CHUNK // values.shape[1])
        for start in range(0, len(values), size):
            scaled, _ = _scaled(values[start : start + size])
            codes[start : start + size] = Statistics.of(np.ascontiguousarray(scaled.T)).codes()
    return codes


def classify_all(trajectories: Trajectories) -> Codes:
    """The shape of each row ``[R]`` as an index of LOSS_SHAPES, -1 under 5 values.

    NaN and infinite values are left out first, as if they had not been measured.
    """
    trajectories = without_nonfinite(trajectories)
    codes = np.full(len(trajectories), NO_SHAPE, np.int8)
    for rows, values in by_length(trajectories):
        codes[rows] = classify_rows(values)
    return codes


def without_nonfinite(trajectories: Trajectories) -> Trajectories:
    """The same rows without NaN and infinite values; a row may be left with none."""
    finite = np.isfinite(trajectories.values)
    if finite.all():
        return trajectories
    before = np.concatenate([[0], np.cumsum(finite)])
    return Trajectories(
        trajectories.sample_rows,
        trajectories.annotation_ids,
        before[trajectories.offsets],
        trajectories.steps[finite],
        trajectories.values[finite],
    )


def by_length(
    trajectories: Trajectories,
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]]:
    """``(rows [k], values [k, n])`` of each length n that there is; at most some MB at a time."""
    counts = trajectories.counts
    order = np.argsort(counts, kind="stable")
    lengths, starts = np.unique(counts[order], return_index=True)
    for length, rows in zip(lengths.tolist(), np.split(order, starts[1:]), strict=True):
        size = max(1, _CHUNK // max(1, length))
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            first = trajectories.offsets[some]
            yield some, _cut(trajectories.values, first, length)


def _cut(
    values: npt.NDArray[np.float64], first: npt.NDArray[np.int64], length: int
) -> npt.NDArray[np.float64]:
    if len(first) and first[-1] - first[0] == (len(first) - 1) * length:  # they lie side by side
        found = values[first[0] : first[-1] + length].reshape(-1, length) if length else None
        if found is not None and (np.diff(first) == length).all():
            return found
    cut: npt.NDArray[np.float64] = values[first[:, None] + np.arange(length)]
    return cut


def _finite(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return values[np.isfinite(values)]


def _scaled(
    values: npt.NDArray[np.floating[Any]],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Float32 of rows scaled to at most 1 by powers of two, which round nothing, and those."""
    _, exponent = np.frexp(np.abs(values).max(axis=1))
    exponent = np.maximum(exponent, -1000)  # beyond that the factor would be infinite
    scaled = (values * np.ldexp(1.0, -exponent)[:, None]).astype(np.float32)
    return scaled, exponent
