"""Tags and discards: from the script and from another process, and what they change."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import wl_core as wl
from tests.core.watched_runs import Finished, Named, history, loss, rows, sample

IDS = ["a", "b"]


def weights(values: torch.Tensor | None = None) -> torch.Tensor:
    return torch.ones(2, requires_grad=True) if values is None else values


def test_a_discarded_sample_teaches_nothing_with_nothing_extra_to_pass(finished: Finished) -> None:
    criterion, given = loss(), weights()
    wl.discard_samples(["b"])
    with wl.guard_training_context:
        output = criterion(given * 3, batch_ids=IDS)
    output.mean().backward()
    assert output.tolist() == [3, 0]
    assert given.grad is not None
    assert given.grad.tolist() == [1.5, 0]


def test_its_value_is_recorded_and_it_stays_in_the_views_marked(finished: Finished) -> None:
    wl.discard_samples(["b"])
    with wl.guard_training_context:
        loss()(weights(), batch_ids=IDS)
    run = finished()
    assert sample(run, "b")["loss"] == 1
    assert (sample(run, "a")["discarded"], sample(run, "b")["discarded"]) == (False, True)
    assert history(run, "loss", "unnamed", "b") == ([0], [1])


def test_a_restored_sample_teaches_again(finished: Finished) -> None:
    criterion = loss()
    wl.discard_samples(IDS)
    wl.discard_samples(["b"], discarded=False)
    with wl.guard_training_context:
        assert criterion(weights(), batch_ids=IDS).tolist() == [0, 1]
    assert not sample(finished(), "b")["discarded"]


def test_a_discarded_instance_teaches_nothing_alone(finished: Finished) -> None:
    criterion, given = loss(per_sample=False, per_instance=True), torch.ones(4, requires_grad=True)
    wl.discard_samples(["a"], annotation_id=2)
    with wl.guard_training_context:
        output = criterion(given * 1, batch_ids=IDS, batch_idx=[0, 1, 0, 1])
    assert output.tolist() == [1, 1, 0, 1]
    run = finished()
    assert run.instances("a").column("discarded").values.tolist() == [False, True]
    assert not sample(run, "a")["discarded"]


def test_a_discarded_sample_takes_its_instances_with_it(finished: Finished) -> None:
    wl.discard_samples(["a"])
    with wl.guard_training_context:
        criterion = loss(per_sample=False, per_instance=True)
        output = criterion(torch.ones(3), batch_ids=IDS, batch_idx=[0, 1, 0])
    assert output.tolist() == [0, 1, 0]


def test_more_dimensions_are_masked_whole(finished: Finished) -> None:
    wl.discard_samples(["a"])
    with wl.guard_training_context:
        output = loss()(torch.ones(2, 2, 2), batch_ids=IDS)
    assert output.sum(dim=(1, 2)).tolist() == [0, 4]


def test_without_a_discard_in_the_batch_the_object_itself_is_returned(finished: Finished) -> None:
    wl.discard_samples(["somebody else"])
    given = weights()
    with wl.guard_training_context:
        assert loss()(given, batch_ids=IDS) is given


def test_a_metric_that_nothing_learns_from_keeps_its_value(finished: Finished) -> None:
    wl.discard_samples(["a"])
    metric = loss("dice", flag="metric")
    with wl.guard_training_context:
        assert metric(torch.ones(2), batch_ids=IDS).tolist() == [1, 1]
        assert metric(weights(), batch_ids=IDS).tolist() == [0, 1]


def test_a_discard_holds_in_its_own_origin_only(finished: Finished) -> None:
    wl.discard_samples(["a"], origin="train")
    with wl.guard_training_context:
        assert loss()(torch.ones(1), batch_ids=["a"], origin="train").tolist() == [0]
        assert loss()(torch.ones(1), batch_ids=["a"], origin="test").tolist() == [1]


def test_a_discard_by_another_process_is_obeyed_at_the_next_guard(finished: Finished) -> None:
    criterion = loss()
    other = finished.live()
    for discarded, expected in ((True, [1, 0]), (False, [1, 1])):
        with wl.guard_training_context:
            before = criterion(weights(), batch_ids=IDS).tolist()
            other.append(
                "discarded", discarded=discarded, origin="unnamed", ids=["b"],
                annotation_ids=None, who="a test",
            )  # fmt: skip
            assert criterion(weights(), batch_ids=IDS).tolist() == before
        with wl.guard_training_context:
            assert criterion(weights(), batch_ids=IDS).tolist() == expected


_OTHER_PROCESS = """
import sys, wl_core as wl
with wl.open_run(sys.argv[1]) as run:
    who = dict(origin="unnamed", ids=["b"], annotation_ids=None, who="another")
    run.append("discarded", discarded=True, **who)
"""


def test_a_discard_by_a_real_other_process_is_obeyed(finished: Finished) -> None:
    command = [sys.executable, "-c", _OTHER_PROCESS, str(finished.path)]
    subprocess.run(command, check=True, timeout=60)
    with wl.guard_training_context:
        assert loss()(weights(), batch_ids=IDS).tolist() == [1, 0]
    assert sample(finished(), "b")["discarded"]


def test_an_instance_discarded_by_another_process_is_masked(finished: Finished) -> None:
    criterion = loss(per_sample=False, per_instance=True)
    finished.live().append(
        "discarded", discarded=True, origin="unnamed", ids=["a", "b"], annotation_ids=[1, 2],
        who="a test",
    )  # fmt: skip
    with wl.guard_training_context:
        output = criterion(torch.ones(4), batch_ids=IDS, batch_idx=[0, 0, 1, 1])
    assert output.tolist() == [0, 1, 1, 0]


def test_discards_hold_when_a_run_is_continued(finished: Finished) -> None:
    wl.discard_samples(["b"])
    wl.finish()
    wl.start_run(finished.path)
    with wl.guard_training_context:
        assert loss()(weights(), batch_ids=IDS).tolist() == [1, 0]


def test_tags_are_put_on_and_taken_off(finished: Finished) -> None:
    wl.tag_samples(IDS, "odd")
    wl.tag_samples(["a"], "blurred")
    wl.tag_samples(["a"], "odd", mode="remove")
    run = finished()
    assert (sample(run, "a")["tags"], sample(run, "b")["tags"]) == ("blurred", "odd")


def test_ids_are_those_of_the_only_data_that_is_watched(finished: Finished) -> None:
    wl.watch_or_edit(Named(2), flag="data", loader_name="train")
    wl.discard_samples(["s1"])
    assert rows(finished())["train", "s1"]["discarded"]


def test_with_several_data_sets_the_origin_must_be_named(finished: Finished) -> None:
    for name in ("train", "test"):
        wl.watch_or_edit(Named(2), flag="data", loader_name=name)
    with pytest.raises(wl.WlError, match=r"origin=.*train, test"):
        wl.discard_samples(["s1"])


def test_instances_count_from_1(finished: Finished) -> None:
    with pytest.raises(wl.WlError, match="1 or more"):
        wl.discard_samples(["a"], annotation_id=0)
