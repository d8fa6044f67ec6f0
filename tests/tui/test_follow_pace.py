"""How often the follower looks, and how much of large frames it tells."""

from __future__ import annotations

import queue
from functools import partial
from pathlib import Path

import pytest
from textual.message import Message

import tui.follow
from tests.tui.nuclei_run import NucleiRun
from tui.ahead import read_ahead
from tui.follow import Advanced, Follower
from wl_core.errors import RunNotFoundError
from wl_core.run import open_run


def test_a_run_that_nobody_looks_at_is_told_of_at_once_when_somebody_does(tmp_path: Path) -> None:
    writer = NucleiRun(tmp_path / "run")
    posted: queue.Queue[Message] = queue.Queue()
    follower = Follower(partial(open_run, writer.path), posted.put, interval=0.01)
    follower.set_attentive(False)
    follower.start()
    first = posted.get(timeout=20)
    assert isinstance(first, Advanced)
    follower.shown()
    writer.train(predictions=False)
    looks = follower.looks
    with pytest.raises(queue.Empty):
        posted.get(timeout=0.1)
    assert follower.looks <= looks + 1
    follower.set_attentive(True)
    later = posted.get(timeout=2)
    assert isinstance(later, Advanced)
    assert later.news.position > first.news.position
    follower.close()
    writer.close()


def test_of_large_frames_only_the_newest_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tui.follow, "TAIL_BYTES", 1)
    writer = NucleiRun(tmp_path / "run")
    writer.train(3, predictions=False)
    posted: queue.Queue[Message] = queue.Queue()
    follower = Follower(partial(open_run, writer.path), posted.put)
    follower.start()
    news = posted.get(timeout=20)
    assert isinstance(news, Advanced)
    assert {event.step for event in news.news.events} == {2}
    follower.close()
    writer.close()


def test_a_run_that_cannot_be_read_ahead_says_so_to_who_takes_it(tmp_path: Path) -> None:
    opened = read_ahead(tmp_path / "nothing")
    with pytest.raises(RunNotFoundError):
        opened()
