"""Text of table cells and the widths of table columns.

Numbers are never cut: a number without its last digits is another number. Text that is too long
ends in an ellipsis. What is drawn where, and in which style, is `VirtualTable`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len, set_cell_size

from wl_core.table import Cell, TableColumn

AGGREGATED_MARK = "~"
FLOAT_WIDTH = 10  # the longest `.4g`: -1.234e-05
MAX_TEXT_WIDTH = 24
MAX_NAME_WIDTH = 18
SORT_MARK = 2  # cells: an arrow, and which key it is
GAP = 1
TRAJECTORY_WIDTH = 16
_SAMPLED_CELLS = 256


@dataclass(frozen=True, slots=True, eq=False)
class ShownColumn:
    """A column of the screen: the cells of ``column``, or what ``drawn`` makes of a row of it."""

    name: str
    column: TableColumn
    drawn: Callable[[int], str] | None = None

    @property
    def is_number(self) -> bool:
        return self.drawn is None and self.column.kind == "number"

    def fit(self, row: int, width: int) -> str:
        """One cell, exactly ``width`` cells wide."""
        if self.drawn is not None:
            return fit_text(self.drawn(row), width)
        return fit_cell(self.column, row, width)


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
    return (text if len(text.rstrip()) <= width else "…").rjust(width)[:width]


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
    name = min(cell_len(column.name) + SORT_MARK, MAX_NAME_WIDTH)
    return max(name, _content_width(column))


def _content_width(column: TableColumn) -> int:
    mark = 1 if column.aggregated is not None else 0
    if column.kind == "flag":
        return 3
    if column.is_coded:
        return min(_text_width(column), MAX_TEXT_WIDTH) + mark
    if column.dtype.kind == "f":
        return FLOAT_WIDTH + mark
    extremes = column.extremes
    return 1 if extremes is None else max(len(str(one)) for one in extremes) + mark


def _text_width(column: TableColumn) -> int:
    rows = np.linspace(0, len(column) - 1, min(len(column), _SAMPLED_CELLS)).astype(np.intp)
    return max((cell_len(format_cell(column, int(row))) for row in rows), default=1)


def place_columns(
    columns: Sequence[ShownColumn],
    chosen: Mapping[str, int],
    before: Mapping[str, int],
    first_x: int,
) -> list[ColumnPlace]:
    """Places for the columns, as wide as somebody has ``chosen``, by name, else as they need.

    None gets narrower than it was ``before``: a table that grows while it is watched would
    otherwise jump sideways.
    """
    places, x = [], first_x
    for index, one in enumerate(columns):
        width = chosen.get(one.name) or max(_own_width(one), before.get(one.name, 0))
        places.append(ColumnPlace(index, x, width))
        x = places[-1].end
    return places


def _own_width(one: ShownColumn) -> int:
    return column_width(one.column) if one.drawn is None else TRAJECTORY_WIDTH
