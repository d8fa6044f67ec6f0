"""What can come next in a filter, and what is wrong with it so far."""

from __future__ import annotations

import pytest

from tests.tui.tables import flag, lists, number, text
from tui.completion import Completion
from tui.filter_completion import complete, problem
from wl_core.table import Table

TABLE = Table(
    (
        text("sample_id", ["s1", "s2", "s3"]),
        number("train_bce/sample", [0.1, 0.2, None]),
        number("train_dice/sample", [0.1, 0.2, None]),
        text("density", ["sparse", "crowded", "sparse"]),
        text("time of day", ["night", "day", "it's"]),
        text("tags", ["blurry,hard", "", "hard"]),
        lists("classes", [(1, 3), (), ("cat",)]),
        flag("discarded", [False, True, False]),
    )
)
SAVED = {"hard": "train_bce/sample > 1"}


def offered(line: str, cursor: int | None = None) -> Completion:
    return complete(line, len(line) if cursor is None else cursor, TABLE, SAVED)


def texts(line: str) -> list[str]:
    return [choice.text for choice in offered(line).choices]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dice", ["train_dice/sample "]),
        ("TRAIN", ["train_bce/sample ", "train_dice/sample "]),
        ("not disc", ["discarded "]),
        ("(den", ["density "]),
        ("discarded and den", ["density "]),
        ("`time", ["`time of day` "]),
        ("`time of", ["`time of day` "]),
        ("@", ["@hard "]),
        ("density == ", ["'crowded'", "'sparse'", "sample_id", "`time of day`", "tags"]),
        ("density == 'cr", ["'crowded'"]),
        ('density == "cr', ["'crowded'"]),
        ("density == cro", ["'crowded'"]),
        ("density in [", ["'crowded'", "'sparse'"]),
        ("density in ['crowded', 's", ["'sparse'"]),
        ("tags contains ", ["'blurry'", "'hard'"]),
        ("classes contains ", ["'cat'", "1", "3"]),
        ("density i", ["in [", "is empty", "is not empty", "contains "]),
        ("density is ", ["empty", "not empty"]),
        ("density is not e", ["empty"]),
        ("train_bce/sample > t", ["train_dice/sample"]),
        ("density is empty a", ["and "]),
        ("discarded o", ["or ", "is not empty"]),
        ("train_bce/sample > 0.5 o", ["or "]),
        ("@hard a", ["and "]),
        ("nothing_like_this", []),
        ("train_bce/sample", []),  # written in full
        ("density == 'crowded'", ["and ", "or "]),
    ],
)
def test_what_comes_next_is_what_the_language_allows(line: str, expected: list[str]) -> None:
    assert texts(line) == expected


def test_the_list_opens_by_itself_where_few_things_can_come() -> None:
    eager = {line: offered(line).eager for line in ("", "density ", "density == ", "den")}
    assert eager == {"": False, "density ": True, "density == ": True, "den": True}
    assert not offered("train_bce/sample > 0.5 ").eager
    assert not offered("train_bce/sample > 0.5").eager
    assert [one.text for one in offered("discarded ").choices][:2] == ["and ", "or "]


def test_a_word_is_replaced_as_a_whole_wherever_the_cursor_is_in_it() -> None:
    line = "train_bce > 1"
    found = offered(line, len("train_b"))
    assert found.taken(line, found.choices[0])[0] == "train_bce/sample  > 1"


def test_a_column_of_names_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.filter_completion.MANY", 2)
    assert texts("sample_id == '") == []
    assert texts("density == '") == ["'crowded'", "'sparse'"]


@pytest.mark.parametrize(
    ("line", "instead", "unfinished"),
    [
        ("discarded and train_bce/sampl > 1", "train_bce/sample", False),
        ("`time of dy` == 'night'", "`time of day`", False),
        ("discarded adn density == 'x'", "and", False),
        ("density == ", "", True),
        ("density == 'cro", "", True),
        ("density > 3", "", False),
        ("@hrad", "", False),
        ("discarded and @", "", True),
    ],
)
def test_what_is_wrong_has_a_place_and_often_a_remedy(
    line: str, instead: str, unfinished: bool
) -> None:
    found = problem(line, TABLE)
    assert found is not None
    assert (found.instead, found.is_unfinished) == (instead, unfinished)
    if instead:
        mended = line[: found.offset] + found.instead + line[found.end :]
        assert problem(mended, TABLE) is None


def test_nothing_is_wrong_with_a_filter_that_fits_the_table() -> None:
    for line in ("", "  ", "discarded", "density == 'sparse' or classes contains 3"):
        assert problem(line, TABLE) is None
