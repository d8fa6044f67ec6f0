"""The filter language, while it is written: what can come next, and what is wrong so far.

The language itself is `wl_core.filter_parser`'s and `wl_core.filters`'. Nothing here looks at the
rows of a table, only at its columns and at the few texts that a column of text may hold, so it
costs as little for a million rows as for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tui.completion import Choice, Completion, matching
from wl_core.errors import FilterError, UnknownNameError, closest
from wl_core.filter_parser import KEYWORDS, MIRRORED, Token, tokens
from wl_core.filter_text import column_text, literal_text
from wl_core.filters import Filter
from wl_core.table import Table, TableColumn

MANY = 10_000  # different texts; a column with more is one of names, which nobody chooses from
_REST_OF_WORD = re.compile(r"[\w/.-]*")
_DTYPES = {"number": np.float64, "flag": np.bool_, "text": np.int32, "list": np.int32}
_EMPTY = (Choice("is empty", "no value"), Choice("is not empty", "any value"))
_OPERATORS: Mapping[str, tuple[Choice, ...]] = {
    "number": (
        *(Choice(f"{sign} ") for sign in ("<", "<=", ">", ">=", "==", "!=")),
        Choice("in [", "one of several"),
        *_EMPTY,
    ),
    "text": (
        Choice("== "),
        Choice("!= "),
        Choice("contains ", "part of the text"),
        Choice("in [", "one of several"),
        *_EMPTY,
    ),
    "list": (Choice("contains ", "one element"), Choice("== "), Choice("!= "), *_EMPTY),
    "flag": (Choice("and "), Choice("or "), *_EMPTY),
}
_BEGINNING = ("and", "or", "not", "(")
_JOINING = (Choice("and "), Choice("or "))


@dataclass(frozen=True, slots=True)
class Written:
    """What stands before the cursor: whole words, and the one that is being written.

    ``word`` begins at ``start`` and may be empty; it may begin with a quote or an ``@``.
    """

    tokens: Sequence[Token]
    word: str
    start: int

    @classmethod
    def of(cls, before: str) -> Written:
        found: list[Token] = []
        try:
            found.extend(token for token in tokens(before) if token.kind != "end")
        except FilterError as error:  # what is wrong is the word that is not finished yet
            return cls(found, before[error.offset :], error.offset)
        last = found[-1] if found else None
        if last is not None and last.kind in ("column", "keyword", "saved"):
            end = last.offset + len(last.shown)
            if end == len(before) and not before.endswith("`"):
                return cls(found[:-1], before[last.offset :], last.offset)
        return cls(found, "", len(before))


def complete(line: str, cursor: int, table: Table, saved: Mapping[str, str]) -> Completion:
    """What can stand at the cursor, given the columns of the table and the saved filters."""
    written = Written.of(line[:cursor])
    rest = _REST_OF_WORD.match(line, cursor)
    end = cursor if rest is None or not written.word else rest.end()
    choices = _next(written, table, saved)
    expected = bool(written.word) or _is_narrow(written)
    found = matching(written.word.replace('"', "'").lstrip("`"), choices)
    return Completion(written.start, end, found, expected)


def _is_narrow(written: Written) -> bool:
    """Whether what comes next is one of a few: worth showing before anybody asks."""
    last = written.tokens[-1] if written.tokens else None
    if last is None:
        return False
    if last.kind == "keyword":
        return last.value in ("contains", "in", "is")
    if last.kind == "symbol":
        return last.value in ("==", "!=", "[", ",")
    return last.kind == "column" and not _is_answer(written.tokens)


def _next(written: Written, table: Table, saved: Mapping[str, str]) -> Iterable[Choice]:
    before = written.tokens
    if _negates_empty(before):
        return (Choice("empty"),)
    if not before or (before[-1].value in _BEGINNING and before[-1].kind != "text"):
        return _operands(table, saved, begins=True)
    last = before[-1]
    if last.kind == "symbol" and last.value in MIRRORED:
        return _compared(_column(before[-2:-1], table), table)
    if last.kind == "symbol" and last.value in ("[", ","):
        return _values(_listed(before, table))
    if last.kind == "keyword":
        return _after_keyword(last.value, _column(before[-2:-1], table))
    return _JOINING if _is_answer(before) else _after_column(_column(before[-1:], table), last)


def _after_column(column: TableColumn | None, last: Token) -> Iterable[Choice]:
    if last.kind != "column":
        return _JOINING
    return () if column is None else _OPERATORS[column.kind]


def _is_answer(before: Sequence[Token]) -> bool:
    """Whether the last word is the ``empty`` of ``is empty``."""
    return (
        len(before) > 1
        and before[-1].value == "empty"
        and (before[-2].value == "is" or _negates_empty(before[:-1]))
    )


def _negates_empty(before: Sequence[Token]) -> bool:
    return [token.value for token in before[-2:]] == ["is", "not"]


def _after_keyword(keyword: str, column: TableColumn | None) -> Iterable[Choice]:
    match keyword:
        case "is":
            return (Choice("empty"), Choice("not empty"))
        case "in":
            return (Choice("["),)
        case _:
            return _values(column, parts=True)


def _column(at: Sequence[Token], table: Table) -> TableColumn | None:
    """The column that a word names, if it does."""
    for token in at:
        if token.kind == "column" and token.value in table.names:
            return table.column(token.value)
    return None


def _listed(before: Sequence[Token], table: Table) -> TableColumn | None:
    """The column of which the open list holds values."""
    for at in range(len(before) - 1, 1, -1):
        if before[at].value == "[" and before[at - 1].value == "in":
            return _column(before[at - 2 : at - 1], table)
    return None


def _operands(
    table: Table, saved: Mapping[str, str], *, begins: bool = False, kind: str = ""
) -> Iterable[Choice]:
    for column in table:
        name = column_text(column.name)
        if name is not None and kind in ("", column.kind):
            yield Choice(f"{name} " if begins else name, column.kind)
    if begins:
        yield Choice("not ", "the others")
        for name, text in saved.items():
            yield Choice(f"@{name} ", text)


def _compared(column: TableColumn | None, table: Table) -> Iterable[Choice]:
    """What a column may be compared with: its texts, or other columns of its kind."""
    kind = "number" if column is None else column.kind
    others = _operands(table, {}, kind=kind)
    return [*_values(column), *(one for one in others if column is None or one.text != column.name)]


def _values(column: TableColumn | None, *, parts: bool = False) -> Iterable[Choice]:
    """The texts of a column; its tags or elements where ``parts`` of a cell are asked for."""
    if column is None or not column.is_coded or len(column.categories) > MANY:
        return
    found: Iterable[object] = column.categories
    if column.kind == "list":
        found = (one for cell in column.categories for one in cell) if parts else ()
    elif parts and column.name.rpartition("/")[2] == "tags":
        found = (tag for cell in column.categories for tag in cell.split(","))
    texts = {literal_text(one) for one in found if one != ""}  # type: ignore[arg-type]
    for text in sorted(text for text in texts if text is not None):
        yield Choice(text)


# -- what is wrong -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a filter, and ``line[offset:end]`` that ``instead`` would mend."""

    message: str
    offset: int
    end: int = 0
    instead: str = ""
    is_unfinished: bool = False  # more words may make it right


def problem(line: str, table: Table) -> Problem | None:
    """The first thing that is wrong with a filter of that table; nothing is wrong with none."""
    if not line.strip():
        return None
    try:
        Filter.parse(line).mask(_without_rows(table))
    except FilterError as error:
        return explained(error, line, table)
    return None


def explained(error: FilterError, line: str, table: Table) -> Problem:
    """An error of a filter, with what it may be mended by."""
    rest = line[error.offset :].rstrip()
    unfinished = rest in ("", "@") or rest[0] in "'\"`"
    for token in Written.of(f"{line} ").tokens:
        if token.offset == error.offset and token.kind == "column":
            instead = _remedy(error, token.value, table)
            if instead:
                end = token.offset + len(token.shown)
                return Problem(error.message, token.offset, end, instead)
    return Problem(error.message, error.offset, is_unfinished=unfinished)


def _remedy(error: FilterError, word: str, table: Table) -> str | None:
    """What was probably meant by a word that is no column, or that stands where none can."""
    if isinstance(error.__cause__, UnknownNameError):
        near = closest(word, table.names)
        return None if near is None else column_text(near)
    return None if word in table.names else closest(word, KEYWORDS)


def _without_rows(table: Table) -> Table:
    """The same columns with no cell in them: whether they can be asked is known all the same."""
    nothing = np.zeros(0, np.bool_)
    return Table(
        tuple(
            TableColumn(column.name, column.kind, np.zeros(0, _DTYPES[column.kind]), nothing)
            for column in table
        )
    )
