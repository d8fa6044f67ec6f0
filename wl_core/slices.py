"""Slices: what is counted and measured in the groups of one facet, or where two facets cross.

What a facet is, and how it is written, is said in `facets`; which slices are the worst is found by
`slice_finding`. Everything is made of tables (`Run.samples`, `Run.instances`,
`instances_with_samples`) of whatever step, and is a table again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core import filter_text as text_of
from wl_core.errors import UsageError
from wl_core.facets import cut_all
from wl_core.filters import Filter
from wl_core.grouping import Grouping, Groups, crossed
from wl_core.table import Table, TableColumn
from wl_core.welch import Floats, Moments, centred, hedges_g

MAX_CELLS = 1_000_000
_MEASURES = frozenset(
    {"count", "share", "row_share", "expected", "lift", "residual", "measured", "mean", "median",
     "effect", "filter"}
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One signal of the rows: ``there`` bool ``[n]``, and the values of those, float64 ``[k]``.

    Values are those that are finite; what is NaN or infinite has no mean worth printing.
    """

    there: npt.NDArray[np.bool_]
    values: Floats

    @classmethod
    def of(cls, table: Table, signal: str) -> Measured:
        """The column of that name.

        Raises:
            UnknownNameError: there is none; the nearest is named.
            UsageError: it is not one of numbers or flags.
        """
        column = table.column(signal)
        if column.is_coded:
            raise UsageError(f"{column.name} is a {column.kind} column, which has no mean: choose"
                             " a signal of numbers, or make it a facet")  # fmt: skip
        wide = column.values.astype(np.float64)
        there = column.present & np.isfinite(wide)
        return cls(there, wide[there])


def slice_by(
    table: Table, by: str | Sequence[str], value: str | None = None, *, where: str | None = None
) -> Table:
    """One row per slice: what is in each group of a facet, or of several facets combined.

    Args:
        table: samples or instances.
        by: a facet such as ``"weather"``, ``"size:4"``, ``"size@0,10,100"`` or ``"tags"``; with
            several, each combination that occurs is a slice. Rows with an empty cell are the slice
            ``(empty)``; none is left out. A row with several tags is in the slice of each.
        value: a signal of numbers to be averaged in each slice.
        where: only rows that match this filter.

    Returns:
        A column for each facet; ``count``; ``share`` of all rows; ``filter``, which finds exactly
        the slice's rows in ``table``. With ``value`` also ``measured`` (rows with a finite value),
        ``mean`` and ``median`` of these, and ``effect``: Hedges' g of the slice against all other
        rows. The strongest effect comes first, without ``value`` the largest slice.

    Raises:
        UnknownNameError: there is no such column; the nearest is named.
        UsageError: a facet cannot be read, or has more than 10,000 groups.
        FilterError: ``where`` cannot be read.
    """
    table = matching(table, where)
    slices = cut_all(table, by)
    counts = slices.counts()
    columns = [
        *_named(slices),
        number("count", counts),
        number("share", _over(counts, len(table))),
    ]
    order = np.argsort(-counts, kind="stable")
    if value is not None:
        found = Measured.of(table, value)
        measures = _measures(found, slices.rows, slices.groups, len(slices))
        effect = _effects(found, slices)
        columns += [number(name, one) for name, one in measures.items()]
        columns.append(number("effect", effect))
        order = _strongest(effect)
    columns.append(texts_or_none("filter", (within(where, one) for one in slices.filters)))
    return Table(tuple(columns)).take(order)


def cross_tab(
    table: Table,
    rows: str | Sequence[str],
    columns: str | Sequence[str],
    value: str | None = None,
    *,
    where: str | None = None,
) -> Table:
    """One row per cell where two facets cross: its rows, and how far they are from independence.

    Args:
        table: samples or instances.
        rows: a facet, or several to be combined; see `slice_by`.
        columns: the facet or facets to cross them with, such as ``"shape"``.
        value: a signal of numbers to be averaged in each cell.
        where: only rows that match this filter.

    Returns:
        A column for each facet; ``count``; ``share`` of all rows; ``row_share`` of those in the
        cell's row; ``expected``, the count if the two facets had nothing to do with each other;
        ``lift``, count over expected; ``residual``, the adjusted standardised residual, which is
        about normal with deviation 1 under independence: beyond ±2 a cell is noteworthy, beyond ±4
        it is hardly chance (Haberman 1973, "The analysis of residuals in cross-classified tables",
        Biometrics 29(1); empty where a facet has one group alone). With ``value`` also
        ``measured``, ``mean`` and ``median``, see `slice_by`. ``filter`` finds exactly the cell's
        rows. Cells without rows are there too. The largest residual, of either sign, comes first.

        A row with several tags is in several cells; expected count and residual are then those of
        the table "has the one / has the other" of each cell.

    Raises:
        UnknownNameError, UsageError, FilterError: as `slice_by` does.
    """
    crossing = cross(table, rows, columns, value, where=where)
    first, second = crossing.rows, crossing.columns
    flat = {name: cells.ravel() for name, cells in crossing.cells.items()}
    n_first = np.repeat(first.counts(), len(second))
    count, expected = flat.pop("count"), flat.pop("expected")
    residual = flat.pop("residual")
    shown = [
        *_named(first, second),
        number("count", count),
        number("share", _over(count, first.size)),
        number("row_share", count / n_first),
        number("expected", expected),
        number("lift", count / expected),
        number("residual", residual),
        *(number(name, cells) for name, cells in flat.items()),
    ]
    places = itertools.product(range(len(first)), range(len(second)))
    shown.append(texts_or_none("filter", (crossing.filter(*place) for place in places)))
    return Table(tuple(shown)).take(_strongest(residual))


@dataclass(frozen=True, slots=True, eq=False)
class Crossing:
    """The cells where the groups of two groupings cross, each array of ``cells`` ``[A, B]``.

    These are ``count`` and, as `cross_tab` has them, ``expected`` and ``residual``, and with a
    signal ``measured``, ``mean`` and ``median``; ``row_totals`` ``[A]`` and ``column_totals``
    ``[B]`` have the latter and ``count`` of a whole group, ``total`` of all rows.
    """

    rows: Grouping
    columns: Grouping
    where: str | None
    cells: Mapping[str, npt.NDArray[Any]]
    row_totals: Mapping[str, npt.NDArray[Any]]
    column_totals: Mapping[str, npt.NDArray[Any]]
    total: Mapping[str, float]

    def filter(self, row: int | None, column: int | None) -> str | None:
        """What finds the rows of a cell, or of a whole group where the other number is None."""
        parts = [
            grouping.filters[number]
            for grouping, number in ((self.rows, row), (self.columns, column))
            if number is not None
        ]
        return within(self.where, text_of.all_of(parts)) if parts else self.where


def cross(
    table: Table,
    rows: str | Sequence[str],
    columns: str | Sequence[str],
    value: str | None = None,
    *,
    where: str | None = None,
) -> Crossing:
    """What `cross_tab` makes a table of; groups stand in the order of their facets."""
    table = matching(table, where)
    first, second = cut_all(table, rows), cut_all(table, columns)
    shape = len(first), len(second)
    size = cells(first, second)
    members, mine, theirs = crossed(first, second)
    groups = mine * len(second) + theirs
    counts = np.bincount(groups, minlength=size).reshape(shape)
    n_first, n_second = first.counts()[:, None], second.counts()[None, :]
    found = {
        "count": counts,
        "expected": n_first * _over(n_second, len(table)),
        "residual": residuals(counts, n_first, n_second, len(table)),
    }
    margins: list[dict[str, npt.NDArray[Any]]] = [
        {"count": first.counts()},
        {"count": second.counts()},
        {"count": np.array([len(table)])},
    ]
    if value is not None:
        measured = Measured.of(table, value)
        inside = _measures(measured, members, groups, size)
        found |= {name: one.reshape(shape) for name, one in inside.items()}
        everything = Grouping(("",), [("",)], [None], len(table), np.zeros(len(table), np.intp))
        for margin, whole in zip(margins, (first, second, everything), strict=True):
            margin.update(_measures(measured, whole.rows, whole.groups, len(whole)))
    total = {name: float(one[0]) for name, one in margins[2].items()}
    return Crossing(first, second, where, found, margins[0], margins[1], total)


def residuals(
    counts: npt.NDArray[Any], first: npt.NDArray[Any], second: npt.NDArray[Any], size: int
) -> Floats:
    """Adjusted standardised residuals: of ``size`` rows ``first`` are in the one group, ``second``
    in the other, ``counts`` in both. NaN where a group holds every row.
    """
    expected = first * _over(second, size)
    spread = expected * (1 - _over(first, size)) * (1 - _over(second, size))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, (counts - expected) / np.sqrt(spread), np.nan)


def cells(first: Grouping, second: Grouping) -> int:
    """How many cells two groupings cross in.

    Raises:
        UsageError: more than can be held.
    """
    size = len(first) * len(second)
    if size > MAX_CELLS:
        raise UsageError(
            f"{' and '.join(first.facets)} ({len(first):,} groups) and"
            f" {' and '.join(second.facets)} ({len(second):,}) cross in {size:,} cells, more than"
            f" {MAX_CELLS:,}: choose another column, or bins such as size:4"
        )
    return size


def within(where: str | None, found: str | None) -> str | None:
    """The filter of a slice of the rows that ``where`` matches."""
    if where is None:
        return found
    where = where.strip()
    return text_of.all_of((f"({where})" if " or " in f" {where} " else where, found))


def matching(table: Table, where: str | None) -> Table:
    if where is None:
        return table
    return table.take(np.flatnonzero(Filter.parse(where).mask(table)))


def _effects(found: Measured, slices: Grouping) -> Floats:
    """Hedges' g of each slice against all rows that are not in it."""
    measured = slices.take(found.there)
    values = centred(found.values)
    of_row = values if measured.rows is None else values[measured.rows]
    inside = Moments.of(measured.groups, of_row, len(slices))
    everything = Moments.of(np.zeros(len(values), np.intp), values, 1)
    return hedges_g(inside, everything - inside)


def _measures(
    found: Measured, rows: Groups | None, groups: Groups, size: int
) -> dict[str, npt.NDArray[Any]]:
    """How many rows of each group have a value, and the mean and median of these."""
    where = found.there if rows is None else found.there[rows]
    groups = groups[where]
    values = found.values
    if rows is not None:
        values = values[(np.cumsum(found.there) - 1)[rows[where]]]
    counts = np.bincount(groups, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.bincount(groups, weights=values, minlength=size) / counts
    middle = medians(groups, values, counts)
    return {"measured": counts, "mean": means, "median": middle}


def medians(groups: Groups, values: Floats, counts: npt.NDArray[np.int64]) -> Floats:
    """The median of each group's values, NaN where it has none; ``counts`` are their numbers."""
    order = np.argsort(values)
    # numpy sorts 16 bits by radix, several times as fast as it does more.
    narrow = np.uint16 if len(counts) <= 2**16 else np.int64
    values = values[order[np.argsort(groups[order].astype(narrow), kind="stable")]]
    starts = np.cumsum(counts) - counts
    middle = np.full(len(counts), np.nan)
    some = counts > 0
    low, high = ((starts + (counts - 1 + more) // 2)[some] for more in (0, 1))
    middle[some] = values[low] + (values[high] - values[low]) / 2
    return middle


def _over(counts: npt.NDArray[Any], size: int) -> Floats:
    return np.asarray(counts / max(1, size), np.float64)


def _strongest(values: Floats) -> npt.NDArray[np.intp]:
    """The order by size, of two as strong the one above zero first; NaN last.

    A group and all others are exactly as strong, but for what rounding leaves.
    """
    return np.lexsort((-values, -np.round(np.abs(values), 9)))


# -- columns ---------------------------------------------------------------------


def number(name: str, values: npt.NDArray[Any]) -> TableColumn:
    """A NaN among these means that there is no such number."""
    return TableColumn(name, "number", values, ~np.isnan(values))


def texts_or_none(name: str, texts: Iterable[str | None]) -> TableColumn:
    every = list(texts)
    present = np.asarray([text is not None for text in every], np.bool_)
    codes = np.arange(len(every), dtype=np.int32)
    return TableColumn(name, "text", codes, present, [text or "" for text in every])


def _named(*groupings: Grouping) -> list[TableColumn]:
    """A column for each facet, and in each row what its group is called; all pairs of two."""
    facets = [facet for grouping in groupings for facet in grouping.facets]
    if len(set(facets)) < len(facets):
        raise UsageError(f"a facet is crossed with itself, among {', '.join(facets)}")
    labels = [list(one) for one in groupings[0].labels]
    for grouping in groupings[1:]:
        labels = [[*mine, *theirs] for mine in labels for theirs in grouping.labels]
    return [
        coded(f"slice/{facet}" if facet in _MEASURES else facet, [row[at] for row in labels])
        for at, facet in enumerate(facets)
    ]


def coded(name: str, texts: Sequence[str]) -> TableColumn:
    """A column of text ``[n]`` without empty cells."""
    numbers: dict[str, int] = {}
    codes = [numbers.setdefault(text, len(numbers)) for text in texts]
    return TableColumn(
        name, "text", np.asarray(codes, np.int32), np.ones(len(codes), np.bool_), tuple(numbers)
    )
