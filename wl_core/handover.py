"""Handover: which batches the loaders handed over to which guard, and whose values are whose.

A batch that is taken within a guard belongs to it. One that is taken before belongs to the guard
that comes next, unless that takes another one: a batch that is only looked at is no exposure. What
the ids of a call mean is decided here; what a loader knows of its samples is `watch.loader`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wl_core.codec import SampleId
from wl_core.recorder import Recorder
from wl_core.values import BatchIds, Instances

if TYPE_CHECKING:
    from wl_core.watch.loader import TrackedLoader

UNNAMED_ORIGIN = "unnamed"


class Handover:
    """The batches of the guards that are open, and those that wait for the next one.

    ``named`` and ``instances`` are what a script named last, kept because one step names the same
    samples several times and packing their ids costs more than comparing them.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._levels: list[list[BatchIds]] = []
        self._waiting: dict[str, BatchIds] = {}
        # Handed over in the guard before this one and not named there: a script that fetches one
        # batch ahead names them now, and that is the same exposure.
        self._ahead: list[BatchIds] = []
        self._settled: list[BatchIds] = []
        self.named: tuple[str | None, BatchIds] | None = None
        self.instances: Instances | None = None

    # -- what loaders and guards tell ------------------------------------------------------------

    def hand(self, batch: BatchIds) -> None:
        """A loader hands over a batch."""
        self.named = None
        if self._levels:
            self._levels[-1].append(batch)
            self._expose(batch)
        else:
            self._waiting[batch.origin] = batch

    def _expose(self, batch: BatchIds) -> None:
        if batch.counted:
            self._recorder.exposed(batch)

    def forget(self, batch: BatchIds) -> None:
        """A pass over the data ended with this batch; if no guard has taken it, none will."""
        if self._waiting.get(batch.origin) is batch:
            del self._waiting[batch.origin]

    def _forget_named(self) -> None:
        """What a script's ids mean may change with the guard, but only where loaders hand over."""
        if self._waiting or self._ahead or any(self._levels):
            self.named = None

    def enter(self) -> None:
        """A guard with a frame of its own is entered."""
        self._forget_named()
        self._levels.append([])

    def leave(self) -> None:
        """The innermost guard is left; its frame is still open."""
        self._forget_named()
        handed = self._levels.pop()
        if self._levels:
            return
        if not handed:
            for batch in self._waiting.values():
                self._expose(batch)
        self._ahead = [batch for batch in handed if not _among(batch, self._settled)]
        self._waiting.clear()
        self._settled.clear()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What happens within knows nothing of the batches around it, and changes nothing of them.

        For an evaluation between two training steps: a batch that was fetched before it still
        belongs to the guard after it.
        """
        kept = {name: vars(self)[name] for name in vars(self) if name != "_recorder"}
        vars(self).update(_levels=[], _waiting={}, _ahead=[], _settled=[])
        self.named = self.instances = None
        try:
            yield
        finally:
            vars(self).update(kept)

    # -- whose values are whose ------------------------------------------------------------------

    def latest(self, origin: str | None = None) -> BatchIds | None:
        """The batch that was handed over last (by that origin): to this guard, else around it."""
        return next((one for one in self._near() if origin in (None, one.origin)), None)

    def matching(self, ids: Sequence[SampleId], origin: str | None) -> BatchIds | None:
        """The batch with exactly these ids that was handed over last."""
        for batch in self._near():
            if batch.ids == ids and origin in (None, batch.origin):
                return batch
        for batch in self._ahead:
            if batch.ids == ids and origin in (None, batch.origin):
                self._settled.append(batch)
                return batch
        return None

    def origin_of(self, ids: Iterable[SampleId], loaders: Mapping[str, TrackedLoader]) -> str:
        """Whose ids these are that no loader handed over just so.

        That of the last batch that has them all, else of the last batch's loader or the only
        loader that knows them, else of the last batch, else of the only loader there is.
        """
        wanted = set(ids)
        near = list(self._near())
        for batch in near:
            if wanted.issubset(batch.ids):
                return batch.origin
        knowing = [name for name, loader in loaders.items() if loader.knows(wanted)]
        for batch in near:
            if batch.origin in knowing or not knowing:
                return batch.origin
        if len(knowing) == 1 or len(loaders) == 1:
            return (knowing or list(loaders))[0]
        return UNNAMED_ORIGIN

    def claim(self, batch: BatchIds) -> None:
        """The script records something of this batch, which makes it an exposure of this guard."""
        settled = self._settled
        if not self._levels or (settled and settled[-1] is batch) or _among(batch, settled):
            return
        self._settled.append(batch)
        if self._waiting.get(batch.origin) is batch:
            del self._waiting[batch.origin]
            self._levels[-1].append(batch)
            self._expose(batch)
        elif not any(_among(batch, level) for level in self._levels):
            self._recorder.named(batch)

    def _near(self) -> Iterator[BatchIds]:
        for level in reversed(self._levels):
            yield from reversed(level)
        yield from reversed(self._waiting.values())


def _among(batch: BatchIds, batches: list[BatchIds]) -> bool:
    return any(one is batch for one in batches)
