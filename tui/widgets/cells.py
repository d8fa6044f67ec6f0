"""Text of table cells and the widths of table columns.

Numbers are never cut: a number without its last digits is another number. Text that is too long
ends in an ellipsis. What is drawn where, and in which style, is `VirtualTable`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len, set_cell_size

from wl_core.table import Cell, Table, TableColumn

AGGREGATED_MARK = "~"
FLOAT_WIDTH = 10  # the longest `.4g`: -1.234e-05
MAX_TEXT_WIDTH = 24
MAX_NAME_WIDTH = 18
GAP = 1
_SAMPLED_CELLS = 256


@dataclass(frozen=True, slots=True)
class ColumnPlace:
    """Where a column is drawn: ``x`` cells from the left edge of the unscrolled table."""

    index: int
    x: int
    width: int

    @property
    def end(self) -> int:
        return self.x + self.width + GAP


def format_cell(column: TableColumn, row: int) -> str:
    """One cell as text; empty cells are blank, a recorded NaN is ``nan``."""
    value = column.cell(row)
    if value is None:
        return ""
    text = _shown(value)
    return text + AGGREGATED_MARK if column.is_aggregated(row) else text


def _shown(value: Cell) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def fit_cell(column: TableColumn, row: int, width: int) -> str:
    """One cell, exactly ``width`` cells wide: numbers to the right, the rest to the left."""
    text = format_cell(column, row)
    if column.kind != "number":
        return fit_text(text, width)
    if column.aggregated is not None and not text.endswith(AGGREGATED_MARK):
        text += " "  # digits line up with those of aggregated cells
    return text.rjust(width)


def fit_text(text: str, width: int) -> str:
    """``text`` padded to ``width`` cells, with an ellipsis where it had to be cut."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "…"


def fit_name(name: str, width: int, arrow: str = "") -> str:
    """A column name in at most ``width`` cells; the middle goes, both ends tell names apart."""
    room = width - len(arrow)
    if cell_len(name) > room:
        tail = room // 2
        name = name[: room - tail - 1] + "…" + name[len(name) - tail :]
    return name + arrow


def column_width(column: TableColumn) -> int:
    """Cells that the column needs, judged by its name and by some of its cells."""
    name = min(cell_len(column.name) + 1, MAX_NAME_WIDTH)  # one more for the sort arrow
    return max(name, _content_width(column))


def _content_width(column: TableColumn) -> int:
    mark = 1 if column.aggregated is not None else 0
    if column.kind == "flag":
        return 3
    if column.is_coded:
        return min(_text_width(column), MAX_TEXT_WIDTH) + mark
    if column.values.dtype.kind == "f":
        return FLOAT_WIDTH + mark
    if not len(column):
        return 1
    return max(len(str(column.values.min())), len(str(column.values.max()))) + mark


def _text_width(column: TableColumn) -> int:
    rows = np.linspace(0, len(column) - 1, min(len(column), _SAMPLED_CELLS)).astype(np.intp)
    return max((cell_len(format_cell(column, int(row))) for row in rows), default=1)


def place_columns(table: Table, before: Mapping[str, int], first_x: int) -> list[ColumnPlace]:
    """Places for all columns of ``table``; none gets narrower than it was ``before``, by name.

    A table that grows while it is watched would otherwise jump sideways.
    """
    places, x = [], first_x
    for index, column in enumerate(table):
        width = max(column_width(column), before.get(column.name, 0))
        places.append(ColumnPlace(index, x, width))
        x = places[-1].end
    return places
