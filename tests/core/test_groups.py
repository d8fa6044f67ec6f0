"""`save_group_signals`: one number for several samples together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import wl_core as wl
from tests.core.fake_device import fake_device
from tests.core.watched_runs import Finished, Pairs, events, history, sample

PAIRS = [["a", "b"], ["c", "b"]]


def test_a_sample_shows_the_value_of_the_last_group_that_it_was_in(finished: Finished) -> None:
    with wl.guard_training_context:
        wl.save_group_signals({"distance": torch.tensor([1.0, 3.0])}, PAIRS)
    with wl.guard_training_context:
        wl.save_group_signals({"distance": [5.0]}, [["c", "d"]])
    run = finished()
    assert [sample(run, one)["distance"] for one in "abcd"] == [1.0, 3.0, 5.0, 5.0]
    assert "distance" in run.signals()


def test_the_curve_is_the_mean_over_groups_whatever_their_sizes(finished: Finished) -> None:
    with wl.guard_training_context:
        wl.save_group_signals({"distance": [1.0, 4.0]}, [["a"], ["b", "c", "d"]])
    curve = finished().view("curves").curve("distance")
    assert (curve.mean.tolist(), curve.count.tolist()) == ([2.5], [2])


def test_without_log_there_is_no_curve(finished: Finished) -> None:
    wl.save_group_signals({"distance": [1.0]}, [["a", "b"]], log=False)
    run = finished()
    assert run.view("curves").names() == []
    assert sample(run, "a")["distance"] == 1.0


def test_the_history_of_a_sample_is_that_of_its_groups(finished: Finished) -> None:
    for step in range(2):
        with wl.guard_training_context:
            wl.save_group_signals({"distance": [1.0 + step, 3.0 + step]}, PAIRS)
    run = finished()
    assert history(run, "distance", "unnamed", "b") == ([0, 0, 1, 1], [1.0, 3.0, 2.0, 4.0])
    assert history(run, "distance", "unnamed", "a") == ([0, 1], [1.0, 2.0])


@pytest.mark.parametrize("groups", [torch.tensor([[1, 2], [3, 2]]), np.array([[1, 2], [3, 2]])])
def test_groups_may_be_an_array_of_ids(finished: Finished, groups: Any) -> None:
    wl.save_group_signals({"distance": [1.0, 3.0]}, groups)
    run = finished()
    assert [sample(run, one)["distance"] for one in (1, 2, 3)] == [1.0, 3.0, 3.0]


def test_group_ids_name_the_group_of_each_sample_of_the_batch(finished: Finished) -> None:
    wl.save_group_signals(
        {"distance": [1.0, 3.0]}, group_ids=["x", "y", "x"], batch_ids=["a", "b", "c"]
    )
    run = finished()
    assert [sample(run, one)["distance"] for one in "abc"] == [1.0, 3.0, 1.0]
    (event,) = events(run, "group_values")
    assert (event["group_ids"], event["group_idx"].tolist()) == (["x", "y"], [0, 1, 0])


def test_the_batch_that_a_loader_handed_over_is_grouped(finished: Finished) -> None:
    loader = wl.watch_or_edit(Pairs(4), flag="data", loader_name="train", batch_size=4)
    with wl.guard_training_context:
        next(iter(loader))
        wl.save_group_signals({"distance": [1.0, 3.0]}, group_ids=[7, 7, 8, 8])
    run = finished()
    assert [sample(run, one, "train")["distance"] for one in range(4)] == [1.0, 1.0, 3.0, 3.0]


def test_groups_may_have_names_and_one_number_for_all(finished: Finished) -> None:
    wl.save_group_signals({"distance": torch.tensor(0.5), "mean": 2}, PAIRS, group_ids=["ab", "cb"])
    run = finished()
    assert [event["group_ids"] for event in events(run, "group_values")] == [["ab", "cb"]] * 2
    assert [event["values"].tolist() for event in events(run, "group_values")] == [
        [0.5] * 2,
        [2] * 2,
    ]
    assert run.view("curves").curve("mean").count.tolist() == [2]


def test_a_member_counts_as_seen_once_a_step(finished: Finished) -> None:
    with wl.guard_training_context:
        wl.save_group_signals({"distance": [1.0, 3.0]}, PAIRS)
        wl.save_signals({"loss": [1.0, 2.0]}, ["a", "b"])
    run = finished()
    assert [sample(run, one)["times_seen"] for one in "abc"] == [1, 1, 1]


def test_a_group_with_a_discarded_member_is_recorded_as_it_is(finished: Finished) -> None:
    wl.discard_samples(["a"], origin="train")
    wl.save_group_signals({"distance": [1.0]}, [["a", "b"]], origin="train")
    run = finished()
    assert [sample(run, one)["distance"] for one in "ab"] == [1.0, 1.0]
    assert sample(run, "a")["discarded"]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "which samples form a group"),
        ({"groups": ["a", "b"]}, "one list of sample ids per group"),
        ({"groups": [["a", "b"]]}, "'distance': expected 1 values, one per group, got shape"),
        ({"groups": [["a"], []]}, "group at place 1 has no members"),
        ({"groups": PAIRS, "group_ids": ["x"]}, "expected 2 group_ids"),
        ({"groups": PAIRS, "batch_ids": ["a", "b"]}, "leave batch_ids= out"),
        ({"groups": [["a", 0.5], ["b"]]}, "a sample id must be"),
        ({"group_ids": [1, 2], "batch_ids": ["a"]}, "expected 1 group_ids, one per sample"),
        ({"group_ids": [1, 1], "batch_ids": ["a", "b"]}, "expected 1 values, one per group"),
        ({"group_ids": [1, 2]}, "whom do these values belong to"),
    ],
)
def test_groups_that_do_not_fit_are_refused_and_nothing_recorded(
    finished: Finished, given: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(wl.SignalShapeError, match=complaint):
        wl.save_group_signals({"distance": [1.0, 2.0]}, **given)
    assert not events(finished(), "group_values")


def test_values_on_a_device_are_not_waited_for(finished: Finished) -> None:
    with fake_device() as device, wl.guard_training_context:
        values = {"distance": torch.tensor([1.0, 3.0]), "mean": torch.tensor(0.5)}
        on_device = {name: device.tensor(value) for name, value in values.items()}
        wl.save_group_signals(on_device, PAIRS)
        wl.save_signals({"loss": on_device["distance"], "predicted": ["cat", "dog"]}, ["a", "b"])
        assert device.waits == []
    run = finished()
    row = sample(run, "b")
    assert [row[name] for name in ("distance", "mean", "loss", "predicted")] == [3, 0.5, 3, "dog"]


def test_a_signal_is_of_groups_or_of_samples(finished: Finished) -> None:
    wl.save_group_signals({"distance": [1.0, 2.0]}, PAIRS)
    with pytest.raises(wl.SignalShapeError, match=r"a number for each group.*under another name"):
        wl.save_signals({"distance": [1.0]}, ["a"])
    finished()


def test_a_signal_that_waits_for_groups_is_told_that_it_waits_in_vain(finished: Finished) -> None:
    @wl.signal(subscribe_to="distance", strict=True)
    def waiting(ctx: wl.SignalContext) -> float:
        return 1.0

    with pytest.raises(wl.WlError, match="'distance', which has one value per group"):
        wl.save_group_signals({"distance": [1.0, 2.0]}, PAIRS)
    finished()
