"""Slices on the screen: the cross table, its marks, what Enter asks for, the worst slices."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tui.app
from tests.tui.nuclei_run import NucleiRun
from tests.tui.screens import screen_line, screen_text, wait_for_text, wait_until
from tests.tui.tables import number, text
from tui.app import WlApp
from tui.pane import Pane
from tui.panes.slices import SlicesPane
from tui.slicing import Asked, Cross
from tui.widgets.cross_table import CrossTable
from wl_core.cli import main
from wl_core.slices import cross
from wl_core.table import Table


def weather_table(counts: dict[tuple[str, str], int]) -> Table:
    """So many rows of each weather and shape; the loss of a row is its number."""
    cells = [cell for cell, count in counts.items() for _ in range(count)]
    return Table(
        (
            text("weather", [weather for weather, _ in cells]),
            text("shape", [shape for _, shape in cells]),
            number("loss", [float(row) for row in range(len(cells))]),
        )
    )


COUNTS = {("dry", "falls"): 60, ("dry", "stays"): 10, ("wet", "falls"): 4, ("wet", "stays"): 26}


def test_cells_totals_marks_and_filters_of_a_cross_table() -> None:
    crossing = cross(weather_table(COUNTS), "weather", "shape", "loss")
    shown = Cross(crossing, "count")
    assert shown.row_names == ["all", "dry", "wet"]
    assert shown.column_names == ["all", "falls", "stays"]
    assert [[shown.text(r, c) for c in range(3)] for r in range(3)] == [
        ["100", "64", "36"],
        ["70", "60", "10"],
        ["30", "4", "26"],
    ]
    assert [[shown.mark(r, c) for c in range(3)] for r in range(3)] == [
        [0, 0, 0],
        [0, 2, -2],
        [0, -2, 2],
    ]
    assert shown.filter(1, 2) == "weather == 'dry' and shape == 'stays'"
    assert (shown.filter(2, 0), shown.filter(0, 1)) == ("weather == 'wet'", "shape == 'falls'")
    assert (shown.count(2, 0), shown.count(0, 0), shown.filter(0, 0)) == (30, 100, "")
    assert Cross(crossing, "row_share").text(2, 2) == "86.7%"
    means = Cross(crossing, "mean")
    assert (means.text(1, 1), means.text(0, 0)) == ("29.5", "49.5")
    assert np.isnan(Cross(crossing, "residual").number(0, 1))


def test_few_expected_rows_are_flagged_and_rows_can_be_sorted_by_a_column() -> None:
    shown = Cross(
        cross(weather_table({**COUNTS, ("fog", "falls"): 1}), "weather", "shape"), "count"
    )
    assert [shown.is_doubtful(shown.row_names.index(n), 1) for n in ("dry", "fog")] == [False, True]
    shown.sort_by(2)
    assert [shown.row_names[place] for place in shown.order] == ["all", "wet", "dry", "fog"]
    shown.sort_by(None)
    assert list(shown.order) == [0, 1, 2, 3]


def test_what_was_asked_is_remembered_and_is_a_command() -> None:
    asked = Asked(True, "size:4", "shape", "mean", "bce/instance", "weather == 'wet'")
    assert Asked.from_memory(asked.to_memory()) == asked
    assert Asked.from_memory({"rows": "weather"}) is None
    assert shlex.split(asked.command("a run")) == [
        *("wl", "slices", "a run", "--instances", "--by", "size:4", "--against", "shape"),
        *("--signal", "bce/instance", "--where", "weather == 'wet'"),
    ]


class Heard(WlApp):
    """Remembers the filters that panes asked for."""

    CSS_PATH = Path(tui.app.__file__).with_name("wl.tcss")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.filters: list[tuple[str, bool]] = []

    def on_pane_filter_wanted(self, event: Pane.FilterWanted) -> None:
        self.filters.append((event.text, event.instances))


async def test_a_cell_is_found_read_and_opened(
    nuclei: NucleiRun, capsys: pytest.CaptureFixture[str]
) -> None:
    nuclei.train(4, predictions=False)
    app = Heard(nuclei.path)
    async with app.run_test(size=(80, 24)) as pilot:
        pane = next(p for p in await _panes(app, pilot) if isinstance(p, SlicesPane))
        await pilot.press(str(pane.number))
        await wait_for_text(pilot, "density ↓ shape →", "density × shape · count · instances")
        counted = pane.cross_table.cross
        assert counted is not None
        assert screen_line(app, "crowded").split()[1] == counted.text(1, 0)
        await pilot.press("down", "right")
        await wait_for_text(pilot, f"· {counted.count(1, 1):,} of {counted.count(0, 0):,}")
        await pilot.press("enter")
        await wait_until(pilot, lambda: len(app.filters) == 1, "a filter")
        await pilot.press(str(pane.number), "left", "enter")
        await wait_until(pilot, lambda: len(app.filters) == 2, "two filters")
        assert app.filters == [(counted.filter(1, 1), True), ("density == 'crowded'", True)]

        await pilot.press(str(pane.number), "v", *"mean", "enter")
        await wait_for_text(pilot, "mean of train_bce/instance · instances")
        command = shlex.split(pane.command(str(nuclei.path)))[1:]
        assert pane.cross_table.cross is not None
        mean = pane.cross_table.cross.number(1, 1)
        names = [pane.cross_table.cross.row_names[1], pane.cross_table.cross.column_names[1]]

        await pilot.press("a", *"nix", "enter")
        await wait_for_text(pilot, "there is no column 'nix'")
        await pilot.press("a", *"ori", "enter", "i")
        await wait_for_text(pilot, "density ↓ origin →", "· samples")
        await pilot.press("f")
        await wait_for_text(pilot, "the worst slices of 16 samples")
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [row["mean"] for row in found if [row["density"], row["shape"]] == names] == [mean]
    remembered = app.memory.get("slices.asked")
    assert (remembered["columns"], remembered["instances"]) == ("origin", False)


async def _panes(app: WlApp, pilot: Any) -> list[Pane]:
    await wait_until(pilot, lambda: app.news is not None, "news")
    return list(app.screen.query(Pane))


async def test_headings_stay_when_many_categories_scroll(nuclei: NucleiRun) -> None:
    app = WlApp(nuclei.path)
    async with app.run_test(size=(60, 12)) as pilot:
        (pane,) = (p for p in await _panes(app, pilot) if isinstance(p, SlicesPane))
        await pilot.press(str(pane.number))
        await wait_for_text(pilot, "density ↓ shape →")
        cells = {(f"row {r:02}", f"column {c:02}"): 1 + r for r in range(30) for c in range(12)}
        table = pane.cross_table
        table.show(Cross(cross(weather_table(cells), "weather", "shape"), "count"))
        await pilot.press("end", *["right"] * 12)
        await wait_for_text(pilot, "row 29", "column 11")
        top, totals = screen_text(app).splitlines()[3:5]
        assert top.startswith("weather ↓ shape →")
        assert totals.split()[0] == "all"
        assert "row 02" not in screen_text(app)
        assert "column 02" not in top
        assert isinstance(app.focused, CrossTable)
        assert (table.row, table.column) == (30, 12)
