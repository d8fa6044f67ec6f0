from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wl_core.curve import Curve, Evaluation
from wl_core.errors import UnknownNameError
from wl_core.partitions import fold_frames
from wl_core.testing import FrameWriter, ProjectionConformance
from wl_plugins.curves import Curves


class TestConformance(ProjectionConformance):
    projection = Curves


def test_a_step_is_the_mean_of_all_its_values() -> None:
    log = FrameWriter()
    log.values("loss", [1, 2], [1.0, 2.0])
    log.values("loss", [3, 4], [3.0, 6.0])
    log.step(5)
    log.values("loss", [1], [0.5])
    log.step()
    curve = fold_frames(Curves, log.frames).curve("loss")
    assert curve.name == "loss"
    assert curve.steps.tolist() == [0, 5]
    assert curve.mean.tolist() == [3.0, 0.5]
    assert curve.low.tolist() == [1.0, 0.5]
    assert curve.high.tolist() == [6.0, 0.5]
    assert curve.count.tolist() == [4, 1]
    assert curve.nonfinite.tolist() == [0, 0]


def test_a_group_counts_once_and_labels_have_no_curve() -> None:
    log = FrameWriter()
    log.group_values("distance", [[1, 2, 3], [4]], [1.0, 4.0])
    log.group_values("hidden", [[1]], [1.0], log=False)
    log.labels("predicted", [1], ["cat"])
    log.values("ok", [1, 2, 3, 4], [True, False, True, True], dtype=np.bool_)
    log.step()
    curves = fold_frames(Curves, log.frames)
    assert curves.names() == ["distance", "ok"]
    assert curves.curve("distance").mean.tolist() == [2.5]
    assert curves.curve("distance").count.tolist() == [2]
    assert curves.curve("ok").mean.tolist() == [0.75]


def test_only_what_was_logged_has_a_curve() -> None:
    log = FrameWriter()
    log.values("hidden", [1], [1.0], log=False)
    log.values("loss", [1], [1.0])
    log.values("loss", [2], [9.0], log=False)
    log.instance_values("bce/instance", [1], [0, 0], [1, 2], [2.0, 4.0])
    log.builder.add("step_values", ["lr"], log.vector([0.1], np.float64))
    log.step()
    curves = fold_frames(Curves, log.frames)
    assert curves.names() == ["bce/instance", "loss", "lr"]
    assert curves.curve("loss").mean.tolist() == [1.0]
    assert curves.curve("bce/instance").mean.tolist() == [3.0]
    assert curves.curve("signals_lr").mean.tolist() == [0.1]


def test_a_nan_is_shown_in_the_mean_and_counted() -> None:
    log = FrameWriter()
    log.values("loss", [1, 2, 3], [1.0, math.nan, 3.0])
    log.step()
    log.values("loss", [1, 2], [math.inf, -math.inf])
    log.step()
    curve = fold_frames(Curves, log.frames).curve("loss")
    assert np.isnan(curve.mean).all()
    assert (curve.low[0], curve.high[0]) == (1.0, 3.0)
    assert (curve.low[1], curve.high[1]) == (-math.inf, math.inf)
    assert curve.nonfinite.tolist() == [1, 2]


def test_each_origin_has_a_curve_of_its_own_too() -> None:
    log = FrameWriter()
    log.values("ce", [1], [1.0])
    log.values("ce", [1], [3.0], origin="test_loader")
    log.step()
    curves = fold_frames(Curves, log.frames)
    assert curves.origins("ce") == ["test_loader", "train_loader"]
    assert curves.curve("ce").mean.tolist() == [2.0]
    assert curves.curve("ce", "test_loader").mean.tolist() == [3.0]


def test_unknown_curves_are_named_with_the_nearest() -> None:
    log = FrameWriter()
    log.values("train_loss", [1], [1.0])
    log.step()
    curves = fold_frames(Curves, log.frames)
    with pytest.raises(UnknownNameError, match=r"no curve 'train_los'.* 'train_loss'"):
        curves.curve("train_los")
    with pytest.raises(UnknownNameError, match="nothing of origin 'train'"):
        curves.curve("train_loss", "train")


def test_steps_ascend_even_if_the_log_went_back() -> None:
    log = FrameWriter()
    for step in (4, 5, 4):
        log.model_age = step
        log.values("loss", [1], [float(step)])
        log.step()
    curve = fold_frames(Curves, log.frames).curve("loss")
    assert curve.steps.tolist() == [4, 5]
    assert curve.count.tolist() == [2, 1]


def test_events_without_values_leave_no_trace() -> None:
    log = FrameWriter()
    log.values("loss", [], [])
    log.values("loss", [1], [2.0])
    log.values("loss", [], [])
    log.step()
    assert fold_frames(Curves, log.frames).curve("loss").count.tolist() == [1]


def bits(curve: Curve) -> list[bytes]:
    return [array.tobytes() for array in (curve.mean, curve.low, curve.high, curve.count)]


@given(st.data())
def test_sums_are_the_same_to_the_bit_in_any_batches(data: st.DataObject) -> None:
    """Numpy adds in blocks and casts in buffers of 8192: neither may show through."""
    generator = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    log = FrameWriter()
    for _ in range(data.draw(st.integers(2, 6))):
        count = data.draw(st.sampled_from((1, 2, 7, 8, 9, 64, 127, 129, 1000, 9000)))
        dtype = data.draw(st.sampled_from(("f2", "f4", "f8")))
        values = generator.standard_normal(count) * 10.0 ** generator.integers(-4, 4, count)
        log.values("loss", list(range(count)), values, dtype=dtype)
        log.step(data.draw(st.integers(0, 1)))
    whole = fold_frames(Curves, log.frames)
    parts = Curves()
    for frame in log.frames:
        parts.merge(fold_frames(Curves, [frame]))
    assert bits(whole.curve("loss")) == bits(parts.curve("loss"))


def evaluated(
    log: FrameWriter, origin: str, tag: str, means: dict[str, float], **ended: Any
) -> None:
    said = {"samples": 4, "cancelled": False, "error": "", "request": -1} | ended
    log.builder.add(
        "evaluation_finished", origin, tag, said["samples"], means, said["cancelled"],
        said["error"], said["request"],
    )  # fmt: skip


def test_what_evaluations_found_are_points_of_curves_of_their_own() -> None:
    log = FrameWriter()
    log.values("dice", [1], [0.5])
    log.step()
    evaluated(log, "test_loader", "", {"dice": 0.25, "bce": math.nan})
    log.step(4)
    evaluated(log, "test_loader", "hard", {"dice": 0.125})
    evaluated(log, "test_loader", "", {"dice": 0.75})
    log.step()
    curves = fold_frames(Curves, log.frames)
    assert curves.signals() == ["dice"]
    assert curves.names() == [
        "dice",
        "evaluation/test_loader/bce",
        "evaluation/test_loader/dice",
        "evaluation/test_loader[hard]/dice",
    ]
    dice = curves.curve("evaluation/test_loader/dice")
    assert (dice.steps.tolist(), dice.mean.tolist()) == ([1, 5], [0.25, 0.75])
    assert curves.curve("evaluation/test_loader[hard]/dice").steps.tolist() == [5]
    assert curves.curve("evaluation/test_loader/bce").nonfinite.tolist() == [1]
    assert curves.origins("evaluation/test_loader/dice") == ["test_loader"]


def test_evaluations_that_did_not_end_well_are_kept_without_a_point() -> None:
    log = FrameWriter()
    evaluated(log, "test_loader", "", {"dice": 0.5}, cancelled=True, samples=2)
    evaluated(log, "test_loader", "hard", {}, error="ValueError: boom", samples=0)
    log.step()
    curves = fold_frames(Curves, log.frames)
    assert curves.names() == []
    assert curves.evaluations == [
        Evaluation(0, "test_loader", "", 2, {"dice": 0.5}, True, ""),
        Evaluation(0, "test_loader", "hard", 0, {}, False, "ValueError: boom"),
    ]
