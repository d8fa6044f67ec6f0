"""Lazy columns in the TUI: nothing is computed that nobody looks at, then it follows the run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.tui.nuclei_run import NucleiRun
from tests.tui.screens import screen_text, wait_for_text, wait_until
from tui import lazy
from tui.app import WlApp
from tui.lazy import LazyColumns
from tui.panes.samples import SamplesPane
from wl_core.lazy_column import LazyColumn
from wl_core.run import open_run
from wl_core.table import Table, TableColumn


def computed(app: WlApp) -> list[Any]:
    """The shapes of all samples in the table that is on the screen."""
    column = app.screen.query_one(SamplesPane).table.table.column("shape")
    return [column.cell(row) for row in range(len(column))]


async def test_a_filter_by_shape_waits_until_shapes_are_there(
    samples_app: WlApp, nuclei: NucleiRun
) -> None:
    nuclei.train(9)
    async with samples_app.run_test(size=(50, 24)) as pilot:
        await wait_for_text(pilot, "tile_00")
        assert not samples_app.follower.lazy.any_wanted
        assert set(computed(samples_app)) == {None}
        await pilot.press("slash", *"shape is not empty", "enter")
        await wait_for_text(pilot, "12 of 16")
        assert samples_app.follower.lazy.any_wanted
        assert sum(shape is not None for shape in computed(samples_app)) == 12
        assert "computing" not in screen_text(samples_app)


async def test_a_column_that_comes_into_sight_is_computed_and_follows_the_run(
    samples_app: WlApp, nuclei: NucleiRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lazy, "_REST", 0.05)
    monkeypatch.setattr(lazy, "_SHARE", 0)
    async with samples_app.run_test(size=(50, 24)) as pilot:
        await wait_for_text(pilot, "tile_00")
        table = samples_app.screen.query_one(SamplesPane).table
        place = table.table.names.index("shape") - table.cursor_column
        assert "shape" not in table.columns_in_sight
        await pilot.press(*["right"] * place)
        await wait_until(pilot, lambda: samples_app.follower.lazy.any_wanted)
        assert set(computed(samples_app)) == {None}  # 3 values have no shape
        nuclei.train(6)
        await wait_until(
            pilot, lambda: sum(shape is not None for shape in computed(samples_app)) == 12
        )


def test_a_costly_column_is_computed_for_a_fiftieth_of_the_time(
    nuclei: NucleiRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(lazy.time, "monotonic", lambda: now[0])
    loads: list[float] = []

    def load(rows: object) -> TableColumn:
        loads.append(now[0])
        now[0] += 2
        return TableColumn("slow", "text", np.zeros(3, np.int32), np.ones(3, np.bool_), ["x"])

    columns = LazyColumns()
    with open_run(nuclei.path) as run:

        def look() -> frozenset[str]:
            return columns.shown(run, Table((LazyColumn("slow", "text", 3, load),)))[1]

        assert (look(), columns.is_due, loads) == ({"slow"}, False, [])
        columns.want(frozenset({"slow"}))
        assert columns.is_due
        assert (look(), columns.is_due, loads) == (frozenset(), False, [100.0])
        now[0] += 99
        assert (look(), columns.is_due) == (frozenset(), False)
        now[0] += 2
        assert columns.is_due
        assert (look(), loads) == (frozenset(), [100.0, 203.0])
