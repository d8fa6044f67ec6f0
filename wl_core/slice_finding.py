"""Finds the slices in which a signal is worst, over one and two columns.

As SliceFinder does it: Chung, Kraska, Polyzotis, Tae & Whang (2019), "Slice Finder: Automated Data
Slicing for Model Validation", ICDE. Every slice that is large enough is compared with all rows that
are not in it; a slice of two columns also with what it leaves of either column's slice, so that it
is only found where it says more than each of them does. What a slice is, is said in `slices`; the
statistics are `welch`'s.

The correction is Holm's rather than that of Benjamini and Hochberg: slices overlap and complement
each other (a flag's yes and its no), so that their tests depend on one another in both directions,
for which the latter is not proven. What it costs in power matters little where slices are large.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from wl_core import filter_text as text_of
from wl_core.errors import UsageError
from wl_core.facets import cut
from wl_core.grouping import Grouping, crossed
from wl_core.slices import Measured, cells, coded, matching, number, texts_or_none, within
from wl_core.table import Table, TableColumn
from wl_core.welch import Floats, Moments, centred, hedges_g, holm, welch_p

GROUPS = (2, 50)  # a facet that is looked into by itself has so many
MIN_SIZE = 20

# What tells rows apart, or how training went, rather than what the data is.
_NO_FACETS = frozenset({"sample_id", "annotation_id", "times_seen", "last_step", "shape"})
_PREFIX = re.compile("^(sample/)?(signals/|groups/|labels/)?")


@dataclass(frozen=True, slots=True, eq=False)
class _Candidates:
    """Slices of one facet, or of two: which groups, and how they compare ``[k]``.

    ``effect`` and ``p`` are turned so that large effects are bad ones.
    """

    facets: tuple[int, ...]
    groups: tuple[npt.NDArray[np.intp], ...]
    inside: Moments
    effect: Floats
    p: Floats
    adds: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Slice:
    """One that was found: a group of one facet, or of each of two; effects are bad if large."""

    parts: Sequence[tuple[Grouping, int]]
    effect: float
    p: float
    p_adjusted: float

    def inside(self) -> npt.NDArray[np.bool_]:
        mask: npt.NDArray[np.bool_] = np.logical_and.reduce(
            [grouping.rows_of(group) for grouping, group in self.parts]
        )
        return mask

    def name(self) -> str:
        return ", ".join(f"{g.facets[0]} {_says(g.labels[group][0])}" for g, group in self.parts)

    def filter(self) -> str | None:
        return text_of.all_of(g.filters[group] for g, group in self.parts)


def find_slices(
    table: Table,
    signal: str,
    facets: Sequence[str] | None = None,
    *,
    max_columns: Literal[1, 2] = 2,
    min_size: int = MIN_SIZE,
    alpha: float = 0.05,
    worst: Literal["high", "low"] = "high",
    signals: Collection[str] = (),
    where: str | None = None,
) -> Table:
    """The slices in which a signal is worse than elsewhere, the strongest effect first.

    Args:
        table: samples or instances.
        signal: what is compared: a column of numbers or flags. Rows without a finite value are
            left out of every comparison.
        facets: what to slice by, as `slice_by` takes it; by default `default_facets`.
        max_columns: 2 looks into each pair of facets as well.
        min_size: how many rows with a value a slice, and what it is compared with, must have.
        alpha: with probability ``1 - alpha`` no slice that is found is mere chance.
        worst: which values are bad: ``"high"`` ones (losses) or ``"low"`` ones (scores).
        signals: columns that are no facets by default, being measured: ``run.signals()``.
        where: only rows that match this filter.

    Returns:
        One row per slice that is significantly worse: ``slice`` says which, ``count`` its rows,
        ``measured`` those with a finite value, ``mean`` that of these, ``rest_mean`` that of all
        other rows, ``effect`` Hedges' g between the two, ``p`` that of a one-sided Welch t-test,
        ``p_adjusted`` after Holm's correction for all slices that were tested, ``filter`` what
        finds exactly its rows in ``table``. A slice of two columns is one only if its effect is
        stronger than that of either column's slice, and its ``p`` is the largest of three tests:
        against all other rows, and against the other rows of either column's slice.

    Raises:
        UnknownNameError: there is no such column; the nearest is named.
        UsageError: ``signal`` holds no numbers, or an argument is out of its range.
        FilterError: ``where`` cannot be read.
    """
    _check(max_columns, min_size, alpha, worst)
    table = matching(table, where)
    found = Measured.of(table, signal)
    if facets is None:
        facets = default_facets(table, {signal, table.column(signal).name, *signals})
    groupings = [cut(table, facet) for facet in dict.fromkeys(facets)]
    measured = [grouping.take(found.there) for grouping in groupings]
    sign = 1 if worst == "high" else -1
    candidates = list(_candidates(measured, sign * centred(found.values), min_size, max_columns))
    return _described(_found(candidates, groupings, alpha), found, sign, where)


def default_facets(table: Table, signals: Collection[str] = ()) -> list[str]:
    """The facets that are looked into where none are named.

    These are the columns of text, flags, tags and lists with 2 to 50 groups, and numbers in as many
    groups as `facets` makes of them: metadata, decisions, and ``class`` if there is such a column.
    Ids, times and shapes are none, nor are the columns named in ``signals``, others of the same
    ``NAME/…``, and columns that are computed only for those who ask.
    """
    measured = set(signals)
    sets = {name.rpartition("/")[0] for name in signals} - {""}
    found = []
    for column in table:
        if not column.is_ready or _is_known_of_training(column.name, measured, sets):
            continue
        if _may_be_few(column) and GROUPS[0] <= len(cut(table, column.name)) <= GROUPS[1]:
            found.append(column.name)
    return found


def _is_known_of_training(name: str, measured: set[str], sets: set[str]) -> bool:
    """Whether it says how the rows fared, or which they are, rather than what they are like."""
    bare = _PREFIX.sub("", name)
    if bare in _NO_FACETS or bare.startswith("shape/"):
        return True
    if bare == "class":
        return False
    return not {bare, name}.isdisjoint(measured) or bare.rpartition("/")[0] in sets


def _may_be_few(column: TableColumn) -> bool:
    """Whether it may have few groups; ids and paths are not worth cutting to see."""
    if not column.is_coded or column.name.rpartition("/")[2] == "tags":
        return True
    return len(np.unique(column.values[column.present])) <= 20 * GROUPS[1]


def _check(max_columns: int, min_size: int, alpha: float, worst: str) -> None:
    if max_columns not in (1, 2):
        raise UsageError(f"max_columns must be 1 or 2, not {max_columns!r}")
    if min_size < 2:
        raise UsageError(f"min_size must be at least 2 for rows to be compared, not {min_size!r}")
    if not 0 < alpha < 1:
        raise UsageError(f"alpha must be between 0 and 1, not {alpha!r}")
    if worst not in ("high", "low"):
        raise UsageError(f"worst must be 'high' or 'low', not {worst!r}")


def _candidates(
    facets: Sequence[Grouping], values: Floats, min_size: int, max_columns: int
) -> Iterator[_Candidates]:
    """Every slice that is large enough to be tested."""
    everything = Moments.of(np.zeros(len(values), np.intp), values, 1)
    singles = []
    for at, facet in enumerate(facets):
        inside = _moments(facet, values)
        singles.append(inside)
        rest = everything - inside
        groups = np.flatnonzero(np.minimum(inside.count, rest.count) >= min_size)
        inside, rest = inside[groups], rest[groups]
        effect, p = hedges_g(inside, rest), welch_p(inside, rest)
        yield _Candidates((at,), (groups,), inside, effect, p, effect > 0)
    if max_columns == 2:
        for a, b in itertools.combinations(range(len(facets)), 2):
            crossing = _crossing(facets[a], facets[b], values)
            yield _pairs((a, b), crossing, (singles[a], singles[b]), everything, min_size)


def _moments(facet: Grouping, values: Floats) -> Moments:
    of_row = values if facet.rows is None else values[facet.rows]
    return Moments.of(facet.groups, of_row, len(facet))


def _crossing(first: Grouping, second: Grouping, values: Floats) -> Moments:
    """Of each cell ``[A, B]`` of two facets."""
    cells(first, second)
    rows, mine, theirs = crossed(first, second)
    joint = Moments.of(
        mine * len(second) + theirs,
        values if rows is None else values[rows],
        len(first) * len(second),
    )
    shape = (len(first), len(second))
    return Moments(*(sums.reshape(shape) for sums in (joint.count, joint.total, joint.squares)))


def _pairs(
    facets: tuple[int, int],
    crossing: Moments,
    parents: tuple[Moments, Moments],
    everything: Moments,
    min_size: int,
) -> _Candidates:
    """Slices of two columns, compared with all other rows and with the others of each parent."""
    large = crossing.count >= min_size
    first = parents[0][:, None] - crossing
    second = parents[1][None, :] - crossing
    large &= np.minimum(first.count, second.count) >= min_size
    a, b = np.nonzero(large)
    inside, rest = crossing[a, b], everything - crossing[a, b]
    effect = hedges_g(inside, rest)
    adds = effect > 0
    for parent, at in zip(parents, (a, b), strict=True):
        adds &= effect > hedges_g(parent, everything - parent)[at]
    others = Moments.joined([rest, first[a, b], second[a, b]])
    p = welch_p(Moments.joined([inside] * 3), others).reshape(3, -1).max(axis=0)
    return _Candidates(facets, (a, b), inside, effect, p, adds)


def _found(
    candidates: Sequence[_Candidates], groupings: Sequence[Grouping], alpha: float
) -> list[_Slice]:
    """Those that are significantly worse than the rest after correction, the worst first."""
    corrected = holm(np.concatenate([np.empty(0), *(one.p for one in candidates)]))
    slices, start = [], 0
    for one in candidates:
        adjusted = corrected[start : start + len(one.p)]
        start += len(one.p)
        for at in np.flatnonzero(one.adds & (adjusted <= alpha)).tolist():
            places = zip(one.facets, one.groups, strict=True)
            parts = [(groupings[facet], int(groups[at])) for facet, groups in places]
            numbers = (float(array[at]) for array in (one.effect, one.p, adjusted))
            slices.append(_Slice(parts, *numbers))
    return sorted(slices, key=lambda one: -one.effect)


def _described(slices: Sequence[_Slice], found: Measured, sign: int, where: str | None) -> Table:
    insides = [one.inside() for one in slices]
    ours = [inside[found.there] for inside in insides]
    columns = {
        "count": [np.count_nonzero(inside) for inside in insides],
        "measured": [np.count_nonzero(mine) for mine in ours],
        "mean": [found.values[mine].mean() for mine in ours],
        "rest_mean": [found.values[~mine].mean() for mine in ours],
        "effect": [sign * one.effect for one in slices],
        "p": [one.p for one in slices],
        "p_adjusted": [one.p_adjusted for one in slices],
    }
    whole = ("count", "measured")
    return Table(
        (
            coded("slice", [one.name() for one in slices]),
            *(
                number(name, np.asarray(cells, np.int64 if name in whole else np.float64))
                for name, cells in columns.items()
            ),
            texts_or_none("filter", [within(where, one.filter()) for one in slices]),
        )
    )


def _says(label: str) -> str:
    """A group beside its facet's name: ``size >= 40``, ``weather = rainy``."""
    return label if label.startswith(("< ", ">= ")) else f"= {label}"
