"""The list of runs: each with its state, one opened, two compared."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.core.test_cli_export import wl
from tests.tui.nuclei_run import NucleiRun
from tests.tui.screens import screen_line, screen_text, wait_for_text, wait_until
from tui.app import WlApp
from tui.comparison import TwoRuns
from tui.panes.curves import CurvesPane
from tui.run_list import RunList
from tui.screens.main import MainScreen
from tui.screens.runs import RunsScreen
from wl_core import run_facts as facts_module
from wl_core.directory import RunDirectory


@pytest.fixture
def other(tmp_path: Path) -> Iterator[NucleiRun]:
    """A second run beside ``nuclei``, whose process died after five steps."""
    run = NucleiRun(tmp_path / "other")
    run.train(5, predictions=False)
    run.die()
    yield run
    run.close()


def break_log(path: Path) -> None:
    (RunDirectory(path).log / "data.mdb").write_bytes(b"no log")


async def show_those(pilot: Pilot[None], words: str) -> None:
    """Write the filter of the list and go back to its rows."""
    await pilot.press("slash")
    pilot.app.screen.query_one(Input).value = words
    await pilot.press("enter")
    await wait_for_text(pilot, "1 of 3" if words else "3 of 3")


async def test_runs_are_listed_with_their_state_compared_and_opened(
    nuclei: NucleiRun, other: NucleiRun, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(other.path, tmp_path / "broken")
    break_log(tmp_path / "broken")
    app = WlApp(nuclei.path, [CurvesPane])
    async with app.run_test(size=(140, 30), notifications=True) as pilot:
        await wait_until(pilot, lambda: app.news is not None)
        await pilot.press("R")
        await wait_for_text(pilot, "3 of 3")
        assert "● training" in screen_line(app, " nuclei ")
        assert "! crashed" in screen_line(app, " other ")
        assert "? unreadable" in screen_line(app, " broken ")
        nuclei.train(3, predictions=False)
        nuclei.frame(("paused", "ann", ""), phase="outside")
        await wait_until(pilot, lambda: "‖ paused" in screen_line(app, " nuclei "))

        # What cannot be read says so and does not open.
        await show_those(pilot, "broken")
        await pilot.press("enter")
        await wait_for_text(pilot, "broken cannot be")
        assert isinstance(app.screen, RunsScreen)

        # Two are marked and compared.
        await pilot.press("m", "m", "c")
        await wait_for_text(pilot, "mark two runs")
        await show_those(pilot, "nuclei")
        await pilot.press("m")
        await wait_for_text(pilot, "A nuclei")
        await show_those(pilot, "other")
        await pilot.press("m", "c")
        await wait_for_text(pilot, "wl diff nuclei other", "Samples by train_bce/sample")
        assert "12 differ" in screen_text(app)
        await pilot.press("v")
        await wait_for_text(pilot, "Samples by train_dice/sample")
        await pilot.press("equals_sign")
        assert wl(*shlex.split(app.clipboard)[1:]) == 0
        assert "train_dice/sample" in capfd.readouterr().out
        await pilot.press("tab", "shift+tab", "escape")
        await wait_until(pilot, lambda: isinstance(app.screen, RunsScreen))
        await pilot.press("equals_sign")
        assert wl(*shlex.split(app.clipboard)[1:]) == 0
        assert "crashed" in capfd.readouterr().out

        # The other one is opened in place of the first.
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, MainScreen))
        await wait_until(pilot, lambda: app.path == other.path and app.news is not None)
        await wait_for_text(pilot, "crashed")


def test_two_runs_are_compared_as_wl_diff_does(nuclei: NucleiRun, other: NucleiRun) -> None:
    with TwoRuns(nuclei.path, other.path) as runs:
        found = runs.compare(None, again=True)
        assert found is not None
        assert found.signal == "train_bce/sample"
        assert found.differing == 12
        names = [series.name for series in found.series]
        assert names[:2] == [f"{found.series[0].group} of {letter}" for letter in "AB"]
        assert {len(series.steps) for series in found.series} == {3, 5}
        assert runs.compare("train_bce/sample", again=False) is not None
        assert runs.compare("train_bce/sample", again=False) is None
        nuclei.train(1, predictions=False)
        assert runs.compare("train_bce/sample", again=False) is not None


def test_a_run_that_cannot_have_changed_is_not_opened_again(
    nuclei: NucleiRun, other: NucleiRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = facts_module.disk_usage

    def counting(path: Path) -> int | None:
        opened.extend([path.name] if path.parent == tmp_path else [])
        return real(path)

    monkeypatch.setattr(facts_module, "disk_usage", counting)
    runs = RunList(tmp_path)
    states = {one.facts.name: one.facts.state for one in runs.look()}
    assert states == {"nuclei": "training", "other": "crashed"}
    assert runs.look()[0].facts.bytes
    assert opened.count("other") == 1
    assert opened.count("nuclei") == 2
    shutil.rmtree(other.path)
    *_, gone = runs.look()
    assert (gone.facts.name, gone.facts.state) == ("other", "unreadable")
    assert gone.facts.detail == "deleted from disk"
