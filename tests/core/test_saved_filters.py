"""Filters by name: kept in a file that a person may edit, and understood in any filter."""

from __future__ import annotations

from pathlib import Path

import click.testing
import numpy as np
import pytest

from wl_core.cli import group
from wl_core.errors import FilterError, UnknownNameError, UsageError
from wl_core.filters import Filter
from wl_core.saved_filters import filters_file, remove_filter, save_filter, saved_filters
from wl_core.table import Table, TableColumn

LOSS = TableColumn("loss", "number", np.array([0.1, 0.9, 2.0]), np.ones(3, np.bool_))
ODD = TableColumn("odd", "flag", np.array([True, False, True]), np.ones(3, np.bool_))


@pytest.fixture(autouse=True)
def own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def test_a_name_stands_for_its_expression_as_a_whole() -> None:
    save_filter("either", "loss > 1 or odd")
    chosen = Filter.parse("@either and loss < 1")
    assert chosen.columns == ("loss", "odd")
    assert chosen.mask(Table((LOSS, ODD))).tolist() == [True, False, False]
    assert Filter.parse("not @either").mask(Table((LOSS, ODD))).tolist() == [False, True, False]


def test_what_is_wrong_in_a_saved_filter_is_told_where_it_is_named() -> None:
    save_filter("hard", "losss > 1")
    with pytest.raises(FilterError, match=r"in @hard .losss > 1.: .*Did you mean 'loss'") as caught:
        Filter.parse("odd and @hard").mask(Table((LOSS, ODD)))
    assert caught.value.offset == len("odd and ")
    with pytest.raises(FilterError, match=r"no saved filter 'hrad'. Did you mean 'hard'"):
        Filter.parse("@hrad")


def test_a_filter_that_leads_to_itself_is_refused_and_nothing_is_kept() -> None:
    save_filter("one", "loss > 1")
    save_filter("two", "@one or odd")
    for name, text in (("three", "@three"), ("one", "not @two")):
        with pytest.raises(FilterError, match="leads to itself"):
            save_filter(name, text)
    assert saved_filters() == {"one": "loss > 1", "two": "@one or odd"}
    with pytest.raises(UsageError, match="@one stands in @two"):
        remove_filter("one")
    filters_file().write_text('a = "@b"\nb = "@a"\n')
    with pytest.raises(FilterError, match="@a → @b → @a"):
        Filter.parse("@a")


def test_comments_of_the_owner_stay_and_entries_of_several_lines_are_understood() -> None:
    save_filter("hard", "loss > 1")
    filters_file().write_text("# mine\nhard = 'loss > 1'  # too strict?\nodd = 'odd'\n")
    assert save_filter("hard", 'text == "it\'s"')
    assert filters_file().read_text() == ('# mine\nhard = "text == \\"it\'s\\""\nodd = \'odd\'\n')
    filters_file().write_text('long = """\nloss > 1\nor odd"""\n')
    save_filter("long", "odd")
    assert saved_filters() == {"long": "odd"}


@pytest.mark.parametrize("name", ["", "a b", "1st", "-x", "ä"])
def test_a_name_that_cannot_follow_an_at_sign_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="begins with a letter"):
        save_filter(name, "loss > 1")


@pytest.mark.parametrize("text", ["hard = 3", "[hard]\nx = 'y'", "hard = "])
def test_a_file_that_holds_something_else_is_named(text: str) -> None:
    filters_file().parent.mkdir(parents=True)
    filters_file().write_text(text)
    with pytest.raises(UsageError, match=r"filters\.toml"):
        Filter.parse("@hard")
    assert Filter.parse("loss > 1").columns == ("loss",)  # nobody named one


def test_the_command_line_lists_saves_and_removes() -> None:
    def wl(*arguments: str) -> str:
        return click.testing.CliRunner().invoke(group, arguments, catch_exceptions=False).output

    assert wl("filters", "save", "hard", "loss > 1 ") == "saved @hard: loss > 1\n"
    assert wl("filters", "save", "hard", "loss > 2") == "replaced @hard: loss > 2\n"
    assert wl("filters") == "name\tfilter\nhard\tloss > 2\n"
    assert wl("filters", "remove", "hard") == "removed @hard: loss > 2\n"
    with pytest.raises(UnknownNameError, match="no saved filter 'hard'"):
        wl("filters", "remove", "hard")
