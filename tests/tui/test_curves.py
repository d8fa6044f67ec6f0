"""The pane of curves: what is chosen, over it the lines of samples, the past, and files."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from textual.widgets import Input

from tests.core.test_cli_export import wl
from tests.tui.nuclei_run import NucleiRun
from tests.tui.screens import screen_text, wait_for_text, wait_until
from tui.app import WlApp
from tui.life import marks_of
from tui.panes.curves import CurvesPane
from tui.sample_table import SampleKey
from tui.screens.ask import AskScreen
from tui.screens.pick import PickScreen
from wl_core.run import open_run


async def test_curves_are_chosen_smoothed_marked_and_written_to_files(
    nuclei: NucleiRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    nuclei.train(3, predictions=False)
    nuclei.frame(("paused", "ann", "lunch"), phase="outside")
    nuclei.train(3, predictions=False)
    app = WlApp(nuclei.path, [CurvesPane])
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        pane = app.screen.query_one(CurvesPane)
        await wait_until(pilot, lambda: len(pane.plot.marks) == 1, "the mark of the pause")

        # Some of them, found by typing a part of their names.
        await pilot.press("c")
        await wait_until(pilot, lambda: isinstance(app.screen, PickScreen))
        await pilot.press("x", "slash", *"di", "enter", "a", "enter")
        await wait_until(pilot, lambda: not isinstance(app.screen, PickScreen))
        assert pane.shown == ("train_dice/sample",)

        # The line of the chosen sample lies over the curve of all.
        pane.post_message(pane.SampleChosen(SampleKey("train_loader", "tile_00")))
        await pilot.press("i")
        first = pane.shown[0]
        await wait_until(pilot, lambda: f"{first} of tile_00" in {s.name for s in pane.plot.series})
        await pilot.press("s")
        assert pane.plot.weight == 0.6
        assert all(series.raw is not None for series in pane.plot.series)

        # The cursor says what happened at its step.
        await pilot.press("left_curly_bracket")
        await wait_for_text(pilot, "‖ 6: paused by ann lunch", "smoothed 0.6")

        # A picture and a table of what is shown; what is there is not replaced unasked.
        for name in ("c.svg", "c.csv"):
            await pilot.press("x")
            await wait_until(pilot, lambda: isinstance(app.screen, AskScreen))
            app.screen.query_one(Input).value = name
            await pilot.press("enter")
            await wait_until(pilot, (tmp_path / name).exists, name)
        lines = pane.plot.series
        root = Xml.parse(tmp_path / "c.svg")
        drawn = [one for one in root.iter() if one.get("class") == "line"]
        assert len(drawn) == len(lines)
        rows = list(csv.DictReader((tmp_path / "c.csv").read_text().splitlines()))
        of_first = [row for row in rows if row["series"] == first]
        assert [float(row["smoothed"]) for row in of_first] == lines[0].mean.tolist()
        assert [int(row["step"]) for row in of_first] == lines[0].steps.tolist()
        written = (tmp_path / "c.csv").stat().st_mtime_ns
        await pilot.press("x")
        await wait_until(pilot, lambda: isinstance(app.screen, AskScreen))
        app.screen.query_one(Input).value = "c.csv"
        await pilot.press("enter")
        await wait_for_text(pilot, "is there already")
        assert (tmp_path / "c.csv").stat().st_mtime_ns == written

        # The command that it names prints the same lines.
        command = shlex.split(pane.command(str(nuclei.path)))
    assert wl(*command[1:]) == 0
    names = [line.split("\t")[0] for line in capfd.readouterr().out.splitlines()[1:]]
    assert names == [series.name for series in lines]


async def test_in_the_past_curves_end_there_and_the_rest_is_faint(nuclei: NucleiRun) -> None:
    nuclei.train(6, predictions=False)
    app = WlApp(nuclei.path, [CurvesPane])
    async with app.run_test(size=(80, 24)) as pilot:
        pane = app.screen.query_one(CurvesPane)
        await wait_until(pilot, lambda: bool(pane.plot.series))
        app.show_step(4)
        await wait_until(pilot, lambda: pane.plot.moment == 4)
        series = pane.plot.series[0]
        assert series.steps[-1] == 4
        assert series.faint is not None
        assert series.faint[0][-1] == 8
        assert "up to step 4" in screen_text(app)
        assert "--at-step 4" in pane.command("run")
        app.show_step(None)
        await wait_until(pilot, lambda: pane.plot.moment is None)
        assert pane.plot.series[0].faint is None


def test_what_a_script_says_at_first_makes_no_mark_and_what_people_do_makes_one(
    nuclei: NucleiRun,
) -> None:
    nuclei.frame(("hyperparameters", {"lr": 0.5}, "script", ""), phase="outside")
    nuclei.frame(("hyperparameters", {"lr": 0.1}, "ann", ""), phase="outside")
    nuclei.frame(
        ("evaluation_finished", "test_loader", "hard", 4, {}, False, "", -1), phase="outside"
    )
    with open_run(nuclei.path) as run:
        said = {(mark.step, mark.symbol, mark.text) for mark in marks_of(run)}
    assert said == {
        (3.0, "✎", "lr 0.1 set by ann"),
        (3.0, "◆", "evaluation on test_loader [hard] done"),
    }
