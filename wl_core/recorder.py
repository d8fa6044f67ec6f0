"""Recorder: collects the facts of a step and commits its frame.

The hot path of a training run: what is called here is called in every step, several times. Facts
inside a guard wait for its exit and go into one frame; a fact outside a guard is a frame of its
own. What the facts mean is not known here; what values may look like is checked in `values`.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wl_core.arrays import pack_arrays
from wl_core.codec import Frame, FrameBuilder, SampleId, encode, pack_index
from wl_core.parking import Later, Parking
from wl_core.tail import Entry
from wl_core.values import BatchIds, Instances

if TYPE_CHECKING:
    from wl_core.deferred import Arriving

_REMEMBERED_ARRAYS = 200_000


class OpenFrame:
    """The facts of a guard that has been entered and not left."""

    __slots__ = (
        "arrays",
        "builder",
        "exposed",
        "failed",
        "folded_events",
        "indexed_events",
        "is_step",
        "later",
        "named",
        "phase",
        "step",
    )  # fmt: skip

    def __init__(self, phase: str, step: int, *, is_step: bool) -> None:
        self.phase = phase
        self.step = step
        self.is_step = is_step  # the clock goes on when it ends
        self.builder = FrameBuilder()
        self.arrays: list[tuple[bytes, bytes]] = []
        self.exposed: list[BatchIds] = []  # what a loader handed over
        self.named: list[BatchIds] = []  # what the script named itself
        self.later: list[Later] = []  # what waits for values from a device
        self.failed = False
        self.folded_events = 0  # how many of its events the local views have taken in already
        self.indexed_events = 0  # and how many they only know where to find

    def take_later(self) -> list[Later]:
        """What waits for values; it waits no more."""
        taken, self.later = self.later, []
        return taken


class Facts:
    """What `Recorder.facts` gives: a context that may be entered within itself.

    Written out because it is entered several times a step, where a generator would cost more than
    what it guards.
    """

    __slots__ = ("_recorder",)

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __enter__(self) -> OpenFrame:
        recorder = self._recorder
        recorder.lock.acquire()
        recorder.depth += 1
        if not recorder.frames:
            recorder.frames.append(OpenFrame("outside", recorder.step, is_step=False))
            recorder.lone_depth = recorder.depth
        return recorder.frames[-1]

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        recorder = self._recorder
        try:
            if recorder.depth == recorder.lone_depth:
                recorder.lone_depth = 0
                frame = recorder.frames.pop()
                if kind is None:
                    recorder.commit(frame)
        finally:
            recorder.depth -= 1
            recorder.lock.release()


class Recorder:
    """One writer's facts on their way to its log.

    ``submit`` takes an encoded frame and returns when it survives the process; ``committed`` is
    told each frame after that, as it was opened too. ``step`` is the number of training guards
    exited.
    """

    def __init__(
        self,
        writer: bytes,
        submit: Callable[[Entry], None],
        committed: Callable[[Frame, OpenFrame], None],
        step: int = 0,
        number: int = 0,
    ) -> None:
        self.writer = writer
        self.step = step
        self.lock = threading.RLock()
        self._submit = submit
        self._committed = committed
        self._number = number
        self.frames: list[OpenFrame] = []  # the open ones, the innermost last
        self.depth = 0  # of facts() within facts()
        self.lone_depth = 0  # that at which a frame outside of guards was opened
        self._facts = Facts(self)
        self._parking = Parking(self)
        self._stored: OrderedDict[bytes, None] = OrderedDict()

    # -- frames ------------------------------------------------------------

    @property
    def current(self) -> OpenFrame | None:
        """The innermost open frame, None outside of guards."""
        return self.frames[-1] if self.frames else None

    @property
    def phase(self) -> str:
        """``"train"``, ``"test"`` or ``"outside"``."""
        return self.frames[-1].phase if self.frames else "outside"

    def begin(self, phase: str, step: int | None = None) -> None:
        """Opens a frame for the facts to come, those of a ``step`` of the past if one is given."""
        with self.lock:
            at = self.step if step is None else step
            self.frames.append(OpenFrame(phase, at, is_step=phase == "train" and step is None))

    def end(self) -> None:
        """Commits the innermost open frame; in a training phase the step is over."""
        with self.lock:
            frame = self.frames.pop()
            self._add_exposures(frame)
            if frame.is_step:
                self.step += 1
            self.commit(frame)

    def facts(self) -> Facts:
        """The open frame, or outside of guards a frame of its own that is committed at the end."""
        return self._facts

    def later(self, values: Sequence[Arriving], record: Callable[[], None]) -> None:
        """Calls ``record`` once these values have arrived; what it records is of this frame."""
        with self.facts() as frame:
            frame.later.append(Later(values, record))

    def settle(self) -> None:
        """Waits for the values that are on their way, and commits the frames that wait for them.

        What a signal that waited for them raises is raised here.
        """
        with self.lock:
            self._parking.settle()

    def commit(self, frame: OpenFrame) -> None:
        """Hands on a frame that has ended, unless it has to wait."""
        if frame.later or self._parking.waiting:
            self._parking.park(frame)
        else:
            self.write(frame, self.step, time.time())

    def write(self, frame: OpenFrame, age: int, ended: float) -> None:
        """Encodes a frame and hands it on; one without events leaves no trace.

        ``age`` is that of the model and ``ended`` the time when it ended.
        """
        builder = frame.builder
        if not builder.events:
            return
        number = self._number + 1
        done = Frame(
            frame.step,
            ended,
            self.writer,
            number,
            frame.phase,
            frame.failed,
            builder.blobs,
            builder.events,
        )
        data = encode(done)
        self._number = number  # only now: a frame that is too large leaves no gap
        self._submit(
            Entry(
                self.writer,
                number,
                done.count,
                data,
                age,
                frame.arrays,
                builder.landmark,
            )
        )
        self._committed(done, frame)

    # -- facts -------------------------------------------------------------

    def values(self, signal: str, log: bool, batch: BatchIds, values: npt.NDArray[Any]) -> None:
        """One value per sample, ``values [B]``."""
        with self.lock:
            if not self.frames:
                with self.facts():
                    self.values(signal, log, batch, values)
                return
            b = self.frames[-1].builder
            b.add("values", signal, batch.origin, log, b.blob(*batch.blob), b.vector(values))

    def instance_values(
        self, signal: str, log: bool, instances: Instances, values: npt.NDArray[Any]
    ) -> None:
        """One value per instance, ``values [N]``."""
        with self.facts() as frame:
            b = frame.builder
            b.add(
                "instance_values",
                signal,
                instances.batch.origin,
                log,
                b.blob(*instances.batch.blob),
                b.blob(*instances.batch_idx_blob),
                b.blob(*instances.annotation_blob),
                b.vector(values),
            )

    def labels(self, signal: str, batch: BatchIds, values: Sequence[Any]) -> None:
        """One text or list per sample, ``values [B]``."""
        with self.facts() as frame:
            b = frame.builder
            b.add("labels", signal, batch.origin, b.blob(*batch.blob), values)

    def group_values(
        self,
        signal: str,
        log: bool,
        groups: Sequence[SampleId],
        values: npt.NDArray[Any],
        members: BatchIds,
        group_idx: npt.NDArray[np.integer[Any]],
    ) -> None:
        """One value per group, ``values [G]``; ``members[i]`` is in group ``group_idx[i]``."""
        with self.facts() as frame:
            b = frame.builder
            b.add(
                "group_values",
                signal,
                members.origin,
                log,
                b.ids(groups),
                b.vector(values),
                b.blob(*members.blob),
                b.vector(pack_index(group_idx)),
            )

    def step_values(self, values: dict[str, float]) -> None:
        """One value per signal for this step."""
        with self.facts() as frame:
            vector = frame.builder.vector(np.asarray(list(values.values()), np.float64))
            frame.builder.add("step_values", list(values), vector)

    def exposed(self, batch: BatchIds) -> None:
        """A loader handed this batch to the guard that is open."""
        self.frames[-1].exposed.append(batch)

    def named(self, batch: BatchIds) -> None:
        """The script recorded something for these samples, which no loader handed over."""
        if self.frames:
            frame = self.frames[-1]
            if batch not in frame.named and batch not in frame.exposed:
                frame.named.append(batch)

    def _add_exposures(self, frame: OpenFrame) -> None:
        """A sample that the script named counts as seen once, unless a loader brought it."""
        for batch in frame.exposed:
            frame.builder.add("exposed", batch.origin, frame.builder.blob(*batch.blob))
        if not frame.named:
            return
        first = frame.named[0]
        if not frame.exposed and len(frame.named) == 1 and len(set(first.ids)) == len(first):
            frame.builder.add("exposed", first.origin, frame.builder.blob(*first.blob))
            return  # the usual case of what follows, for less
        seen = {(batch.origin, one) for batch in frame.exposed for one in batch.ids}
        for batch in frame.named:
            fresh = [one for one in dict.fromkeys(batch.ids) if (batch.origin, one) not in seen]
            if fresh:
                seen.update((batch.origin, one) for one in fresh)
                frame.builder.add("exposed", batch.origin, frame.builder.ids(fresh))

    def metadata(self, batch: BatchIds, columns: dict[str, list[Any]]) -> None:
        """What the data set says of these samples: one list ``[B]`` per column."""
        with self.facts() as frame:
            frame.builder.add("metadata", batch.origin, frame.builder.blob(*batch.blob), columns)

    def instances_found(self, batch: BatchIds, counts: Sequence[int]) -> None:
        """How many instances each of these samples has."""
        with self.facts() as frame:
            b = frame.builder
            vector = b.vector(pack_index(np.asarray(counts, np.int64)))
            b.add("instances_found", batch.origin, b.blob(*batch.blob), vector)

    def arrays(
        self,
        field: str,
        owners: BatchIds | Instances,
        arrays: Sequence[npt.NDArray[Any]] | npt.NDArray[Any],
    ) -> None:
        """One array per sample or instance; content that was stored lately is only named."""
        packed = pack_arrays(arrays)
        specs, index = _specs(arrays)
        batch = owners.batch if isinstance(owners, Instances) else owners
        with self.facts() as frame:
            b = frame.builder
            at = numbers = None
            if isinstance(owners, Instances):
                at = b.blob(*owners.batch_idx_blob)
                numbers = b.blob(*owners.annotation_blob)
            b.add(
                "arrays",
                field,
                batch.origin,
                b.blob(*batch.blob),
                at,
                numbers,
                b.blob("V16", b"".join([reference for reference, _ in packed])),
                b.vector(index),
                specs,
            )
            frame.arrays += [pair for pair in packed if self._is_new(pair[0])]

    def _is_new(self, reference: bytes) -> bool:
        """False for the instance masks that come again every epoch. Forgetting costs only time."""
        if reference in self._stored:
            self._stored.move_to_end(reference)
            return False
        self._stored[reference] = None
        if len(self._stored) > _REMEMBERED_ARRAYS:
            self._stored.popitem(last=False)
        return True

    def add(self, kind: str, *fields: Any) -> None:
        """An event without vectors."""
        with self.facts() as frame:
            frame.builder.add(kind, *fields)


def _specs(
    arrays: Sequence[npt.NDArray[Any]] | npt.NDArray[Any],
) -> tuple[list[list[Any]], npt.NDArray[np.unsignedinteger[Any]]]:
    """The (dtype, shape) pairs among the arrays, and which of them each one has."""
    if isinstance(arrays, np.ndarray):  # a stack: all alike, and too many to be asked one by one
        return [[arrays.dtype.str, list(arrays.shape[1:])]], np.zeros(len(arrays), np.uint8)
    specs: dict[tuple[str, tuple[int, ...]], int] = {}
    index = [specs.setdefault((one.dtype.str, one.shape), len(specs)) for one in arrays]
    wire = [[dtype, list(shape)] for dtype, shape in specs]
    return wire, pack_index(np.asarray(index, np.int64))
