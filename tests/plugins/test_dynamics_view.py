"""The fold of training dynamics: against brute force over whole histories, however it is cut."""

from __future__ import annotations

import itertools
import math
import random
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wl_core.codec import Frame, FrameBuilder, decode, encode
from wl_core.errors import UsageError
from wl_core.partitions import fold_frames, fold_partitions
from wl_core.testing import FrameWriter, ProjectionConformance
from wl_core.trajectories import Trajectories
from wl_plugins.dynamics import methods
from wl_plugins.dynamics.dynamics_view import DynamicsView
from wl_plugins.dynamics.names import EARLY, METHODS, SIGNALS
from wl_plugins.dynamics.row_state import MeanAndDeviation

_ODD = (np.nan, np.inf, -np.inf, -0.0, 0.0, 0.5, 1.0, 1e300, -1e300, 3e38)


def _values(rng: random.Random, what: str, count: int) -> np.ndarray[Any, Any]:
    if what == "correct" and rng.random() < 0.8:
        return np.asarray([rng.random() < 0.5 for _ in range(count)], np.bool_)
    found = [rng.choice(_ODD) if rng.random() < 0.1 else rng.gauss(0.5, 1) for _ in range(count)]
    with np.errstate(over="ignore"):
        return np.asarray(found, np.float64).astype(rng.choice(("f2", "f4", "f4", "f8")))


def _add(rng: random.Random, builder: FrameBuilder) -> None:
    """All six signals of a batch, as `watch` records them, or one of them alone."""
    name = rng.choice(("dynamics", "dynamics", "head/dynamics", "train"))
    origin = rng.choice(("train_loader", "test_loader"))
    ids = rng.choices((0, 1, 2, "a", 70_000), k=rng.randrange(7))
    at, count, kind, blobs = builder.ids(ids), len(ids), "values", ()
    if rng.random() < 0.4 and ids:
        count, kind = rng.randrange(7), "instance_values"
        small = [[rng.randint(*of) for _ in range(count)] for of in ((0, len(ids) - 1), (1, 3))]
        blobs = tuple(builder.vector(np.asarray(one, np.uint8)) for one in small)
    for what in SIGNALS if rng.random() < 0.6 else (rng.choice(SIGNALS),):
        values = builder.vector(_values(rng, what, count))
        builder.add(kind, f"{name}/{what}", origin, False, at, *blobs, values)


def _stream(drawn: list[list[int]]) -> list[Frame]:
    frames: list[Frame] = []
    position = 0
    for step, seeds in enumerate(drawn):
        builder = FrameBuilder()
        for seed in seeds:
            _add(random.Random(seed), builder)
        frame = Frame(
            step, 0.0, b"somebody", step + 1, "train", False, builder.blobs, builder.events
        )
        frames.append(decode(position, encode(frame)))
        position += frame.count
    return frames


_STREAMS = st.lists(st.lists(st.integers(0, 2**16), min_size=1, max_size=2), min_size=1, max_size=8)


class TestConformance(ProjectionConformance):
    projection = DynamicsView

    def frames(self) -> st.SearchStrategy[list[Frame]]:
        return _STREAMS.map(_stream)


# -- brute force -----------------------------------------------------------------------------------

# (set, what) -> (origin, sample_id, annotation_id) -> values in the order of the log
Histories = dict[tuple[str, str], dict[tuple[str, Any, int], list[float]]]

OF_SIGNAL = {
    "p_true": ("confidence", "variability"),
    "margin": ("aum",),
    "probability_margin": ("mean_margin",),
    "correct": ("correctness", "forgetting_events", "wrong_events"),
    "el2n": ("early_el2n",),
    "loss": ("mean_loss", "loss_drop_speed"),
}
BOUNDS = {"p_true": (0, 1), "probability_margin": (-2, 2), "el2n": (-2, 2)}


def histories(frames: list[Frame]) -> Histories:
    found: Histories = defaultdict(lambda: defaultdict(list))
    for frame in frames:
        for kind, _, signal, origin, _, ids, *blobs in frame.events:
            name, _, what = signal.rpartition("/")
            if not name.endswith("dynamics"):
                continue
            owners = [(origin, one, 0) for one in frame.ids(ids)]
            *where, values = [frame.vector(blob).tolist() for blob in blobs]
            if kind == "instance_values":
                owners = [(*owners[at][:2], number) for at, number in zip(*where, strict=True)]
            for owner, value in zip(owners, values, strict=True):
                found[name, what][owner].append(float(value))
    return found


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def deviation(values: list[float]) -> float:
    middle = mean(values)
    return math.sqrt(mean([(value - middle) ** 2 for value in values]))


def speed(losses: list[float]) -> float:
    learned = [number for number, value in enumerate(losses, 1) if value < math.log(2)]
    return 1 / learned[0] if learned else 0.0


def forgotten(answers: list[float]) -> float:
    right = [answer > 0.5 for answer in answers]
    pairs = itertools.pairwise(right)
    return sum(one and not then for one, then in pairs) if any(right) else math.inf


BY_DEFINITION = {
    "confidence": mean,
    "variability": deviation,
    "correctness": lambda answers: mean([answer > 0.5 for answer in answers]),
    "aum": mean,
    "mean_margin": mean,
    "forgetting_events": forgotten,
    "wrong_events": lambda answers: sum(answer <= 0.5 for answer in answers),
    "early_el2n": lambda values: mean(values[:EARLY]),
    "mean_loss": mean,
    "loss_drop_speed": speed,
}


def trajectories(rows: list[list[float]]) -> Trajectories:
    counts = [len(row) for row in rows]
    flat = np.asarray([value for row in rows for value in row], np.float64)
    numbers = np.arange(len(rows))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Trajectories(numbers, np.zeros_like(numbers), offsets, np.zeros(len(flat), int), flat)


def row_of(view: DynamicsView, owner: tuple[str, Any, int]) -> int:
    sample = view.samples.find(*owner[:2])
    return view.instances.find(sample, owner[2]) if owner[2] else sample


@settings(deadline=None, max_examples=25)
@given(_STREAMS, st.lists(st.integers(0, 8), max_size=3))
def test_every_score_is_that_of_the_whole_history(drawn: list[list[int]], cuts: list[int]) -> None:
    frames = _stream(drawn)
    view = fold_partitions(DynamicsView, frames, [min(cut, len(frames)) for cut in cuts])
    for (name, what), of_rows in histories(frames).items():
        low, high = BOUNDS.get(what, (-(2**22), 2**22))
        for owner, given_values in of_rows.items():
            values = [min(max(v, low), high) for v in given_values if not math.isnan(v)]
            scores = view.scores(name, instances=owner[2] > 0)
            for method in OF_SIGNAL[what]:
                score = scores[method][row_of(view, owner)]
                if not values:
                    assert math.isnan(score)
                    continue
                expected = BY_DEFINITION[method](values)
                assert score == pytest.approx(expected, abs=2e-6, rel=1e-9)
                whole = getattr(methods, method)(trajectories([[math.nan], [1.0], values, []]))
                assert whole[2] == pytest.approx(expected, abs=1e-9)
                assert np.isnan(whole[[0, 3]]).all()


# -- by hand ---------------------------------------------------------------------------------------


def folded(*rows: list[float], what: str, dtype: Any = np.float32) -> DynamicsView:
    """Rows 0, 1, … with these values, one frame for each observation."""
    log = FrameWriter()
    for number in range(max(map(len, rows))):
        ids = [row for row in range(len(rows)) if number < len(rows[row])]
        values = [rows[row][number] for row in ids]
        log.values(f"dynamics/{what}", ids, values, dtype=dtype)
        log.step()
    return fold_frames(DynamicsView, log.frames)


def test_a_probability_that_never_moves_has_no_variability_at_all() -> None:
    view = folded([0.9] * 7, [0.0, 1.0], [1 / 3], what="p_true")
    scores = view.scores()
    assert scores["variability"].tolist() == [0.0, 0.5, 0.0]
    assert scores["confidence"] == pytest.approx([0.9, 0.5, 1 / 3], abs=2**-24)
    assert list(scores) == ["confidence", "variability"], "what was not watched has no score"


def test_the_variability_of_very_many_observations_is_exact_until_it_is_left_out() -> None:
    state = MeanAndDeviation()
    state.reserve(2)
    counts = np.asarray([MeanAndDeviation.MOST, MeanAndDeviation.MOST + 1])
    ones = counts // 2  # half of them 0, half of them 1
    state.absorb(np.arange(2), {"counts": counts, "sums": ones << 24, "squares": ones << 48})
    share = ones[0] / counts[0]
    assert state.deviation(2)[0] == pytest.approx(math.sqrt(share * (1 - share)), abs=1e-12)
    assert np.isnan(state.deviation(2)[1])
    assert state.mean(2) == pytest.approx([share, 0.5])


def test_what_was_never_learned_is_forgotten_infinitely_often() -> None:
    right = [[1, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1]]
    view = folded(*right, what="correct", dtype=np.bool_)
    scores = view.scores()
    assert scores["forgetting_events"].tolist() == [2, math.inf, 0]
    assert scores["wrong_events"].tolist() == [3, 6, 1]
    assert scores["correctness"] == pytest.approx([0.5, 0, 5 / 6])
    assert view.observations().tolist() == [6, 6, 6]


def test_the_window_of_el2n_is_that_of_the_question() -> None:
    rows = [[float(n % 2) for n in range(20)], [1.0, 0.5]]
    view = folded(*rows, what="el2n")
    assert view.scores(window=1)["early_el2n"].tolist() == [0, 1]
    assert view.scores(window=3)["early_el2n"] == pytest.approx([1 / 3, 0.75])
    assert view.scores()["early_el2n"].tolist() == [0.5, 0.75]
    for window in (0, EARLY + 1):
        with pytest.raises(UsageError, match="as many are kept"):
            view.scores(window=window)


def test_the_speed_of_a_loss_is_when_it_first_was_low() -> None:
    view = folded([0.1, 3.0], [2.0, 0.7, 0.6, 5.0], [9.0, 9.0], what="loss")
    assert view.scores()["loss_drop_speed"].tolist() == [1.0, pytest.approx(1 / 3), 0.0]


def test_signals_that_only_look_like_it_are_somebody_elses() -> None:
    log = FrameWriter()
    for name in ("loss", "train/loss", "mydynamics/loss", "dynamics/other", "dynamics/loss/x"):
        log.values(name, [1], [1.0])
    log.step()
    view = fold_frames(DynamicsView, log.frames)
    assert (len(view.samples), view.names(), view.scores()) == (0, [], {})


def test_every_method_says_which_end_is_suspicious() -> None:
    assert set(METHODS) == {method for found in OF_SIGNAL.values() for method in found}
    assert all(callable(getattr(methods, method)) for method in METHODS)
    assert set(OF_SIGNAL) == set(SIGNALS)
