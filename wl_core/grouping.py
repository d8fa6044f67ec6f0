"""Groupings: which rows of a table are in which groups, by one facet or by several combined.

How a column is cut into groups is `facets`' business; what is counted in them, `slices`'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wl_core import filter_text as text_of
from wl_core.errors import UsageError

Groups = npt.NDArray[np.intp]

MAX_GROUPS = 10_000  # of a facet, or of several combined; one with more is an id or a path


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """``n`` rows in ``G`` groups, of one facet or of several combined.

    ``facets`` are those as they were written, ``labels[g]`` what group ``g`` is called in each, and
    ``filters[g]`` finds its rows (None where the filter language cannot say it). Membership ``m``
    is that of row ``rows[m]`` in group ``groups[m]``, in the order of the rows; ``rows`` is None
    where every row is in one group, and ``groups`` then has one for each. No group is without rows.
    """

    facets: tuple[str, ...]
    labels: Sequence[tuple[str, ...]]
    filters: Sequence[str | None]
    size: int
    groups: Groups
    rows: Groups | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def counts(self) -> npt.NDArray[np.int64]:
        """int64 ``[G]``: the rows of each group."""
        return np.bincount(self.groups, minlength=len(self))

    def rows_of(self, group: int) -> npt.NDArray[np.bool_]:
        """bool ``[n]``: which rows are in that group."""
        inside: npt.NDArray[np.bool_] = self.groups == group
        if self.rows is None:
            return inside
        mask = np.zeros(self.size, np.bool_)
        mask[self.rows[inside]] = True
        return mask

    def take(self, kept: npt.NDArray[np.bool_]) -> Grouping:
        """The memberships of the rows where ``kept`` ``[n]``; groups may be left without any."""
        numbers = np.cumsum(kept) - 1
        size = int(np.count_nonzero(kept))
        if self.rows is None:
            return Grouping(self.facets, self.labels, self.filters, size, self.groups[kept])
        inside = kept[self.rows]
        rows = numbers[self.rows[inside]]
        return Grouping(self.facets, self.labels, self.filters, size, self.groups[inside], rows)


def crossed(first: Grouping, second: Grouping) -> tuple[Groups | None, Groups, Groups]:
    """Each row once for each pair of its groups: ``rows`` (None: every row once), both groups."""
    if second.rows is None:
        theirs = second.groups if first.rows is None else second.groups[first.rows]
        return first.rows, first.groups, theirs
    if first.rows is None:
        return second.rows, first.groups[second.rows], second.groups
    counts = np.bincount(second.rows, minlength=second.size)
    times = counts[first.rows]
    at = np.repeat(np.arange(len(times)), times)
    nth = np.arange(len(at)) - np.repeat(np.cumsum(times) - times, times)
    rows = first.rows[at]
    return rows, first.groups[at], second.groups[(np.cumsum(counts) - counts)[rows] + nth]


def combined(first: Grouping, second: Grouping) -> Grouping:
    """The pairs of groups that some row is in."""
    rows, mine, theirs = crossed(first, second)
    pairs, groups = np.unique(mine * len(second) + theirs, return_inverse=True)
    check_few(len(pairs), " and ".join((*first.facets, *second.facets)))
    both = [divmod(pair, len(second)) for pair in pairs.tolist()]
    return Grouping(
        (*first.facets, *second.facets),
        [(*first.labels[a], *second.labels[b]) for a, b in both],
        [text_of.all_of((first.filters[a], second.filters[b])) for a, b in both],
        first.size,
        groups,
        rows,
    )


def check_few(count: int, facet: str) -> None:
    if count > MAX_GROUPS:
        raise UsageError(
            f"{facet} has {count:,} groups, of which {MAX_GROUPS:,} can be told apart: choose"
            " another column, or bins such as size:4"
        )
