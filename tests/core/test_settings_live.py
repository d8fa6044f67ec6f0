"""A real training, steered by the real ``wl set`` of another process, killed and continued."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import wl_core as wl

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
        time.sleep(0.002)
"""
SETTINGS = "optimizer:\n  lr: 1e-3\nbatch_size: 4\ndepth: 3\nis_training: true\n"


class Steered:
    """The training's process, its run, and ``wl`` as somebody types it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "wl_runs" / "steered"
        (folder / "hp.yaml").write_text(SETTINGS)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(Path(wl.__file__).parents[1])}
        self.process = subprocess.Popen(
            [sys.executable, "-c", TRAINING], cwd=self.folder, env=environment
        )

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(SECONDS)

    def set(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from wl_core.cli import main; main()", "set", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def until(self, condition: Callable[[wl.Run], bool]) -> None:
        """Waits for what the log says."""
        deadline = time.monotonic() + SECONDS
        while True:
            assert self.process is not None
            assert self.process.poll() is None, "the training has ended"
            assert time.monotonic() < deadline, "it never came true"
            if self.path.exists():
                with wl.open_run(self.path) as run:
                    if run.log.model_age > 0 and condition(run):
                        return
            time.sleep(0.02)


@pytest.fixture
def steered(tmp_path: Path) -> Iterator[Steered]:
    found = Steered(tmp_path)
    found.start()
    yield found
    found.kill()


def last(run: wl.Run, curve: str) -> float | None:
    found = run.curves().get(curve)
    return None if found is None else float(found.mean[-1])


def test_a_training_is_steered_killed_and_continued(steered: Steered) -> None:
    steered.until(lambda run: last(run, "size") == 4 and last(run, "optimizer/lr") == 1e-3)

    done = steered.set("optimizer.lr=1e-4", "--why", "too fast")
    assert done.stdout.startswith("optimizer.lr 0.001 -> 0.0001, obeyed at step "), done
    steered.until(lambda run: last(run, "optimizer/lr") == 1e-4)

    refused = steered.set("depth=4", "optimizer.lr=fast")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "optimizer.lr is a number (0.0001), got the text 'fast'" in refused.stderr
    unknown = steered.set("dept=4")
    assert "Did you mean 'depth'?" in unknown.stderr
    refused = steered.set("batch_size=0", "depth=4")  # this one by the training itself
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "train.batch_size must be a whole number of at least 1" in refused.stderr

    assert steered.set("batch_size=6").returncode == 0
    steered.until(lambda run: last(run, "size") == 6)

    (steered.folder / "hp.yaml").write_text(SETTINGS.replace("depth: 3", "depth: 5"))
    steered.until(lambda run: last(run, "depth") == 5)

    assert "true -> false, obeyed" in steered.set("is_training=false").stdout
    steered.until(lambda run: run.status().state == "paused")
    assert steered.set("is_training=true").returncode == 0
    steered.until(lambda run: run.status().state == "training")

    steered.kill()
    done = steered.set("optimizer.weight_decay=0.5")
    expected = "optimizer.weight_decay 0.0 -> 0.5, no training runs; it holds when the run is"
    assert done.stdout.startswith(expected), done
    with wl.open_run(steered.path) as run:
        age = run.log.model_age
    steered.start()
    steered.until(lambda run: run.log.model_age > age)
    with wl.open_run(steered.path) as run:
        assert last(run, "size") == 6
        assert last(run, "depth") == 5
        assert last(run, "optimizer/lr") == 1e-4
    assert "0.0001 -> 0.5, obeyed" in steered.set("optimizer.lr=0.5").stdout
    listed = {row["name"]: row for row in json.loads(steered.set("--json").stdout)}
    held = {name: row["value"] for name, row in listed.items()}
    assert held["optimizer.weight_decay"] == 0.5
    assert held["depth"] == 5
    assert held["batch_size"] == held["train.batch_size"] == 6
    assert held["is_training"] is True
    assert listed["depth"]["who"] == "file"
    assert "@" in listed["batch_size"]["who"]
