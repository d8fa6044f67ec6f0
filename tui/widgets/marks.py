"""Marks on rows: they belong to what a row is, not to where it stands.

A million marks cost a byte each. What is done with marked rows is not known here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.integer[Any]]


class Marks:
    """Which ids are marked; ids are integers from 0 on that are not much larger than their number.

    ``last`` is the id that was marked or unmarked last by itself: where a range begins. ``state``
    is another object after every change.
    """

    def __init__(self) -> None:
        self._marked = np.zeros(0, np.bool_)
        self.count = 0
        self.last: int | None = None
        self.state = object()

    def __contains__(self, one: int) -> bool:
        return one < len(self._marked) and bool(self._marked[one])

    def ids(self) -> npt.NDArray[np.intp]:
        """All marked ids ``[count]``, in order."""
        return np.flatnonzero(self._marked)

    def among(self, ids: Ids) -> npt.NDArray[np.bool_]:
        """Which of these ids ``[n]`` are marked."""
        self._reserve(ids)
        found: npt.NDArray[np.bool_] = self._marked[ids]
        return found

    def toggle(self, one: int) -> None:
        self.last = one
        self.put(np.array([one]), one not in self)

    def put(self, ids: Ids, marked: bool) -> None:
        """Mark these, or take their marks off."""
        self._reserve(ids)
        self._marked[ids] = marked
        self._count()

    def invert(self, ids: Ids) -> None:
        self._reserve(ids)
        self._marked[ids] ^= True
        self._count()

    def clear(self) -> None:
        self._marked = np.zeros(0, np.bool_)
        self.last = None
        self._count()

    def _reserve(self, ids: Ids) -> None:
        size = int(ids.max()) + 1 if len(ids) else 0
        if size > len(self._marked):
            marked = np.zeros(max(size, 2 * len(self._marked)), np.bool_)
            marked[: len(self._marked)] = self._marked
            self._marked = marked

    def _count(self) -> None:
        self.state = object()
        self.count = int(np.count_nonzero(self._marked))
