"""What fails is said with its traceback, and the rest goes on."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from textual.app import ComposeResult
from textual.widgets import Static

from tests.tui.nuclei_run import NucleiRun
from tests.tui.screens import screen_text, wait_for_text
from tui.app import WlApp
from tui.follow import News
from tui.pane import Pane
from tui.plugin import wl_tui_panes
from wl_plugins.curves import Curves


async def test_a_parked_projection_is_shown_and_the_others_go_on(
    app: WlApp, nuclei: NucleiRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Curves, batch: Any) -> None:
        raise ZeroDivisionError("no curve today")

    async with app.run_test(size=(120, 36)) as pilot:
        await wait_for_text(pilot, "train_bce/sample", "3 of 3")
        monkeypatch.setattr(Curves, "fold", broken)
        nuclei.train(2)
        await wait_for_text(pilot, "! parked: curves (e shows why)", "step 5")
        assert "tile_00" in screen_text(app)
        await pilot.press("e")
        await wait_for_text(pilot, "curves is parked at position", "no curve today", "Traceback")
        await pilot.press("escape")
        nuclei.train(1)
        await wait_for_text(pilot, "step 6")


async def test_samples_that_cannot_be_folded_are_said_too(
    nuclei: NucleiRun,
) -> None:
    nuclei.frame(
        ("arrays", "prediction", "train_loader", ["tile_00"], None, None,
         np.zeros(3, "V16"), np.zeros(3, np.uint8), [("<i8", (4, 4))])
    )  # fmt: skip
    app = WlApp(nuclei.path)
    async with app.run_test(size=(120, 36)) as pilot:
        await wait_for_text(pilot, "! parked: samples", "arrays")
        await pilot.press("j", "enter", "d", "2", "3", "1", "s")
        await pilot.pause()
        assert app.is_running


class CountingPane(Pane):
    """What a plugin might add."""

    title: ClassVar[str] = "Counting"

    def compose_body(self) -> ComposeResult:
        yield Static(id="count")

    def run_changed(self, news: News) -> None:
        self.query_one("#count", Static).update(f"{len(news.samples)} samples so far")

    def sample_chosen(self, sample: object) -> None:
        raise RuntimeError("cannot count that")


async def test_a_plugins_pane_has_a_key_and_its_failure_is_its_own(nuclei: NucleiRun) -> None:
    app = WlApp(nuclei.path, [*wl_tui_panes(), CountingPane])
    async with app.run_test(size=(80, 24)) as pilot:
        number = str(len(app.screen.query(Pane)))
        await wait_for_text(pilot, "tile_00", f"{number} Cou")
        await pilot.press(number)
        await wait_for_text(pilot, "16 samples so far", "failed: RuntimeError")
        await pilot.press("e")
        await wait_for_text(pilot, "cannot count that")
        await pilot.press("escape", "1")
        await wait_for_text(pilot, "tile_00")
