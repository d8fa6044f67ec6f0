"""Curve: one signal over the steps, as the view of curves gives it and everybody draws it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One signal over the steps ``[S]``, steps ascending.

    ``mean``, ``low`` and ``high`` are over all values of the step; ``mean`` is NaN when one of
    them was, ``low`` and ``high`` are over the others. ``count`` is how many there were, of which
    ``nonfinite`` were NaN or infinite.
    """

    name: str
    steps: npt.NDArray[np.int64]
    mean: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    count: npt.NDArray[np.int64]
    nonfinite: npt.NDArray[np.int64]
