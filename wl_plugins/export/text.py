"""CSV, JSON and JSON lines.

              csv                        json, jsonl
    empty     nothing between commas     null
    text      "quoted" where it must be, "quoted"
              an empty text too
    flag      true, false                true, false
    list      JSON in quotes             an array
    NaN       NaN                        "NaN", a text: JSON has no number for it
    infinity  inf, -inf                  "Infinity", "-Infinity"

Numbers are the shortest decimals that are that number in its type.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wl_core.arrow import compact
from wl_core.cli_output import to_json
from wl_core.table import Table, TableColumn

_MUST_BE_QUOTED = frozenset('",\r\n')


@dataclass(frozen=True, slots=True)
class _Words:
    """How a format writes what is no plain number."""

    empty: str
    nan: str
    infinity: str
    minus_infinity: str
    text: Callable[[str], str]
    list: Callable[[Any], str]


def _quoted(text: str) -> str:
    """A text as RFC 4180 has it. An empty one is quoted too: an empty cell is not."""
    if text and _MUST_BE_QUOTED.isdisjoint(text) and text == text.strip():
        return text
    return '"' + text.replace('"', '""') + '"'


def _json_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


_CSV = _Words("", "NaN", "inf", "-inf", _quoted, lambda one: _quoted(to_json(one)))
_JSON = _Words("null", '"NaN"', '"Infinity"', '"-Infinity"', _json_text, to_json)


def write_csv(tables: Iterator[Table], path: Path) -> None:
    """UTF-8, a header line, lines end in ``\\n``."""
    head = next(tables)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(map(_quoted, head.names)) + "\n")
        for row in _rows(itertools.chain([head], tables), _CSV, ",".join):
            file.write(row + "\n")


def write_json(tables: Iterator[Table], path: Path) -> None:
    """One array with an object per row, each on a line of its own."""
    separator = "["
    with path.open("w", encoding="utf-8") as file:
        for row in _objects(tables):
            file.write(f"{separator}\n{row}")
            separator = ","
        file.write("[]\n" if separator == "[" else "\n]\n")


def write_json_lines(tables: Iterator[Table], path: Path) -> None:
    """An object per line."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{row}\n" for row in _objects(tables))


def _objects(tables: Iterator[Table]) -> Iterator[str]:
    head = next(tables)
    names = [_json_text(name).replace("%", "%%") for name in head.names]
    template = "{" + ", ".join(f"{name}: %s" for name in names) + "}"
    return _rows(itertools.chain([head], tables), _JSON, template.__mod__)


def _rows(
    tables: Iterable[Table], words: _Words, row: Callable[[tuple[str, ...]], str]
) -> Iterator[str]:
    for table in tables:
        yield from map(row, zip(*(_cells(column, words) for column in table), strict=True))


def _cells(column: TableColumn, words: _Words) -> list[str]:
    cells = _coded(column, words) if column.is_coded else _plain(column, words)
    for row in np.flatnonzero(~column.present).tolist():
        cells[row] = words.empty
    return cells


def _coded(column: TableColumn, words: _Words) -> list[str]:
    """Each different text or list is written once."""
    codes, entries = compact(column)
    write: Callable[[Any], str] = words.text if column.kind == "text" else words.list
    written = [write(entry) for entry in entries] or [words.empty]
    return [written[code] for code in codes.tolist()]


def _plain(column: TableColumn, words: _Words) -> list[str]:
    values = column.values
    if column.kind == "flag":
        return ["true" if value else "false" for value in values.tolist()]
    if values.dtype.kind != "f":
        return list(map(str, values.tolist()))
    if values.itemsize == 8:
        cells = list(map(repr, values.tolist()))
    else:  # as a Python float, a float32 would be one of many more digits
        cells = values.astype(np.str_).tolist()
    for row in np.flatnonzero(~np.isfinite(values)).tolist():
        if np.isnan(values[row]):
            cells[row] = words.nan
        else:
            cells[row] = words.infinity if values[row] > 0 else words.minus_infinity
    return cells
