"""Run: a run directory opened for reading; views of it, commands to it, and its past.

Nothing here writes but `Run.append`, by which another process asks something of the training, and
the checkpoints, which may be deleted at any time.
"""

from __future__ import annotations

import errno
import secrets
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from wl_core.arrays import ArrayProxy, ArrayStore
from wl_core.checkpoints import Checkpoints
from wl_core.codec import Frame, FrameBuilder, SampleId, encode, pack_index
from wl_core.commit import recover
from wl_core.directory import RunDirectory, WriterLock, find_run, list_runs
from wl_core.errors import (
    LogWriteError,
    RunLockedError,
    RunNotFoundError,
    TailLeftWarning,
    UnknownNameError,
    UsageError,
    nearest,
)
from wl_core.events import Catalogue
from wl_core.log import EventLog
from wl_core.plugins import load_plugins, projections, with_columns
from wl_core.projection import Parked, Projector
from wl_core.status import RunStatus, status_of, status_then
from wl_core.table import Table
from wl_core.tail import Entry, tail_paths

if TYPE_CHECKING:
    from wl_core.curve import Curve, Evaluation

__all__ = ["Parked", "Run", "RunStatus", "find_run", "list_runs", "open_run"]

# A checkpoint is worth its writing once so much was folded since the last, as `EventBatch.weight`.
_CHECKPOINT_WEIGHT = 8 << 20


def open_run(path: Path | str) -> Run:
    """Opens a run for reading, while it trains or long after.

    What a training process left behind when it was killed is brought into the log first.

    Raises:
        RunNotFoundError: there is no run at ``path``.
        UnsupportedFormatError: it was written by a newer wl.
        StorageError: it is damaged beyond opening.
    """
    return Run(Path(path))


class Run:
    """A run, for reading. Views stand still between calls of `refresh`.

    ``last_step`` is None for the present, or the step that `at` went back to.
    """

    def __init__(self, path: Path, *, last_step: int | None = None) -> None:
        self.path = path
        self.last_step = last_step
        self.directory = RunDirectory(path)
        if not self.directory.exists:
            raise RunNotFoundError(
                f"there is no run at {path}: expected a directory with rank-0000/log in it"
            )
        self._recover()
        self.log = EventLog(self.directory.log)
        self._arrays: ArrayStore | None = None
        self._writer, self._number = secrets.token_bytes(8), 0
        checkpoints = Checkpoints(self.directory.views)
        plugins = load_plugins()
        kinds = projections(plugins)
        self._on_demand = {kind.name: (plugin, kind) for plugin, kind in kinds if kind.on_demand}
        always = [(plugin, kind) for plugin, kind in kinds if not kind.on_demand]
        self._projector = Projector(
            always,
            self.log,
            checkpoints,
            report=lambda parked: plugins.fail(parked.plugin, parked.projection, parked.error),
            last_step=last_step,
        )
        self._took_over = False
        self._restored = False
        self._folded = False

    @property
    def name(self) -> str:
        return self.path.resolve().name

    def _recover(self) -> None:
        """Only the holder of the writer's lock may touch tails, and a living writer holds it."""
        if not tail_paths(self.directory.rank_path):
            return
        try:
            lock = WriterLock(self.directory.lock, attempts=1)
        except RunLockedError:
            return
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            return  # who may only read, reads what is in the log
        log = EventLog(self.directory.log)
        arrays = ArrayStore(self.directory.arrays, create=True)
        try:
            recover(log, arrays, self.directory.rank_path)
        except LogWriteError as error:
            warnings.warn(
                f"the last steps of {self.path} could not be brought into its log and are not"
                f" shown; they wait in its tail-* files until there is room: {error}",
                TailLeftWarning,
                stacklevel=5,
            )
        finally:
            arrays.close()
            log.close()
            lock.release()

    # -- how it is ---------------------------------------------------------------

    def status(self) -> RunStatus:
        """Training, paused, finished, failed or crashed, at this moment.

        If the training died since the run was opened, what it left behind is brought into the log.
        In the past it is what the run had said of itself by then; that it was killed, nobody said.
        """
        if self.last_step is not None:
            stop = self.end
            age = min(self.log.model_age, 1 + min(self.last_step, self._projector.last_step))
            return status_then(self.log, stop, age)
        found = status_of(self.directory, self.log)
        if found.state == "crashed" and not self._took_over:
            self._took_over = True
            self._recover()
            found = status_of(self.directory, self.log)
        return found

    @property
    def position(self) -> int:
        """How many events the views hold."""
        return self._projector.position

    @property
    def end(self) -> int:
        """The position after the last event of this run: the log's end, or where the past ends."""
        if self.last_step is None:
            return self.log.next_position
        self.refresh()
        return self.position

    @property
    def parked(self) -> list[Parked]:
        """The views that a plugin's error put out of service."""
        return self._projector.parked

    def refresh(self, *, budget_seconds: float | None = None) -> int:
        """Folds what is new into the views; gives the number of new events.

        With a budget it stops after about so many seconds: what is left comes with the next call.
        """
        if not self._restored:  # not when opened: asking for a run's status needs no views
            self._restored = True
            self._projector.restore()
        self._folded = True
        return self._projector.catch_up(budget_seconds=budget_seconds)

    def at(self, *, step: int) -> Run:
        """The run as it was at the end of that step: the same folds, stopped before anything later.

        Steps are counted from 0. What belongs to it is what stands in the log before the first
        frame of a later step.

        Raises:
            UsageError: the step is negative, or the run has not come so far.
        """
        past = Run(self.path, last_step=step)
        try:
            past._check_step(step)
        except BaseException:
            past.close()
            raise
        return past

    def advance(self, *, step: int) -> None:
        """Goes on from this moment of the past to the end of a later step, as `at` would show it.

        Only what lies between the two is folded.

        Raises:
            UsageError: this is the present, or the step is before the one that is shown, or the run
                has not come so far.
        """
        if self.last_step is None or not self.last_step <= step <= self.log.model_age:
            raise UsageError(
                f"expected a step from {self.last_step} to {self.log.model_age}, got {step}: only a"
                " view of the past goes on, and only to later steps; see Run.at"
            )
        self.last_step = step
        self._projector.go_on_to(step)
        self.refresh()

    def _check_step(self, step: int) -> None:
        age = self.log.model_age
        if 0 <= step <= age:
            return
        # Values may have been recorded at later steps than the model is old.
        if step >= 0 and self.end < self.log.next_position:
            return
        last = max(age, self._projector.last_step)
        if not 0 <= step <= last:
            raise UsageError(
                f"there is no step {step}: the last step of {self.name} is {last}, the first is 0"
            )

    # -- views -------------------------------------------------------------------

    def view(self, name: str) -> Any:
        """The projection of that name.

        Raises:
            UnknownNameError: there is none; the nearest name is given.
            ProjectionParkedError: a plugin's error put it out of service.
        """
        if self._include(name) or not self._folded:
            self.refresh()
        elif self._projector.is_behind(name):  # `prepare` had no time to finish it
            self._projector.catch_up()
        return self._projector.view(name)

    def _include(self, name: str) -> bool:
        if name not in self._on_demand:
            return False
        plugin, kind = self._on_demand.pop(name)
        self._projector.include(plugin, kind)
        return True

    def prepare(self, name: str, *, budget_seconds: float) -> bool:
        """Works for about so long on a view that is folded on demand (``history``).

        Gives whether `view` will have it without any more work; `refresh` goes on with it as well.
        A long log takes many seconds the first time, and a reader that is looked at must not stall.
        """
        self._include(name)
        if not self._folded or self._projector.is_behind(name):
            self.refresh(budget_seconds=budget_seconds)
        return not self._projector.is_behind(name)

    @property
    def views(self) -> tuple[str, ...]:
        """The names of all views."""
        return (*self._projector.names, *self._on_demand)

    def samples(self) -> Table:
        """One row per sample; cells that are empty there show what its instances say."""
        table: Table = self.view("samples").display(self.view("instances"))
        return with_columns(load_plugins(), self, table)

    def instances(self, sample_id: SampleId | None = None, origin: str | None = None) -> Table:
        """One row per instance, of one sample or of all.

        Raises:
            UnknownNameError: no such sample.
            UsageError: several origins have it and none was named.
        """
        if sample_id is not None:
            origin, sample_id = self.find_sample(sample_id, origin)
        table: Table = self.view("instances").table(origin, sample_id)
        whose = {"origin": origin, "sample_id": sample_id}
        return with_columns(load_plugins(), self, table, "wl_instance_columns", **whose)

    def find_sample(self, sample_id: SampleId, origin: str | None = None) -> tuple[str, SampleId]:
        """``(origin, sample_id)`` of a sample; text that names no sample is tried as a number.

        Raises:
            UnknownNameError: no such sample.
            UsageError: several origins have it and none was named.
        """
        index = self.view("samples").index
        origins = index.origins if origin is None else [origin]
        wanted = [sample_id]
        if isinstance(sample_id, str) and sample_id.lstrip("-").isdigit():
            wanted.append(int(sample_id))
        for one in wanted:
            found = [name for name in origins if index.find(name, one) >= 0]
            if len(found) > 1:
                raise UsageError(
                    f"sample {sample_id!r} is in several origins: choose one of {', '.join(found)}"
                )
            if found:
                return found[0], one
        where = f" in {origin!r}" if origin else ""
        hint = nearest(str(sample_id), (str(index.sample_id(row)) for row in range(len(index))))
        raise UnknownNameError(f"there is no sample {sample_id!r}{where}.{hint}")

    def signals(self) -> tuple[str, ...]:
        """The names of all signals that have a value, of samples, instances or steps; sorted."""
        names = {*self.view("samples").signals, *self.view("instances").signals}
        return tuple(sorted(names | set(self.view("curves").signals())))

    def evaluations(self) -> list[Evaluation]:
        """The evaluations that were asked for, in the order in which they ended.

        The means of those that went to their end are curves as well, by the names
        ``evaluation/ORIGIN/SIGNAL`` and ``evaluation/ORIGIN[TAG]/SIGNAL``.
        """
        found: list[Evaluation] = self.view("curves").evaluations
        return list(found)

    def curves(self) -> dict[str, Curve]:
        """Every curve by its signal's name."""
        curves = self.view("curves")
        return {name: curves.curve(name) for name in curves.names()}

    def hyperparameters(self) -> dict[str, Any]:
        """Every hyperparameter, and setting of a watched optimizer or loader, by its full name.

        The view ``hyperparameters`` knows as well who set it, when and why, and all changes.
        """
        found: dict[str, Any] = self.view("hyperparameters").values()
        return found

    def signal_history(
        self, signal: str, origin: str, sample_id: SampleId, annotation_id: int = 0
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """All values of one sample, or of one instance of it: steps ``[N]``, values ``[N]``."""
        found: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]] = self.view("history").history(
            signal, origin, sample_id, annotation_id
        )
        return found

    # -- arrays and images ---------------------------------------------------------

    def arrays(self, origin: str, sample_id: SampleId) -> dict[str, ArrayProxy]:
        """The sample's own arrays (``prediction``, ``target``, …); pixels load when used."""
        view = self.view("samples")
        found = {f: view.get_ref(origin, sample_id, f) for f in view.array_fields}
        return {field: self._proxy(one) for field, one in found.items() if one is not None}

    def instance_arrays(self, origin: str, sample_id: SampleId) -> dict[int, dict[str, ArrayProxy]]:
        """The arrays of each of the sample's instances, by annotation_id."""
        view = self.view("instances")
        result = {}
        for number in view.annotation_ids(origin, sample_id):
            found = {
                field: view.get_ref(origin, sample_id, number, field) for field in view.array_fields
            }
            result[number] = {f: self._proxy(one) for f, one in found.items() if one is not None}
        return result

    def _proxy(self, found: Any) -> ArrayProxy:
        if self._arrays is None:
            self._arrays = ArrayStore(self.directory.arrays)
        reference, dtype, shape = found
        return ArrayProxy(self._arrays, reference, dtype, tuple(shape))

    def image(self, origin: str, sample_id: SampleId) -> npt.NDArray[np.uint8] | None:
        """The raw image, read from the data set's files: uint8 ``[H, W]`` or ``[H, W, 3]``.

        None when no plugin knows how, or the files are not on this machine.
        """
        found: npt.NDArray[np.uint8] | None = load_plugins().first(
            "wl_load_image", run=self, origin=origin, sample_id=sample_id
        )
        return found

    def metadata(self, origin: str, sample_id: SampleId) -> Mapping[str, Any]:
        """What the data set told of the sample, by column."""
        found: Mapping[str, Any] = self.view("samples").metadata(origin, sample_id)
        return found

    # -- commands --------------------------------------------------------------------

    def append(self, kind: str, **fields: Any) -> int:
        """Appends one event in a frame of its own; gives its position, once it is on disk.

        Ids are given as a list, vectors as anything numpy takes, absent vectors as None. ``why``
        may be left out.

        Raises:
            UsageError: this is a view of the past, or the kind or its fields are not known.
            LogWriteError: the run cannot be written.
        """
        return self.append_all([(kind, fields)])

    def append_all(self, events: Sequence[tuple[str, Mapping[str, Any]]]) -> int:
        """Appends events as one frame, which is there whole or not at all; see `append`.

        Gives the position of the first, once they are on disk.
        """
        if self.last_step is not None:
            raise UsageError("the past cannot be changed: open the run itself to append to it")
        if not self.directory.exists:  # LMDB would write on into files that have no name any more
            raise LogWriteError(f"{self.path} has been removed: nothing can be appended to it")
        builder = FrameBuilder(self.log.catalogue)
        for kind, fields in events:
            builder.add(kind, *wire_fields(self.log.catalogue, builder, kind, fields))
        self._number += 1
        frame = Frame(
            self.log.model_age, time.time(), self._writer, self._number, "outside", False,
            builder.blobs, builder.events,
        )  # fmt: skip
        entry = Entry(
            self._writer, self._number, frame.count, encode(frame), landmark=builder.landmark
        )
        return self.log.append([entry]) - frame.count

    # -- the end ---------------------------------------------------------------------

    def close(self) -> None:
        """Gives everything back; saves a checkpoint first when that spares the next reader time."""
        if self._projector.unsaved >= _CHECKPOINT_WEIGHT:
            self._projector.checkpoint()
        self.log.close()
        if self._arrays is not None:
            self._arrays.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def wire_fields(
    catalogue: Catalogue, builder: FrameBuilder, name: str, fields: Mapping[str, Any]
) -> list[Any]:
    """The fields of an event in the order of its kind, ids and vectors put into ``builder``.

    Raises:
        UsageError: the kind or its fields are not known.
    """
    kind = catalogue.get(name)
    if kind is None:
        known = [one.name for one in catalogue]
        raise UsageError(f"there is no event kind {name!r}.{nearest(name, known)}")
    wanted = [field.name for field in kind.fields]
    if "why" in wanted:
        fields = {"why": "", **fields}
    if sorted(wanted) != sorted(fields):
        raise UsageError(f"{name} has the fields {wanted}, got {sorted(fields)}")
    wire = []
    for field in kind.fields:
        value = fields[field.name]
        if field.type == "ids":
            value = builder.ids(list(value))
        elif field.type == "vector" and value is not None:
            array = np.asarray(value)
            value = builder.vector(pack_index(array) if array.dtype.kind in "iu" else array)
        wire.append(value)
    return wire
