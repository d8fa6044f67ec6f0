"""How a run is: training, paused, finished, failed or crashed. Never guessed.

Two facts decide: what the run said last of itself (its landmarks in the log), and whether a process
holds the writer's lock, which the system takes back when that process ends in whatever way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wl_core.directory import RunDirectory, writer_of
from wl_core.log import EventLog

State = Literal["training", "paused", "finished", "failed", "crashed"]


@dataclass(frozen=True, slots=True)
class RunStatus:
    """``since`` is the wall-clock time of the last event in seconds since 1970, UTC.

    ``pid`` and ``host`` are those of the process that trains or trained last. ``detail`` says in
    words what the state alone does not.
    """

    state: State
    step: int
    pid: int | None
    host: str
    since: float
    detail: str


def status_of(directory: RunDirectory, log: EventLog) -> RunStatus:
    """The state of a run at this moment."""
    alive = writer_of(directory.lock)
    last = log.last_frame()
    since = 0.0 if last is None else last.time
    said: tuple[str, str] | None = None
    pid, host = None, ""
    for frame in log.landmarks():
        for event in reversed(frame.events):
            if said is None and event[0] == "run_finished":
                said = (event[2], event[3])
            elif said is None and event[0] in ("paused", "resumed"):
                said = (event[0], "")
            if event[0] == "run_started":
                pid, host = event[3], event[4]
                said = said or ("started", "")
                break
        if pid is not None:
            break
    word, error = said or ("started", "")
    state, detail = _state(alive is not None, word, error, pid)
    return RunStatus(state, log.model_age, pid, host, since, detail)


def _state(alive: bool, word: str, error: str, pid: int | None) -> tuple[State, str]:
    if alive:
        return ("paused", "waits for resume") if word == "paused" else ("training", "")
    if word == "failed":
        return "failed", error
    if word == "finished":
        return "finished", ""
    if word == "stopped":
        return "finished", "stopped on request"
    if word == "interrupted":
        return "finished", "interrupted by Ctrl-C"
    who = "the process that began it" if pid is None else f"process {pid}"
    return "crashed", f"{who} ended without finishing the run"
