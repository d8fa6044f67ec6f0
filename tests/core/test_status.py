"""How a run is, told from its log and from whether a process holds it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.frames import SECONDS, python, until
from wl_core.run import Run, open_run

TRAIN = """
    import sys
    import wl_core as wl
    wl.start_run(sys.argv[1])
    def step():
        with wl.guard_training_context:
            wl.save_signals({"loss": [1.0, 2.0]}, batch_ids=[1, 2], origin="train")
        print("step", flush=True)
    step()
    step()
    for line in sys.stdin:
        exec(line)
"""


class Training:
    """A training process that does what it is told, line by line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._context = python(TRAIN, path, stderr=-1)
        self.process = self._context.__enter__()
        self.wait_for_steps(2)
        self.run = open_run(path)
        until(lambda: self.run.status().step == 2)

    def wait_for_steps(self, count: int) -> None:
        assert self.process.stdout is not None
        for _ in range(count):
            assert self.process.stdout.readline() == "step\n"

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(SECONDS)

    def close(self) -> None:
        self.run.close()
        self._context.__exit__(None, None, None)


@pytest.fixture
def training(tmp_path: Path) -> Iterator[Training]:
    found = Training(tmp_path / "run")
    yield found
    found.close()


def state(run: Run) -> str:
    return run.status().state


def test_a_run_that_trains(training: Training) -> None:
    status = training.run.status()
    assert (status.state, status.step, status.pid) == ("training", 2, training.process.pid)
    assert status.host == os.uname().nodename
    assert status.since > 0


def test_a_run_that_ended_in_order(training: Training) -> None:
    training.end()
    status = training.run.status()
    assert (status.state, status.step, status.detail) == ("finished", 2, "")


def test_a_run_that_ended_by_an_error(training: Training) -> None:
    training.tell("raise ValueError('no such weights')")
    training.process.wait(SECONDS)
    status = training.run.status()
    assert (status.state, status.detail) == ("failed", "ValueError: no such weights")


def test_a_run_that_was_interrupted(training: Training) -> None:
    training.process.send_signal(signal.SIGINT)
    training.process.wait(SECONDS)
    status = training.run.status()
    assert (status.state, status.detail) == ("finished", "interrupted by Ctrl-C")


def test_a_run_that_was_killed(training: Training) -> None:
    training.process.kill()
    training.process.wait(SECONDS)
    status = training.run.status()
    assert status.state == "crashed"
    assert status.detail == f"process {training.process.pid} ended without finishing the run"


def paused(training: Training) -> None:
    training.run.append("pause_requested", who="test")
    training.tell("step()")
    until(lambda: state(training.run) == "paused")


def test_a_run_that_waits_and_goes_on(training: Training) -> None:
    paused(training)
    assert training.run.status().step == 2
    training.run.append("resume_requested", who="test")
    training.wait_for_steps(1)
    until(lambda: state(training.run) == "training" and training.run.status().step == 3)


def test_a_run_that_was_killed_while_it_waited(training: Training) -> None:
    paused(training)
    training.process.kill()
    training.process.wait(SECONDS)
    assert state(training.run) == "crashed"


def test_a_run_that_trains_again_after_it_was_killed(training: Training) -> None:
    training.process.kill()
    training.process.wait(SECONDS)
    again = Training(training.path)
    # Two steps before, of which the log may lack what waited in the tail until `again` took it in.
    until(lambda: again.run.status().step == 4)
    assert (state(again.run), again.run.status().pid) == ("training", again.process.pid)
    again.end()
    assert state(training.run) == "finished"
    again.close()


def test_a_step_of_the_past_does_not_set_the_clock_back(training: Training) -> None:
    training.tell("wl.save_signals({'late': [1.0]}, batch_ids=[1], origin='train', step=0)")
    training.tell("print('step', flush=True)")
    training.wait_for_steps(1)
    training.process.kill()
    training.process.wait(SECONDS)
    run = open_run(training.path)
    assert run.status().step == 2
    run.close()


def test_a_command_from_elsewhere_does_not_either(training: Training) -> None:
    training.end()
    training.run.append(
        "tagged", tag="x", add=True, origin="train", ids=[1], annotation_ids=None, who="me"
    )
    assert (state(training.run), training.run.status().step) == ("finished", 2)


def test_a_run_without_a_frame_is_said_to_have_crashed(tmp_path: Path) -> None:
    from wl_core.directory import RunDirectory
    from wl_core.log import EventLog

    EventLog(RunDirectory(tmp_path).log, create=True).close()
    run = open_run(tmp_path)
    status = run.status()
    assert (status.state, status.step, status.pid, status.since) == ("crashed", 0, None, 0.0)
    run.close()
