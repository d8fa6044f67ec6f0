"""Session: the training process's side of a run.

It opens the run directory for writing, holds the recorder, obeys what other processes append, and
lets signals read the values of their own step. A script has one session at a time; `session()`
starts it when the first thing worth recording happens.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import platform
import secrets
import sys
import traceback
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wl_core.arrays import ArrayStore
from wl_core.codec import Frame
from wl_core.commit import GroupCommit, recover
from wl_core.decisions import Categories, Discards
from wl_core.directory import RunDirectory, WriterLock, new_run_path
from wl_core.errors import DetachedRunError, LogWriteError, RecordingStoppedWarning, UsageError
from wl_core.evaluation_queue import EvaluationQueue
from wl_core.handover import Handover
from wl_core.local import LocalViews
from wl_core.log import EventLog
from wl_core.model_checkpoints import ModelCheckpoints
from wl_core.pace import Pace
from wl_core.plugins import load_plugins
from wl_core.recorder import OpenFrame, Recorder
from wl_core.requests import Request, Requests
from wl_core.settings import Settings
from wl_core.signal_inputs import Inputs
from wl_core.signal_memory import SignalMemory
from wl_core.tail import Entry

if TYPE_CHECKING:
    from wl_core.run import Run
    from wl_core.watch.loader import TrackedLoader


class Session:
    """A run that is being written by this process.

    ``path`` is made if it is missing; an existing run is continued at the step that it was left.

    Raises:
        RunLockedError: another process writes it.
        NetworkFileSystemError: LMDB cannot live at ``path``.
    """

    def __init__(self, path: Path) -> None:
        self.directory = RunDirectory(path)
        self._lock = WriterLock(self.directory.lock)
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> None:
        where = self.directory
        self.arrays = ArrayStore(where.arrays, create=True)
        self.log = EventLog(where.log, create=True)
        recover(self.log, self.arrays, where.rank_path)
        self._lock.sign()
        self.writer = secrets.token_bytes(8)
        last = self.log.last_frame()
        step = self.log.model_age
        self._commit = GroupCommit(self.log, self.arrays, where.rank_path, self.writer)
        self._recording = True
        self.recorder = Recorder(self.writer, self._submit, self._committed, step)
        self.views = LocalViews(self.log, self.recorder, self._flush_for_views)
        self.memory = SignalMemory(self.log, self.recorder, self._flush_for_views)
        self.inputs = Inputs()
        self.requests = Requests(self.recorder)
        self.pace = Pace(self.recorder, self.requests, self.obey)
        self.evaluations = EvaluationQueue(self)
        self.pace.while_waiting.append(self.evaluations.run_pending)
        self.listeners: list[Callable[[Frame, OpenFrame], None]] = []  # told of each frame
        self.measured: dict[str, set[str]] = {}  # a criterion -> the origins it was called with
        self.discards = Discards()
        self.categories = Categories()
        self.requests.on("discarded", self._discard)
        self.requests.on("category_registered", self.categories.apply)
        self.requests.on("undone", lambda _: self.recount())
        self.loaders: dict[str, TrackedLoader] = {}
        self.models: dict[str, Any] = {}
        self.optimizers: dict[str, Any] = {}
        self.at_step_end: list[Callable[[], dict[str, float]]] = []
        self.at_obey: list[Callable[[], None]] = []
        self.settings = Settings(self.recorder, self.pace, self.at_obey)
        self.requests.on("hyperparameters", self.settings.obey)
        self.after_guard: list[Callable[[], None]] = []  # called once a guard's frame is recorded
        self.model_checkpoints = ModelCheckpoints(self)
        self.reader: Run | None = None  # this run as others see it, once `query` was asked
        if last is not None:
            self._resume()
        self._guards: list[bool] = []
        self.handover = Handover(self.recorder)
        self._declared: set[str] = set()
        self.value_kinds: dict[str, str] = {}  # of signals: number, label, group; see `labels`
        self.recorder.add(
            "run_started",
            secrets.token_hex(8),
            os.getpid(),
            platform.node(),
            _versions(),
            last is not None,
        )

    def _resume(self) -> None:
        """What was decided before this process began still holds; only a pause has ended."""
        decided = list(self.log.decisions())
        self._count(decided)
        self.settings.remember(decided)

    # -- the recorder's two ends ---------------------------------------------

    def _submit(self, entry: Entry) -> None:
        """A disk that refuses ends the recording, never the training (G8)."""
        if not self._recording:
            return
        try:
            self._commit.submit(entry)
        except LogWriteError as error:
            self._recording = False
            warnings.warn(
                f"recording has stopped, training goes on: {error}. What was recorded before is"
                f" safe in {self.directory.path}",
                RecordingStoppedWarning,
                stacklevel=2,
            )

    def _committed(self, frame: Frame, opened: OpenFrame) -> None:
        self.views.add(frame, opened)
        self.memory.add(frame, opened)
        for listener in self.listeners:
            listener(frame, opened)

    # -- guards ----------------------------------------------------------------

    def enter(self, phase: str) -> None:
        """A guard is entered; the same phase within itself changes nothing."""
        if self.recorder.phase == phase:
            self._guards.append(False)
            return
        if self.evaluations.active:
            self.evaluations.admit(phase)
        elif not self._guards:
            self.obey()
            if phase == "train":
                self.evaluations.run_all()
            self.pace.admit(phase)
        self.recorder.begin(phase)
        self._guards.append(True)
        self.handover.enter()

    def leave(self, error: BaseException | None) -> None:
        """A guard is left, by an exception if there is one; its frame is committed either way."""
        if not self._guards or not self._guards.pop():
            return
        try:
            self._conclude(error)
        finally:
            self.handover.leave()
            self.recorder.end()
        for job in self.after_guard:
            job()

    def _conclude(self, error: BaseException | None) -> None:
        frame = self.recorder.current
        assert frame is not None
        if error is not None:
            frame.failed = True
            trace = "".join(traceback.format_exception(error))
            self.recorder.add("step_failed", frame.phase, f"{type(error).__name__}: {error}", trace)
        elif frame.is_step:
            for tell in self.at_step_end:
                if values := tell():
                    self.recorder.step_values(values)

    @property
    def step(self) -> int:
        """The age of the model: the number of training guards exited."""
        return self.recorder.step

    def declare(
        self, signal: str, level: str, role: str, log: bool, detail: dict[str, Any]
    ) -> None:
        """Says once per session what a signal is."""
        if signal not in self._declared:
            self._declared.add(signal)
            self.recorder.add("signal_declared", signal, level, role, log, detail)

    # -- what others ask for -------------------------------------------------------

    def obey(self) -> None:
        """Reads what other processes appended, and does it; waits for nothing."""
        for frame in self.log.foreign_frames(self.writer):
            self.views.add(frame)
            self.requests.obey(frame)
        for job in self.at_obey:
            job()

    def _discard(self, request: Request) -> None:
        """Between own decisions and one of another process the log alone knows the order."""
        if self.discards.ahead:
            self.recount()
        else:
            self.discards.apply(request)

    def recount(self) -> None:
        """What is undone may lie anywhere in the log, also among what is not committed yet."""
        self.recorder.settle()
        self._flush_for_views()
        self._count(list(self.log.decisions()))

    def _count(self, decided: list[Frame]) -> None:
        self.discards.rebuild(decided)
        self.categories.rebuild(decided)

    # -- the end ---------------------------------------------------------------------

    def flush(self) -> None:
        """Returns when everything recorded before is in the log and on disk.

        Raises:
            LogWriteError: the disk refused.
        """
        if not self._recording:
            raise LogWriteError(f"recording into {self.directory.path} has stopped")
        self.recorder.settle()
        self._commit.flush()

    def _flush_for_views(self) -> None:
        """A signal that reads values is part of the training, which goes on without the disk."""
        self.recorder.settle()
        with contextlib.suppress(LogWriteError):  # the next step that is recorded tells
            self._commit.flush()

    def close(self, reason: str = "finished", error: str = "") -> None:
        """Ends the run in order. Frames of guards that are still open are committed first."""
        if self.pace.stopping and reason == "finished":
            reason, error = "stopped", self.pace.stopped_by
        try:  # a strict signal whose values have come from a device only now may raise
            while self._guards:
                self.leave(None)
            self.recorder.settle()
        finally:
            self.recorder.add("run_finished", reason, error)
            self._shut()

    def _shut(self) -> None:
        # This object is part of a cycle. A loader with workers that only the garbage collector
        # frees waits five seconds for them, so none may hang on it.
        self.loaders.clear()
        self._recording = False
        self._commit.close()
        if self.reader is not None:
            with contextlib.suppress(LogWriteError):  # its checkpoint only spares others time
                self.reader.close()
        self.log.close()
        self.arrays.close()
        self._lock.release()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("wl", "torch", "numpy", "lmdb"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


_current: Session | None = None
_detached_from: int | None = None


def current_session() -> Session | None:
    """The session of this process, None when nothing has been recorded yet."""
    return _current


def session() -> Session:
    """The session of this process; begins a new run when there is none.

    Raises:
        DetachedRunError: this process was forked from the one that records.
    """
    if _current is None:
        if _detached_from is not None:
            raise DetachedRunError(
                f"this process was forked from process {_detached_from}, which records: only that"
                " one may. Let a data loader's worker return what it learns with its batch"
            )
        return start_run()
    return _current


def start_run(path: Path | str | None = None, *, root: Path | str | None = None) -> Session:
    """Begins to record into ``path``, or into a new run under ``root``.

    A script needs this only to choose the directory itself; otherwise the run begins by itself
    under ``root_log_dir`` of the hyperparameters, else ``$WL_ROOT``, else ``./wl_runs``. A path
    that holds a run continues that run.

    Raises:
        UsageError: this process records already.
        RunLockedError: another process writes that run.
    """
    global _current  # noqa: PLW0603  # a process has one run that it records
    if _current is not None:
        raise UsageError(
            f"this process records into {_current.directory.path} already: call finish() first, or"
            " start the run before anything is watched"
        )
    _current = Session(Path(path) if path is not None else new_run_path(root))
    load_plugins().collect("wl_signals")  # their signals register themselves
    return _current


def finish(reason: str = "finished", error: str = "") -> None:
    """Ends the run: everything is on disk when this returns. Without a run it does nothing.

    A script need not call it: the end of the process does, and says by which exception if it was
    one.
    """
    global _current
    if _current is not None:
        try:  # signals that wait for their values shall still find their run
            _current.recorder.settle()
        finally:
            ending, _current = _current, None
            ending.close(reason, error)


def _at_exit() -> None:
    error = getattr(sys, "last_value", None)  # set when the script ended by an exception
    if error is None:
        finish()
    elif isinstance(error, KeyboardInterrupt):
        finish("interrupted")
    else:
        finish("failed", "".join(traceback.format_exception_only(error)).strip())


def _detach_child() -> None:
    """In a forked child: the run is the parent's; nothing is closed, nothing is written."""
    global _current, _detached_from
    if _current is not None:
        _orphans.append(_current)  # must not be finalised here
        _current, _detached_from = None, os.getppid()


_orphans: list[Session] = []
atexit.register(_at_exit)
os.register_at_fork(after_in_child=_detach_child)
