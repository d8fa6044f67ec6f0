"""The sample screen, and what is read for it: trajectories, decisions, events, the past."""

from __future__ import annotations

import numpy as np

from tests.tui.nuclei_run import TILE, NucleiRun
from tests.tui.screens import screen_text, wait_for_text, wait_until
from tui.app import WlApp
from tui.panes.samples import SamplesPane
from tui.sample_commands import (
    decisions_command,
    instances_command,
    row_command,
    trajectory_command,
)
from tui.sample_events import EventSearch
from tui.sample_facts import Trajectory, load_detail
from tui.sample_table import SampleKey
from tui.scene import load_scene
from tui.screens.detail import DetailScreen
from tui.screens.event import EventScreen
from wl_core.codec import Frame, frame_events
from wl_core.run import Run, open_run

TILE_00 = SampleKey("train_loader", "tile_00")


def searched(run: Run, search: EventSearch, decided: frozenset[int] = frozenset()) -> list[int]:
    while search.bite(run, decided):
        pass
    return sorted(search.found)


def mentioned(run: Run, sample: SampleKey) -> list[int]:
    """By reading everything in full."""
    return [
        event.position
        for frame in run.log.frames()
        if isinstance(frame, Frame)
        for event in frame_events(frame)
        if event.data.get("origin") == sample.origin
        and sample.sample_id in event.data.get("ids", ())
    ]


async def test_a_sample_at_80_by_24_is_pages(app: WlApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("enter")
        await wait_for_text(pilot, "▸Picture", "P prediction", "128×128 px")
        await pilot.press("tab")
        await wait_for_text(pilot, "▸Values", "█▄▁", "━━ train_bce/sample 0.0806", "density")
        assert "P prediction" not in screen_text(app)
        await pilot.press("tab", "tab")
        await wait_for_text(pilot, "▸Instances  12")
        await pilot.press("j", "j", "enter")
        await wait_for_text(pilot, "▸Picture", "I instance 3 of 12, train_bce/instance")
        assert app.screen.query_one("#picture").has_focus
        await pilot.press("shift+tab")
        await wait_for_text(pilot, "▸Events  18", "mean 0.628 of 12", "handed to the model")
        await pilot.press("down", "down", "enter")
        await wait_until(pilot, lambda: isinstance(app.screen, EventScreen))
        await wait_for_text(pilot, "values at position 19", "signal: train_dice/sample", "ids: [")
        await pilot.press("escape")
        await pilot.resize_terminal(200, 60)
        await wait_for_text(pilot, "Picture", "Values", "Instances  12", "▸Events  18")


async def test_next_and_previous_go_by_the_order_of_the_table(app: WlApp) -> None:
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("s")
        pane = app.screen.query_one(SamplesPane)
        await wait_until(pilot, lambda: pane.sample_at_cursor == ("train_loader", "tile_11"))
        await pilot.press("enter")
        await wait_for_text(pilot, "tile_11 · sample 1 of 16 in the table's order")
        await pilot.press("right_square_bracket", "J")
        await wait_for_text(pilot, "tile_09 · sample 3 of 16")
        await pilot.press("K")
        await wait_for_text(pilot, "tile_10 · sample 2 of 16")
        await pilot.press("K", "K")
        await wait_for_text(pilot, "tile_11 · sample 1 of 16", "no sample before this one")
        await pilot.press("J", "escape")
        await wait_until(pilot, lambda: not isinstance(app.screen, DetailScreen))
        assert pane.sample_at_cursor == ("train_loader", "tile_10")  # where one was


async def test_a_value_and_another_sample_are_found_by_name(app: WlApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("enter")
        await wait_for_text(pilot, "train_loader / tile_00", "▸Picture", "P prediction")
        await pilot.press("slash", *"dice", "enter")
        await wait_for_text(pilot, "▸Values", "━━ train_dice/sample")
        await pilot.press("colon", *"tile_05", "enter")
        await wait_for_text(pilot, "train_loader / tile_05", "━━ train_dice/sample")
        await pilot.press("colon", *"step 1", "enter")
        await wait_for_text(pilot, "tile_05", "as it was at")


async def test_a_decision_and_the_past_are_seen_on_the_sample(app: WlApp) -> None:
    async with app.run_test(size=(120, 36)) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("enter")
        await wait_for_text(pilot, "train_loader / tile_00", "█▄▁")
        screen = app.screen
        assert isinstance(screen, DetailScreen)
        assert screen.chosen_rows() == (("train_loader", "tile_00", None),)
        await pilot.press("d")
        await wait_for_text(pilot, "✗ discarded by ", " at step 3", "▸Picture")
        await wait_until(pilot, lambda: screen_text(app).count("discarded by ") == 2)  # an event
        app.show_step(1)
        await wait_for_text(pilot, "as it was at step 1", "the past: up to step 1")
        await wait_for_text(pilot, "Events  13")
        await wait_until(pilot, lambda: "✗ discarded" not in screen_text(app))
        assert screen.command("RUN") == instances_command("RUN", TILE_00, 1)
        app.show_step(None)
        await wait_for_text(pilot, "✗ discarded by ", "Events  19")


def test_every_event_that_mentions_a_sample_is_found(nuclei: NucleiRun) -> None:
    with open_run(nuclei.path) as run:
        run.refresh()
        search = EventSearch(TILE_00)
        assert searched(run, search) == mentioned(run, TILE_00)
        assert search.share == 1
        search.wanted = 0
        nuclei.train(2)
        assert searched(run, search) == mentioned(run, TILE_00)  # new ones, whatever is wanted
        nothing = EventSearch(SampleKey("train_loader", 0))
        assert searched(run, nothing) == []


def test_older_events_wait_until_somebody_wants_them(nuclei: NucleiRun) -> None:
    nuclei.train(80, predictions=False)
    with open_run(nuclei.path) as run:
        run.refresh()
        search, everything = EventSearch(TILE_00), mentioned(run, TILE_00)
        search.wanted = 10
        newest = searched(run, search)
        assert 10 <= len(newest) < len(everything)
        assert newest == everything[-len(newest) :]
        assert 0 < search.share < 1
        search.want_more()
        search.wanted = len(everything) + 1
        assert searched(run, search) == everything


def test_the_undoing_of_a_decision_is_an_event_of_the_sample(nuclei: NucleiRun) -> None:
    who = {"who": "anna", "why": "too dark"}
    discard = ("discarded", True, "train_loader", ["tile_00", "tile_01"], None, *who.values())
    nuclei.frame(discard, phase="outside")
    with open_run(nuclei.path) as run:
        position = run.log.next_position - 1
        nuclei.frame(("undone", (position,), True, "berta", ""), phase="outside")
        nuclei.frame(discard, phase="outside")
        run.refresh()
        detail = load_detail(run, TILE_00, None, None)
        assert detail.discarded_by is not None
        assert (detail.discarded_by.position, detail.discarded_by.why) == (position + 2, "too dark")
        decided = frozenset(p for one in detail.decisions for p in one.positions)
        search = EventSearch(TILE_00)
        assert {position, position + 1, position + 2} <= set(searched(run, search, decided))
        undone = search.found[position + 1]
        assert (undone.about, undone.says) == (str(position), "undone by berta")
        assert search.found[position].says == "discarded by anna: too dark"


def test_the_picture_of_the_past_has_the_prediction_of_that_step(nuclei: NucleiRun) -> None:
    nothing = np.zeros((TILE, TILE), np.int64)
    nuclei.step += 1
    nuclei.frame(
        nuclei._arrays_event("prediction", "train_loader", ["tile_00"], [nothing], None),
    )
    with open_run(nuclei.path) as run:
        run.refresh()
        now = load_scene(run, TILE_00, None)
        with run.at(step=1) as past:
            then = load_scene(past, TILE_00, now)
        assert now.prediction is not None
        assert then.prediction is not None
        assert not now.prediction.any()
        assert then.prediction.any()
        assert (now.moment, then.moment) == (None, 1)


def test_values_that_came_later_take_their_place_in_a_trajectory() -> None:
    late = Trajectory.of(np.array([4, 5, 1]), np.array([0.4, 0.5, 0.1]))
    assert late.steps.tolist() == [1, 4, 5]
    assert late.values.tolist() == [0.1, 0.4, 0.5]
    mean = Trajectory.mean_of([late, Trajectory.of(np.array([5, 6]), np.array([1.5, 2.0]))])
    assert mean.steps.tolist() == [1, 4, 5, 6]
    assert mean.values.tolist() == [0.1, 0.4, 1.0, 2.0]


def test_commands_print_what_the_screen_shows() -> None:
    odd = SampleKey("a loader", "it's")
    assert instances_command("r", odd) == """wl instances 'it'"'"'s' r --origin 'a loader'"""
    assert row_command("r", TILE_00, 3) == (
        """wl samples r --where 'origin == '"'"'train_loader'"'"' and sample_id == """
        """'"'"'tile_00'"'"'' --at-step 3"""
    )
    assert "sample_id == 7'" in row_command("r", SampleKey("x", 7))
    assert trajectory_command("r", TILE_00, "loss").startswith(
        "wl export - --format csv --history --samples --signal loss --where "
    )
    assert decisions_command("r", odd).startswith("wl history-of ")
    assert row_command("r", SampleKey("x", "'\"")) == ""  # no filter can say that
