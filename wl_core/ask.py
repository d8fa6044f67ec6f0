"""Asking a training for something from another process, and hearing what it makes of it.

Whoever asks appends one event to the run; the training obeys at its next guard and appends that it
did. What the command line prints of it is `cli_control`'s.
"""

from __future__ import annotations

import getpass
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from wl_core.codec import Frame
from wl_core.errors import RunError
from wl_core.requests import Request, requests_of
from wl_core.run import Run
from wl_core.status import ALIVE

_POLL_SECONDS = 0.01
_ALIVE_SECONDS = 0.5  # between two looks whether the training still lives


def whoever_asks() -> str:
    """``user@host`` of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        user = "somebody"
    return f"{user}@{platform.node()}"


# -- asking: each gives the position of its event --------------------------------------------------


def pause(run: Run, who: str, why: str = "") -> int:
    return run.append("pause_requested", who=who, why=why)


def resume(run: Run, who: str, why: str = "") -> int:
    return run.append("resume_requested", who=who, why=why)


def step(run: Run, count: int, who: str, why: str = "") -> int:
    """``count`` training steps, and then a pause."""
    return run.append("steps_requested", count=count, who=who, why=why)


def stop(run: Run, who: str, why: str = "") -> int:
    return run.append("stop_requested", who=who, why=why)


def evaluate(run: Run, origin: str, tag: str, who: str, why: str = "") -> int:
    """An evaluation of that loader's samples, or of those with ``tag`` where it is not empty."""
    return run.append("evaluation_requested", origin=origin, tag=tag, who=who, why=why)


def cancel_evaluation(run: Run, who: str, why: str = "") -> int:
    """Gives up the evaluation that runs and those that wait."""
    return run.append("evaluation_cancel_requested", who=who, why=why)


# -- hearing ---------------------------------------------------------------------------------------


def require_training(run: Run, what: str) -> str:
    """The state of a run whose training lives.

    Raises:
        RunError: it does not; the message says since when, and that there is nothing to ``what``.
    """
    status = run.status()
    if status.state not in ALIVE:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status.since))
        detail = status.detail and f" ({status.detail})"
        raise RunError(
            f"{run.name} is {status.state} since {since}{detail}: no training is there to {what}"
        )
    return status.state


def news(run: Run, start: int, seconds: float | None = None) -> Iterator[Request | None]:
    """The events from position ``start`` on as they come; None after each look at the log.

    It ends when the training has, or after so many seconds.
    """
    began = looked = time.monotonic()
    alive = True
    while True:
        end = run.log.next_position
        for frame in run.log.frames(start, end):
            if isinstance(frame, Frame):
                yield from (one for one in requests_of(frame) if one.position >= start)
        start = max(start, end)
        yield None
        now = time.monotonic()
        if not alive or (seconds is not None and now - began >= seconds):
            return
        if now - looked >= _ALIVE_SECONDS:
            looked, alive = now, run.status().state in ALIVE  # what it said last is still read
        time.sleep(_POLL_SECONDS)


@dataclass(slots=True)
class Answer:
    """What the training made of a request.

    ``step`` and ``seconds`` say where and how long after the request that was; ``refused`` why it
    did not obey, if so. ``followed`` is false where it has obeyed and what that leads to has not
    come yet.
    """

    step: int
    seconds: float
    refused: str
    followed: bool


def answer(
    run: Run,
    position: int,
    *,
    then: str | None = None,
    seconds: float = 5.0,
    notice: Callable[[float], None] = lambda _: None,
) -> Answer | None:
    """Waits for the answer to the request at ``position``; None when none came in that time.

    Args:
        then: the kind of event that obeying leads to, which is waited for as well.
        seconds: how long to wait at most.
        notice: called again and again while it waits, with the seconds since the beginning.
    """
    began, asked = time.monotonic(), 0.0
    heard: Answer | None = None
    for event in news(run, position, seconds):
        if event is None:
            notice(time.monotonic() - began)
        elif event.position == position:
            asked = event.frame.time
        elif event.kind.name == "obeyed" and event.field("request") == position:
            after = event.frame.time - asked
            heard = Answer(event.frame.step, after, event.field("refused"), then is None)
        elif heard is not None and event.kind.name == then:
            heard.step, heard.seconds = event.frame.step, event.frame.time - asked
            heard.followed = True
        if heard is not None and (heard.followed or heard.refused):
            return heard
    return heard
