"""The table of samples as a person uses it."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from tests.tui.screens import screen_line, screen_text, wait_until
from tests.tui.tables import TableApp, flag, lists, losses, number, text
from tui.widgets import ordered_table as table_module
from tui.widgets.column_layout import Layout
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
        next(word for word in re.sub("[✗●▸]", " ", line).split() if word[0] == "s")
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


def two_keys() -> Table:
    names = text("sample_id", ["s0", "s1", "s2", "s3"])
    return Table((names, text("group", ["b", "a", "b", "a"]), number("loss", [1, 2, 3, None])))


async def test_further_keys_sort_what_the_first_leaves_equal() -> None:
    app = TableApp(two_keys())
    async with app.run_test(size=(60, 8)) as pilot:
        await pilot.press("right", "s", "right", "S")
        await wait_until(pilot, lambda: ids(app) == ["s1", "s3", "s2", "s0"])
        header = screen_text(app).splitlines()[0]
        assert "group▲1" in header
        assert "loss▼2" in header
        await pilot.press("S")
        await wait_until(pilot, lambda: ids(app) == ["s1", "s3", "s0", "s2"])
        await pilot.press("S")
        await wait_until(pilot, lambda: app.widget.sort_keys == (SortKey("group", False),))
        await pilot.press("s")
        assert app.widget.sort_keys == (SortKey("loss", True),)


async def test_marks_stay_on_their_rows_whatever_moves() -> None:
    app = TableApp(losses([0.2, 0.9, 0.5, 0.1]), edited=True)
    async with app.run_test(size=(80, 8), notifications=True) as pilot:
        await pilot.press("m", "j", "M")
        assert app.widget.cursor == 2
        assert [("●" in line) for line in body(app)] == [True, True, True, False]
        await pilot.press("i")
        assert [("●" in line) for line in body(app)] == [False, False, False, True]
        await pilot.press("l", "s", "g", "m")
        await wait_until(pilot, lambda: ids(app) == ["s1", "s2", "s0", "s3"])
        assert [("●" in line) for line in body(app)] == [True, False, False, True]
        moved = losses([7.0, 0.2, 0.9, 0.5, 0.1])
        app.widget.set_table(moved, np.array([9, 0, 1, 2, 3]))
        await pilot.pause()
        assert app.widget.marked_rows.tolist() == [2, 4]
        app.widget.set_filter(Filter.parse("loss > 0.15").mask)
        await pilot.press("a")
        assert app.widget.marks.count == 5, "all rows of the filter, and the one it has left out"
        assert app.widget.marked_rows.tolist() == [0, 2, 3, 1, 4]
        await pilot.press("escape")
        await wait_until(pilot, lambda: "5 marks taken off" in screen_text(app))
        assert app.widget.rows_acted_on.tolist() == [app.widget.cursor_row]


async def test_hundreds_of_thousands_of_marks_are_made_and_inverted_at_once() -> None:
    count = 300_000
    ids_column = number("id", np.arange(count))  # type: ignore[arg-type]
    app = TableApp(Table((ids_column,)), edited=True)
    async with app.run_test(size=(40, 8)) as pilot:
        await pilot.press("m", "a", "i", "i")
        assert app.widget.marks.count == count
        await pilot.press("G", "m", "g", "M")
        assert app.widget.marks.count == count
        assert len(app.widget.rows_acted_on) == count


async def test_columns_are_hidden_moved_pinned_and_resized_by_keys() -> None:
    columns = [number(name, [1.0]) for name in ("aaaa", "bbbb", "cccc", "dddd")]
    app = TableApp(Table((text("sample_id", ["s0"]), *columns)), edited=True)

    def header() -> list[str]:
        return screen_text(app).splitlines()[0].replace("│", " │ ").split()

    async with app.run_test(size=(70, 6), notifications=True) as pilot:
        assert header() == ["sample_id", "│", "aaaa", "bbbb", "cccc", "dddd"]
        await pilot.press("l", "H")
        assert header() == ["sample_id", "│", "bbbb", "cccc", "dddd"]
        await wait_until(pilot, lambda: "aaaa is hidden" in screen_text(app))
        await pilot.press("right_curly_bracket")
        assert header() == ["sample_id", "│", "cccc", "bbbb", "dddd"]
        await pilot.press("P")
        assert header() == ["sample_id", "bbbb", "│", "cccc", "dddd"]
        column = app.widget.column_under_cursor
        assert column is not None
        assert column.name == "bbbb"
        width = app.widget._places[1].width
        await pilot.press("greater_than_sign", "greater_than_sign", "less_than_sign")
        assert app.widget._places[1].width == width + 1
        await pilot.press("h", "H", "H", "H", "H", "H")
        assert len(app.widget.shown) == 1, "one column stays"


async def test_the_mouse_drags_the_edge_of_a_column_and_does_not_sort() -> None:
    app = TableApp(losses([0.2, 0.9]), edited=True)
    async with app.run_test(size=(60, 8)) as pilot:
        edge = app.widget._places[0].end - 1
        await pilot.mouse_down(VirtualTable, offset=(edge, 0))
        await pilot.hover(VirtualTable, offset=(edge + 6, 0))
        await pilot.mouse_up(VirtualTable, offset=(edge + 6, 0))
        assert app.widget._places[0].end - 1 == edge + 6
        assert app.widget.sort_keys == ()
        assert not app.screen.get_selected_text()
        for do, x, y in ((pilot.mouse_down, 2, 2), (pilot.hover, 30, 3), (pilot.mouse_up, 30, 3)):
            await do(VirtualTable, offset=(x, y))
        assert (app.screen.get_selected_text() or "").split() == ["s1", "0.9"]


async def test_a_number_in_a_column_that_was_made_too_narrow_is_left_out_whole() -> None:
    app = TableApp(losses([123456.0, 1.0]), edited=True)
    async with app.run_test(size=(40, 6)) as pilot:
        app.widget.set_layout(Layout().with_width("loss", 4))
        await pilot.press("l", "less_than_sign", "less_than_sign")
        assert [line.split()[-1] for line in body(app)] == ["…", "1"]


async def test_rows_are_copied_whole_as_the_command_line_prints_them() -> None:
    table = Table((*losses([0.123456789, None, 2.0]), text("path", ["a\tb", "c", "d"])))
    app = TableApp(table, edited=True)
    async with app.run_test(size=(60, 8), notifications=True) as pilot:
        await pilot.press("y")
        await wait_until(pilot, lambda: "copied 1 row as TSV" in screen_text(app))
        assert app.clipboard == "sample_id\tloss\tpath\ns0\t0.123456789\ta\\tb\n"
        await pilot.press("l", "s", "l", "H", "a", "Y")
        await wait_until(pilot, lambda: "copied 3 rows as JSON" in screen_text(app))
        rows = [json.loads(line) for line in app.clipboard.splitlines()]
        assert [row["sample_id"] for row in rows] == ["s2", "s0", "s1"]
        assert [row["loss"] for row in rows] == [2.0, 0.123456789, None]
        assert all("path" not in row for row in rows)


async def test_an_order_is_stale_once_what_it_was_made_of_has_changed() -> None:
    table = losses([0.2, 0.9], discarded=[False, False])
    app = TableApp(table)
    async with app.run_test(size=(40, 8)):
        app.widget.sort_by(SortKey("loss", True))
        app.widget.set_table(Table((*table.columns[:2], flag("discarded", [True, True]))))
        assert not app.widget.is_stale, "the sort does not look at what changed"
        app.widget.set_table(losses([0.2, 0.1]))
        assert app.widget.is_stale


async def test_without_leave_to_edit_rows_cannot_be_marked() -> None:
    app = TableApp(losses([0.2]))
    async with app.run_test(size=(40, 8)) as pilot:
        await pilot.press("m", "a", "H")
        assert app.widget.marks.count == 0
        assert len(app.widget.shown) == 2
