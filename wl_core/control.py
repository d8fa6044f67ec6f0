"""Pausing, stepping and stopping a training, from within its process.

Another process asks by appending the same events (``wl pause``, the TUI). What they do is `pace`'s.
"""

from __future__ import annotations

from wl_core.errors import TrainingStopped, UsageError
from wl_core.session import session

WHO = "script"


def pause(why: str = "") -> None:
    """Pauses the training at its next guard, until `resume` or ``wl resume``.

    ``why`` is kept with the event.
    """
    running = session()
    running.recorder.add("pause_requested", WHO, why)
    running.pace.pause(WHO, why)


def resume(why: str = "") -> None:
    """Lets a paused training go on; from another thread, since the training's own waits."""
    running = session()
    running.recorder.add("resume_requested", WHO, why)
    running.pace.resume()


def step(count: int = 1, why: str = "") -> None:
    """Lets the training do ``count`` more training steps and then pauses it.

    Raises:
        UsageError: ``count`` is less than 1.
    """
    if count < 1:
        raise UsageError(f"step: count must be at least 1, not {count}")
    running = session()
    running.recorder.add("steps_requested", count, WHO, why)
    running.pace.step(count, WHO, why)


def stop(why: str = "") -> None:
    """Ends the training at its next guard, by `TrainingStopped`, which ends the script in order."""
    running = session()
    running.recorder.add("stop_requested", WHO, why)
    running.pace.stop(WHO, why)


def start_training(timeout: float | None = None) -> None:
    """Lets the training begin; call it before the loop.

    A run that begins paused, because its hyperparameters say ``is_training: false``, waits here
    until somebody resumes it; any other goes on at once.

    Args:
        timeout: seconds to wait at most, after which the training begins by itself; None for no
            limit.
    """
    running = session()
    running.obey()
    if running.pace.pausing:
        running.pace.wait(timeout)
    if running.pace.stopping:
        raise TrainingStopped
