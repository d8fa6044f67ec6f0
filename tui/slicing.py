"""What a cross table of slices shows: what was asked for, and each cell's number, marks, filter.

Nothing is drawn and no run is read here. The numbers are `wl_core.slices`'; the shading is that of
Haberman's adjusted residuals, as marks that need no colour.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.slices import Crossing

OF_SIGNAL = ("mean", "median")
VALUES = ("count", "row_share", "share", "expected", "lift", "residual")
NOTEWORTHY, HARDLY_CHANCE = 2.0, 4.0
RELIABLE = 5.0  # rows that are to be expected for a residual to be trusted
MARKS: Mapping[int, str] = {-2: "--", -1: "- ", 0: "  ", 1: "+ ", 2: "++"}
DOUBT = "?"
LEGEND = (
    f" + more, - fewer than by chance: residual ±{NOTEWORTHY:g}, ++ -- ±{HARDLY_CHANCE:g}"
    f"   {DOUBT} under {RELIABLE:g} expected"
)
SAID: Mapping[str, str] = {
    "count": "count",
    "row_share": "share of the row",
    "share": "share of all",
    "expected": "rows expected by chance",
    "lift": "rows over those expected",
    "residual": "adjusted residual",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is crossed: two facets of instances or samples, and what a cell says.

    ``value`` is one of `VALUES`, or of `OF_SIGNAL`, those of ``signal``. With ``find`` the worst
    slices of the signal are listed instead, those of high values unless ``low_is_bad``.
    """

    instances: bool
    rows: str
    columns: str
    value: str = "count"
    signal: str | None = None
    where: str | None = None
    find: bool = False
    low_is_bad: bool = False

    @classmethod
    def from_memory(cls, said: Any) -> Asked | None:
        """What was remembered; None when that cannot be used."""
        try:
            return cls(**said)
        except TypeError:
            return None

    def to_memory(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def measured(self) -> str | None:
        """The signal that is averaged in the cells, if one is."""
        return self.signal if self.find or self.value in OF_SIGNAL else None

    @property
    def value_said(self) -> str:
        return SAID.get(self.value) or f"{self.value} of {self.signal}"

    def swapped(self) -> Asked:
        return replace(self, rows=self.columns, columns=self.rows)

    def command(self, run: str) -> str:
        """The command that prints the same."""
        words = ["wl", "slices", run, "--instances" if self.instances else "--samples"]
        if self.find:
            words += ["--find", "--signal", self.signal or ""]
            words += ["--worst", "low"] if self.low_is_bad else []
        else:
            words += ["--by", self.rows, "--against", self.columns]
        if self.measured and not self.find:
            words += ["--signal", self.measured]
        if self.where:
            words += ["--where", self.where]
        return shlex.join(words)


class Cross:
    """A crossing as it is shown: place 0 of rows and of columns is all of them together.

    ``order`` are the places of the rows from top to bottom.
    """

    def __init__(self, crossing: Crossing, value: str) -> None:
        self.crossing = crossing
        self.value = value
        self.row_names = ["all", *map(_name, crossing.rows.labels)]
        self.column_names = ["all", *map(_name, crossing.columns.labels)]
        self.corner = (", ".join(crossing.rows.facets), ", ".join(crossing.columns.facets))
        self.order: Sequence[int] = range(len(self.row_names))
        self._values = _with_margins(crossing, value)

    @property
    def is_empty(self) -> bool:
        return len(self.row_names) < 2 or len(self.column_names) < 2

    def number(self, row: int, column: int) -> float:
        """What stands there; NaN where there is nothing to say."""
        return float(self._values[row, column])

    def text(self, row: int, column: int) -> str:
        number = self.number(row, column)
        if np.isnan(number):
            return "·"
        if self.value == "count":
            return f"{number:,.0f}"
        if self.value in ("share", "row_share"):
            return f"{100 * number:.1f}%"
        return f"{number:+.1f}" if self.value == "residual" else f"{number:.4g}"

    def mark(self, row: int, column: int) -> int:
        """-2 to 2: how far the cell's count is from chance; 0 for a total, and where it is not."""
        if not row or not column:
            return 0
        residual = float(self.crossing.cells["residual"][row - 1, column - 1])
        size = (abs(residual) >= NOTEWORTHY) + (abs(residual) >= HARDLY_CHANCE)
        return size if residual > 0 else -size

    def is_doubtful(self, row: int, column: int) -> bool:
        """Whether so few rows were to be expected that the residual says little."""
        if not row or not column:
            return False
        return bool(self.crossing.cells["expected"][row - 1, column - 1] < RELIABLE)

    def filter(self, row: int, column: int) -> str | None:
        """What finds the rows of the cell, or of the row or column of a total."""
        if not row and not column:
            return self.crossing.where or ""
        return self.crossing.filter(row - 1 if row else None, column - 1 if column else None)

    def count(self, row: int, column: int) -> int:
        """How many rows of the data are in the cell."""
        crossing = self.crossing
        if row and column:
            return int(crossing.cells["count"][row - 1, column - 1])
        if row:
            return int(crossing.row_totals["count"][row - 1])
        return int(crossing.column_totals["count"][column - 1] if column else crossing.rows.size)

    def said(self, row: int, column: int) -> str:
        """The cell in words: which it is, what is in it."""
        names = [
            f"{facet}: {name}"
            for facet, name in (
                (self.corner[0], self.row_names[row] if row else ""),
                (self.corner[1], self.column_names[column] if column else ""),
            )
            if name
        ]
        total = self.crossing.rows.size
        count = self.count(row, column)
        said = [f"{' × '.join(names) or 'all'} · {count:,} of {total:,}"]
        if row and column:
            cells = self.crossing.cells
            expected, residual = (cells[n][row - 1, column - 1] for n in ("expected", "residual"))
            said.append(f"{expected:.3g} by chance, residual {residual:+.1f}")
        if self.value in OF_SIGNAL:
            said.append(f"{self.value} {self.text(row, column)}")
        return ", ".join(said)

    def sort_by(self, column: int | None) -> None:
        """The rows by what stands in that column, the largest first; None: in the facet's order."""
        count = len(self.row_names)
        if column is None:
            self.order = range(count)
            return
        values = np.nan_to_num(self._values[1:, column], nan=-np.inf)
        self.order = [0, *(1 + np.argsort(-values, kind="stable")).tolist()]


def _name(labels: Sequence[str]) -> str:
    return ", ".join(labels)


def _with_margins(crossing: Crossing, value: str) -> npt.NDArray[np.float64]:
    """``[1 + A, 1 + B]``: the totals in the first row and column."""
    cells, total = crossing.cells, crossing.rows.size
    count = _joined(cells["count"], crossing.row_totals["count"], crossing.column_totals["count"])
    count[0, 0] = total
    with np.errstate(invalid="ignore", divide="ignore"):
        if value == "count":
            return count
        if value == "share":
            return count / total
        if value == "row_share":
            return count / count[:, :1]
        if value in OF_SIGNAL:
            rows, columns = crossing.row_totals[value], crossing.column_totals[value]
            found = _joined(cells[value], rows, columns)
            found[0, 0] = crossing.total[value]
            return found
        nothing = (np.full(count.shape[0] - 1, np.nan), np.full(count.shape[1] - 1, np.nan))
        inner = cells["count"] / cells["expected"] if value == "lift" else cells[value]
        return _joined(inner, *nothing)


def _joined(
    cells: npt.NDArray[Any], rows: npt.NDArray[Any], columns: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    joined = np.full((len(rows) + 1, len(columns) + 1), np.nan)
    joined[1:, 1:], joined[1:, 0], joined[0, 1:] = cells, rows, columns
    return joined
