"""How well a score finds what it should: for those who know the truth, as a demo does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def roc_auc(scores: Scores, wanted: Flags) -> float:
    """The probability that a wanted one has a higher score than another one, ties counting half.

    From ranks, as the statistic of Mann & Whitney (1947). NaN unless there are both kinds.

    Args:
        scores: ``[N]``, without NaN; infinities are the highest and the lowest.
        wanted: ``[N]``.
    """
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # from 1; equal scores share the mean
    positives = int(wanted.sum())
    negatives = len(wanted) - positives
    if not positives or not negatives:
        return float("nan")
    above = ranks[wanted].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def precision_at(scores: Scores, wanted: Flags, k: int) -> float:
    """The share of wanted ones among the ``k`` highest scores.

    Where scores are equal at the border, what a random choice among them gives on average.
    """
    if not 0 < k <= len(scores):
        return float("nan")
    border = np.partition(scores, len(scores) - k)[len(scores) - k]
    above, at = scores > border, scores == border
    missing = k - int(above.sum())
    return float((wanted[above].sum() + missing * wanted[at].mean()) / k)
