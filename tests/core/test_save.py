"""`save_signals` and `save_instance_signals`: what is recorded, of whom, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import wl_core as wl
from tests.core.watched_runs import (
    Finished,
    Named,
    Pairs,
    annotation_ids,
    events,
    frames,
    history,
    instances,
    mask,
    rows,
    same,
    sample,
)


def test_one_value_per_sample_is_found_again(finished: Finished) -> None:
    wl.save_signals({"a": torch.tensor([0.5, 1.5]), "b": [2, 3]}, ["x", "y"])
    run = finished()
    assert (sample(run, "x")["a"], sample(run, "y")["a"]) == (0.5, 1.5)
    assert (sample(run, "x")["b"], sample(run, "y")["b"]) == (2, 3)


def test_extra_dimensions_are_averaged(finished: Finished) -> None:
    wl.save_signals({"loss": torch.tensor([[1.0, 3.0], [5.0, 7.0]])}, [0, 1])
    run = finished()
    assert [sample(run, one)["loss"] for one in (0, 1)] == [2, 6]


@pytest.mark.parametrize(
    "ids", [["a", "b"], [1, 2], torch.tensor([1, 2]), np.array([1, 2], np.int32), ("a", 2)]
)
def test_ids_may_be_text_or_integers(finished: Finished, ids: Any) -> None:
    wl.save_signals({"x": [0.25, 0.5]}, ids)
    run = finished()
    plain = [one if isinstance(one, str) else int(one) for one in ids]
    assert [sample(run, one)["x"] for one in plain] == [0.25, 0.5]


def test_the_integer_1_and_the_text_1_are_two_samples(finished: Finished) -> None:
    wl.save_signals({"x": [1.0, 2.0]}, [1, "1"])
    run = finished()
    assert (sample(run, 1)["x"], sample(run, "1")["x"]) == (1, 2)


def test_the_same_id_in_two_origins_is_two_samples(finished: Finished) -> None:
    wl.save_signals({"x": [1.0]}, ["a"], origin="train")
    wl.save_signals({"x": [2.0]}, ["a"], origin="test")
    run = finished()
    assert (sample(run, "a", "train")["x"], sample(run, "a", "test")["x"]) == (1, 2)


def test_ids_that_no_loader_knows_are_registered_with_the_only_one(finished: Finished) -> None:
    wl.watch_or_edit(Named(2), flag="data", loader_name="train")
    wl.save_signals({"x": [1.0]}, ["never seen"])
    assert ("train", "never seen") in rows(finished())


def test_ids_go_to_the_loader_that_knows_them(finished: Finished) -> None:
    train = wl.watch_or_edit(Named(2), flag="data", loader_name="train", batch_size=2)
    test = wl.watch_or_edit(Pairs(2), flag="data", loader_name="test", batch_size=2)
    for loader in (train, test):
        for _ in loader:
            pass
    wl.save_signals({"x": [1.0]}, ["s1"])
    wl.save_signals({"x": [2.0]}, [1])
    run = finished()
    assert (sample(run, "s1", "train")["x"], sample(run, 1, "test")["x"]) == (1, 2)


def test_ids_of_part_of_a_batch_belong_to_its_loader(finished: Finished) -> None:
    wl.watch_or_edit(Pairs(4), flag="data", loader_name="other", batch_size=4)
    loader = wl.watch_or_edit(Pairs(4), flag="data", loader_name="train", batch_size=4)
    with wl.guard_training_context:
        _, ids, _ = next(loader)
        wl.save_signals({"x": [1.0, 2.0]}, ids[:2])
    run = finished()
    assert sample(run, 0, "train")["x"] == 1
    assert sample(run, 0, "train")["times_seen"] == 1


def test_values_without_ids_go_to_the_loaders_batch(finished: Finished) -> None:
    loader = wl.watch_or_edit(Named(2), flag="data", loader_name="train", batch_size=2)
    with wl.guard_training_context:
        next(loader)
        wl.save_signals({"x": [1.0, 2.0]})
    run = finished()
    assert (sample(run, "s0", "train")["x"], sample(run, "s1", "train")["x"]) == (1, 2)


def test_an_origin_without_ids_means_its_own_batch(finished: Finished) -> None:
    one = wl.watch_or_edit(Named(1), flag="data", loader_name="one")
    other = wl.watch_or_edit(Named(1), flag="data", loader_name="other")
    with wl.guard_training_context:
        next(one)
        next(other)
        wl.save_signals({"x": [1.0]}, origin="one")
        wl.save_signals({"x": [2.0]})
    run = finished()
    assert (sample(run, "s0", "one")["x"], sample(run, "s0", "other")["x"]) == (1, 2)


def test_values_without_ids_and_without_a_batch_are_refused(finished: Finished) -> None:
    with pytest.raises(wl.SignalShapeError, match="batch_ids="):
        wl.save_signals({"x": [1.0]})


def test_values_without_ids_must_be_as_many_as_the_batch(finished: Finished) -> None:
    loader = wl.watch_or_edit(Named(2), flag="data", batch_size=2)
    with wl.guard_training_context:
        next(loader)
        with pytest.raises(wl.SignalShapeError, match=r"expected 2 values.*got 3"):
            wl.save_signals({"x": [1.0, 2.0, 3.0]})


def test_history_is_kept_with_and_without_log(finished: Finished) -> None:
    for step in range(3):
        with wl.guard_training_context:
            wl.save_signals({"quiet": [step]}, ["a"], origin="train")
            wl.save_signals({"drawn": [10 * step]}, ["a"], origin="train", log=True)
    run = finished()
    assert history(run, "quiet", "train", "a") == ([0, 1, 2], [0, 1, 2])
    assert history(run, "drawn", "train", "a") == ([0, 1, 2], [0, 10, 20])
    assert run.curves()["drawn"].mean.tolist() == [0, 10, 20]


def test_log_makes_a_curve_of_the_batch_mean(finished: Finished) -> None:
    with wl.guard_training_context:
        wl.save_signals({"x": [1.0, 3.0]}, [0, 1], log=True)
    curve = finished().curves()["x"]
    assert (curve.steps.tolist(), curve.mean.tolist()) == ([0], [2])
    assert (curve.low.tolist(), curve.high.tolist(), curve.count.tolist()) == ([1], [3], [2])


def test_a_step_may_be_named(finished: Finished) -> None:
    with wl.guard_training_context:
        wl.save_signals({"x": [1.0]}, ["a"], step=70, origin="train")
        wl.save_signals({"x": [2.0]}, ["a"], step=90, origin="train")
    run = finished()
    assert history(run, "x", "train", "a") == ([70, 90], [1, 2])
    assert run.status().step == 1
    assert sample(run, "a")["times_seen"] == 1


def test_values_outside_a_guard_carry_the_current_step(finished: Finished) -> None:
    for _ in range(2):
        with wl.guard_training_context:
            pass
    wl.save_signals({"x": [1.0]}, ["a"], origin="train")
    run = finished()
    assert history(run, "x", "train", "a") == ([2], [1])
    assert events(run, "values")[0]["phase"] == "outside"


def test_a_call_outside_a_guard_is_one_frame(finished: Finished) -> None:
    wl.save_signals({"x": [1.0], "y": [2.0]}, ["a"], preds=torch.ones(1, 2, 2))
    run = finished()
    kinds = [{event[0] for event in frame.events} for frame in frames(run)]
    assert [one for one in kinds if "values" in one] == [{"signal_declared", "values", "arrays"}]


@pytest.mark.parametrize(
    "array",
    [
        torch.tensor([[[0, 3], [2**40, -1]]]),
        torch.tensor([[[True, False], [False, False]]]),
        torch.tensor([[[-0.0, float("nan")], [1e-40, float("inf")]]]),
        torch.zeros(1, 3, 2, 2, dtype=torch.uint8),
        torch.rand(1, 5, dtype=torch.float64),
        torch.rand(1, 2, 2).half(),
    ],
    ids=["int64", "bool", "float32", "zeros", "float64", "float16"],
)
def test_predictions_and_targets_are_read_back_bit_for_bit(
    finished: Finished, array: torch.Tensor
) -> None:
    wl.save_signals({}, ["a"], preds=array, preds_raw=array, targets=array, origin="train")
    stored = finished().arrays("train", "a")
    expected = array[0].numpy()
    for name in ("prediction", "prediction_raw", "target"):
        assert stored[name].shape == expected.shape
        assert stored[name].dtype == expected.dtype
        assert np.asarray(stored[name]).tobytes() == expected.tobytes()


def test_arrays_of_different_sizes_may_come_as_a_list(finished: Finished) -> None:
    arrays = [torch.ones(2, 3), torch.zeros(4, 1)]
    wl.save_signals({}, ["a", "b"], preds=arrays, origin="train")
    run = finished()
    for one, expected in zip("ab", arrays, strict=True):
        assert same(run.arrays("train", one)["prediction"], expected)


def test_one_number_per_sample_becomes_a_column(finished: Finished) -> None:
    wl.save_signals({}, ["a", "b"], preds=torch.tensor([3, 5]), targets=["cat", "dog"])
    run = finished()
    assert [sample(run, one)["prediction"] for one in "ab"] == [3, 5]
    assert [sample(run, one)["target"] for one in "ab"] == ["cat", "dog"]


def test_a_list_of_arrays_makes_instance_rows(finished: Finished) -> None:
    wl.save_signals({"x": [1, 2, 3]}, list("abc"), targets=[[mask(1), mask(2)], [], [mask(3)]])
    run = finished()
    assert [annotation_ids(run, one) for one in "abc"] == [[1, 2], [], [1]]
    assert same(run.instance_arrays("unnamed", "a")[2]["target"], mask(2))
    assert len(rows(run)) == 3


def test_a_list_of_exactly_one_mask_makes_its_instance_row(finished: Finished) -> None:
    wl.save_signals({}, ["a"], targets=[[mask(1)]])
    run = finished()
    assert annotation_ids(run, "a") == [1]
    assert "target" not in run.arrays("unnamed", "a")


def test_one_array_or_scalar_stays_on_row_0(finished: Finished) -> None:
    wl.save_signals({}, ["a"], targets=[mask(1)])
    wl.save_signals({}, ["b"], targets=[7])
    wl.save_signals({}, ["c"], targets=[[0.0, 1.0]])
    run = finished()
    assert [annotation_ids(run, one) for one in "abc"] == [[], [], []]
    assert same(run.arrays("unnamed", "a")["target"], mask(1))
    assert sample(run, "b")["target"] == 7
    assert same(run.arrays("unnamed", "c")["target"], np.array([0.0, 1.0]))


def test_content_is_stored_once(finished: Finished) -> None:
    noise = torch.rand(1, 64, 64)
    for _ in range(2):
        wl.save_signals({}, ["a"], preds=noise, origin="train")
    used = finished.live().arrays("train", "a")["prediction"]._store.bytes_used
    for number in range(20):
        wl.save_signals({}, [f"other {number}"], preds=noise, origin="train")
    run = finished()
    stored = run.arrays("train", "other 19")["prediction"]
    assert same(stored, noise[0])
    assert stored._store.bytes_used <= used + 4096


def test_arrays_are_loaded_only_when_they_are_looked_at(finished: Finished) -> None:
    wl.save_signals({}, ["a"], preds=torch.ones(1, 2, 2), origin="train")
    proxy = finished().arrays("train", "a")["prediction"]
    assert proxy._array is None
    assert (proxy.shape, proxy.dtype) == ((2, 2), np.float32)
    assert np.asarray(proxy).sum() == 4


# -- instances -------------------------------------------------------------------------------------


def test_n_instances_make_n_plus_1_rows(finished: Finished) -> None:
    wl.save_instance_signals({"dice": [0.1, 0.2, 0.3]}, ["a"], batch_idx=[0, 0, 0])
    run = finished()
    assert len(rows(run)) == 1
    assert annotation_ids(run, "a") == [1, 2, 3]
    assert instances(run, "a", "dice") == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    "batch_idx", [[0, 0, 2], torch.tensor([0, 0, 2]), np.array([0, 0, 2], np.uint8)]
)
def test_a_sample_may_have_no_instances(finished: Finished, batch_idx: Any) -> None:
    wl.save_instance_signals({"dice": [1, 2, 3]}, list("abc"), batch_idx=batch_idx)
    run = finished()
    assert [instances(run, one, "dice") for one in "abc"] == [[1, 2], [], [3]]


def test_a_batch_index_in_any_order_numbers_by_appearance(finished: Finished) -> None:
    wl.save_instance_signals(
        {"dice": [1, 2, 3, 4]},
        ["a", "b"],
        batch_idx=[1, 0, 1, 0],
        targets=[mask(1), mask(2), mask(3), mask(4)],
    )
    run = finished()
    assert instances(run, "a", "dice") == [2, 4]
    assert instances(run, "b", "dice") == [1, 3]
    assert same(run.instance_arrays("unnamed", "b")[2]["target"], mask(3))


@pytest.mark.parametrize("as_stack", [True, False])
def test_flat_targets_store_one_mask_per_instance(finished: Finished, as_stack: bool) -> None:
    flat = [mask(1), mask(2), mask(3)]
    wl.save_instance_signals(
        {"dice": [1, 2, 3]},
        ["a", "b"],
        batch_idx=[0, 0, 1],
        targets=torch.stack(flat) if as_stack else flat,
    )
    stored = finished()
    found = stored.instance_arrays("unnamed", "a")
    assert [same(found[n]["target"], mask(n)) for n in (1, 2)] == [True, True]
    assert same(stored.instance_arrays("unnamed", "b")[1]["target"], mask(3))


def test_the_batch_index_may_be_left_out_with_nested_targets(finished: Finished) -> None:
    wl.save_instance_signals(
        {"dice": [1, 2, 3]}, ["a", "b"], targets=[[mask(1), mask(2)], [mask(3)]]
    )
    run = finished()
    assert instances(run, "a", "dice") == [1, 2]
    assert instances(run, "b", "dice") == [3]


def test_nested_targets_follow_a_batch_index_in_any_order(finished: Finished) -> None:
    wl.save_instance_signals(
        {"dice": [1, 2]}, ["a", "b"], batch_idx=[1, 0], targets=[[mask(1)], [mask(2)]]
    )
    run = finished()
    assert same(run.instance_arrays("unnamed", "a")[1]["target"], mask(1))
    assert instances(run, "a", "dice") == [2]


def test_without_a_batch_index_it_must_be_known_otherwise(finished: Finished) -> None:
    with pytest.raises(wl.SignalShapeError, match="batch_idx="):
        wl.save_instance_signals({"dice": [1, 2]}, ["a", "b"])


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: wl.save_signals({"ok": [1, 2], "bad": [1]}, ["a", "b"]), "'bad'.*expected 2"),
        (lambda: wl.save_signals({"ok": [1]}, ["a"], preds=torch.ones(2, 3)), "prediction.*1.*2"),
        (lambda: wl.save_signals({"ok": [1]}, ["a"], preds=torch.tensor(1)), "single number"),
        (lambda: wl.save_signals({"ok": [1]}, ["a"], targets=[[], []]), "2 samples"),
        (lambda: wl.save_signals({"ok": [1]}, ["a"], preds=[{"not": "an array"}]), "prediction"),
        (lambda: wl.save_signals({"ok": [1]}, [1.0]), "sample id"),
        (lambda: wl.save_signals({"ok": [1]}, [True]), "sample id"),
        (lambda: wl.save_signals({"ok": [1]}, "a"), "list of ids"),
        (lambda: wl.save_signals([1], ["a"]), "mapping"),
        (
            lambda: wl.save_instance_signals({"ok": [1], "bad": [1, 2]}, ["a"], batch_idx=[0]),
            "'bad'.*expected 1",
        ),
        (
            lambda: wl.save_instance_signals({"ok": [1]}, ["a"], batch_idx=[1]),
            "batch_idx must lie within",
        ),
        (
            lambda: wl.save_instance_signals(
                {"ok": [1]}, ["a"], batch_idx=[0], targets=torch.ones(2, 2, 2)
            ),
            "target.*1.*2",
        ),
        (
            lambda: wl.save_instance_signals(
                {"ok": [1, 2]}, ["a"], batch_idx=[0, 0], targets=[[mask(1)]]
            ),
            "nested",
        ),
    ],
)
def test_a_call_that_does_not_fit_records_nothing(
    finished: Finished, call: Any, complaint: str
) -> None:
    with wl.guard_training_context, pytest.raises(wl.SignalShapeError, match=complaint):
        call()
    run = finished()
    assert not rows(run)
    assert {event[0] for frame in frames(run) for event in frame.events} == {
        "run_started",
        "run_finished",
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_recorded_and_counted(
    finished: Finished, value: float
) -> None:
    with wl.guard_training_context:
        wl.save_signals({"x": [value, 1.0]}, ["a", "b"], origin="train", log=True)
    run = finished()
    np.testing.assert_equal(sample(run, "a")["x"], value)
    assert run.view("samples").nan_counts["x"] == 1
    assert run.curves()["x"].nonfinite.tolist() == [1]
    np.testing.assert_equal(history(run, "x", "train", "a"), ([0], [value]))


def test_a_signals_name_is_the_same_with_the_pages_prefixes(finished: Finished) -> None:
    wl.save_signals({"signals_x": [1.0]}, ["a"], origin="train")
    wl.save_signals({"signals//x": [2.0]}, ["a"], origin="train")
    run = finished()
    assert sample(run, "a")["x"] == 2
    for name in ("x", "signals_x", "signals//x"):
        assert run.samples().column(name).cell(0) == 2


def test_a_sample_that_is_twice_in_a_batch_keeps_both_values(finished: Finished) -> None:
    with wl.guard_training_context:
        wl.save_signals({"x": [1.0, 2.0]}, ["a", "a"], origin="train")
    run = finished()
    assert history(run, "x", "train", "a") == ([0, 0], [1, 2])
    assert sample(run, "a")["times_seen"] == 1
