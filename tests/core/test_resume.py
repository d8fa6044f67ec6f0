"""Trainings that are killed and started again: what goes on, and from where. Real processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wl_core as wl
from tests.core.cli_runs import LogWriter, floats, values
from tests.core.watched_runs import events, sample
from wl_core.session import Session

# Four batches an epoch and a checkpoint at the end of each: what a loader has handed over of an
# epoch is not kept, so only there it goes on as if nothing had happened.
_SCRIPT = """
import hashlib, json, os, random, signal, sys, traceback
import numpy as np, torch
from torch import nn
import wl_core as wl

def train(path, steps, dies_at, seed):
    torch.set_num_threads(1)
    torch.manual_seed(seed); random.seed(seed); np.random.seed(seed)
    run = wl.start_run(path)
    x = torch.arange(48.0).reshape(16, 3) / 48
    loader = wl.watch_or_edit(
        [(x[i], f"s{i}", x[i].sum()) for i in range(16)], flag="data", loader_name="train",
        batch_size=4, shuffle=True, is_training=True, preload_labels=True,
    )
    model = wl.watch_or_edit(
        nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 1)), flag="model"
    )
    optimizer = wl.watch_or_edit(torch.optim.AdamW(model.parameters(), lr=0.01), flag="optimizer")
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    criterion = wl.watch_or_edit(
        nn.MSELoss(reduction="none"), flag="loss", name="loss", per_sample=True, log=True
    )

    def tell(word):
        weights = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
        digest = hashlib.sha256(weights).hexdigest()
        print(json.dumps([word, run.step, wl.model_age(), digest]), flush=True)

    wl.checkpoint(every=4, keep=2, extra={"schedule": schedule})
    tell("fresh")
    wl.restore()
    tell("begun")
    while wl.model_age() < steps:
        if wl.model_age() == 2:
            wl.discard_samples(["s3"], origin="train")
            wl.tag_samples(["s5"], "odd", origin="train")
        with wl.guard_training_context:
            inputs, ids, targets = next(loader)
            noise = random.random() + np.random.rand()
            outputs = model(inputs + 0.01 * noise).squeeze(1)
            loss = criterion(outputs, targets, batch_ids=ids).mean()
            optimizer.zero_grad()
            loss.backward()
            if run.step == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            optimizer.step()
            schedule.step()
    tell("ended")
    wl.finish()

# Each life is a process of its own; they share the imports, which take longest.
torch.optim.AdamW([nn.Parameter(torch.zeros(1))])
for line in sys.stdin:
    out, life = json.loads(line)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(file, 1); os.dup2(file, 2)
            train(*life)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush(); sys.stderr.flush()
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Trainings:
    """A process that trains in processes of its own, one after the other."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.seed = 0
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT],
            env=os.environ | {"PYTHONPATH": str(Path(wl.__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def train(self, path: Path, steps: int, dies_at: int = -1) -> dict[str, Any]:
        """What the training told (``{word: (step, age, digest of the weights)}``) and ``"said"``.

        Every process but the first of a run has other seeds, and so begins with other weights.
        """
        seed = 0
        if path.exists():
            self.seed = seed = self.seed + 1
        out = self.out / f"{path.name}-{seed}-{steps}.txt"
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        life = [str(path), steps, dies_at, seed]
        self.process.stdin.write(json.dumps([str(out), life]) + "\n")
        self.process.stdin.flush()
        status = int(self.process.stdout.readline())
        text = out.read_text()
        assert status == (0 if dies_at < 0 else -9), text
        told = [json.loads(line) for line in text.splitlines() if line.startswith("[")]
        return {"said": text} | {word: tuple(rest) for word, *rest in told}

    def close(self) -> None:
        with self.process:
            assert self.process.stdin is not None
            self.process.stdin.close()


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    made = Trainings(tmp_path_factory.mktemp("said"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def killed(trainings: Trainings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed in its step 10, with the models of steps 4 and 8 saved."""
    path = tmp_path_factory.mktemp("killed") / "run"
    trainings.train(path, 12, dies_at=10)
    return path


def test_a_killed_run_goes_on_bit_for_bit_as_one_that_was_not_killed(
    trainings: Trainings, killed: Path, tmp_path: Path
) -> None:
    path = tmp_path / "again"
    shutil.copytree(killed, path)
    again = trainings.train(path, 12)
    whole = trainings.train(tmp_path / "whole", 12)
    assert again["begun"][:2] == (10, 8)
    assert again["begun"][2] != again["fresh"][2]
    assert "the run goes on at step 10, so the last 2 are trained again" in again["said"]
    assert again["ended"][:2] == (14, 12)
    assert whole["ended"][:2] == (12, 12)
    assert again["ended"][2] == whole["ended"][2]
    with wl.open_run(path) as run:
        assert sample(run, "s3", "train")["discarded"] is True
        assert sample(run, "s5", "train")["tags"] == "odd"
        [restored] = events(run, "model_restored")
        assert (restored["step"], restored["age"]) == (10, 8)
        saved = [(one["step"], one["age"], one["file"]) for one in events(run, "model_saved")]
        assert saved == [
            (3, 4, "checkpoints/step-00000004.pt"),
            (7, 8, "checkpoints/step-00000008.pt"),
            (13, 12, "checkpoints/step-00000014.pt"),
        ]
    kept = sorted(one.name for one in (path / "checkpoints").iterdir())
    assert kept == ["step-00000008.pt", "step-00000014.pt"]


def test_a_truncated_newest_checkpoint_is_passed_over_for_the_one_before(
    trainings: Trainings, killed: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    shutil.copytree(killed, path)
    newest = path / "checkpoints" / "step-00000008.pt"
    os.truncate(newest, newest.stat().st_size // 2)
    again = trainings.train(path, 5)
    assert again["begun"][:2] == (10, 4)
    assert again["begun"][2] != again["fresh"][2]
    assert again["ended"][:2] == (11, 5)
    assert "step-00000008.pt is damaged" in again["said"]
    with wl.open_run(path) as run:
        assert sample(run, "s3", "train")["discarded"] is True
        assert sample(run, "s5", "train")["tags"] == "odd"


def test_a_long_log_is_not_read_when_its_run_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = LogWriter(tmp_path / "run")
    for step in range(500):
        writer.frame(step, values("loss", ["a"], floats(step)))
        if step == 250:
            row = ("discarded", True, "train_loader", ["a"], None, "somebody", "")
            writer.frame(step, row, phase="outside")
    writer.close()
    decoded = []
    from wl_core import log

    decode = log.decode
    monkeypatch.setattr(log, "decode", lambda *given: decoded.append(given[0]) or decode(*given))
    session = Session(tmp_path / "run")
    try:
        assert session.step == 500
        assert session.discards.keys == {("train_loader", "a", 0)}
    finally:
        session.close()
    assert len(decoded) < 20
