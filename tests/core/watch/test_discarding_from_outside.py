"""Another process discards samples while a real training with workers is in the midst of a pass."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import wl_core as wl
from tests import warm
from tests.core.watched_runs import events, frames

SECONDS = 60
COUNT = 40_000

SCRIPT = f"""
import sys
import torch
import wl_core as wl

torch.set_num_threads(1)
wl.start_run(sys.argv[1])
data = [(torch.ones(3), f"s{{n}}", 0) for n in range({COUNT})]
loader = wl.watch_or_edit(
    data, flag="data", loader_name="t", batch_size=4, num_workers=2, is_training=True
)
criterion = wl.watch_or_edit(lambda x: x.sum(1), flag="loss", name="loss", per_sample=True)
while True:
    with wl.guard_training_context:
        criterion(next(loader)[0])
"""


def _wait_until(training: warm.Process, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert training.poll() is None, training.communicate()[1]
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def test_a_sample_is_never_shown_again_once_the_training_has_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "run"
    training = warm.Process(["-c", SCRIPT, path], stderr=subprocess.PIPE)
    try:
        _wait_until(training, (path / "rank-0000" / "log" / "data.mdb").exists)
        with wl.open_run(path) as run:
            _wait_until(training, lambda: run.status().step >= 3)
            odd = [f"s{n}" for n in range(1, COUNT, 2)]
            asked = run.append(
                "discarded", discarded=True, origin="t", ids=odd, annotation_ids=None, who="a test"
            )
            _wait_until(training, lambda: bool(events(run, "obeyed")))
            obeyed_at = run.status().step
            _wait_until(training, lambda: run.status().step >= obeyed_at + 20)
            run.append("stop_requested", who="a test")
            assert training.wait(SECONDS) == 0, training.communicate()[1]
            before, after, obeyed = _shown(run)
    finally:
        training.kill()
        training.communicate()
    assert obeyed[0] == asked
    assert any(number % 2 for number in before)
    # The same pass went on with what is left, and none of that was passed over.
    assert len(after) >= 80
    expected = [n for n in range(before[-1] + 1, max(after) + 1) if n % 2 == 0]
    assert sorted(after) == expected


def _shown(run: wl.Run) -> tuple[list[int], list[int], list[int]]:
    """The samples shown before a request was obeyed and after it; the requests that were obeyed."""
    before: list[int] = []
    after: list[int] = []
    obeyed: list[int] = []
    for frame in frames(run):
        for event in frame.events:
            if event[0] == "obeyed":
                obeyed.append(event[2])
            elif event[0] == "exposed":
                ids = frame.ids(event[3])
                (after if obeyed else before).extend(int(str(one)[1:]) for one in ids)
    return before, after, obeyed
