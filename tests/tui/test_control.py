"""Control and plugins: what is asked of the training from the TUI, and how plugins are."""

from __future__ import annotations

from typing import Any

from tests.tui.nuclei_run import NucleiRun
from tests.tui.screens import screen_line, wait_for_text, wait_until
from tui.app import WlApp
from tui.panes.control import ControlPane
from tui.panes.plugins import PluginsPane, plugin_rows
from tui.screens.setting import split_why
from wl_core.codec import Event, Frame, frame_events
from wl_core.hookspecs import hookimpl
from wl_core.log import EventLog
from wl_core.plugins import PluginFailure, Plugins, plugin_report


def last_event(nuclei: NucleiRun) -> Event:
    log = EventLog(nuclei.path / "rank-0000" / "log")
    try:
        frame = log.last_frame()
        assert isinstance(frame, Frame)
        return list(frame_events(frame))[-1]
    finally:
        log.close()


async def test_a_training_is_steered_and_what_came_of_it_is_said(  # noqa: PLR0915 - one story
    nuclei: NucleiRun,
) -> None:
    nuclei.frame(("hyperparameters", {"lr": 0.01, "epochs": 3}, "script", ""), phase="outside")
    app = WlApp(nuclei.path)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.news is not None, "news")
        pane = app.screen.query_one(ControlPane)

        async def told(kind: str) -> Event:
            await wait_until(pilot, lambda: last_event(nuclei).kind == kind, kind)
            return last_event(nuclei)

        await pilot.press(str(pane.number))
        await wait_for_text(pilot, "● training", "step 3", "lr", "0.01", "number", "script")
        assert pane.command("run") == "wl info run"
        await pilot.press("enter")
        asked = await told("pause_requested")
        nuclei.frame(("obeyed", asked.position, ""), ("paused", "tui", ""), phase="outside")
        await wait_for_text(pilot, "‖ paused", "pause by tui", "obeyed at step 3", "p  Go on")
        assert pane.command("run") == "wl pause run"

        await pilot.press(*["down"] * 5, "enter")
        await wait_for_text(pilot, "lr (number), now 0.01")
        await pilot.press("ctrl+u", *"fast", "enter")
        await wait_for_text(pilot, "got the text 'fast'", "▸ fast")
        await pilot.press("ctrl+u", *"0.02 # it jumps", "enter")
        asked = await told("hyperparameters")
        assert (asked.data["values"], asked.data["who"], asked.data["why"]) == (
            {"lr": 0.02},
            "tui",
            "it jumps",
        )
        await wait_until(pilot, lambda: "asked" in screen_line(app, "▸  lr"), "asked")
        nuclei.frame(("obeyed", asked.position, ""), phase="outside")
        await wait_for_text(pilot, "in force since step 3")
        assert pane.command("run") == "wl set --run run lr=0.02 --why 'it jumps'"

        await pilot.press("up")
        await pilot.press("n", "ctrl+u", *"0", "enter")
        await wait_for_text(pilot, "expected a whole number of at least 1, got '0'")
        await pilot.press("ctrl+u", *"2", "enter")
        asked = await told("steps_requested")
        assert asked.data["count"] == 2
        nuclei.frame(("obeyed", asked.position, "not now"), phase="outside")
        await wait_for_text(pilot, "2 steps by tui", "refused: not now")
        await pilot.press("v")
        await wait_for_text(pilot, "Evaluate on")
        await pilot.press("enter")
        assert (await told("evaluation_requested")).data["origin"] == "test_loader"

        await pilot.press("Q")
        await wait_for_text(pilot, "End the training of nuclei")
        await pilot.press("escape", "Q", *"enough", "enter")
        asked = await told("stop_requested")
        assert asked.data["why"] == "enough"
        assert pane.command("run") == "wl stop run --why enough"
        nuclei.frame(("obeyed", asked.position, ""), phase="outside")
        nuclei.finish("stopped", "by tui: enough")
        await wait_for_text(pilot, "✓ finished", "nobody is there to obey")
        count = last_event(nuclei).position
        app.read_only = True
        await pilot.press("n")
        await wait_for_text(pilot, "read-only: nothing can be changed from here")
        assert last_event(nuclei).position == count

        plugins = app.screen.query_one(PluginsPane)
        await pilot.press(str(plugins.number))
        await wait_for_text(pilot, "✓ ok", "built in")
        unwell = sum(one.state != "ok" for one in plugin_report())  # by other tests' doing
        app.pane_failures["Weather"] = "Traceback: no weather today"
        await wait_for_text(pilot, f"{1 + unwell} not well", "The pane Weather failed")
        await pilot.press("g", *["j"] * unwell)
        await wait_for_text(pilot, "no weather today")
        assert plugins.command("run") == "wl plugins run --tracebacks"


def test_a_reason_stands_behind_a_hash() -> None:
    assert split_why("0.1") == ("0.1", "")
    assert split_why("0.1 # it jumps") == ("0.1", "it jumps")
    assert split_why("'a # b' # c") == ("'a # b'", "c")
    assert split_why("a#b") == ("a#b", "")


class Weather:
    """A plugin with commands, and with a column that fails."""

    @hookimpl
    def wl_tui_commands(self) -> dict[str, Any]:
        return {"Rain": print, "Shine": print}

    @hookimpl
    def wl_columns(self) -> list[Any]:
        raise ValueError("out of luck")


def test_what_a_plugin_adds_and_why_it_is_not_well() -> None:
    failures: list[PluginFailure] = []
    plugins = Plugins(builtins=("wl_plugins.curves",), installed=False, report=failures.append)
    plugins.register(Weather(), "weather")
    assert [dict(one.adds) for one in plugins.report()] == [{}, {}]
    plugins.mapping("wl_tui_commands")
    plugins.collect("wl_columns", run=None, table=None)
    plugins.collect("wl_projections")
    weather, curves = plugin_rows(plugins.report(), (), [("a pane failed:", "Traceback: x")])[:2]
    assert (weather.name, weather.state, weather.source) == (
        "weather",
        "degraded",
        "registered by the script",
    )
    assert dict(weather.adds)["wl_tui_commands"] == ("Rain", "Shine")
    assert "wl_columns: ValueError: out of luck" in weather.detail
    assert "out of luck" in weather.traceback
    assert (curves.name, curves.traceback) == ("a pane failed", "Traceback: x")
    assert "palette commands: Rain, Shine" in weather.said()
