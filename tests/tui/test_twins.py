"""Everything on the screen has a command that prints it: each is run as it is offered."""

from __future__ import annotations

import shlex

from click.testing import CliRunner

from tests.tui.nuclei_run import NucleiRun
from tests.tui.screens import wait_for_text, wait_until
from tui.app import WlApp
from tui.screens.main import MainScreen
from wl_core.cli import group
from wl_core.plugins import load_plugins


def run(command: str) -> str:
    """What the command prints; it must end well."""
    program, *arguments = shlex.split(command)
    assert program == "wl"
    arguments = [one for one in arguments if one != "--follow"]  # it would not end
    known = {one.name: one for one in load_plugins().collect("wl_cli_commands")}
    name, *rest = arguments
    done = CliRunner().invoke(known.get(name) or group.commands[name], rest)
    assert done.exit_code == 0, f"{command}\n{done.output}"
    return done.output


async def test_every_pane_offers_a_command_that_runs(app: WlApp, nuclei: NucleiRun) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for_text(pilot, "tile_00")
        screen = app.screen
        assert isinstance(screen, MainScreen)
        panes = {pane.title: pane for pane in screen.panes}
        for pane in screen.panes:
            screen.show_pane(pane)
            await wait_until(pilot, lambda pane=pane: bool(pane.command(str(nuclei.path))))
            run(pane.command(str(nuclei.path)))
        assert "tile_00" in run(panes["Samples"].command(str(nuclei.path)))
        app.show_step(1)
        await wait_until(pilot, lambda: app.news is not None and app.news.moment == 1)
        for title in ("Samples", "Instances", "Curves", "Events", "Slices"):
            command = panes[title].command(str(nuclei.path))
            assert "--at-step 1" in command
            run(command)
        assert app.pane_failures == {}


async def test_the_screen_of_a_sample_offers_a_command_for_each_of_its_parts(
    app: WlApp, nuclei: NucleiRun
) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("enter")
        await wait_for_text(pilot, "▸Picture", "P prediction", "Instances  12")
        said = []
        for _ in range(5):
            await pilot.press("equals_sign")
            said.append(app.clipboard)
            assert run(app.clipboard)
            await pilot.press("tab")
        assert [one.split()[1] for one in said] == [
            "instances", "samples", "export", "instances", "history-of",
        ]  # fmt: skip
        # A dialog has no command of its own, and says none of the screen below it.
        app.copy_to_clipboard("")
        await pilot.press("question_mark", "equals_sign")
        assert app.clipboard == ""
