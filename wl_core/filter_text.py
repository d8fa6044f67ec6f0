"""Writes filters: the expression that finds exactly the rows with some value in a column.

What `wl_core.filter_parser` reads, the other way round. Some names and texts cannot be written in
that language (a name with a backquote, a text with both kinds of quotes): then there is no
expression, which is None.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from wl_core.filter_parser import KEYWORDS
from wl_core.table import Scalar

_PLAIN = re.compile(r"[^\W\d][\w/.]*(?:-+[\w/.]+)*")
_NUMBERS = ("inf", "nan")


def column_text(name: str) -> str | None:
    """A column's name as it is written in a filter."""
    if _PLAIN.fullmatch(name) and name not in KEYWORDS and name not in _NUMBERS:
        return name
    return None if "`" in name or not name else f"`{name}`"


def literal_text(value: Scalar) -> str | None:
    """A value as it is written in a filter."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    quote = "'" if "'" not in value else '"'
    return None if quote in value else f"{quote}{value}{quote}"


def all_of(parts: Iterable[str | None]) -> str | None:
    """The rows that all of these find; parts that hold ``or`` must be in parentheses."""
    texts = []
    for part in parts:
        if part is None:
            return None
        texts.append(part)
    return " and ".join(texts)


def is_empty(column: str | None) -> str | None:
    return column and f"{column} is empty"


def equals(column: str | None, value: Scalar) -> str | None:
    """A cell of numbers that holds this one, a NaN too."""
    return column and f"{column} == {literal_text(value)}"


def equals_text(column: str | None, text: str, texts: Sequence[str]) -> str | None:
    """A cell of text that holds this one of all the ``texts``, which are sorted, of the column.

    A text that cannot be written is found between its neighbours.
    """
    written = literal_text(text)
    if column is None or written is not None:
        return column and f"{column} == {written}"
    at = texts.index(text)
    before = literal_text(texts[at - 1]) if at else ""
    after = literal_text(texts[at + 1]) if at + 1 < len(texts) else ""
    if before is None or after is None:
        return None
    if not (before or after):
        return f"{column} is not empty"
    return f"{before and before + ' < '}{column}{after and ' < ' + after}"


def is_among(column: str | None, wanted: Collection[str]) -> str | None:
    """A cell of text that holds one of these."""
    written = [literal_text(text) for text in wanted]
    if column is None or None in written:
        return None
    return f"{column} in [{', '.join(map(str, written))}]"


def between(column: str | None, low: float | None, high: float | None) -> str | None:
    """A cell of numbers with ``low <= cell < high``; None is no bound, on one side at most."""
    if column is None:
        return None
    if low is None:
        return f"{column} < {high!r}"
    return f"{column} >= {low!r}" if high is None else f"{low!r} <= {column} < {high!r}"
