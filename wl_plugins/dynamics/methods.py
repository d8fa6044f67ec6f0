"""Scores of training dynamics as functions of whole trajectories, for notebooks.

    history = run.view("history")
    scores = aum(history.trajectories("dynamics/margin"))

Each takes the trajectories of one signal, of samples or instances, and gives one number for each
row ``[R]``, float64, in their order. NaN values are left out; a row that has no others is NaN. The
view ``dynamics`` has the same scores without any history: it keeps sums instead (`row_state`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wl_core.instance_index import ranges
from wl_core.trajectories import Trajectories
from wl_plugins.dynamics.names import EARLY
from wl_plugins.dynamics.row_state import LEARNED

Scores = npt.NDArray[np.float64]


def confidence(p_true: Trajectories) -> Scores:
    """The mean probability of the label, low where it is wrong or the sample is hard.

    Swayamdipta et al., "Dataset cartography: mapping and diagnosing datasets with training
    dynamics" (EMNLP 2020), equation 1.
    """
    return _means(*_finite(p_true))


def variability(p_true: Trajectories) -> Scores:
    """The standard deviation of the label's probability, high where the model wavers.

    Swayamdipta et al. (2020), equation 2: the population's, divided by the number of observations.
    High variability is what they call ambiguous; wrong labels have low confidence and, as long as
    they are not memorised, low variability.
    """
    counts, values = _finite(p_true)
    differences = values - np.repeat(_means(counts, values), counts)
    return np.asarray(np.sqrt(_means(counts, differences * differences)), np.float64)


def correctness(correct: Trajectories) -> Scores:
    """The share of observations at which the model gave the label: Swayamdipta et al. (2020).

    An answer is right when the value is above one half: a dense prediction, when more than half of
    its pixels are.
    """
    counts, values = _finite(correct)
    return _means(counts, (values > 0.5).astype(np.float64))


def aum(margin: Trajectories) -> Scores:
    """The area under the margin: the mean of ``z[y] - max z[k != y]``, low for wrong labels.

    Pleiss et al., "Identifying mislabeled data using the area under the margin ranking" (NeurIPS
    2020), equation 2. They stop before the learning rate drops for the first time, when the model
    has not memorised the wrong labels yet.
    """
    return _means(*_finite(margin))


def mean_margin(probability_margin: Trajectories) -> Scores:
    """The mean of ``p[y] - max p[k != y]``, in -1 … 1: AUM with probabilities in place of logits.

    A single huge logit does not count for more than others here; with logits it may. The margin
    at one moment is the normalised margin of Northcutt et al., "Confident learning: estimating
    uncertainty in dataset labels" (JAIR 2021).
    """
    return _means(*_finite(probability_margin))


def forgetting_events(correct: Trajectories) -> Scores:
    """How often a right answer was followed by a wrong one; inf where no answer was ever right.

    Toneva et al., "An empirical study of example forgetting during deep neural network learning"
    (ICLR 2019), who count samples that are never learned as forgotten infinitely often.
    """
    counts, values = _finite(correct)
    right = values > 0.5
    forgotten = np.zeros(len(right))
    forgotten[1:] = right[:-1] & ~right[1:]
    forgotten[_starts(counts)[counts > 0]] = 0
    events = _sums(counts, forgotten)
    events[_sums(counts, right.astype(np.float64)) == 0] = np.inf
    events[counts == 0] = np.nan
    return events


def wrong_events(correct: Trajectories) -> Scores:
    """How many answers were wrong. Compare rows that were observed equally often."""
    counts, values = _finite(correct)
    return np.where(counts > 0, _sums(counts, (values <= 0.5).astype(np.float64)), np.nan)


def early_el2n(el2n: Trajectories, window: int = EARLY) -> Scores:
    """The mean EL2N score of a row's first ``window`` observations, high for hard or wrong ones.

    EL2N is ``|p - onehot(y)|``: Paul et al., "Deep learning on a data diet: finding important
    examples early in training" (NeurIPS 2021), who average over ten networks after a few epochs.
    Here it is one network over its first epochs.
    """
    counts, values = _finite(el2n)
    early = ranges(counts) < window
    return _means(np.minimum(counts, window), values[early])


def mean_loss(loss: Trajectories) -> Scores:
    """The mean loss, high for wrong labels: those are learned last, by memorising.

    Small losses are taken for clean labels by Arpit et al., "A closer look at memorization in deep
    networks" (ICML 2017) and Han et al., "Co-teaching" (NeurIPS 2018), of the moment; the mean over
    training is what Huang et al., "O2U-Net" (ICCV 2019) rank by.
    """
    return _means(*_finite(loss))


def loss_drop_speed(loss: Trajectories, below: float = LEARNED) -> Scores:
    """One over the number of observations until the loss was first below ``below``; 0: never.

    1 is a row that was learned when it was first seen, 1/2 one that took two observations, 0 one
    that never was. The definition is ours: a time of first learning, as in Toneva et al. (2019),
    with an absolute threshold. At log 2 nats of cross-entropy the label has half the probability. A
    threshold relative to the first loss would rank rows that were learned before they were first
    seen, by noise.
    """
    counts, values = _finite(loss)
    numbers = np.where(values < below, ranges(counts) + 1.0, np.inf)
    speed = np.full(len(counts), np.nan)
    some = counts > 0
    if some.any():
        speed[some] = 1 / np.minimum.reduceat(numbers, _starts(counts)[some])
    return speed


def _finite(of: Trajectories) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """``(counts [R], values [N])`` without NaN."""
    there = ~np.isnan(of.values)
    if there.all():
        return of.counts, of.values
    kept = np.concatenate([[0], np.cumsum(there)])
    return np.diff(kept[of.offsets]), of.values[there]


def _starts(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    starts: npt.NDArray[np.int64] = np.cumsum(counts) - counts
    return starts


def _sums(counts: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> Scores:
    sums = np.zeros(len(counts))
    some = counts > 0
    if some.any():
        sums[some] = np.add.reduceat(values, _starts(counts)[some])
    return sums


def _means(counts: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> Scores:
    with np.errstate(divide="ignore", invalid="ignore"):
        means: Scores = np.where(counts > 0, _sums(counts, values) / counts, np.nan)
    return means
