"""Saving the model and going on from what was saved: the public functions.

What they do is `model_checkpoints`' business; what is in a file is `model_state`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wl_core.errors import UsageError
from wl_core.model_checkpoints import Restored
from wl_core.session import session

__all__ = ["Restored", "checkpoint", "model_age", "restore"]


def checkpoint(
    every: int | None = None, keep: int | None = 3, *, extra: Mapping[str, Any] | None = None
) -> Path | None:
    """Saves the watched models and optimizers and the random state beside the log.

    The file, ``RUN/checkpoints/step-00000500.pt`` at step 500 of the run, is made by ``torch.save``
    and holds tensors and plain types only, so ``torch.load(weights_only=True)`` reads it. It is
    written under another name, brought to disk and renamed: a checkpoint is whole or not there.

    Args:
        every: save at the end of each training guard after which `model_age` is a multiple of it,
            unless an error left the guard; None saves now, outside of a guard. Given again it
            replaces what was given before.
        keep: how many of the newest files stay, None for all. To branch the run off at an old
            step, keep the checkpoint of that step.
        extra: more objects to save and restore, by name: anything with ``state_dict()`` and
            ``load_state_dict()``, such as a scheduler or a GradScaler, or a ``torch.Generator``.
            They are remembered: give them to whichever of `checkpoint` and `restore` is called
            first.

    Returns:
        The file when it saves now, else None.

    Raises:
        UsageError: no model is watched; a training guard is open; or a state holds something that
            could not be loaded without executing code, which is named.
        OSError: the disk refused. With ``every`` that is a `CheckpointWarning`, and training goes
            on.
    """
    for name, given in (("every", every), ("keep", keep)):
        if given is not None and given < 1:
            raise UsageError(f"checkpoint: {name} must be at least 1, not {given}")
    checkpoints = session().model_checkpoints
    checkpoints.add_extra(extra or {})
    if every is None:
        return checkpoints.save_now(keep)
    checkpoints.save_every(every, keep)
    return None


def restore(step: int | None = None, *, extra: Mapping[str, Any] | None = None) -> Restored | None:
    """Loads the newest saved model into the watched models and optimizers, in place.

    The random state is set as well, so call it right before the loop. Nothing in a file is ever
    executed. A file that is truncated or damaged is passed over with a `CheckpointWarning`, and the
    one before is taken.

    The log never goes back. A run that was killed at step 730 and restores the model of step 700
    goes on at step 730; the model's age, `model_age`, is 700 then, and those 30 steps are trained
    again. To have a run without them, branch it off (``wl branch``).

    Args:
        step: only what was saved at this step of the run or before.
        extra: see `checkpoint`.

    Returns:
        What was loaded, or None when this run has never saved a model.

    Raises:
        UsageError: no model is watched, a training guard is open, nothing was saved at ``step`` or
            before, or the file does not fit what is watched; nothing was changed then.
        StorageError: models were saved and none of the files can be used.
    """
    checkpoints = session().model_checkpoints
    checkpoints.add_extra(extra or {})
    return checkpoints.restore(step)


def model_age() -> int:
    """The number of training steps that the model's weights have been through.

    That is the run's step, less the steps that were lost when `restore` took an older model. A loop
    that can be continued is ``for _ in range(wl.model_age(), steps)``.
    """
    return session().model_checkpoints.age
