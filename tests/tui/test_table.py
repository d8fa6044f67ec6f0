"""The table of samples as a person uses it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.tui.screens import screen_line, screen_text, wait_until
from tests.tui.tables import TableApp, lists, losses, number, text
from tui.widgets import ordered_table as table_module
from tui.widgets.table import VirtualTable
from wl_core.errors import UnknownNameError
from wl_core.filters import Filter
from wl_core.row_order import SortKey
from wl_core.table import Table


def body(app: TableApp) -> list[str]:
    return [line for line in screen_text(app).splitlines()[1:] if line.strip()]


def ids(app: TableApp) -> list[str]:
    """The sample ids on the screen, top to bottom."""
    return [
        next(word for word in line.replace("✗", " ").split() if word[0] == "s")
        for line in body(app)
    ]


async def test_cells_are_blank_when_empty_and_nan_when_recorded_so() -> None:
    app = TableApp(losses([0.25, None, float("nan")]))
    async with app.run_test(size=(40, 8)):
        lines = body(app)
    assert lines[0].split() == ["▸", "s0", "0.25"]
    assert lines[1].split() == ["s1"]
    assert lines[2].split() == ["s2", "nan"]


async def test_an_aggregated_cell_is_marked_and_digits_stay_aligned() -> None:
    marks = number("dice", [0.5, 0.25], [True, False])
    app = TableApp(Table((text("sample_id", ["s0", "s1"]), marks)))
    async with app.run_test(size=(40, 8)):
        first, second = body(app)
    assert first.rstrip().endswith("0.5~")
    assert second.rstrip().endswith("0.25")
    assert first.index("0.5~") + 3 == second.index("0.25") + 4


async def test_lists_stand_to_the_left_and_end_in_an_ellipsis_where_they_are_cut() -> None:
    cells: list[list[Any]] = [[1, 0.5, True], [], ["a rather long text", "and another"]]
    app = TableApp(Table((text("sample_id", ["s0", "s1", "s2"]), lists("classes", cells))))
    async with app.run_test(size=(60, 8)) as pilot:
        shown = [line.split(maxsplit=1)[1].rstrip() for line in body(app)[1:]]
        assert shown == ["[]", "[a rather long text, an…"]
        assert body(app)[0].split(maxsplit=2)[2].rstrip() == "[1, 0.5, yes]"
        await pilot.press("right", "s")
        await wait_until(pilot, lambda: ids(app) == ["s1", "s0", "s2"])


async def test_a_discarded_row_is_marked_in_text() -> None:
    app = TableApp(losses([0.1, 0.2], discarded=[False, True]))
    async with app.run_test(size=(40, 8)):
        assert "✗" in screen_line(app, "s1")
        assert "✗" not in screen_line(app, "s0")


async def test_s_sorts_by_the_cursors_column_worst_first_then_back() -> None:
    app = TableApp(losses([0.2, 0.9, 0.5]))
    async with app.run_test(size=(40, 8)) as pilot:
        await pilot.press("right", "s")
        await wait_until(pilot, lambda: ids(app) == ["s1", "s2", "s0"])
        assert "loss▼" in screen_text(app)
        await pilot.press("s")
        await wait_until(pilot, lambda: ids(app) == ["s0", "s2", "s1"])
        assert "loss▲" in screen_text(app)
        await pilot.press("s")
        await wait_until(pilot, lambda: ids(app) == ["s0", "s1", "s2"])


async def test_a_click_on_a_header_sorts_by_it() -> None:
    app = TableApp(losses([0.2, 0.9, 0.5]))
    async with app.run_test(size=(40, 8)) as pilot:
        await pilot.click(VirtualTable, offset=(18, 0))
        await wait_until(pilot, lambda: ids(app) == ["s1", "s2", "s0"])


async def test_new_values_do_not_move_rows_until_asked() -> None:
    app = TableApp(losses([0.2, 0.9, 0.5]))
    async with app.run_test(size=(40, 8)) as pilot:
        await pilot.press("right", "s", "down")
        await wait_until(pilot, lambda: ids(app) == ["s1", "s2", "s0"])
        app.widget.set_table(losses([5.0, 0.1, 0.5, 9.0]), step=12)
        await pilot.pause()
        assert ids(app) == ["s1", "s2", "s0", "s3"]
        assert app.widget.cursor_row == 2
        assert app.widget.order_age is not None
        assert app.widget.order_age[0] == 12
        assert app.widget.rows_not_ordered == 1
        await pilot.press("r")
        await wait_until(pilot, lambda: ids(app) == ["s3", "s0", "s2", "s1"])
        assert app.widget.cursor_row == 2


async def test_the_cursor_stays_on_its_row_and_line_when_rows_come_above_it() -> None:
    app = TableApp(losses([0.0] * 100))
    async with app.run_test(size=(40, 12)) as pilot:
        app.widget.set_table(losses([0.0] * 100), np.arange(100, 200))
        await pilot.press("G", "k", "k")
        line = next(n for n, one in enumerate(screen_text(app).splitlines()) if "▸" in one)
        grown = np.sort(np.concatenate([np.arange(100, 200), np.arange(5)]))
        app.widget.set_table(losses([0.0] * 105), grown)
        await wait_until(pilot, lambda: "▸" in screen_text(app))
        assert app.widget.ids[app.widget.cursor_row] == 197
        await wait_until(pilot, lambda: "▸" in screen_text(app).splitlines()[line])


async def test_a_row_that_is_still_under_the_cursor_is_not_announced_again() -> None:
    app = TableApp(losses([0.0, 1.0]))
    async with app.run_test(size=(40, 8)) as pilot:
        await pilot.press("down")
        app.widget.set_table(losses([3.0, 4.0]))
        await pilot.pause()
        assert app.heard == [0, 1]


async def test_a_filter_shows_the_matching_rows_and_none_takes_it_off() -> None:
    app = TableApp(losses([0.2, 0.9, 0.5]))
    async with app.run_test(size=(40, 8)) as pilot:
        app.widget.set_filter(Filter.parse("loss > 0.4").mask)
        await wait_until(pilot, lambda: ids(app) == ["s1", "s2"])
        app.widget.set_filter(None)
        await wait_until(pilot, lambda: ids(app) == ["s0", "s1", "s2"])


async def test_a_large_table_is_sorted_by_a_worker_and_the_loop_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table_module, "SMALL", 2)
    app = TableApp(losses([0.2, 0.9, 0.5]))
    async with app.run_test(size=(40, 8)) as pilot:
        app.widget.sort_by(SortKey("loss", True))
        assert ids(app) == ["s0", "s1", "s2"]
        await wait_until(pilot, lambda: ids(app) == ["s1", "s2", "s0"])


async def test_an_order_that_cannot_be_made_is_told_and_the_old_one_stays() -> None:
    app = TableApp(losses([0.2, 0.9]))
    async with app.run_test(size=(40, 8)) as pilot:
        app.widget.sort_by(SortKey("lost", True))
        await wait_until(pilot, lambda: bool(app.errors))
        assert isinstance(app.errors[0], UnknownNameError)
        assert ids(app) == ["s0", "s1"]


async def test_vim_and_arrow_keys_move_the_cursor_to_both_ends() -> None:
    app = TableApp(losses([0.0] * 50))
    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.press("j", "down", "k")
        assert app.widget.cursor == 1
        await pilot.press("G")
        assert app.widget.cursor == 49
        assert "s49" in screen_text(app)
        await pilot.press("g")
        assert app.widget.cursor == 0
        await pilot.press("pagedown", "pageup")
        assert app.widget.cursor == 0


async def test_fixed_columns_stay_when_the_rest_scrolls() -> None:
    columns = [number(f"signal_{n}", [float(n)]) for n in range(10)]
    app = TableApp(Table((text("sample_id", ["s0"]), *columns)), fixed=1)
    async with app.run_test(size=(40, 5)) as pilot:
        assert screen_text(app).splitlines()[0].endswith("›")
        await pilot.press(*["l"] * 10)
        header = screen_text(app).splitlines()[0]
        assert "sample_id" in header
        assert "signal_9" in header
        assert "signal_0" not in header
        assert "s0" in body(app)[0]


async def test_a_number_at_the_edge_is_shown_whole_or_not_at_all() -> None:
    columns = [number(f"signal_{n}", [123.4 + n]) for n in range(6)]
    app = TableApp(Table((text("sample_id", ["s0"]), *columns)), fixed=1)
    async with app.run_test(size=(45, 5)) as pilot:
        seen: set[str] = set()
        for _ in range(8):
            seen |= set(body(app)[0].replace("▸", " ").split()[1:])
            await pilot.press("l")
        assert seen == {f"{123.4 + n:.4g}" for n in range(6)} | {"…"}


async def test_enter_opens_the_row_only_where_somebody_listens() -> None:
    app = TableApp(losses([0.1, 0.2]), opens=True)
    async with app.run_test(size=(40, 8)) as pilot:
        await pilot.press("down", "enter")
        await wait_until(pilot, lambda: ("chosen", 1) in app.heard)
    silent = TableApp(losses([0.1]))
    async with silent.run_test(size=(40, 8)) as pilot:
        await pilot.press("enter")
        await pilot.pause()
        assert silent.heard == [0]


async def test_a_column_never_gets_narrower_while_it_is_watched() -> None:
    app = TableApp(losses([0.0] * 3))
    async with app.run_test(size=(60, 8)):
        wide = Table((text("sample_id", ["a_rather_long_sample"]), number("loss", [1.0])))
        app.widget.set_table(wide)
        places = list(app.widget._places)
        app.widget.set_table(losses([0.0] * 3))
        assert [p.width for p in app.widget._places] == [p.width for p in places]


async def test_selected_rows_come_out_as_text() -> None:
    app = TableApp(losses([0.1, 0.2, 0.3]))
    async with app.run_test(size=(40, 8)) as pilot:
        app.widget.text_select_all()
        await pilot.pause()
        chosen = app.screen.get_selected_text()
        assert chosen is not None
        assert [line.split()[0] for line in chosen.splitlines()] == ["s0", "s1", "s2"]


async def test_an_empty_table_takes_every_key() -> None:
    app = TableApp(Table(()))
    async with app.run_test(size=(40, 8)) as pilot:
        await pilot.press("j", "k", "G", "g", "h", "l", "s", "r", "enter", "pagedown")
        assert app.widget.cursor_row is None
