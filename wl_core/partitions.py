"""Folding parts of a log apart from each other and merging what came out.

Views are mergeable (G9), so partitions can be folded anywhere: an executor has two functions, and
the one here works in this process. Keeping views up to date is `projection.Projector`'s business.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from wl_core.batches import batches
from wl_core.codec import Frame
from wl_core.projection import Projection

P = TypeVar("P", bound=Projection)
T = TypeVar("T")
R = TypeVar("R")


class Executor(Protocol):
    """Where partitions are folded; `InProcess` is the one that needs nothing."""

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """The function's result for each item, in order."""

    def tree_reduce(self, function: Callable[[T, T], T], items: Sequence[T]) -> T:
        """Neighbours put together by the function until one is left; at least one item."""


class InProcess:
    """The executor that works here and now."""

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        return [function(item) for item in items]

    def tree_reduce(self, function: Callable[[T, T], T], items: Sequence[T]) -> T:
        level = list(items)
        while len(level) > 1:
            pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
            level = [function(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
        return level[0]


def fold_frames(kind: type[P], frames: Iterable[Frame]) -> P:
    """A new projection of that class that has folded the frames."""
    projection = kind()
    for batch in batches(frames):
        projection.fold(batch)
    return projection


def merged(earlier: P, later: P) -> P:
    """The earlier one, with the later one merged into it."""
    earlier.merge(later)
    return earlier


def fold_partitions(
    kind: type[P], frames: Sequence[Frame], cuts: Iterable[int], executor: Executor | None = None
) -> P:
    """Folds the frames in partitions, cut before the frames of these indexes, and merges them."""
    executor = executor or InProcess()
    bounds = [0, *sorted(cuts), len(frames)]
    parts = [frames[low:high] for low, high in itertools.pairwise(bounds)]
    return executor.tree_reduce(merged, executor.map(lambda part: fold_frames(kind, part), parts))
