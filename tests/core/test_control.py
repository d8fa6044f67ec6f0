"""Pausing, stepping and stopping a training from within its process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

import wl_core as wl
from tests.core.frames import SECONDS, until
from tests.core.watched_runs import Finished, events
from wl_core.errors import UsageError
from wl_core.events import CATALOGUE
from wl_core.session import session


@pytest.fixture(autouse=True)
def _never_for_ever(finished: Finished) -> Iterator[None]:
    """A pause that nobody ends fails the test."""
    timer = threading.Timer(20.0, session().pace.stop)
    timer.start()
    yield
    timer.cancel()


def train(steps: int) -> None:
    for _ in range(steps):
        with wl.guard_training_context:
            pass


@contextmanager
def when_paused(finished: Finished, do: Callable[[], object]) -> Iterator[None]:
    """Does something from another thread once the training waits, which must be the case."""
    reader = finished.live()
    seen: list[str] = []

    def wait() -> None:
        until(lambda: reader.status().state == "paused")
        seen.append(reader.status().detail)
        do()

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join(SECONDS)
    assert seen


def test_a_pause_says_who_asked_for_it_and_why(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    wl.pause("the loss explodes")
    details = []

    def resume() -> None:
        details.append(finished.live().status().detail)
        wl.resume("it was a bad batch")

    with when_paused(finished, resume):
        train(1)
    assert details == ["waits for resume, paused by script: the loss explodes"]
    assert "paused at step 0 by script: the loss explodes; `wl resume`" in capsys.readouterr().err
    run = finished()
    assert [(one["who"], one["why"]) for one in events(run, "paused")] == [
        ("script", "the loss explodes")
    ]
    assert [one["why"] for one in events(run, "resume_requested")] == ["it was a bad batch"]
    assert len(events(run, "resumed")) == 1


def test_so_many_steps_and_then_a_pause(finished: Finished) -> None:
    wl.step(2, "a look at the first ones")
    train(2)
    reader = finished.live()
    assert reader.status().state == "training"
    with when_paused(finished, lambda: wl.step(3)):
        train(3)  # waits before the first of them
    with when_paused(finished, wl.resume):
        train(4)  # and before the first of these
    run = finished()
    assert [(one["step"], one["why"]) for one in events(run, "paused")] == [
        (2, "a look at the first ones"),
        (5, ""),
    ]
    assert run.status().step == 9


def test_testing_guards_are_no_steps(finished: Finished) -> None:
    wl.step(2)
    train(1)
    with wl.guard_testing_context:
        pass
    train(1)
    with when_paused(finished, wl.resume), wl.guard_testing_context:
        pass
    assert [one["step"] for one in events(finished(), "paused")] == [2]


def test_a_pause_takes_the_place_of_a_step_that_was_asked_for(finished: Finished) -> None:
    wl.step(5)
    wl.pause()
    with when_paused(finished, wl.resume):
        train(6)
    assert [one["step"] for one in events(finished(), "paused")] == [0]


def test_fewer_than_one_step_is_refused(finished: Finished) -> None:
    with pytest.raises(UsageError, match="at least 1, not 0"):
        wl.step(0)
    assert not events(finished(), "steps_requested")


def test_stopping_ends_the_script_in_order(finished: Finished) -> None:
    train(1)
    with wl.guard_training_context:
        wl.stop("it has converged")
    for _ in range(2):
        with pytest.raises(wl.TrainingStopped) as ended, wl.guard_training_context:
            pytest.fail("a step was begun")
        assert ended.value.code == 0
    with wl.guard_testing_context:  # a script that catches it may still evaluate
        wl.save_signals({"x": [1.0]}, [1])
    status = finished().status()
    assert (status.state, status.step) == ("finished", 2)
    assert status.detail == "stopped on request (by script: it has converged)"


def test_a_script_that_only_evaluates_is_stopped_as_well(finished: Finished) -> None:
    wl.stop()
    with pytest.raises(wl.TrainingStopped), wl.guard_testing_context:
        pytest.fail("it went on")


def test_a_training_that_waits_can_be_stopped(finished: Finished) -> None:
    wl.pause()
    with when_paused(finished, wl.stop), pytest.raises(wl.TrainingStopped):
        train(1)
    assert finished().status().step == 0


def test_a_training_begins_at_once_unless_it_is_paused(finished: Finished) -> None:
    wl.start_training()
    wl.pause()
    wl.start_training(timeout=0.05)  # and by itself after that
    with when_paused(finished, wl.resume):
        wl.pause()
        wl.start_training()
    train(1)
    wl.stop()
    with pytest.raises(wl.TrainingStopped):
        wl.start_training()
    assert len(events(finished(), "paused")) == 2


def test_serving_ends_when_the_run_is_stopped(finished: Finished) -> None:
    train(1)
    finished.live().append("stop_requested", who="a test", why="enough")
    wl.keep_serving(timeout=SECONDS)
    assert session().pace.stopping
    assert finished().status().detail == "stopped on request (by a test: enough)"


def test_an_error_is_told_rather_than_a_stop(finished: Finished) -> None:
    wl.stop()
    wl.finish("failed", "ValueError: boom")
    status = finished.live().status()
    assert (status.state, status.detail) == ("failed", "ValueError: boom")


def test_a_pause_of_an_older_log_says_nothing_more() -> None:
    assert CATALOGUE.upcast(("paused", 1)) == ("paused", 2, "", "")
