"""Curves: no spike is lost, and nothing is told by colour alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from textual.app import App, ComposeResult

from tests.tui.screens import screen_text
from tui.widgets import braille
from tui.widgets.plot import CurvePlot
from tui.widgets.sparkline import sparkline
from wl_core.axes import nice_ticks, tick_label
from wl_core.series import Series

STEPS = np.arange(10_000.0)


class PlotApp(App[None]):
    CSS_PATH = "../../tui/wl.tcss"

    def __init__(self, series: Sequence[Series]) -> None:
        super().__init__()
        self.plot = CurvePlot()
        self.first = series

    def compose(self) -> ComposeResult:
        yield self.plot

    def get_css_variables(self) -> dict[str, str]:
        return {**super().get_css_variables(), "state-training": "green"}

    def on_mount(self) -> None:
        self.plot.set_series(self.first)
        self.plot.focus()


def falling(name: str = "loss", scale: float = 1.0) -> Series:
    mean = scale * np.exp(-STEPS / 3000)
    return Series(name, STEPS, mean, mean * 0.5, mean * 2)


def test_a_spike_of_one_step_among_ten_thousand_is_drawn() -> None:
    values = np.zeros(10_000)
    values[7_777] = 1.0
    thinned = braille.thin(STEPS, values, (0, 9_999), 100)
    assert np.nanmax(thinned.high) == 1.0
    dots = braille.line_dots(thinned, (0.0, 1.0), 40)
    assert dots[0].sum() >= 1


def test_a_lone_point_is_drawn() -> None:
    thinned = braille.thin(np.array([5.0]), np.array([0.5]), (4.5, 5.5), 80)
    assert braille.line_dots(thinned, (0.0, 1.0), 40).any()


def test_nan_and_inf_leave_gaps() -> None:
    values = np.ones(10_000)
    values[4_000:6_000] = np.nan
    values[0] = np.inf
    thinned = braille.thin(STEPS, values, (0, 9_999), 100)
    assert np.isnan(thinned.high[45:55]).all()
    assert np.nanmax(thinned.high) == 1.0


def test_dots_become_the_braille_pattern_of_their_place() -> None:
    dots = np.zeros((4, 2), np.bool_)
    dots[0, 0] = dots[3, 1] = True
    patterns, counts = braille.to_cells(dots)
    assert chr(braille.BRAILLE + int(patterns[0, 0])) == "⢁"
    assert counts[0, 0] == 2


@pytest.mark.parametrize(
    ("value", "label"),
    [(0.25, "0.25"), (12_500, "12.5k"), (2e6, "2e6"), (1e-5, "1e-5"), (0, "0"), (-3, "-3")],
)
def test_tick_labels_are_short(value: float, label: str) -> None:
    assert tick_label(value) == label


def test_ticks_are_round_and_inside() -> None:
    assert nice_ticks(0.03, 0.97, 4) == pytest.approx([0.25, 0.5, 0.75])
    assert nice_ticks(5.0, 5.0, 4) == [5.0]


async def test_the_legend_has_the_latest_value_or_the_cursors() -> None:
    app = PlotApp([falling()])
    async with app.run_test(size=(80, 20)) as pilot:
        assert "loss 0.03569" in screen_text(app)
        await pilot.press("h")
        assert "step 9858" in screen_text(app)
        assert " to " in screen_text(app)
        await pilot.press("0")
        assert "step 9" not in screen_text(app).splitlines()[0]


async def test_zoom_narrows_the_steps_in_sight_and_0_shows_all() -> None:
    app = PlotApp([falling()])
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("plus", "plus")
        left, right = app.plot.x_range
        assert right - left == pytest.approx(9_999 / 4)
        await pilot.press("minus", "0")
        assert app.plot.x_range == (0.0, 9_999.0)


async def test_log_scale_says_so_and_leaves_out_what_is_not_positive() -> None:
    mean = np.linspace(-1, 1, 100)
    app = PlotApp([Series("margin", np.arange(100.0), mean)])
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("o")
        assert "log y" in screen_text(app)


async def test_the_band_widens_the_axis_until_it_is_switched_off() -> None:
    app = PlotApp([falling()])
    async with app.run_test(size=(80, 20)) as pilot:
        assert "2 ┤" in screen_text(app)
        await pilot.press("b")
        assert "2 ┤" not in screen_text(app)


async def test_without_colour_letters_tell_series_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = PlotApp([falling("first"), falling("second", 0.3)])
    async with app.run_test(size=(80, 20)):
        lines = screen_text(app).splitlines()
    assert "a first" in lines[0]
    assert "b second" in lines[0]
    drawn = "\n".join(line[9:] for line in lines[1:-2])
    assert "a" in drawn
    assert "b" in drawn


async def test_nothing_to_draw_and_no_room_are_no_errors() -> None:
    app = PlotApp([])
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("n", "h", "plus", "o")
        app.plot.set_series([Series("empty", np.empty(0), np.empty(0))])
        await pilot.resize_terminal(10, 3)
        await pilot.pause()


def test_a_sparkline_keeps_spikes_and_leaves_nan_blank() -> None:
    values = np.zeros(1_000)
    values[500] = 1.0
    assert "█" in sparkline(values, 20)
    assert sparkline(np.array([0.0, np.nan, 1.0]), 20) == "▁ █"
    assert sparkline(np.array([]), 20) == ""
    assert sparkline(np.array([np.nan, np.inf]), 20) == "  "
