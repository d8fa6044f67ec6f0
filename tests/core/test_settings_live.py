"""A real training, steered by the real ``wl set`` of another process, killed and continued."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import wl_core as wl
from tests import warm
from wl_core.cli import main

SECONDS = 60
TRAINING = """
import sys, time
import torch, wl_core as wl

wl.start_run("wl_runs/steered")
hp = wl.watch_or_edit("hp.yaml", flag="hyperparameters", poll_interval=0.01)
data = [(torch.full((3,), float(n)), n % 2) for n in range(12)]
loader = wl.watch_or_edit(
    data, flag="data", loader_name="train", batch_size=hp["batch_size"], is_training=True
)
model = torch.nn.Linear(3, 2)
optimizer = wl.watch_or_edit(
    torch.optim.SGD(model.parameters(), lr=hp["optimizer"]["lr"]), flag="optimizer"
)
wl.start_training()
while True:
    for x, ids, y in loader:
        with wl.guard_training_context:
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()
            sizes = {"size": float(len(ids)), "depth": float(hp["depth"])}
            for name, value in sizes.items():
                wl.save_signals({name: [value] * len(ids)}, ids, log=True)
        time.sleep(0.01)
"""
SETTINGS = "optimizer:\n  lr: 1e-3\nbatch_size: 4\ndepth: 3\nis_training: true\n"


class Steered:
    """The training's process, its run, and ``wl set`` as somebody types it."""

    def __init__(self, folder: Path, read: Callable[[], tuple[str, str]]) -> None:
        self.folder = folder
        self.path = folder / "wl_runs" / "steered"
        (folder / "hp.yaml").write_text(SETTINGS)
        self._read = read
        self._reader: wl.Run | None = None
        self.process: warm.Process | None = None

    def start(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(Path(wl.__file__).parents[1])}
        self.process = warm.Process(["-c", TRAINING], cwd=self.folder, env=environment)

    def kill(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(SECONDS)

    def set(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, stdout and stderr."""
        with pytest.raises(SystemExit) as ended:
            main(["set", *arguments, "--root", str(self.path.parent)])
        assert isinstance(ended.value.code, int)
        return ended.value.code, *self._read()

    def until(self, condition: Callable[[wl.Run], bool]) -> None:
        """Waits for what the log says."""
        deadline = time.monotonic() + SECONDS
        while True:
            assert self.process is not None
            assert self.process.poll() is None, "the training has ended"
            assert time.monotonic() < deadline, "it never came true"
            if self._reader is None and self.path.exists():
                with contextlib.suppress(wl.WlError):  # it is being made
                    self._reader = wl.open_run(self.path)
            if self._reader is not None:
                self._reader.refresh()
                if self._reader.log.model_age > 0 and condition(self._reader):
                    return
            time.sleep(0.02)


@pytest.fixture
def steered(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Steered]:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # the CLI has its own
    found = Steered(tmp_path, capfd.readouterr)
    found.start()
    yield found
    found.kill()


def last(run: wl.Run, curve: str) -> float | None:
    found = run.curves().get(curve)
    return None if found is None else float(found.mean[-1])


def test_a_training_is_steered_killed_and_continued(steered: Steered) -> None:
    steered.until(lambda run: last(run, "size") == 4 and last(run, "optimizer/lr") == 1e-3)

    status, said, _ = steered.set("optimizer.lr=1e-4", "--why", "too fast")
    assert status == 0
    assert said.startswith("optimizer.lr 0.001 -> 0.0001, obeyed at step ")
    steered.until(lambda run: last(run, "optimizer/lr") == 1e-4)

    status, said, problem = steered.set("depth=4", "optimizer.lr=fast")
    assert (status, said) == (1, "")
    assert "optimizer.lr is a number (0.0001), got the text 'fast'" in problem
    assert "Did you mean 'depth'?" in steered.set("dept=4")[2]
    status, said, problem = steered.set("batch_size=0", "depth=4")  # by the training itself
    assert (status, said) == (1, "")
    assert "train.batch_size must be a whole number of at least 1" in problem

    assert steered.set("batch_size=6")[0] == 0
    steered.until(lambda run: last(run, "size") == 6)

    (steered.folder / "hp.yaml").write_text(SETTINGS.replace("depth: 3", "depth: 5"))
    steered.until(lambda run: last(run, "depth") == 5)

    assert "true -> false, obeyed" in steered.set("is_training=false")[1]
    steered.until(lambda run: run.status().state == "paused")
    assert steered.set("is_training=true")[0] == 0
    steered.until(lambda run: run.status().state == "training")


def test_what_was_set_holds_after_kill_9(steered: Steered) -> None:
    steered.until(lambda run: run.log.model_age > 3)
    steered.set("batch_size=6", "optimizer.lr=1e-4")
    (steered.folder / "hp.yaml").write_text(SETTINGS.replace("depth: 3", "depth: 5"))
    steered.until(lambda run: last(run, "depth") == 5)
    steered.kill()
    said = steered.set("optimizer.weight_decay=0.5")[1]
    expected = "optimizer.weight_decay 0.0 -> 0.5, no training runs; it holds when the run is"
    assert said.startswith(expected)
    with wl.open_run(steered.path) as run:
        age = run.log.model_age
    steered.start()
    steered.until(lambda run: run.log.model_age > age)
    steered.until(lambda run: (last(run, "size"), last(run, "depth")) == (6, 5))
    steered.until(lambda run: last(run, "optimizer/lr") == 1e-4)
    assert "0.0001 -> 0.5, obeyed" in steered.set("optimizer.lr=0.5")[1]
    listed = {row["name"]: row for row in json.loads(steered.set("--json")[1])}
    held = {name: row["value"] for name, row in listed.items()}
    assert held["optimizer.weight_decay"] == 0.5
    assert held["depth"] == 5
    assert held["batch_size"] == held["train.batch_size"] == 6
    assert held["is_training"] is True
    assert listed["depth"]["who"] == "file"
    assert "@" in listed["batch_size"]["who"]
