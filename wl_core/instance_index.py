"""Which dense row belongs to which instance of which sample; vectorised.

Samples are `row_index`'s. Rows are given in the order in which a fold meets instances; what is
shown or digested goes through `InstanceIndex.order`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.columns import GrowingArray, Rows, State, array_of, grown

# The block of a sample is as long as its largest annotation_id; this keeps a wrong one affordable.
MAX_ANNOTATION_ID = (1 << 20) - 1


class InstanceIndex:
    """``(sample row, annotation_id)`` -> dense row of an instance.

    Each sample has a block of slots, one for each annotation_id from 1 on; a sample that outgrows
    its block gets a longer one at the end, so that slots move and rows never do. ``state`` is
    another object after every change.
    """

    def __init__(self) -> None:
        self.state = object()
        self._start = np.zeros(0, np.intp)
        self._capacity = np.zeros(0, np.int64)
        self._slots = GrowingArray(np.intp)
        self._sample_rows = GrowingArray(np.intp)
        self._annotation_ids = GrowingArray(np.int64)

    def __len__(self) -> int:
        return len(self._sample_rows)

    @property
    def sample_rows(self) -> Rows:
        """The sample row of each instance ``[n]``."""
        return self._sample_rows.array

    @property
    def annotation_ids(self) -> npt.NDArray[np.int64]:
        """The annotation_id of each instance ``[n]``, from 1 on."""
        return self._annotation_ids.array

    def rows(self, sample_rows: Rows, annotation_ids: npt.NDArray[Any]) -> Rows:
        """The row of each instance ``[n]``, made where it is missing.

        Raises:
            ValueError: an annotation_id is below 1 or above `MAX_ANNOTATION_ID`.
        """
        ids = checked_annotation_ids(annotation_ids)
        if not len(ids):
            return np.empty(0, np.intp)
        self._make_room(sample_rows, ids)
        slots = self._start[sample_rows] + (ids - 1)
        rows: Rows = self._slots.array[slots]
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            self.state = object()
            new, first = np.unique(slots[missing], return_index=True)
            self._slots.array[new] = np.arange(len(self), len(self) + len(new))
            self._sample_rows.extend(sample_rows[missing[first]])
            self._annotation_ids.extend(ids[missing[first]])
            rows = self._slots.array[slots]
        return rows

    def _make_room(self, sample_rows: Rows, ids: npt.NDArray[np.int64]) -> None:
        size = int(sample_rows.max()) + 1
        self._start, self._capacity = grown(self._start, size), grown(self._capacity, size)
        short = ids > self._capacity[sample_rows]
        if not short.any():
            return
        samples, which = np.unique(sample_rows[short], return_inverse=True)
        need = np.zeros(len(samples), np.int64)
        np.maximum.at(need, which, ids[short])
        old = self._capacity[samples]
        # Exact at first, when the count is often known; by doubling from then on.
        new = np.where(old == 0, need, np.maximum(need, 2 * old))
        start = len(self._slots) + np.cumsum(new) - new
        self._slots.extend(np.full(int(new.sum()), -1, np.intp))
        within = ranges(old)
        moved = self._slots.array[np.repeat(self._start[samples], old) + within]
        self._slots.array[np.repeat(start, old) + within] = moved
        self._start[samples], self._capacity[samples] = start, new

    def find(self, sample_row: int, annotation_id: int) -> int:
        """The row of one instance, -1 when it is unknown."""
        if not 0 <= sample_row < len(self._capacity):
            return -1
        if not 1 <= annotation_id <= self._capacity[sample_row]:
            return -1
        return int(self._slots.array[self._start[sample_row] + annotation_id - 1])

    def find_all(self, sample_rows: Rows, annotation_ids: npt.NDArray[Any]) -> Rows:
        """The row of each instance ``[n]``, -1 where it is unknown; so is a sample row of -1."""
        found = np.full(len(sample_rows), -1, np.intp)
        there = np.flatnonzero((sample_rows >= 0) & (sample_rows < len(self._capacity)))
        samples, ids = sample_rows[there], annotation_ids[there]
        fits = (ids >= 1) & (ids <= self._capacity[samples])
        slots = self._start[samples[fits]] + (ids[fits] - 1)
        found[there[fits]] = self._slots.array[slots]
        return found

    def of_sample(self, sample_row: int) -> Rows:
        """The rows of one sample's instances, by annotation_id."""
        if not 0 <= sample_row < len(self._capacity):
            return np.empty(0, np.intp)
        start = self._start[sample_row]
        block: Rows = self._slots.array[start : start + self._capacity[sample_row]]
        return block[block >= 0]

    def order(self, sample_ranks: npt.NDArray[np.intp]) -> Rows:
        """All rows ``[n]`` by the rank of their sample, then by annotation_id."""
        keys = (self.annotation_ids, sample_ranks[self.sample_rows])
        return np.lexsort(keys).astype(np.intp, copy=False)

    def snapshot(self, prefix: str, state: State) -> None:
        state[f"{prefix}/sample_rows"] = self.sample_rows
        state[f"{prefix}/annotation_ids"] = self.annotation_ids

    def restore(self, prefix: str, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        """Takes over a snapshot, rows as they were; only of an index that is empty."""
        sample_rows = array_of(state, f"{prefix}/sample_rows")
        ids = array_of(state, f"{prefix}/annotation_ids")
        if len(sample_rows):
            self.state = object()
            self._make_room(sample_rows, ids)
            self._slots.array[self._start[sample_rows] + ids - 1] = np.arange(len(ids))
            self._sample_rows.extend(sample_rows)
            self._annotation_ids.extend(ids)


def ranges(lengths: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    """0, 1, …, n - 1 for each length n, one after the other: ``[2, 3]`` gives ``0 1 0 1 2``."""
    ends = np.cumsum(lengths)
    within: npt.NDArray[np.int64] = np.arange(int(ends[-1]) if len(ends) else 0)
    within -= np.repeat(ends - lengths, lengths)
    return within


def checked_annotation_ids(annotation_ids: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The ids as int64.

    Raises:
        ValueError: one is below 1 or above `MAX_ANNOTATION_ID`.
    """
    ids = annotation_ids.astype(np.int64)
    if len(ids) and (ids.min() < 1 or ids.max() > MAX_ANNOTATION_ID):
        raise ValueError(
            f"annotation_ids must be between 1 and {MAX_ANNOTATION_ID:,}, got some between"
            f" {ids.min()} and {ids.max()}"
        )
    return ids
