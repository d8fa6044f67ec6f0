"""Branching: a new run that shares the past of another one, up to a step, and has its own future.

The branch holds the very frames that `Run.at` folds at that step, so every view of it is that of
the parent at that step. It is built beside where it is to be and renamed at the end: a branch is
whole or not there. How frames are copied is `log_copy`'s business.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wl_core.codec import Frame, FrameBuilder, encode
from wl_core.directory import RunDirectory, WriterLock
from wl_core.durability import bring_to_disk
from wl_core.errors import UsageError
from wl_core.log import EventLog
from wl_core.log_copy import Copied, Progress, copy_beginning
from wl_core.model_checkpoints import SavedModel
from wl_core.run import Run
from wl_core.tail import Entry


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch that was made.

    ``events`` is how many it shares with its parent; ``step`` the step at which it goes on;
    ``models`` are the saved models that came with it, the oldest first.
    """

    path: Path
    events: int
    step: int
    models: tuple[SavedModel, ...]


def branch_path(name: str, root: Path) -> Path:
    """Where a branch of that name goes: under ``root``, unless the name is a path."""
    return Path(name) if Path(name).is_absolute() or os.sep in name else root / name


def branch_run(parent: Run, step: int, target: Path, progress: Progress) -> Branch:
    """Makes a run at ``target`` that is what ``parent`` was at that step; the parent may train on.

    Args:
        step: frames of this step are still shared, as in `Run.at`.
        target: the new run directory.
        progress: called with how many events are copied and the end of the parent's log.

    Raises:
        UsageError: there is something at ``target``, or the parent has no such step yet.
        RunLockedError: another process makes a branch of that name at this moment.
        LogWriteError: the disk refused.
    """
    if target.exists():
        raise UsageError(f"{target} exists already: give the branch another name")
    _refuse_beyond_end(parent, step)
    beside = target.with_name(f".{target.name}.branching")
    unfinished = beside / "unfinished"  # nothing opens it as a run by this name
    lock = WriterLock(unfinished / "writer.lock", attempts=1)
    try:
        lock.sign()
        for name in ("unfinished/log", "unfinished/arrays", "checkpoints", "rank-0000"):
            shutil.rmtree(beside / name, ignore_errors=True)  # left by a process that was killed
        branch = _build(parent, step, beside, unfinished, progress)
        lock.path.unlink()
        unfinished.rename(RunDirectory(beside).rank_path)
        bring_to_disk(beside)
        beside.rename(target)
        bring_to_disk(target.parent)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    finally:
        lock.release()
    return Branch(target, branch.end, branch.model_age, tuple(branch.models))


def _refuse_beyond_end(parent: Run, step: int) -> None:
    last = parent.log.last_frame()
    if last is None:
        raise UsageError(f"{parent.path} has recorded nothing yet: there is nothing to share")
    end = max(last.step, parent.log.model_age - 1)
    if step > end:
        raise UsageError(f"{parent.path} has no step {step} yet: its last step is {end}")


def _build(parent: Run, step: int, beside: Path, rank: Path, progress: Progress) -> Copied:
    copied = copy_beginning(parent.directory, rank / "log", rank / "arrays", step, progress)
    if copied.end == 0:
        raise UsageError(f"{parent.path} begins after step {step}: there is nothing to share")
    copied.models = _link_models(copied.models, parent.path, beside)
    _append_branched(rank / "log", parent, step, copied.model_age)
    return copied


def _append_branched(path: Path, parent: Run, step: int, age: int) -> None:
    """The one event of the branch's own; its step is the one at which the branch goes on."""
    builder = FrameBuilder()
    builder.add("branched", str(parent.path.resolve()), step)
    writer = secrets.token_bytes(8)
    frame = Frame(age, time.time(), writer, 1, "outside", False, builder.blobs, builder.events)
    log = EventLog(path)
    with contextlib.closing(log):
        log.append([Entry(writer, 1, 1, encode(frame), landmark=builder.landmark)])


def _link_models(models: Sequence[SavedModel], parent: Path, branch: Path) -> list[SavedModel]:
    """The files of those that are still there; the same bytes on disk where that is possible.

    A checkpoint's file is never written to again, and to remove it from one run leaves it in the
    other.
    """
    kept = []
    for one in models:
        source, target = one.path(parent), one.path(branch)
        if source is None or target is None or not source.exists():
            continue
        target.parent.mkdir(exist_ok=True)
        try:
            _link(source, target)
        except FileNotFoundError:  # the parent trains on and keeps only its newest
            continue
        kept.append(one)
    if kept:
        bring_to_disk(branch / "checkpoints")
    return kept


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one that has no links
        shutil.copyfile(source, target)
        bring_to_disk(target)
