"""Going through time: the replay, moments that are kept open, and what every pane shows then."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from tests.tui.nuclei_run import NucleiRun
from tests.tui.screens import screen_text, wait_for_text, wait_until
from tui.app import WlApp
from tui.pane import Pane
from tui.panes.slices import SlicesPane
from tui.pasts import KEPT, Pasts
from tui.widgets.time_bar import Replay, TimeBar
from wl_core.errors import UsageError
from wl_core.run import Run, open_run


def test_a_replay_keeps_its_pace_and_halts_where_it_is_to() -> None:
    replay = Replay(newest=100, speed=10)
    replay.start(20)
    assert [replay.advance(0.25) for _ in range(4)] == [22, 25, 27, 30]
    replay.stop = 34
    assert (replay.advance(1.0), replay.playing) == (34, False)
    replay.start(34)
    assert (replay.advance(1.0), replay.playing) == (44, True)
    replay.marks, replay.at_marks = (10, 50, 60), True
    assert (replay.advance(30.0), replay.playing) == (50, False)
    replay.at_marks = False
    replay.start(50)
    assert (replay.advance(30.0), replay.playing) == (100, False)
    replay.start(100)
    assert replay.step == 0
    replay.faster(-9)
    assert replay.speed == 1


@pytest.fixture
def run(nuclei: NucleiRun) -> Iterator[Run]:
    nuclei.train(5)
    with open_run(nuclei.path) as run:
        run.refresh()
        yield run


def test_a_moment_that_was_gone_on_to_is_the_one_that_is_opened(run: Run) -> None:
    with run.at(step=1) as past, run.at(step=4) as fresh:
        past.advance(step=4)
        assert past.position == fresh.end
        assert past.samples().names == fresh.samples().names
        for mine, theirs in zip(past.samples(), fresh.samples(), strict=True):
            assert [mine.cell(row) for row in range(16)] == [theirs.cell(row) for row in range(16)]
        assert past.status() == fresh.status()
        with pytest.raises(UsageError, match="expected a step from 4 to 8, got 3"):
            past.advance(step=3)
    with pytest.raises(UsageError, match="only a view of the past"):
        run.advance(step=4)


def test_only_the_last_moments_stay_open(run: Run) -> None:
    pasts = Pasts()
    opened = [pasts.at(run, step) for step in (7, 5, 3, 1)]
    assert [past.last_step for past in opened] == [7, 5, 3, 1]
    assert pasts.at(run, 5) is opened[1]
    assert pasts.at(run, 6) is opened[1]  # gone on to
    assert pasts.at(run, 0).samples() is not None
    assert len(pasts._kept) == KEPT
    pasts.close()


def newest_event(app: WlApp) -> int:
    """The step of the newest event on the screen."""
    steps = re.findall(r" \d\d:\d\d:\d\d +(\d+) [a-z_]+ ", screen_text(app))
    return max(map(int, steps), default=-1)


async def test_every_pane_shows_the_moment_and_says_so(app: WlApp, nuclei: NucleiRun) -> None:
    nuclei.frame(("run_started", "nuclei", 2, "here", {}, True), phase="outside")
    async with app.run_test(size=(160, 40)) as pilot:
        await wait_for_text(pilot, "▸1 Samples", "run_started")
        live = app.news
        assert live is not None
        now = live.samples.column("train_bce/sample").cell(11)
        await pilot.press("T")
        bar = app.screen.query_one(TimeBar)
        await wait_for_text(pilot, "▸step 3 at", "LIVE", "▷ a process went on")
        await pilot.press("left_square_bracket")
        await wait_for_text(pilot, "PAST: step 2", "! the process was killed")
        await pilot.press("left")
        await wait_for_text(pilot, "PAST: step 1", "▸step 1 at", "1 Samples @ step 1")
        for pane in app.screen.query(Pane):
            assert pane.moment == 1
            assert f"{pane.title} @ step 1" in str(pane.query_one(".pane--title").render())
        past = app.news
        assert past is not None
        assert past.samples.column("discarded").cell(0) is False
        assert past.moment == 1
        assert past.samples.column("train_bce/sample").cell(11) != now
        assert past.curves["train_bce/sample"].steps[-1] == 1
        await wait_until(pilot, lambda: newest_event(app) == 1, "the tail up to the moment")
        await pilot.press("left_square_bracket")  # there is no mark before it
        assert app.wanted_step == 1

        slices = next(p for p in app.screen.query(Pane) if isinstance(p, SlicesPane))
        await pilot.press("enter", "d", str(slices.number))  # what is decided, is decided now
        await wait_for_text(pilot, "Slices @ step 1", "density ↓")
        assert slices._rows is not None
        assert slices._rows.step == 1
        assert shlex.split(slices.command("run"))[-2:] == ["--at-step", "1"]

        await pilot.press("T", "home", "right", "b", "left", "space")
        await wait_until(pilot, lambda: not bar.replay.playing and bar.is_there, "the halt")
        assert app.news is not None
        assert app.news.moment == 1
        await pilot.press("1")
        await wait_until(pilot, lambda: newest_event(app) == 1, "events that go on with the past")
        nuclei.train(2)  # is followed all the while
        await wait_for_text(pilot, "step 5", "PAST: step 1")
        await pilot.press("L")
        await wait_for_text(pilot, "LIVE", " step 5 at")
        assert "PAST" not in screen_text(app)
        assert all(pane.moment is None for pane in app.screen.query(Pane))
        assert app.news.samples.column("discarded").cell(0) is True
        await pilot.press("T", "escape")
        await wait_until(pilot, lambda: newest_event(app) == 4, "the newest events")
        await wait_until(pilot, lambda: not app.screen.query(TimeBar), "no time bar")
