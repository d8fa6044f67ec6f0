"""The events pane: all of the log, its end followed, a filter, an event in full."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tui.nuclei_run import NucleiRun
from tests.tui.screens import screen_line, wait_for_text, wait_until
from tui.app import WlApp
from tui.event_log import EventSearch, read_lines
from tui.panes.events import EventsPane
from wl_core.cli import main
from wl_core.errors import UnknownNameError, UsageError
from wl_core.event_filter import EventFilter
from wl_core.run import open_run


def said_by_cli(command: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The events that a command prints."""
    capsys.readouterr()
    with pytest.raises(SystemExit, match="0"):
        main([*shlex.split(command)[1:], "--json"])
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def long_log(nuclei: NucleiRun) -> None:
    """More events than news bring: most of the log must be read when one scrolls to it."""
    for _ in range(8):
        nuclei.frame(*[("step_values", ("rate",), np.array([0.1]))] * 250)


async def test_all_of_the_log_is_scrolled_followed_filtered_and_opened(
    nuclei: NucleiRun, capsys: pytest.CaptureFixture[str]
) -> None:
    long_log(nuclei)
    nuclei.frame(("tagged", "odd", True, "train_loader", ["tile_03"], None, "anna", "dark"))
    app = WlApp(nuclei.path)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.news is not None, "news")
        pane = app.screen.query_one(EventsPane)
        await pilot.press(str(pane.number))
        await wait_for_text(pilot, "tagged", "following")
        await pilot.press("g")
        await wait_for_text(pilot, "▸", "run_started", "train_dice/sample")
        nuclei.train(1, predictions=False)
        await wait_for_text(pilot, "at 0 · 4 new below")
        assert pane.command("a run") == "wl events 'a run' --from 0 --limit 20"
        await pilot.press("G")
        await wait_for_text(pilot, "following", "3 instance_values")

        await pilot.press("slash", *"kind:disc", "tab", "enter")
        await wait_for_text(pilot, "0 of ", "kind:discarded")
        await pilot.press("slash", "ctrl+u", *"kind:nix", "enter")
        await wait_for_text(pilot, "there is no event kind 'nix'")
        await pilot.press("ctrl+u", *"sample:tile_03 kind:tagged DARK", "enter")
        await wait_for_text(pilot, "1 of ", "▸", "odd  add=True  train_loader")
        command = pane.command(str(nuclei.path))
        await pilot.press("enter")
        await wait_for_text(pilot, "tagged at position", "by writer 6e75636c6569", "why: dark")
        await pilot.press("y", "escape")
        copied = json.loads(app.clipboard)
        await pilot.press("slash", "ctrl+u", *"signal:train_dice/sample", "enter")
        await wait_for_text(pilot, "4 of ")
        nuclei.train(1, predictions=False)
        await wait_for_text(pilot, "5 of ", "following")
        await pilot.press("escape")
        await wait_for_text(pilot, "in the log")
        assert "signal:" not in screen_line(app, "values, mean")
    assert command.endswith(" --kind tagged --sample tile_03 --text DARK --follow")
    assert said_by_cli(command.removesuffix(" --follow"), capsys) == [copied]


def test_a_search_finds_what_is_there_and_what_comes_in_bites(nuclei: NucleiRun) -> None:
    long_log(nuclei)
    search = EventSearch(EventFilter.parse("sample:tile_03 kind:exposed"))
    with open_run(nuclei.path) as run:
        bites = 1
        while search.bite(run, seconds=1e-6):
            bites += 1
        assert bites >= 3
        assert search.share == 1
        steps = [int(line.text.split()[1]) for line in read_lines(run, search.positions).values()]
        assert sorted(steps) == [0, 1, 2]
        nuclei.train(2, predictions=False)
        assert not search.bite(run)
        assert search.count == 5
        assert search.positions == sorted(search.positions)


def test_a_filter_is_read_as_it_is_written() -> None:
    wanted = EventFilter.parse("kind:values signal:a/b 'sample:tile 3' \"out of memory\" a:b")
    assert wanted == EventFilter(("values",), ("a/b",), ("tile 3",), texts=("out of memory", "a:b"))
    assert wanted.options() == (
        "--kind values --signal a/b --sample 'tile 3' --text 'out of memory' --text a:b"
    )
    assert not EventFilter.parse("  ")
    with pytest.raises(UsageError, match="expected a kind behind 'kind:'"):
        EventFilter.parse("kind:")
    with pytest.raises(UsageError, match="quotes closed"):
        EventFilter.parse("'a")
    with pytest.raises(UnknownNameError, match="Did you mean 'discarded'"):
        EventFilter(("discardd",)).check()


def test_events_of_a_signal_of_numbered_samples_and_of_any_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = NucleiRun(tmp_path / "run", train=["tile_00"])
    run.frame(("exposed", "train_loader", [7, 8]))
    run.frame(("step_values", ("rate", "norm"), np.array([0.1, 2.0])))
    run.frame(("pause_requested", "anna", "Too Slow"), phase="outside")
    run.close()

    def kinds(options: str) -> list[str]:
        found = said_by_cli(f"wl events {shlex.quote(str(run.path))} {options}", capsys)
        return [one["kind"] for one in found]

    assert kinds("--sample 8") == ["exposed"]
    assert kinds("--signal norm") == ["step_values"]
    assert kinds("--text slow --text ANNA") == ["pause_requested"]
    assert kinds("--origin test_loader --kind metadata") == ["metadata"]
    with pytest.raises(SystemExit, match="2"):
        main(["events", str(run.path), "--sample", "tile_99"])
    assert "there is no sample 'tile_99'. Did you mean" in capsys.readouterr().err
