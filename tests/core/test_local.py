"""The training process's own fold: what it knows at this very moment."""

from __future__ import annotations

from typing import Any

import torch

import wl_core as wl
from tests.core.watched_runs import Finished, Named, loss
from wl_core.session import session


def value(column: str, sample_id: Any = "a", origin: str = "t", number: int = 0) -> Any:
    return session().views.value(origin, sample_id, column, number)


def test_values_of_instances_are_there_as_well(finished: Finished) -> None:
    criterion = loss("dice", per_sample=False, per_instance=True)
    with wl.guard_training_context:
        criterion(torch.tensor([0.25, 0.5]), batch_ids=["a"], batch_idx=[0, 0], origin="t")
        assert [value("dice", number=number) for number in (1, 2, 3)] == [0.25, 0.5, None]


def test_what_was_recorded_before_anybody_asked_is_there(finished: Finished) -> None:
    for number in range(3):
        with wl.guard_training_context:
            wl.save_signals({f"x{number}": [number]}, ["a"], origin="t")
    assert [value(f"x{number}") for number in range(3)] == [0, 1, 2]


def test_what_was_recorded_before_the_run_was_continued_is_there(finished: Finished) -> None:
    wl.save_signals({"x": [1.0]}, ["a"], origin="t")
    wl.finish()
    wl.start_run(finished.path)
    assert value("x") == 1


def test_every_value_is_folded_once(finished: Finished) -> None:
    loader = wl.watch_or_edit(Named(1), flag="data", loader_name="t")
    for step in range(4):
        with wl.guard_training_context:
            next(loader)
            loss()(torch.ones(1))
            assert value("loss", "s0") == 1  # folds the open frame
            assert value("times_seen", "s0") == step  # the exposure is counted when it ends
            with wl.guard_testing_context:
                wl.save_signals({"x": [step]}, ["s0"], origin="t")
                assert value("x", "s0") == step
        assert value("times_seen", "s0") == step + 1


def test_decisions_of_others_are_there_after_a_guard(finished: Finished) -> None:
    wl.save_signals({"x": [1.0]}, ["a"], origin="t")
    assert value("discarded") is False
    finished.live().append(
        "discarded", discarded=True, origin="t", ids=["a"], annotation_ids=None, who="a test"
    )
    with wl.guard_training_context:
        assert value("discarded") is True


def test_it_agrees_with_the_log(finished: Finished) -> None:
    value("x")
    for step in range(300):  # more frames than are held before they are folded
        with wl.guard_training_context:
            wl.save_signals({"x": [step, -step]}, ["a", "b"], origin="t")
    own = session().views.view("samples").digest()
    assert finished().view("samples").digest() == own
