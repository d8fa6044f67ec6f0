"""The filter language, against plain Python evaluation of the same tree."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wl_core.errors import FilterError
from wl_core.filters import Filter
from wl_core.table import Table, TableColumn

Cell = float | int | bool | str | list[Any] | None
Row = dict[str, Cell]


def column(name: str, kind: str, cells: list[Any], dtype: Any = None) -> TableColumn:
    """A column of these cells; None is an empty one, whatever rests in the array there."""
    present = np.array([cell is not None for cell in cells], bool)
    if kind == "text":
        categories = sorted({cell for cell in cells if cell is not None})
        codes = [-1 if cell is None else categories.index(cell) for cell in cells]
        return TableColumn(name, "text", np.array(codes, np.int32), present, categories)
    if kind == "list":
        lists = [() if cell is None else tuple(cell) for cell in cells]
        codes = list(range(len(lists)))
        return TableColumn(name, "list", np.array(codes, np.int32), present, lists)
    filled = [1 if cell is None else cell for cell in cells]
    dtype = dtype or (np.float64 if kind == "number" else bool)
    return TableColumn(name, kind, np.array(filled, dtype), present)  # type: ignore[arg-type]


TABLE = Table(
    (
        column("sample_id", "number", [0, 1, 2, 3, 4], np.int64),
        column("train_bce/sample", "number", [0.1, 0.5, 0.9, math.nan, None]),
        column("test-bce", "number", [0.2, 0.4, None, math.inf, 0.4]),
        column("place", "text", ["a1", "a2", "b1", None, "a1"]),
        column("tags", "text", ["blurry,dark", "", "dark", "blurry", None]),
        column("two words", "text", ["x", "y", "it's", 'say "hi"', None]),
        column("discarded", "flag", [True, False, False, True, None]),
        column("ratio", "number", [0.1, 0.2, 0.3, 0.4, 0.5], np.float32),
        column("classes", "list", [[1, 3], ["cat", 3.0], [], None, [True, "1", math.nan]]),
        column("truth", "list", [[1.0, 3], ["cat"], [], [1], [True, "1", math.nan]]),
    )
)


def rows(text: str) -> list[int]:
    return np.flatnonzero(Filter.parse(text).mask(TABLE)).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train_bce/sample > 0.4", [1, 2]),
        ("train_bce/sample>=.5", [1, 2]),
        ("0.1 < train_bce/sample < 0.9", [1]),
        ("0.1 <= train_bce/sample <= 0.9 != test-bce", [0, 1]),
        ("0.9 > train_bce/sample", [0, 1]),
        ("train_bce/sample < test-bce", [0]),
        ("train_bce/sample == 5e-1", [1]),
        ("test-bce == inf", [3]),
        ("test-bce > -inf", [0, 1, 3, 4]),
        ("sample_id != 2", [0, 1, 3, 4]),
        ("sample_id < -1", []),
        ("signals_train_bce/sample > 0.4", [1, 2]),
        ("signals//train_bce/sample > 0.4", [1, 2]),
        ("place == 'a1'", [0, 4]),
        ('place != "a1"', [1, 2]),
        ("place < 'b'", [0, 1, 4]),
        ("'b' <= place", [2]),
        ("place in ['a1', 'b1', 'zz']", [0, 2, 4]),
        ("sample_id in [1, 3.0, 99]", [1, 3]),
        ("tags contains 'dark'", [0, 2]),
        ("tags contains ''", [0, 1, 2, 3]),
        ("tags == ''", [1]),
        ("place == tags", []),
        ("place <= tags", [0, 2]),
        ("discarded", [0, 3]),
        ("not discarded", [1, 2, 4]),
        ("not not discarded", [0, 3]),
        ("discarded is empty", [4]),
        ("train_bce/sample is not empty", [0, 1, 2, 3]),
        ("not train_bce/sample is empty", [0, 1, 2, 3]),
        ("`two words` == 'y'", [1]),
        ('`two words` == "it\'s"', [2]),
        ("`two words` == 'say \"hi\"'", [3]),
        ("`train_bce/sample` > 0.4", [1, 2]),
        ("discarded or place == 'a2' and sample_id == 1", [0, 1, 3]),
        ("(discarded or place == 'a2') and sample_id == 1", [1]),
        ("not discarded and sample_id < 2", [1]),
        ("not (discarded and sample_id < 2)", [1, 2, 3, 4]),
        ("  sample_id\n==\t1\n", [1]),
        ("classes contains 3", [0, 1]),
        ("classes contains 'cat'", [1]),
        ("classes contains 'c'", []),
        ("classes contains 1", [0]),
        ("classes contains true", [4]),
        ("classes contains false", []),
        ("classes contains nan", [4]),
        ("not classes contains 3", [2, 3, 4]),
        ("classes == [1, 3]", [0]),
        ("[1.0, 3.0] == classes", [0]),
        ("classes == [3, 1]", []),
        ("classes == []", [2]),
        ("classes != []", [0, 1, 4]),
        ("classes == [true, '1', nan]", [4]),
        ("classes is empty", [3]),
        ("classes == truth", [0, 2, 4]),
        ("classes != truth", [1]),
        ("[] == classes == truth", [2]),
    ],
)
def test_rows_that_match(text: str, expected: list[int]) -> None:
    assert rows(text) == expected


def test_an_empty_cell_matches_no_comparison() -> None:
    for comparison in ("==", "!=", "<", "<=", ">", ">="):
        assert 4 not in rows(f"train_bce/sample {comparison} 1")
        assert 3 not in rows(f"place {comparison} 'a1'")
    assert 4 not in rows("train_bce/sample != nan")


def test_nan_is_found_by_equals_nan_and_is_different_from_every_number() -> None:
    assert rows("train_bce/sample == nan") == [3]
    assert rows("nan == train_bce/sample") == [3]
    assert rows("train_bce/sample in [nan, 0.1]") == [0, 3]
    assert rows("train_bce/sample != nan") == [0, 1, 2]
    assert rows("train_bce/sample != 0.1") == [1, 2, 3]
    assert rows("train_bce/sample < nan") == []
    assert rows("sample_id == nan") == []


def test_a_float32_column_compares_with_the_number_as_it_was_written() -> None:
    assert rows("ratio == 0.1") == [0]
    assert rows("ratio < 1e300") == [0, 1, 2, 3, 4]


def test_large_integers_compare_exactly_and_huge_ones_at_all() -> None:
    table = Table((column("id", "number", [2**53, 2**53 + 1], np.int64),))
    assert Filter.parse(f"id == {2**53 + 1}").mask(table).tolist() == [False, True]
    assert Filter.parse(f"id < {10**30}").mask(table).tolist() == [True, True]
    assert Filter.parse("id < " + "9" * 5000).mask(table).tolist() == [True, True]


def test_columns_are_named_once_in_order() -> None:
    parsed = Filter.parse("b/x > 1 and (a == b/x or `c d` contains 'e') and not f and g is empty")
    assert parsed.columns == ("b/x", "a", "c d", "f", "g")


def test_an_empty_table_has_an_empty_mask() -> None:
    empty = Table(tuple(one.take(np.array([], np.intp)) for one in TABLE))
    for text in ("place == 'a1'", "tags contains 'x'", "discarded", "sample_id in [1]"):
        assert Filter.parse(text).mask(empty).shape == (0,)


def test_a_column_without_any_text_matches_nothing() -> None:
    table = Table((column("note", "text", [None, None]),))
    assert not Filter.parse("note != 'x'").mask(table).any()


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("", 0, "the filter is empty"),
        ("   ", 3, "the filter is empty"),
        ("loss >", 6, "expected a column, a number or a text in quotes, but found the end"),
        ("loss = 3", 5, "write == to compare"),
        ("a > 1 && b > 1", 6, "write and"),
        ("a > 1 || b > 1", 6, "write or"),
        ("!a", 0, "write not"),
        ("a > 1 AND b > 1", 6, "Did you mean 'and'?"),
        ("a > 1 b", 6, "expected and, or or the end after a complete comparison, but found b"),
        ("a > 'x", 4, "no closing '"),
        ("`a b > 1", 0, "no closing `"),
        ("a > 1 $", 6, "backquotes"),
        ("2nd > 1", 0, "backquotes"),
        ("(a > 1", 6, "expected ')', but found the end"),
        ("a > 1)", 5, "but found )"),
        ("1 < 2", 2, "one side must be a column"),
        ("a < 1 < 2", 6, "one side must be a column"),
        ("5", 1, "expected a comparison"),
        ("'x' contains 'y'", 4, "expected a comparison"),
        ("a contains b", 11, "expected a text in quotes or a number after contains, but found b"),
        ("a contains [1]", 11, "expected a text in quotes or a number"),
        ("[1] == [1]", 4, "one side must be a column"),
        ("a == [b]", 6, "expected a number or a text in quotes, but found b"),
        ("a == [1", 7, "expected ',' or ']'"),
        ("[1] contains 1", 4, "expected a comparison"),
        ("a in 3", 5, "expected a list"),
        ("a in []", 6, "expected a number or a text"),
        ("a in [1 2]", 8, "expected ',' or ']'"),
        ("a in [1,", 8, "expected a number or a text"),
        ("a not in [1]", 2, "'not' stands before what it negates"),
        ("a is 3", 5, "expected 'empty' or 'not empty' after is"),
        ("a is not", 8, "expected 'empty'"),
        ("and", 0, "expected a column"),
        ("a > 1 and", 9, "expected a column"),
        ("(" * 500 + "a", 100, "nested deeper than 100"),
        ("not " * 5000 + "a", 400, "nested deeper than 100"),
    ],
)
def test_what_cannot_be_read_is_pointed_at(text: str, offset: int, message: str) -> None:
    with pytest.raises(FilterError) as caught:
        Filter.parse(text)
    assert message in caught.value.message
    assert caught.value.offset == offset
    assert caught.value.expression == text


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("discarded and los > 1", 14, "there is no column 'los'"),
        ("sample_id > 1 and trian_bce/sample > 1", 18, "Did you mean 'train_bce/sample'?"),
        ("place > 3", 6, "place is a text, but 3 is a number"),
        ("3 < place", 2, "place is a text, but 3 is a number"),
        ("sample_id == 'x'", 10, "sample_id is a number, but 'x' is a text"),
        ("sample_id == place", 10, "sample_id is a number, but place is a text"),
        ("sample_id in ['x']", 10, "sample_id is a number, but 'x' is a text"),
        ("discarded == 1", 10, "a flag is not compared"),
        ("sample_id < discarded", 10, "a flag is not compared"),
        ("place", 0, "place is a text, not a flag"),
        ("sample_id or discarded", 0, "sample_id is a number, not a flag"),
        ("sample_id contains '1'", 10, "looks into text and lists, but sample_id is a number"),
        ("place contains 3", 6, "place is a text: what it contains is a text in quotes, not 3"),
        ("place contains true", 6, "a text in quotes, not true"),
        ("classes > [1]", 8, "classes is a list, which has no order: a list is asked for"),
        ("classes < truth", 8, "classes is a list, which has no order"),
        ("[1] <= classes", 4, "which has no order"),
        ("classes == 3", 8, "classes is a list, but 3 is a number: a list is asked for what it"),
        ("'cat' == classes", 6, "classes is a list, but 'cat' is a text"),
        ("classes == place", 8, "classes is a list, but place is a text"),
        ("classes in [1, 3]", 8, "in finds one of several values, but classes is a list"),
        ("classes", 0, "classes is a list, not a flag: a list is asked for"),
        ("sample_id == [1, 'x']", 10, "but [1, 'x'] is a list: write sample_id in [...]"),
        ("sample_id in [true]", 10, "a flag is not compared"),
        ("discarded == true", 13, "there is no column 'true'; a flag is not compared"),
    ],
)
def test_what_does_not_fit_the_table_is_pointed_at(text: str, offset: int, message: str) -> None:
    parsed = Filter.parse(text)
    with pytest.raises(FilterError) as caught:
        parsed.mask(TABLE)
    assert message in caught.value.message
    assert caught.value.offset == offset


def test_the_error_draws_a_caret_under_the_place() -> None:
    with pytest.raises(FilterError) as caught:
        Filter.parse("loss = 3")
    assert str(caught.value).splitlines()[1:] == ["  loss = 3", "       ^"]


# --- property: any tree, printed, parsed and evaluated, agrees with Python row by row -----------

NUMBERS = ["x", "y/z", "w-1"]
TEXTS = ["s", "t u"]
FLAGS = ["f", "`or`"]
LISTS = ["l", "classes"]
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
KINDS = (
    dict.fromkeys(NUMBERS, "number") | dict.fromkeys(TEXTS, "text") | dict.fromkeys(LISTS, "list")
)
Tree = tuple[str, Callable[[Row], bool]]

numbers = st.sampled_from([0.0, -1.0, 0.5, 1e-4, 3.0, math.inf, -math.inf])
texts = st.sampled_from(["", "a", "ab", "b", "é"])


elements = st.sampled_from([0.0, 1.0, math.inf, "", "a", "1", True, False])


def printed(value: float | str) -> str:
    return f"'{value}'" if isinstance(value, str) else repr(value)


def quoted(name: str) -> str:
    return f"`{name}`" if " " in name else name


def comparison(names: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Tree]:
    def build(name: str, sign: str, value: Any, mirrored: bool) -> Tree:
        compare = OPERATORS[sign]
        if mirrored:
            return (
                f"{printed(value)} {sign} {quoted(name)}",
                lambda row: row[name] is not None and compare(value, row[name]),
            )
        return (
            f"{quoted(name)}{sign}{printed(value)}",
            lambda row: row[name] is not None and compare(row[name], value),
        )

    return st.builds(
        build, st.sampled_from(names), st.sampled_from(list(OPERATORS)), values, st.booleans()
    )


def columns_compared(name: str, sign: str, other: str) -> Tree:
    return (
        f"{name} {sign} {other}",
        lambda row: (
            row[name] is not None
            and row[other] is not None
            and OPERATORS[sign](row[name], row[other])
        ),
    )


def one_of(name: str, values: list[float]) -> Tree:
    listed = ", ".join(printed(value) for value in values)
    return f"{name} in [{listed}]", lambda row: row[name] is not None and row[name] in values


def containing(name: str, value: str) -> Tree:
    return (
        f"{quoted(name)} contains {printed(value)}",
        lambda row: row[name] is not None and value in str(row[name]),
    )


def emptiness(name: str, negated: bool) -> Tree:
    words = "is not empty" if negated else "is empty"
    return f"{quoted(name)} {words}", lambda row: (row[name] is None) != negated


def is_element(value: Any, cell: list[Any]) -> bool:
    """1 and 1.0 are the same number; True is no number, and text none either."""
    return any(type(value) is type(one) and value == one for one in cell)


def list_containing(name: str, value: Any) -> Tree:
    return (
        f"{name} contains {element(value)}",
        lambda row: row[name] is not None and is_element(value, row[name]),  # type: ignore[arg-type]
    )


def list_compared(name: str, sign: str, values: list[Any], mirrored: bool) -> Tree:
    listed = f"[{', '.join(map(element, values))}]"

    def agrees(row: Row) -> bool:
        if row[name] is None:
            return False
        pairs = [[(type(one), one) for one in cell] for cell in (row[name], values)]  # type: ignore[union-attr]
        return OPERATORS[sign](*pairs)

    return f"{listed} {sign} {name}" if mirrored else f"{name}{sign}{listed}", agrees


def element(value: Any) -> str:
    return repr(value).lower() if isinstance(value, bool) else printed(value)


def flag(name: str) -> Tree:
    return name, lambda row: bool(row[name.strip("`")])


leaves = st.one_of(
    comparison(NUMBERS, numbers),
    comparison(TEXTS, texts),
    st.builds(
        columns_compared,
        st.sampled_from(NUMBERS),
        st.sampled_from(list(OPERATORS)),
        st.sampled_from(NUMBERS),
    ),
    st.builds(one_of, st.sampled_from(NUMBERS), st.lists(numbers, min_size=1, max_size=3)),
    st.builds(containing, st.sampled_from(TEXTS), texts),
    st.builds(emptiness, st.sampled_from(NUMBERS + TEXTS + LISTS), st.booleans()),
    st.builds(list_containing, st.sampled_from(LISTS), elements),
    st.builds(
        list_compared,
        st.sampled_from(LISTS),
        st.sampled_from(["==", "!="]),
        st.lists(elements, max_size=2),
        st.booleans(),
    ),
    st.builds(flag, st.sampled_from(FLAGS)),
)


def joined(parts: list[Tree], word: str) -> Tree:
    quantifier = all if word == "and" else any
    text = f" {word} ".join(f"({part[0]})" for part in parts)
    return text, lambda row: quantifier(part[1](row) for part in parts)


trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(joined, st.lists(inner, min_size=2, max_size=3), st.sampled_from(["and", "or"])),
        inner.map(lambda tree: (f"not ({tree[0]})", lambda row: not tree[1](row))),
    ),
    max_leaves=8,
)
cells = st.fixed_dictionaries(
    {name: st.none() | numbers | st.just(math.nan) for name in NUMBERS}
    | {name: st.none() | texts for name in TEXTS}
    | {name: st.none() | st.lists(elements, max_size=3) for name in LISTS}
    | {name.strip("`"): st.none() | st.booleans() for name in FLAGS}
)


@given(trees, st.lists(cells, max_size=6))
def test_any_filter_agrees_with_python_row_by_row(tree: Tree, data: list[Row]) -> None:
    table = Table(
        tuple(
            column(name, KINDS.get(name, "flag"), [row[name] for row in data])
            for name in [*KINDS, "f", "or"]
        )
    )
    text, expected = tree
    assert Filter.parse(text).mask(table).tolist() == [expected(row) for row in data]


@given(st.text(alphabet="ab'\"`()[],<>=!&|~ 1.5e-_/notandrisempty\n\\é", max_size=40))
def test_any_text_is_read_or_refused_within_itself(text: str) -> None:
    offset = 0
    try:
        Filter.parse(text)
    except FilterError as error:
        offset = error.offset
    assert 0 <= offset <= len(text)


@given(leaves, leaves, leaves)
def test_and_binds_tighter_than_or(a: Tree, b: Tree, c: Tree) -> None:
    row: Row = {"x": 1.0, "y/z": None, "w-1": 3.0, "s": "a", "t u": None, "f": True, "or": False}
    row |= {"l": ["a", 1.0], "classes": None}
    table = Table(tuple(column(n, KINDS.get(n, "flag"), [cell]) for n, cell in row.items()))
    mask = Filter.parse(f"{a[0]} or {b[0]} and {c[0]}").mask(table)
    assert mask.tolist() == [a[1](row) or (b[1](row) and c[1](row))]
