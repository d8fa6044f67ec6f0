"""A real training that is steered from a second process by the command line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import wl_core as wl
from tests.core.frames import SECONDS, python, until
from tests.core.watched_runs import Finished, events
from wl_core import ask, cli, cli_control
from wl_core.curve import Evaluation
from wl_core.run import open_run

STEP_SECONDS = 0.02
TRAIN = f"""
    import sys, time
    import wl_core as wl
    wl.start_run(sys.argv[1])
    exec(sys.argv[2])
    while True:
        with wl.guard_training_context:
            time.sleep({STEP_SECONDS})
            wl.save_signals({{"loss": [1.0]}}, [1], origin="train_loader")
"""
WITH_DATA = f"""
import torch
torch.set_num_threads(1)
data = [(torch.full((3,), float(n)), n) for n in range(400)]
wl.watch_or_edit(data, flag="data", loader_name="test_loader", batch_size=4)
wl.tag_samples([1, 2, 3], "hard", origin="test_loader")
wl.tag_samples([9], "broken", origin="test_loader")

@wl.eval_fn
def evaluate(loader):
    for x, ids, y in loader:
        time.sleep({STEP_SECONDS})
        if ids.tolist() == [9]:
            raise ValueError("no such image")
        wl.save_signals({{"test_mean": x.mean(1)}}, ids)
"""


class Steered:
    """A training process, and the command line that is pointed at it."""

    def __init__(self, path: Path, process: subprocess.Popen[str]) -> None:
        self.path = path
        self.process = process
        until(lambda: any(path.glob("rank-0000/log/data.mdb")))
        self.run = open_run(path)
        until(lambda: self.run.status().step > 2)

    @property
    def state(self) -> str:
        return self.run.status().state

    @property
    def step(self) -> int:
        return self.run.status().step

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def evaluations(self) -> list[Evaluation]:
        self.run.refresh()
        return self.run.evaluations()


@contextmanager
def training(path: Path, more: str = "") -> Iterator[Steered]:
    with python(TRAIN, path, more, stderr=subprocess.PIPE) as process:
        found = Steered(path, process)
        try:
            yield found
        finally:
            found.run.close()


Steer = Callable[..., tuple[int, str]]


@pytest.fixture
def steer(capsys: pytest.CaptureFixture[str]) -> Steer:
    """Runs a command in this process, which is sooner; gives its status and all that it printed."""

    def run(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        code = cli._run([*map(str, arguments)])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return run


def wl_command(*arguments: object) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    code = "from wl_core.cli import main; main()"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], text=True, **pipes)


def said(*arguments: object) -> str:
    with wl_command(*arguments) as process:
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    return out


def test_a_training_is_paused_stepped_and_stopped_from_a_second_terminal(
    tmp_path: Path, steer: Steer, capsys: pytest.CaptureFixture[str]
) -> None:
    with training(tmp_path / "run") as steered:
        paused_at, latency = paused(steered)
        with capsys.disabled():
            print(f" [a pause was obeyed after {1000 * latency:.0f} ms]", end="")
        assert latency < STEP_SECONDS + 0.05 + 0.5  # others use this machine as well
        assert re.search(r"\tpaused\t.*to look", steer("runs", "--root", tmp_path)[1])
        answer = f"it is paused already, at step {paused_at}\n"
        assert steer("pause", steered.path) == (0, answer)
        before = steered.cpu_seconds()
        time.sleep(0.5)  # a stretch of waiting to measure
        assert steered.cpu_seconds() - before <= 0.03
        assert steered.step == paused_at

        answer = steer("step", 3, steered.path)[1]
        assert answer.startswith(f"training does 3 steps from step {paused_at} on and pauses, ")
        until(lambda: (steered.state, steered.step) == ("paused", paused_at + 3))
        answer = steer("resume", steered.path)[1]
        assert answer.startswith(f"training goes on from step {paused_at + 3}, ")
        until(lambda: steered.step > paused_at + 3)
        paused(steered)

        answer = said("stop", steered.path, "--why", "enough")
        assert re.fullmatch(r"stopped at step \d+, .* after it was asked\n", answer), answer
        assert steered.process.wait(SECONDS) == 0
        status = steered.run.status()
        assert status.state == "finished"
        assert status.detail == f"stopped on request (by {ask.whoever_asks()}: enough)"
        code, answer = steer("pause", steered.path)
        assert (code, answer[:26]) == (1, "wl: run is finished since ")
        assert answer.endswith("no training is there to pause\n")
        refused = [one["refused"] for one in events(steered.run, "obeyed")]
        assert refused == [""] * 5


def paused(steered: Steered) -> tuple[int, float]:
    """Pauses it by the command line; gives the step and after how many seconds."""
    answer = said("pause", steered.path, "--why", "to look")
    found = re.fullmatch(r"paused at step (\d+), (\d+) ms after it was asked\n", answer)
    assert found, answer
    status = steered.run.status()
    assert (status.state, status.step) == ("paused", int(found[1]))
    assert status.detail == f"waits for resume, paused by {ask.whoever_asks()}: to look"
    return status.step, int(found[2]) / 1000


def test_a_training_is_evaluated_from_a_second_terminal(tmp_path: Path, steer: Steer) -> None:
    with training(tmp_path / "run", WITH_DATA) as steered:
        steer("pause", steered.path)
        step = steered.step
        answer = said("evaluate", "test_loader", steered.path, "--tag", "hard", "--json")
        assert json.loads(answer) == [{"signal": "test_mean", "mean": 2.0}]
        assert (steered.state, steered.step) == ("paused", step)
        code, answer = steer("evaluate", "tets_loader", steered.path)
        assert (code, "Did you mean 'test_loader'?" in answer) == (1, True)
        code, answer = steer("evaluate", "test_loader", steered.path, "--tag", "broken")
        assert (code, answer) == (1, "wl: the evaluation failed: ValueError: no such image\n")
        steer("resume", steered.path)
        until(lambda: steered.step > step)

        assert steer("evaluate", "test_loader", steered.path, "--no-wait")[0] == 0
        said_so = re.compile(r"test_loader: [1-9]\d* of 400 samples")
        until(lambda: said_so.fullmatch(steered.run.status().detail))
        assert steered.state == "evaluating"
        assert steer("evaluate", "--cancel", steered.path) == (0, "given up\n")
        until(lambda: len(steered.evaluations()) == 3)
        assert steered.evaluations()[2].cancelled
        assert 0 < steered.evaluations()[2].samples < 400
        until(lambda: steered.state == "training")

        with wl_command("evaluate", "test_loader", steered.path) as process:
            until(lambda: steered.state == "evaluating")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=SECONDS)
        assert (process.returncode, out[:12]) == (130, "signal\tmean\n")
        assert re.search(r"given up after \d+ samples", err)
        assert steer("stop", steered.path)[0] == 0
        assert steered.process.wait(SECONDS) == 0
        assert [one.cancelled for one in steered.evaluations()] == [False, False, True, True]
        last = json.loads(steer("info", steered.path, "--json")[1])["last_evaluation"]
        assert (last["origin"], last["cancelled"], "test_mean" in last["means"]) == (
            "test_loader", True, True,
        )  # fmt: skip


def test_a_training_that_takes_its_time_is_not_waited_for(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli_control, "_SECONDS", 0.05)
    with wl.guard_training_context:
        finished.live()
        assert cli._run(["pause", str(finished.path)]) == 0
    assert capsys.readouterr().out == "asked; the training obeys when it reaches its next guard\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    notice = cli_control.waiting_notice()
    for seconds in (0.1, 0.6, 0.7):
        notice(seconds)
    assert capsys.readouterr().err == "waiting for the training to reach its next guard\n"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["step", "0"], 2, "0 is not in the range"),
        (["step", "run"], 2, "'run' is not a valid integer"),
        (["evaluate"], 2, "LOADER is missing"),
        (["evaluate", "test_loader", "run", "--cancel"], 2, "--cancel takes no LOADER"),
        (["stop", "nowhere"], 1, "nowhere"),
    ],
)
def test_wrong_calls_are_explained(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    words: str,
) -> None:
    assert cli._run([*arguments, "--root", str(tmp_path)]) == status
    assert words in capsys.readouterr().err
