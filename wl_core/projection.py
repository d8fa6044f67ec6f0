"""Projections: folds from events to views; the Projector that keeps several of them up to date.

A projection is pure: what it holds depends on the events alone (G9). `wl_core.testing` has a
suite that a plugin's author subclasses to check that. Where checkpoints lie is
`wl_core.checkpoints`' business; folding parts of a log apart, `wl_core.partitions`'; who asks for
views, `run`'s.

"Position" is always that of the next event to fold, which is the number of events folded.
"""

from __future__ import annotations

import itertools
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import nullcontext
from typing import Any, ClassVar, Self

import numpy.typing as npt

from wl_core.batches import EventBatch, batches
from wl_core.checkpoints import UNKNOWN, Checkpoint, Checkpoints
from wl_core.codec import DamagedFrame, Frame
from wl_core.errors import ProjectionParkedError, UnknownNameError, UsageError, nearest
from wl_core.frame_stream import FrameSource, FrameStream
from wl_core.held import Held, Parked
from wl_core.milestones import Mark, Milestones
from wl_core.trail import Trail
from wl_core.view_files import ViewFiles, exclusive

__all__ = ["FrameSource", "Parked", "Projection", "Projector"]


class Projection(ABC):
    """A fold from events to a view. Subclasses take no argument: a new one has folded nothing.

    ``name`` is what ``run.view(name)`` finds it by (letters, digits, ``_ - .``, at most 64).
    Raise ``version`` whenever the same events would give another state: checkpoints of other
    versions are not used. ``kinds`` are the kinds of events that it asks a batch for.

    A view as large as the log writes most of it to files beside its checkpoints (`attach`, `files`)
    that it maps for reading, and snapshots only what is in none: `wl_plugins.history` does.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    kinds: ClassVar[frozenset[str]]
    on_demand: ClassVar[bool] = False  # folded only once somebody asks for it, being large

    def attach(self, files: ViewFiles) -> None:  # noqa: B027 - most views fit into memory
        """Is told where it may keep files, before anything is folded or restored.

        Not called where nothing is kept between processes; everything is in memory then, and in
        `snapshot`. What is written while ``files.writable`` is immutable and stands behind a
        checkpoint as soon as `files` names it.
        """

    def files(self) -> Collection[str]:
        """The names of the files that what `snapshot` gives at this moment needs."""
        return ()

    @abstractmethod
    def fold(self, batch: EventBatch) -> None:
        """Takes in the events of consecutive frames, which follow those folded before.

        If it raises, the projection is parked: nobody reads it again before a rebuild.
        """

    @abstractmethod
    def snapshot(self) -> dict[str, npt.NDArray[Any] | bytes]:
        """Everything `restore` needs; arrays may share memory with the view."""

    @abstractmethod
    def restore(self, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        """Takes over a snapshot of the same version. Only called on a new projection."""

    @abstractmethod
    def digest(self) -> str:
        """A blake2b hex digest of the content in a canonical order, equal for equal events."""

    @abstractmethod
    def merge(self, later: Self) -> None:
        """Takes in what ``later`` folded from the events after those of this one."""


class Projector:
    """Keeps projections up to date with a log, each from its own position.

    Args:
        projections: ``(plugin's name, projection class)`` pairs, as hooks return them.
        log: where the frames come from.
        checkpoints: where views are kept between processes; None keeps them nowhere.
        report: called once for each projection that is parked.
        last_step: fold no frame from the first one on whose step is greater (time travel).
        milestones: leave milestones beside the checkpoints, for those who go back in time.
    """

    def __init__(
        self,
        projections: Iterable[tuple[str, type[Projection]]],
        log: FrameSource,
        checkpoints: Checkpoints | None = None,
        *,
        report: Callable[[Parked], None] | None = None,
        last_step: int | None = None,
        milestones: bool = True,
    ) -> None:
        self._log = log
        self._known_identity: bytes | None = None
        self._checkpoints = checkpoints
        self._milestones = milestones
        self._trail: Trail | None = None
        if checkpoints is not None:
            past = Milestones(checkpoints.path / "past")
            self._trail = Trail(past, self._identity, leave=milestones)
        self._report = report
        self._last_step = last_step
        self._views = None if checkpoints is None else checkpoints.path
        self._held: dict[str, Held] = {}
        self._damaged: dict[int, DamagedFrame] = {}
        for plugin, kind in projections:
            if kind.name in self._held:
                raise UsageError(
                    f"the projection {kind.name!r} of plugin {plugin!r} is there already, from"
                    f" plugin {self._held[kind.name].plugin!r}: give one of them another name"
                )
            self._held[kind.name] = Held(plugin, kind(), views=self._views)

    def include(self, plugin: str, kind: type[Projection]) -> None:
        """Takes in one more projection, from its checkpoint if there is one."""
        self._held[kind.name] = Held(plugin, kind(), views=self._views)
        self.restore()

    # -- reading -----------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """The names of all projections, parked ones too."""
        return list(self._held)

    @property
    def parked(self) -> list[Parked]:
        """The projections that failed, in the order in which they were given."""
        return [held.parked for held in self._held.values() if held.parked is not None]

    @property
    def damaged(self) -> list[DamagedFrame]:
        """The damaged frames that were met and skipped, by position."""
        return [self._damaged[position] for position in sorted(self._damaged)]

    @property
    def position(self) -> int:
        """Up to where every healthy projection has folded, those on demand left out."""
        healthy = self._healthy()
        always = [held for held in healthy if not held.projection.on_demand]
        return min((held.position for held in always or healthy), default=0)

    def is_behind(self, name: str) -> bool:
        """Whether that projection has folded less than others; False of one that there is not."""
        held = self._held.get(name)
        return held is not None and held.parked is None and held.position < self.position

    @property
    def last_step(self) -> int:
        """The greatest step of all frames that were folded, -1 before the first."""
        return max((held.last_step for held in self._healthy()), default=-1)

    @property
    def unsaved(self) -> int:
        """What the view that is furthest from its checkpoint has folded since, as a weight."""
        return max((held.weight - held.saved for held in self._healthy()), default=0)

    def view(self, name: str) -> Projection:
        """The projection of that name.

        Raises:
            UnknownNameError: there is none; the nearest name is given.
            ProjectionParkedError: it failed in a fold, so what it holds is not to be trusted.
        """
        held = self._held.get(name)
        if held is None:
            raise UnknownNameError(f"there is no view {name!r}.{nearest(name, self._held)}")
        if held.parked is not None:
            last = held.parked.traceback.strip().splitlines()[-1]
            raise ProjectionParkedError(
                f"the view {name!r} of plugin {held.plugin!r} failed while folding the events from"
                f" position {held.parked.position} on ({last}): the log is unharmed; mend the"
                " plugin and open the run again, or rebuild with `wl replay`"
            )
        return held.projection

    def digests(self) -> dict[str, str]:
        """The digest of each healthy projection, by name."""
        return {held.projection.name: held.projection.digest() for held in self._healthy()}

    def _healthy(self) -> list[Held]:
        return [held for held in self._held.values() if held.parked is None]

    # -- folding -----------------------------------------------------------

    def catch_up(
        self, *, limit_frames: int | None = None, budget_seconds: float | None = None
    ) -> int:
        """Folds what is new, until the end of the log or one of the limits.

        The budget is looked at between batches of a few megabytes. Projections that stand
        further back than others (new ones, say) catch up first; with a budget, those that are
        folded on demand do so last, so that what a reader sees goes on meanwhile.

        Returns:
            How many events were read from the log and folded.
        """
        deadline = None if budget_seconds is None else time.monotonic() + budget_seconds
        events = 0
        while healthy := self._healthy():
            first = healthy if deadline is None else self._urgent(healthy)
            start = min(held.position for held in first)
            behind = [held for held in healthy if held.position == start]
            stop = min((h.position for h in healthy if h.position > start), default=None)
            stream = FrameStream(self._log, start, stop, self._last_step)
            frames = itertools.islice(stream, limit_frames)
            for batch in batches(frames):
                events += batch.count
                if limit_frames is not None:
                    limit_frames -= batch.frame_count
                for held in behind:
                    self._fold(held, batch)
                self._leave_milestones(behind)
                if deadline is not None and time.monotonic() >= deadline:
                    limit_frames = 0
                    break
            self._damaged.update(stream.damaged)
            if limit_frames == 0:
                return events
            for held in behind:
                held.position = max(held.position, stream.end)
            if stream.reached_last_step or (stop is None and len(first) == len(healthy)):
                return events
        return events

    def _urgent(self, healthy: list[Held]) -> list[Held]:
        """Those that are behind and not folded on demand; all where there are none."""
        if self._last_step is not None:
            return healthy
        end = self._log.next_position
        always = [held for held in healthy if not held.projection.on_demand]
        return always if any(held.position < end for held in always) else healthy

    def _fold(self, held: Held, batch: EventBatch) -> None:
        if held.parked is not None:
            return
        try:
            held.projection.fold(batch)
        except Exception as error:  # noqa: BLE001 - a plugin's fault: it is parked, others go on
            held.parked = Parked(
                held.plugin,
                held.projection.name,
                batch.start,
                error,
                "".join(traceback.format_exception(error)),
            )
            if self._report is not None:
                self._report(held.parked)
        except BaseException:
            # Interrupted half-way (Ctrl-C): what it holds now is the view of no log at all.
            held.reset()
            raise
        else:
            held.position = batch.stop
            held.last_step = max(held.last_step, batch.last_step)
            held.weight += batch.weight

    def _leave_milestones(self, folded: Iterable[Held]) -> None:
        if self._trail is not None:
            self._trail.leave(
                (held.projection, Mark(held.position, held.last_step, held.weight))
                for held in folded
                if held.parked is None and not held.projection.on_demand
            )

    def rebuild(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Folds everything again beside what is there, then takes it over and checkpoints it.

        Parked projections get a new chance. ``progress`` is called with the position reached and
        the log's end, after every few thousand frames.
        """
        fresh = self._fresh(self._last_step)
        if fresh._trail is not None:
            fresh._trail.forget(self.names)
        end = self._log.next_position
        while fresh.catch_up(limit_frames=4000):
            if progress is not None:
                progress(fresh.position, max(end, fresh.position))
        self._held, self._damaged = fresh._held, fresh._damaged
        self.checkpoint(replace=True)

    def go_on_to(self, last_step: int) -> None:
        """Lets a view of the past fold up to the first frame beyond a later step."""
        self._last_step = last_step

    def at_step(self, step: int) -> Projector:
        """The same projections folded up to the first frame of a later step; never checkpointed."""
        past = self._fresh(step)
        past.restore()
        past.catch_up()
        return past

    def _fresh(self, last_step: int | None) -> Projector:
        kinds = [(held.plugin, type(held.projection)) for held in self._held.values()]
        return Projector(
            kinds, self._log, self._checkpoints, report=self._report, last_step=last_step,
            milestones=self._milestones,
        )  # fmt: skip

    # -- checkpoints -------------------------------------------------------

    def checkpoint(self, *, replace: bool = False) -> bool:
        """Saves all healthy views with their positions, in one transaction (G10).

        A checkpoint that another process has brought further is left alone, unless ``replace``.

        Returns:
            False where nothing can be saved: no place for checkpoints, a read-only one, an empty
            log, a view of the past.

        Raises:
            LogWriteError: the disk refused; the checkpoint before is still whole.
        """
        identity = self._identity()
        if self._checkpoints is None or identity is None or self._last_step is not None:
            return False
        keeping = [held for held in self._healthy() if held.keeps_files]
        with exclusive(self._checkpoints.path) if keeping else nullcontext(True) as may_write:
            if not may_write:
                return False
            saving = {held.projection.name: held.to_save(identity) for held in self._healthy()}
            saved = [one for one in saving.values() if one is not None]
            done = self._checkpoints.save(saved, replace=replace)
            for held in keeping:
                held.collect(self._checkpoints)
        for held in self._healthy():
            held.saved = held.weight
        return done

    def restore(self) -> list[str]:
        """Takes over the checkpoints that fit and are ahead; the others are folded from the log.

        A checkpoint fits when it is of this log, not beyond its end, of the projection's version
        and whole. A milestone that is further is one as well.

        Returns:
            The names of the projections that were restored.
        """
        identity = self._identity()
        if self._checkpoints is None or identity is None:
            return []
        end, restored = self._log.next_position, []
        for name, held in self._held.items():
            # Twice: another process may replace checkpoint and files while they are read.
            for _ in range(2):
                found = self._stored(held, self._checkpoints, identity, end)
                if found is None or not held.position < found.position <= end:
                    break
                if held.restore(found):
                    restored.append(name)
                    break
        return restored

    def _stored(
        self, held: Held, checkpoints: Checkpoints, identity: bytes, end: int
    ) -> Checkpoint | None:
        view = held.projection
        step = UNKNOWN if self._last_step is None else self._last_step
        if view.on_demand and self._last_step is not None:
            return None
        newest = checkpoints.load(view.name, view.version, identity, step)
        low = held.position if newest is None else max(held.position, newest.position)
        nearest = None if self._trail is None else self._trail.nearest(view, step, low, end)
        return newest if nearest is None else nearest

    def _identity(self) -> bytes | None:
        """What tells this log from any other: who wrote its first frame, and when."""
        if self._known_identity is None:
            for frame in self._log.frames():
                if isinstance(frame, Frame):
                    said = f":{frame.number}:{frame.time!r}"
                    self._known_identity = frame.writer + said.encode()
                    break
        return self._known_identity
