"""ModelCheckpoints: the saved models of a run, as the session keeps and finds them.

A file in ``RUN/checkpoints`` is written beside, brought to disk and renamed, and then an event says
that it is there, with its size and SHA-256: a file that the log does not name is no checkpoint.
What is in a file is `model_state`'s business; `checkpointing` has the public functions.

Two counts are told apart here. The *step* is that of the log, which never goes back. The *age* of a
model is the number of training steps that its weights have been through, which is less once a
killed run was continued from an older checkpoint.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from wl_core.codec import Frame
from wl_core.durability import bring_to_disk
from wl_core.errors import (
    CheckpointWarning,
    LogWriteError,
    StorageError,
    UnsupportedFormatError,
    UsageError,
)
from wl_core.events import CATALOGUE
from wl_core.log import EventLog
from wl_core.model_state import Parts, has_state, misfits, put_back, take_state

if TYPE_CHECKING:
    from wl_core.session import Session

FOLDER = "checkpoints"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class SavedModel:
    """What the log says of a saved model; ``file`` is relative to the run directory.

    ``position`` is that of the event, -1 before it is committed.
    """

    position: int
    step: int
    age: int
    file: str
    size: int
    digest: str

    def path(self, run: Path) -> Path | None:
        """Where it lies; None for a name outside of the folder, which wl never gave."""
        folder, _, name = self.file.partition("/")
        inside = folder == FOLDER and name not in {"", ".", ".."} and "/" not in name
        return run / FOLDER / name if inside else None


@dataclass(frozen=True, slots=True)
class Restored:
    """What `wl.restore` has loaded.

    ``age`` is the number of training steps that the weights have been through; ``step`` is the step
    at which the run's log goes on; ``file`` is the checkpoint.
    """

    age: int
    step: int
    file: Path


def models_in(frame: Frame) -> list[SavedModel]:
    """The models that were saved in this frame."""
    kind = CATALOGUE.get("model_saved")
    assert kind is not None
    names = ("age", "file", "size", "digest")
    step = frame.step + (frame.phase == "train")  # the step was over when it was saved
    return [
        SavedModel(frame.position + offset, step, *(event[kind.index(name)] for name in names))
        for offset, event in enumerate(frame.events)
        if event[0] == kind.name
    ]


def saved_models(log: EventLog) -> list[SavedModel]:
    """All that the log names, the oldest first; their files may be gone."""
    return [one for frame in log.saved_models() for one in reversed(models_in(frame))][::-1]


class ModelCheckpoints:
    """The checkpoints of the run that a session records.

    ``extra`` are the objects beside models and optimizers whose state is kept. ``steps_lost`` is by
    how much the step is ahead of the model's age.
    """

    def __init__(self, running: Session) -> None:
        self._running = running
        self._path = running.directory.path
        self._known: list[SavedModel] | None = None
        self._every: int | None = None
        self._keep: int | None = None
        self._prune_is_due = False
        self.extra: dict[str, Any] = {}
        self.steps_lost = 0

    # -- saving --------------------------------------------------------------------

    def add_extra(self, extra: Mapping[str, Any]) -> None:
        for name, one in extra.items():
            if not has_state(one):
                raise UsageError(
                    f"extra[{name!r}]: expected something with state_dict() and load_state_dict(),"
                    f" got {type(one).__name__}"
                )
        self.extra.update(extra)

    def save_now(self, keep: int | None) -> Path:
        """Saves the model as it is between two steps."""
        self._refuse_within_a_step("checkpoint")
        path = self._save(self._running.step)
        self._prune(keep)
        return path

    def save_every(self, every: int, keep: int | None) -> None:
        """Saves at the end of every step that makes the model's age a multiple of ``every``."""
        take_state(self._parts("checkpoint"))  # what cannot be saved is told now
        if self._every is None:
            self._running.at_step_end.append(self._at_step_end)
            self._running.after_guard.append(self._after_guard)
        self._every, self._keep = every, keep

    def _at_step_end(self) -> dict[str, float]:
        step = self._running.step + 1
        if self._every is not None and (step - self.steps_lost) % self._every == 0:
            try:
                self._save(step)
                self._prune_is_due = True
            except OSError as error:
                warnings.warn(
                    f"the model of step {step} could not be saved, training goes on: {error}",
                    CheckpointWarning,
                    stacklevel=2,
                )
        return {}

    def _after_guard(self) -> None:
        if self._prune_is_due:
            self._prune_is_due = False
            self._prune(self._keep)

    def _save(self, step: int) -> Path:
        state = take_state(self._parts("checkpoint"))
        age = step - self.steps_lost
        path = self._new_path(step)
        size, digest = _write(path, {"format": _FORMAT, "step": step, "age": age, **state})
        one = SavedModel(-1, step, age, f"{FOLDER}/{path.name}", size, digest)
        self._running.recorder.add("model_saved", one.age, one.file, one.size, one.digest)
        self._saved.append(one)
        return path

    def _new_path(self, step: int) -> Path:
        """A file that the log names is never written again: its digest is in the log."""
        taken = {one.file for one in self._saved}
        name, number = f"step-{step:08}.pt", 1
        while f"{FOLDER}/{name}" in taken:
            number += 1
            name = f"step-{step:08}-{number}.pt"
        return self._path / FOLDER / name

    def _prune(self, keep: int | None) -> None:
        """Removes all but the newest, once the log surely names these."""
        if keep is None:
            return
        try:
            self._running.flush()
        except LogWriteError:  # recording has stopped, and said so: what is there is all there is
            return
        paths = [path for one in self._saved if (path := one.path(self._path)) and path.exists()]
        for path in paths[:-keep]:
            path.unlink(missing_ok=True)

    @property
    def _saved(self) -> list[SavedModel]:
        """All that the log names or will name, the oldest first; their files may be gone."""
        if self._known is None:
            self._known = saved_models(self._running.log)
            for left in (self._path / FOLDER).glob("*.partial"):
                left.unlink()  # by a process that was killed while it wrote
        return self._known

    # -- restoring -------------------------------------------------------------------

    @property
    def age(self) -> int:
        """The number of training steps that the model's weights have been through."""
        return self._running.step - self.steps_lost

    def restore(self, step: int | None) -> Restored | None:
        """Loads the newest model that was saved at ``step`` or before, see `wl.restore`."""
        self._refuse_within_a_step("restore")
        parts = self._parts("restore")
        running = self._running
        with contextlib.suppress(LogWriteError):  # of what was said to be recorded no more
            running.flush()
        saved = saved_models(running.log)
        if not saved:
            return None
        one, state = self._newest(saved, step)
        if wrong := misfits(parts, state):
            raise UsageError(
                f"restore: {one.file} does not fit what is watched, and nothing was changed: "
                + "; ".join(sorted(wrong)[:10])
            )
        put_back(parts, state)
        running.settings.hold_since(one.position, running.log.decisions())
        self.steps_lost = running.step - one.age
        running.recorder.add("model_restored", one.age, one.file)
        _say(one, running.step)
        return Restored(one.age, running.step, self._path / one.file)

    def _newest(
        self, saved: list[SavedModel], step: int | None
    ) -> tuple[SavedModel, dict[str, Any]]:
        wanted = [one for one in reversed(saved) if step is None or one.step <= step]
        if not wanted:
            raise UsageError(
                f"restore: no model was saved at step {step} or before; the first was saved at step"
                f" {saved[0].step}"
            )
        reasons = []
        for one in wanted:
            try:
                return one, _read(one, self._path)
            except FileNotFoundError:  # as usual for those that were not to be kept
                reasons.append(f"{one.file} is gone")
            except StorageError as error:
                reasons.append(str(error))
                warnings.warn(
                    f"{error}; the checkpoint before it is tried", CheckpointWarning, stacklevel=5
                )
        raise StorageError(
            f"restore: none of the {len(wanted)} models that were saved in {self._path} can be"
            f" used: {'; '.join(reasons[:5])}"
        )

    def _parts(self, what: str) -> Parts:
        if not self._running.models:
            raise UsageError(
                f"{what}: no model is watched; say which one by"
                ' wl.watch_or_edit(model, flag="model"), and its optimizer by flag="optimizer"'
            )
        return Parts(self._running.models, self._running.optimizers, self.extra)

    def _refuse_within_a_step(self, what: str) -> None:
        if any(frame.is_step for frame in self._running.recorder.frames):
            raise UsageError(
                f"{what}: a training guard is open, where the model is between two ages; call it"
                " outside of the guard, or before the loop as wl.checkpoint(every=...)"
            )


def _say(one: SavedModel, step: int) -> None:
    again = f", so the last {step - one.step} are trained again" if step > one.step else ""
    print(
        f"restored the model of age {one.age} from {one.file}; the run goes on at step {step}"
        + again,
        file=sys.stderr,
    )


# -- files -----------------------------------------------------------------------------------------


class _Hashing:
    """A file that is written and hashed at once; keeps the disk's own words for a refusal."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            self._file.write(data)
        except OSError as error:
            self.error = error
            raise
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


def _write(path: Path, content: dict[str, Any]) -> tuple[int, str]:
    """Writes the file whole or not at all; gives its size in bytes and its SHA-256.

    Raises:
        OSError: the disk refused.
    """
    import torch

    path.parent.mkdir(exist_ok=True)
    beside = path.with_name(path.name + ".partial")
    try:
        with beside.open("wb") as file:
            hashing = _Hashing(file)
            try:
                torch.save(content, cast(IO[bytes], hashing))
            except Exception as error:
                if hashing.error is None:
                    raise
                raise hashing.error from error  # torch words it as a defect of its own
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    bring_to_disk(path.parent)
    return hashing.size, hashing.digest


def _read(one: SavedModel, run: Path) -> dict[str, Any]:
    """What is in the file, which is loaded without executing anything.

    Raises:
        FileNotFoundError: it is gone.
        StorageError: it is not what was saved.
        UnsupportedFormatError: a newer wl saved it.
    """
    import torch

    path = one.path(run)
    if path is None:
        raise StorageError(f"{one.file!r} is not in the folder of checkpoints")
    with path.open("rb") as file:
        size, digest = os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256")
    if size != one.size:
        raise StorageError(f"{one.file} is damaged: it has {size:,} bytes of {one.size:,}")
    if digest.hexdigest() != one.digest:
        raise StorageError(f"{one.file} is damaged: its SHA-256 is not the one in the log")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no one error for it
        first = str(error).strip().partition("\n")[0]
        raise StorageError(
            f"{one.file} cannot be loaded without executing code: {first}"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise StorageError(f"{one.file} was not saved by wl.checkpoint")
    if content["format"] > _FORMAT:
        raise UnsupportedFormatError(
            f"{one.file} is of format {content['format']}, and this wl reads up to {_FORMAT}:"
            " restore it with a newer wl"
        )
    return content
