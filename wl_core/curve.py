"""Curve and Evaluation: what the view of curves gives, and everybody draws."""

from __future__ import annotations

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation that somebody asked for, at the step (the model's age) that it was done at.

    ``means`` are those of each signal over ``samples`` samples of ``origin``, of those with ``tag``
    only if it is not empty. One that was ``cancelled`` came so far; ``error`` is the traceback of
    one that failed.
    """

    step: int
    origin: str
    tag: str
    samples: int
    means: Mapping[str, float]
    cancelled: bool
    error: str

    @property
    def name(self) -> str:
        """``test_loader``, ``test_loader[hard]``"""
        return f"{self.origin}[{self.tag}]" if self.tag else self.origin
