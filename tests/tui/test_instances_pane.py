"""Samples and instances as a person works through them: all at once, marked, with trajectories."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np
from click.testing import CliRunner

from tests.tui.nuclei_run import NucleiRun
from tests.tui.screens import screen_line, screen_text, wait_for_text, wait_until
from tui.app import WlApp
from tui.panes.instances import InstancesPane
from tui.panes.samples import SamplesPane
from tui.panes.table_pane import TablePane
from tui.sample_table import RowKey
from tui.screens.detail import DetailScreen
from tui.trajectories import reading
from tui.widgets.sparkline import sparkline
from wl_core.cli import group
from wl_core.run import open_run


def printed(pane: TablePane, run: NucleiRun) -> list[list[str]]:
    """What the command of a pane prints into a pipe: lines of cells, without the header."""
    words = shlex.split(pane.command(str(run.path)))
    assert words[0] == "wl"
    result = CliRunner().invoke(group, words[1:])
    assert result.exit_code == 0, result.output
    return [line.split("\t") for line in result.stdout.splitlines()[1:]]


def worst_instances(run: NucleiRun) -> list[tuple[Any, ...]]:
    """``(origin, sample_id, annotation_id)`` by falling loss, read by other means."""
    with open_run(run.path) as reader:
        reader.refresh()
        rows = [reader.instances().row(n) for n in range(len(reader.instances()))]
    rows = [row for row in rows if "train_bce/instance" in row]
    rows.sort(key=lambda row: -row["train_bce/instance"])  # type: ignore[operator]
    return [(row["origin"], row["sample_id"], row["annotation_id"]) for row in rows]


async def test_the_five_worst_instances_of_a_run_are_marked_and_discarded(
    app: WlApp, nuclei: NucleiRun
) -> None:
    worst = worst_instances(nuclei)

    def opened() -> list[RowKey]:
        screen = app.screen
        return list(screen.chosen_rows()) if isinstance(screen, DetailScreen) else []

    def told() -> str:
        return "\n".join(note.message for note in app._notifications)

    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("2", "o")
        await wait_for_text(pilot, "of all samples", "annotation_id")
        pane = app.screen.query_one(InstancesPane)
        await pilot.press("s")
        await wait_for_text(pilot, "sorted by train_bce/instance▼")
        await pilot.press("m", "m", "m", "m", "m")
        await wait_for_text(pilot, "5 marked")
        assert list(pane.chosen_rows()) == [RowKey(*one) for one in worst[:5]]
        # The cursor's instance has chosen its sample for the other panes.
        await wait_until(pilot, lambda: pane.sample == worst[5][:2])
        assert pane.annotation_id == worst[5][2]
        assert [tuple(line[:3]) for line in printed(pane, nuclei)[:5]] == [
            (origin, sample, str(number)) for origin, sample, number in worst[:5]
        ]
        await pilot.press("d")
        await wait_until(pilot, lambda: screen_text(app).count("✗") >= 5)
        with open_run(nuclei.path) as run:
            assert all(run.view("instances").is_discarded(*one) for one in worst[:5])
        await pilot.press("escape")
        await wait_until(pilot, lambda: "5 marked" not in screen_text(app))
        await pilot.press("enter")  # the instance that was opened is the one that is looked at
        await wait_until(pilot, lambda: opened() == [RowKey(*worst[5])])
        await wait_for_text(pilot, "6 of 160 in the table's order", "I instance")
        await pilot.press("left_square_bracket")  # what comes before it in the table
        await wait_until(pilot, lambda: opened() == [RowKey(*worst[4])])
        await wait_for_text(pilot, f"instance {worst[4][2]}: ✗ discarded", "5 of 160")
        await pilot.press("d")
        await wait_until(pilot, lambda: "u takes it back" in told())
        assert "discarded" not in told()  # the newest outcome alone
        await pilot.press("u")
        await wait_until(pilot, lambda: "ctrl+r lets it count again" in told())
        await wait_for_text(pilot, f"instance {worst[4][2]}: ✗ discarded")
        await pilot.press("escape")
        await wait_until(pilot, lambda: list(pane.chosen_rows()) == [RowKey(*worst[4])])
        await pilot.press("down")
        await wait_until(pilot, lambda: pane.sample == worst[5][:2])
        await pilot.press("o")
        await wait_for_text(pilot, f"of train_loader / {worst[5][1]}")


async def test_filters_of_other_panes_are_shown_and_a_stale_one_says_so(
    app: WlApp, nuclei: NucleiRun
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for_text(pilot, "tile_00")
        pane = app.screen.query_one(SamplesPane)
        wanted = "density == 'sparse' and annotation_id == 1"
        pane.post_message(pane.FilterWanted(wanted, instances=True))
        await wait_for_text(pilot, "▸2 Instances", "8 of", wanted)
        shown = app.screen.query_one(InstancesPane)
        assert len(printed(shown, nuclei)) == 8
        pane.post_message(pane.FilterWanted("density == 'crowded'", instances=False))
        await wait_for_text(pilot, "▸1 Samples", "8 of 16")
        await pilot.press("l", "l", "s", "l", "S")
        await wait_until(pilot, lambda: len(pane.table.sort_keys) == 2)
        at_first = [str(pane.key(row).sample_id) for row in map(int, pane.table.order.rows)]  # type: ignore[arg-type]
        assert [line[1] for line in printed(pane, nuclei)] == at_first
        await pilot.press("escape")
        await wait_until(pilot, lambda: pane.table.row_count == 16)
        await pilot.press("slash", *"not discarded", "enter")
        await wait_for_text(pilot, "16 of 16")
        await pilot.press("d")
        await wait_for_text(pilot, "from before a change: r")
        await pilot.press("r")
        await wait_for_text(pilot, "15 of 16")


async def test_columns_are_chosen_from_a_list_and_remembered_of_the_run(
    app: WlApp, nuclei: NucleiRun
) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("c")
        await wait_for_text(pilot, "[x] ⇤ origin", "[x]   shape")
        await pilot.press("slash", *"dens", "enter")
        await wait_until(pilot, lambda: "[x]   shape" not in screen_text(app))
        await pilot.press("space")
        await wait_for_text(pilot, "[ ]   density")
        await pilot.press("slash", "escape")
        await wait_for_text(pilot, "[x]   path", "[ ]   density")
        await pilot.press("slash", *"dice/sam", "enter", "w", "K", "escape")
        await wait_for_text(pilot, "train_d…sample ∿")
        pane = app.screen.query_one(SamplesPane)
        await wait_until(pilot, lambda: "█" in screen_line(app, "tile_03"))
        before = [one.name for one in pane.table.shown]
        assert "density" not in before
        assert before.index("train_dice/sample") < before.index("train_bce/sample")
        assert len(printed(pane, nuclei)[0]) == len(before) - 1, "trajectories are of the screen"
        nuclei.train(30)
        drawn = screen_line(app, "tile_03")
        await wait_until(pilot, lambda: screen_line(app, "tile_03") != drawn, "newer values")
        await pilot.press("g", "s", "S")
        sort = pane.table.sort_keys
        assert sort
        await pilot.press("6")
    again = WlApp(nuclei.path)
    async with again.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "▸6 Slices")
        await pilot.press("1")
        await wait_for_text(pilot, "tile_00", "sorted by")
        table = again.screen.query_one(SamplesPane).table
        assert table.sort_keys == sort
        assert [one.name for one in table.shown] == before
        await pilot.press("c", "R", "escape")
        await wait_until(pilot, lambda: "density" in [one.name for one in table.shown])


def test_trajectories_are_a_rows_own_else_its_samples_or_the_mean_of_its_instances(
    nuclei: NucleiRun,
) -> None:
    sample = ("train_loader", "tile_03")
    with open_run(nuclei.path) as run:
        run.refresh()

        def drawn(row: RowKey, signal: str) -> str:
            while (found := reading({(0, signal): row})(run)) is None:
                continue
            return found[0][0, signal]

        own = run.signal_history("train_bce/instance", *sample, 2)[1]
        assert drawn(RowKey(*sample, 2), "train_bce/instance") == sparkline(own, 16)
        whole = run.signal_history("train_bce/sample", *sample)[1]
        assert drawn(RowKey(*sample, 2), "train_bce/sample") == sparkline(whole, 16)
        assert drawn(RowKey(*sample), "train_bce/sample") == sparkline(whole, 16)
        numbers = run.view("instances").annotation_ids(*sample)
        each = [run.signal_history("train_bce/instance", *sample, one)[1] for one in numbers]
        mean = sparkline(np.mean(each, axis=0), 16)
        assert drawn(RowKey(*sample), "train_bce/instance") == mean
        assert drawn(RowKey("test_loader", "tile_12"), "train_bce/instance") == ""
