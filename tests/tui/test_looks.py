"""What the screens look like; `snapshots` says how to accept a new look."""

from __future__ import annotations

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.tui.nuclei_run import NucleiRun
from tests.tui.screens import wait_for_text
from tests.tui.snapshots import DrawnScreen, TextScreen, stable_svg, stable_text
from tui.app import WlApp
from tui.config import Config

SMALL = (80, 24)


@pytest.fixture
def looks(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(TextScreen)


async def test_80_by_24(app: WlApp, looks: SnapshotAssertion) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "tile_00", "d Discard", "step 3")
        assert stable_text(app) == looks(name="samples")
        await pilot.press("2")
        await wait_for_text(pilot, "12 of", "d Discard")
        assert stable_text(app) == looks(name="instances")
        await pilot.press("4")
        await wait_for_text(pilot, "3 of 3")
        assert stable_text(app) == looks(name="curves")


@pytest.mark.parametrize("theme", ["wl-dark", "wl-light", "wl-contrast", "ansi-dark"])
async def test_themes(nuclei: NucleiRun, snapshot: SnapshotAssertion, theme: str) -> None:
    app = WlApp(nuclei.path, config=Config(theme=theme))
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "tile_00", "d Discard")
        await pilot.press("3")
        await wait_for_text(pilot, "P prediction", "d Discard")
        assert await stable_svg(pilot) == snapshot.use_extension(DrawnScreen)
