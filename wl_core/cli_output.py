"""How commands print what they list: for a person, for a pipe, or as JSON.

    a terminal   aligned columns, numbers to 4 significant digits, what does not fit is left out
                 and said on stderr; ``~`` marks a sample's cell that is the mean of its instances
    a pipe       tab-separated with a header line, numbers in full, empty cells empty; a tab, line
                 break or backslash inside a text is written \\t, \\n, \\r, \\\\
    --json       one JSON array of objects; an empty cell is null, and what JSON has no number for
                 is a text: "NaN", "Infinity", "-Infinity"

What is listed is the commands' business.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wl_core.table import Table, TableColumn

_ESCAPES = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"})
_GAP = 2


def for_a_person() -> bool:
    """Whether somebody looks at what is printed."""
    return sys.stdout.isatty()


def print_rows(names: Sequence[str], rows: Iterable[Sequence[Any]], *, as_json: bool) -> None:
    """Prints rows of plain values in the way that fits where they go."""
    if as_json:
        print_json_array(dict(zip(names, row, strict=True)) for row in rows)
    elif for_a_person():
        _print_aligned(names, [[shown(value) for value in row] for row in rows])
    else:
        print_tsv(names, rows)


def print_table(table: Table, *, as_json: bool, first: Sequence[str] = ()) -> None:
    """Prints a `Table`: exact numbers to machines, rounded and marked ones to people.

    On a terminal the columns named in ``first`` come first, where they surely fit.
    """
    count = range(len(table))
    if as_json or not for_a_person():
        cells = [[exact(column, row) for row in count] for column in table]
        print_rows(table.names, zip(*cells, strict=True), as_json=as_json)
        return
    names = list(dict.fromkeys([*first, *table.names]))
    columns = [table.column(name) for name in names]
    marked = [[_marked(column, row) for row in count] for column in columns]
    right = [column.kind == "number" for column in columns]
    _print_aligned(names, [list(row) for row in zip(*marked, strict=True)], right)


def _marked(column: TableColumn, row: int) -> str:
    """A cell for people; that most rows are not discarded goes without saying."""
    value = exact(column, row)
    mark = "~" if column.is_aggregated(row) else ""
    return "" if value is False and column.name == "discarded" else mark + shown(value)


def print_json_array(objects: Iterable[dict[str, Any]], *, flush: bool = False) -> None:
    """One array, one object a line; ``flush`` for objects that somebody waits for."""
    separator = ""
    sys.stdout.write("[")
    try:
        for item in objects:
            # In one call, so that Ctrl-C comes before or after it and not amid it.
            print(f"{separator}{to_json(item)}", flush=flush)
            separator = ","
    finally:
        # Closed even when Ctrl-C ends a --follow, so that what was saved can be read.
        print("]")


def print_tsv(names: Sequence[str], rows: Iterable[Sequence[Any]], *, flush: bool = False) -> None:
    """A header line, then one line a row; ``flush`` for rows that somebody waits for."""
    print("\t".join(name.translate(_ESCAPES) for name in names), flush=flush)
    for row in rows:
        print("\t".join(tsv_cell(value) for value in row), flush=flush)


def to_json(value: Any) -> str:
    """Compact, and valid whatever floats are in it."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:  # an infinity or a NaN, which is rare: only then is each float looked at
        return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def tsv_cell(value: Any) -> str:
    """A value as it stands in a pipe: whole, and without a tab or a line break."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    return to_json(value) if isinstance(value, dict | list | tuple) else str(value)


def shown(value: Any) -> str:
    """A value for people: 4 significant digits, yes and no, long lists shortened."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_items(value)) + "]"
    if isinstance(value, dict):
        return " ".join(f"{key}={shown(item) or '-'}" for key, item in value.items())
    # A line break or an escape sequence in somebody's metadata must not draw on the terminal.
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))


def _items(values: Sequence[Any]) -> Iterator[str]:
    for value in values[:4]:
        yield shown(value) or "-"
    if len(values) > 4:
        yield f"… {len(values)} in all"


def local_time(seconds: float) -> str:
    """Unix seconds as a person's clock shows them."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def exact(column: TableColumn, row: int) -> Any:
    """The cell as a plain value; a float32 as the shortest decimal that is that float32."""
    value = column.cell(row)
    if isinstance(value, float) and column.values.dtype.itemsize < 8:
        return float(str(column.values[row]))
    return value


def _print_aligned(
    names: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] | None = None
) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    widths = [
        max([cell_len(name), *(cell_len(row[number]) for row in rows)])
        for number, name in enumerate(names)
    ]
    width = shutil.get_terminal_size().columns
    fitting = _fitting(widths, width)
    table = RichTable(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for number in range(fitting):
        to_the_right = right is not None and right[number]
        table.add_column(
            Text(names[number]), justify="right" if to_the_right else "left", no_wrap=True
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row[:fitting]))
    Console(width=width, highlight=False).print(table)
    if fitting < len(names):
        hidden = ", ".join(names[fitting:])
        sys.stdout.flush()
        print(f"not shown, for want of width: {hidden}", file=sys.stderr)


def _fitting(widths: Sequence[int], width: int) -> int:
    """How many of the columns fit; one at least, cut short if need be."""
    used = 0
    for number, one in enumerate(widths):
        used += one + (_GAP if number else 0)
        if used > width:
            return max(1, number)
    return len(widths)
