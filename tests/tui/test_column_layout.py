"""What a person chooses of columns, by their names, whatever columns there are next time."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tui.widgets.column_layout import Layout, layout_of_json, trajectory_name

NAMES = ["id", "loss", "dice", "tags"]


def names(layout: Layout, of: list[str] | None = None, *, fixed: int = 1) -> list[str]:
    """Those that are shown, pinned ones with a bar behind."""
    placed = layout.placed(NAMES if of is None else of, fixed)
    return [f"{one.name}|" if one.pinned else one.name for one in placed if not one.hidden]


def test_without_a_choice_the_tables_own_order_stands_with_the_first_columns_pinned() -> None:
    assert names(Layout()) == ["id|", "loss", "dice", "tags"]
    assert names(Layout(), fixed=2) == ["id|", "loss|", "dice", "tags"]


def test_a_column_moves_among_its_like_and_jumps_over_hidden_ones() -> None:
    layout = Layout().with_hidden("dice", True)
    moved = layout.moved(layout.placed(NAMES, 1), "tags", -1)
    assert names(moved) == ["id|", "tags", "loss"]
    assert names(moved.with_hidden("dice", False)) == ["id|", "tags", "loss", "dice"]
    stays = layout.moved(layout.placed(NAMES, 1), "loss", -1)
    assert stays == layout, "it does not become a pinned one"


def test_a_pinned_column_goes_to_the_left_and_comes_back() -> None:
    pinned = Layout().with_pin(Layout().placed(NAMES, 1), "dice")
    assert names(pinned) == ["id|", "dice|", "loss", "tags"]
    assert names(pinned.with_pin(pinned.placed(NAMES, 1), "dice")) == names(Layout())


def test_trajectories_stand_behind_their_signal_and_go_when_it_does() -> None:
    layout = Layout().with_trajectory("loss")
    assert names(layout) == ["id|", "loss", trajectory_name("loss"), "dice", "tags"]
    assert names(layout, ["id", "dice"]) == ["id|", "dice"]
    assert names(layout.with_trajectory("loss")) == names(Layout())


def test_new_columns_come_at_their_own_place_and_lost_ones_are_left_out() -> None:
    layout = Layout(order=("tags", "gone", "loss", "id"))
    found = names(layout, ["id", "new", "loss", "newer", "tags"], fixed=0)
    assert found == ["tags", "loss", "newer", "id", "new"]


@given(
    st.lists(st.sampled_from("abcdef"), unique=True), st.permutations("abcxyz"), st.integers(0, 3)
)
def test_every_column_is_there_once(own: list[str], order: list[str], fixed: int) -> None:
    placed = Layout(order=tuple(order)).placed(own, fixed)
    assert sorted(one.name for one in placed) == sorted(own)
    assert [one.pinned for one in placed] == sorted((one.pinned for one in placed), reverse=True)


def test_it_is_kept_as_json_and_what_is_no_layout_is_none() -> None:
    layout = Layout(("b", "a"), frozenset("b"), frozenset("a"), {"a": 7}, frozenset("a"))
    assert layout_of_json(json.loads(json.dumps(layout.to_json()))) == layout
    assert Layout().to_json() is None
    broken: object
    for broken in (None, 3, [], {"order": 3, "widths": [1], "pinned": {"a": 1}, "hidden": "ab"}):
        assert layout_of_json(broken) == Layout()
