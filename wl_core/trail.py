"""The trail that a fold leaves: which milestones there are to be, and which one is the nearest.

While a Projector folds, milestones are left so far apart that folding from one to the next takes
some tenths of a second. How they are kept, and thinned out, is `milestones`' business.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator

from wl_core.checkpoints import Checkpoint
from wl_core.errors import MilestoneWarning, StorageError
from wl_core.milestones import MOST, Folded, Mark, Milestone, Milestones, packed, size_of

# They are this far apart at least, measured as `EventBatch.weight`: about 2 M values.
DISTANCE = 20 << 20
# So much more must have been folded than a milestone adds to the disk, so that all milestones are
# at most half as large as the log, and than is to be looked through for it, so that they cost less
# time than they spare.
_PER_BYTE_STORED = 2.0
_PER_BYTE_READ = 0.25


class Trail:
    """Leaves milestones of views while they are folded, and finds those to go on from.

    A disk that refuses costs time and nothing else: it is warned of once, then left alone.

    Args:
        milestones: where they are kept.
        identity: names the log, None as long as that is empty.
        leave: whether any are left; else they are only found.
    """

    def __init__(
        self, milestones: Milestones, identity: Callable[[], bytes | None], *, leave: bool
    ) -> None:
        self._milestones = milestones
        self._identity = identity
        self._leaves = leave
        self._due: dict[str, int] = {}  # by view, the weight at which there is one to leave

    def leave(self, views: Iterable[tuple[Folded, Mark]]) -> None:
        """Leaves a milestone of each of these views that has come far enough since the last.

        One whose snapshot is large beside what was folded since then waits.
        """
        if not self._leaves:
            return
        due = [
            (view, mark)
            for view, mark in views
            if mark.weight >= self._due.get(view.name, DISTANCE)
        ]
        if due:
            with self._as_far_as_possible():
                self._save(due)

    def _save(self, due: list[tuple[Folded, Mark]]) -> None:
        identity = self._identity()
        if identity is None:
            return
        found = [self._milestone(view, mark, identity) for view, mark in due]
        milestones = [one for one in found if one is not None]
        if milestones and not self._milestones.save(milestones):
            self._leaves = False  # a read-only place

    def forget(self, names: Iterable[str]) -> None:
        """Removes the milestones of these views: they will be folded from the beginning."""
        self._due.clear()
        with self._as_far_as_possible():
            self._milestones.clear(names)

    def nearest(self, view: Folded, last_step: int, low: int, high: int) -> Checkpoint | None:
        """The last milestone of the view that has seen no step beyond ``last_step``.

        Its position is greater than ``low`` and no greater than ``high``.
        """
        with self._as_far_as_possible():
            identity = self._identity()
            if identity is None:
                return None
            fitting = view.name, view.version, identity
            for mark in reversed(self._milestones.marks(*fitting)):
                if mark.last_step > last_step or not low < mark.position <= high:
                    continue
                state = self._milestones.load(*fitting, mark.position)
                if state is not None:
                    return Checkpoint(
                        view.name,
                        view.version,
                        mark.position,
                        identity,
                        state,
                        last_step=mark.last_step,
                        weight=mark.weight,
                    )
                if self._leaves:  # it is damaged, and no other is left beside it
                    self._milestones.remove(view.name, mark.position)
        return None

    @contextlib.contextmanager
    def _as_far_as_possible(self) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            self._leaves = False
            warnings.warn(
                f"the milestones at {self._milestones.path} cannot be used, so going back in time"
                f" takes longer; make room, or delete the directory: {error}",
                MilestoneWarning,
                stacklevel=2,
            )

    def _milestone(self, view: Folded, mark: Mark, identity: bytes) -> Milestone | None:
        marks = self._milestones.marks(view.name, view.version, identity)
        if not self._is_due(view.name, mark, marks, DISTANCE):
            return None
        state = view.snapshot()
        distance = max(DISTANCE, int(_PER_BYTE_READ * sum(map(size_of, state.values()))))
        if not self._is_due(view.name, mark, marks, distance):
            return None
        found = packed(view, identity, mark, state)
        added = sum(len(found.blobs[one]) for one in self._milestones.missing(found.blobs))
        distance = max(distance, int(_PER_BYTE_STORED * added))
        if not self._is_due(view.name, mark, marks, distance):
            return None
        self._due[view.name] = mark.weight + distance
        return found

    def _is_due(self, name: str, mark: Mark, marks: list[Mark], distance: int) -> bool:
        """Whether the next milestone is near enough to none; remembers where it would be."""
        distance = max(distance, mark.weight // MOST)
        due = mark.weight
        for weight in (0, *(one.weight for one in marks)):
            if abs(due - weight) < distance:
                due = weight + distance
        self._due[name] = due
        return due <= mark.weight
