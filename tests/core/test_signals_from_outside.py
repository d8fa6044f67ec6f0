"""A training with signals of every sort, and another process that reads them by the CLI."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests import warm
from wl_core.cli import main
from wl_core.run import open_run

SOON = 60.0  # seconds; a deadline, not a wait

_TRAINING = """
import sys
import torch
import wl_core as wl

torch.set_num_threads(1)
torch.manual_seed(0)

def mask(row):
    made = torch.zeros(4, 4)
    made[row] = 1
    return made

class Tiles(torch.utils.data.Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return torch.rand(3), f"tile{index}", [mask(row) for row in range(index)]

def collate(items):
    x, ids, masks = zip(*items)
    return torch.stack(x), list(ids), list(masks)

wl.start_run(sys.argv[1])
loader = wl.watch_or_edit(
    Tiles(), flag="data", loader_name="train", batch_size=2, collate_fn=collate
)
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
squared = wl.watch_or_edit(
    lambda out, y: ((out - y) ** 2).mean(1), flag="loss", name="loss", per_sample=True
)
found = wl.watch_or_edit(
    lambda out, masks: torch.cat([one.new_ones(0) for one in out]
        + [out[at].detach() for at, some in enumerate(masks) for _ in some]),
    flag="metric", name="found", per_instance=True,
)

@wl.signal(name="area", level="instance")
def area(ctx):
    return ctx.target.sum()

@wl.signal(name="found_by_area", subscribe_to="found", level="instance")
def found_by_area(ctx):
    return ctx.annotation_id + ctx.latest("area") / 100

@wl.signal(name="gain", subscribe_to="loss", include_history=True)
def gain(ctx):
    return ctx.history[1][0] - ctx.subscribed_value

@wl.signal(name="both", inputs=["loss", "gain"], batched=True)
def both(ctx):
    return ctx.inputs["loss"] + ctx.inputs["gain"]

@wl.signal(name="broken", subscribe_to="loss")
def broken(ctx):
    return ctx.latest("nothing", require_fresh=True)

wl.serve()
wl.compute_signals()
while True:
    with wl.guard_training_context:
        x, ids, masks = next(loader)
        out = model(x)
        loss = squared(out, torch.ones(len(x), 1))
        found(out, masks, batch_ids=ids, targets=masks)
        loss.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
"""


def wl(*arguments: Any) -> str:
    """What a command of the CLI prints, in this process, which is not the one that trains."""
    printed = io.StringIO()
    with pytest.raises(SystemExit) as done, contextlib.redirect_stdout(printed):
        main([str(one) for one in arguments])
    assert done.value.code == 0
    return printed.getvalue()


def table(*arguments: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(wl(*arguments, "--json"))
    return rows


def wait_for_step(run: Path, step: int) -> None:
    deadline = time.monotonic() + SOON
    while True:
        assert time.monotonic() < deadline, "the training did not get that far"
        if any(run.glob("rank-0000/log/data.mdb")):
            with open_run(run) as opened:
                if opened.status().step >= step:
                    return
        time.sleep(0.05)


def test_the_signals_of_a_training_are_read_from_outside(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with warm.Process(["-c", _TRAINING, run], stderr=subprocess.PIPE) as training:
        try:
            wait_for_step(run, 6)
            wl("stop", run)
            _, errors = training.communicate(timeout=SOON)
        finally:
            training.kill()
    assert training.returncode == 0, errors
    assert errors.count("the signal 'broken' raised StaleSignalError") == 1
    samples = {row["sample_id"]: row for row in table("samples", run)}
    assert sorted(samples) == [f"tile{number}" for number in range(4)]
    for row in samples.values():
        assert row["gain"] != 0  # the first loss, less the last: the model has learnt
        assert "broken" not in row or row["broken"] is None
    instances = table("instances", "tile3", run)
    assert [round(row["found_by_area"], 6) for row in instances] == [1.04, 2.04, 3.04]
    assert [row["area"] for row in instances] == [4, 4, 4]
    first = {row["sample_id"]: row["loss"] + row["gain"] for row in samples.values()}
    assert {name: round(row["both"], 5) for name, row in samples.items()} == {
        name: round(value, 5) for name, value in first.items()
    }
    [failed] = table("events", run, "--kind", "signal_failed")
    assert failed["data"]["signal"] == "broken"
    assert "in broken" in failed["data"]["traceback"]
