"""Guards: the step clock, frames, and what an exception does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import wl_core as wl
from tests.core.watched_runs import Finished, events, frames, history, loss, sample
from wl_core.session import session


def save(value: float, name: str = "x") -> None:
    wl.save_signals({name: [value]}, ["a"], origin="train")


def test_the_step_is_the_number_of_training_guards_exited(finished: Finished) -> None:
    assert session().step == 0
    for step in range(3):
        with wl.guard_training_context:
            save(step)
            assert session().step == step
    assert session().step == 3
    run = finished()
    assert history(run, "x", "train", "a") == ([0, 1, 2], [0, 1, 2])
    assert run.status().step == 3


def test_test_guard_values_carry_the_train_step_they_were_measured_at(finished: Finished) -> None:
    for _ in range(2):
        with wl.guard_training_context:
            pass
        with wl.guard_testing_context:
            save(1)
        with wl.guard_testing_context:
            save(2)
    run = finished()
    assert history(run, "x", "train", "a") == ([1, 1, 2, 2], [1, 2, 1, 2])
    assert {event["phase"] for event in events(run, "values")} == {"test"}


def test_a_guard_within_itself_changes_nothing(finished: Finished) -> None:
    with wl.guard_training_context:
        save(1)
        with wl.guard_training_context:
            save(2)
        save(3)
    run = finished()
    assert history(run, "x", "train", "a") == ([0, 0, 0], [1, 2, 3])
    assert run.status().step == 1
    assert len([one for one in frames(run) if one.phase == "train"]) == 1


def test_a_test_within_a_training_step_is_a_frame_of_its_own(finished: Finished) -> None:
    with wl.guard_training_context:
        save(1)
        with wl.guard_testing_context:
            save(2)
        save(3)
    run = finished()
    assert run.status().step == 1
    phases = [(one.phase, one.step) for one in frames(run) if one.phase != "outside"]
    assert phases == [("test", 0), ("train", 0)]


def test_guards_combine_with_no_grad(finished: Finished) -> None:
    with wl.guard_testing_context, torch.no_grad():
        assert not torch.is_grad_enabled()
        save(1)
    assert torch.is_grad_enabled()
    assert sample(finished(), "a")["x"] == 1


def test_a_step_is_one_frame(finished: Finished) -> None:
    with wl.guard_training_context:
        save(1)
        save(2, "y")
        loss()(torch.ones(1), batch_ids=["a"])
    [frame] = [one for one in frames(finished()) if one.phase == "train"]
    assert [event[2] for event in frame.events if event[0] == "values"] == ["x", "y", "loss"]


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


@pytest.mark.parametrize("error", [ValueError("boom"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("guard", [wl.guard_training_context, wl.guard_testing_context])
def test_an_exception_reaches_the_caller_and_marks_the_frame(
    finished: Finished, error: BaseException, guard: Any
) -> None:
    with pytest.raises(type(error)) as raised, guard:  # noqa: PT012  # what came before counts
        save(1)
        raise error
    assert raised.value is error
    run = finished()
    assert sample(run, "a")["x"] == 1  # what came before it is kept
    [failed] = [one for one in frames(run) if one.failed]
    assert failed.phase == guard.phase
    [event] = events(run, "step_failed")
    assert event["error"].startswith(type(error).__name__)
    assert "in test_an_exception_reaches_the_caller" in event["traceback"]


def test_the_step_after_a_failed_one_is_sound(finished: Finished) -> None:
    with pytest.raises(ValueError, match="boom"), wl.guard_training_context:
        raise ValueError("boom")
    with wl.guard_training_context:
        save(1)
    run = finished()
    assert history(run, "x", "train", "a") == ([1], [1])
    assert [one.failed for one in frames(run) if one.phase == "train"] == [True, False]


def test_an_exception_in_a_guard_within_a_guard_may_be_caught_between_them(
    finished: Finished,
) -> None:
    with wl.guard_training_context:
        with pytest.raises(ValueError, match="boom"), wl.guard_testing_context:
            raise ValueError("boom")
        save(1)
    run = finished()
    assert [(one.phase, one.failed) for one in frames(run) if one.phase != "outside"] == [
        ("test", True),
        ("train", False),
    ]


def test_an_exception_of_ours_never_replaces_the_callers(finished: Finished) -> None:
    error = Unprintable()
    with pytest.raises(Unprintable) as raised, wl.guard_training_context:
        raise error
    assert raised.value is error
    with wl.guard_training_context:
        save(1)
    assert history(finished(), "x", "train", "a") == ([1], [1])


def test_a_run_may_be_finished_within_a_guard(finished: Finished) -> None:
    with pytest.raises(ValueError, match="boom"), wl.guard_training_context:  # noqa: PT012
        save(1)
        wl.finish()
        raise ValueError("boom")
    assert sample(finished(), "a")["x"] == 1


def test_a_continued_run_goes_on_at_its_step(finished: Finished) -> None:
    for _ in range(2):
        with wl.guard_training_context:
            save(1)
    wl.finish()
    wl.start_run(finished.path)
    assert session().step == 2
    with wl.guard_training_context:
        save(2)
    assert history(finished(), "x", "train", "a") == ([0, 1, 2], [1, 1, 2])


def test_a_guard_begins_a_run_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WL_ROOT", str(tmp_path / "root"))
    with wl.guard_training_context:
        save(1)
    wl.finish()
    with wl.open_run(wl.find_run()) as run:
        assert run.path.parent == tmp_path / "root"
        assert sample(run, "a")["x"] == 1
