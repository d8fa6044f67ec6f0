"""How a run is: training, evaluating, paused, finished, failed or crashed. Never guessed.

Two facts decide: what the run said last of itself (its landmarks in the log), and whether a process
holds the writer's lock, which the system takes back when that process ends in whatever way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from wl_core.codec import Frame
from wl_core.directory import RunDirectory, writer_of
from wl_core.events import WireEvent
from wl_core.log import EventLog
from wl_core.pace import said_by

State = Literal["training", "evaluating", "paused", "finished", "failed", "crashed"]

ALIVE: frozenset[State] = frozenset({"training", "evaluating", "paused"})

# How many of the newest events are looked through for how far an evaluation is: few first, since it
# tells that several times a second.
_WINDOWS = (100, 1_000, 10_000)


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
    alive = writer_of(directory.lock) is not None
    last = log.last_frame()
    said, began = _last_said(log)
    pid, host = (None, "") if began is None else (began[3], began[4])
    state, detail = _living(log, said) if alive else _ended(said, pid)
    return RunStatus(state, log.model_age, pid, host, 0.0 if last is None else last.time, detail)


def status_then(log: EventLog, stop: int, age: int) -> RunStatus:
    """How a run was when its log ended at that position and its model was of that age.

    It trained unless it had said otherwise: when a process was killed is in no log.
    """
    last = log.last_frame(stop)
    said, began = _last_said(log, stop)
    pid, host = (None, "") if began is None else (began[3], began[4])
    over = said is not None and said[1][0] in ("run_finished", "branched")
    state, detail = _ended(said, pid) if over else _living(log, said, stop)
    return RunStatus(state, age, pid, host, 0.0 if last is None else last.time, detail)


def _last_said(
    log: EventLog, stop: int | None = None
) -> tuple[tuple[int, WireEvent] | None, WireEvent | None]:
    """What the run said last of itself, with the position; and how its last process began.

    An evaluation that is over says nothing: the run is as it was before.
    """
    said: tuple[int, WireEvent] | None = None
    evaluated = False
    for position, event in _life(log, stop):
        if event[0] == "run_started":
            return said, event
        if event[0] == "evaluation_finished":
            evaluated = True
        elif event[0] == "evaluation_started" and evaluated:
            evaluated = False
        elif said is None:
            said = position, event
    return said, None


def _life(log: EventLog, stop: int | None) -> Iterator[tuple[int, WireEvent]]:
    """The events that are landmarks, the newest first; those before ``stop``."""
    for frame in log.landmarks():
        if stop is not None and frame.position >= stop:
            continue
        for offset in range(len(frame.events) - 1, -1, -1):
            if frame.events[offset][0] in _SPEAKING:
                yield frame.position + offset, frame.events[offset]


_SPEAKING = frozenset(
    {
        "run_started",
        "run_finished",
        "branched",
        "paused",
        "resumed",
        "evaluation_started",
        "evaluation_finished",
    }
)


def _living(
    log: EventLog, said: tuple[int, WireEvent] | None, stop: int | None = None
) -> tuple[State, str]:
    if said is not None:
        position, event = said
        if event[0] == "paused":
            by = said_by(event[2], event[3])
            return "paused", f"waits for resume{by and ', paused '}{by}"
        if event[0] == "evaluation_started":
            return "evaluating", _progress(log, position, event, stop)
    return "training", ""


def _progress(log: EventLog, position: int, event: WireEvent, stop: int | None) -> str:
    """``test_loader (hard): 120 of 400 samples``"""
    origin, tag, samples = event[2:5]
    of = f" of {samples}" if samples >= 0 else ""
    return f"{origin}{f' ({tag})' if tag else ''}: {_done(log, position, stop)}{of} samples"


def _done(log: EventLog, since: int, stop: int | None) -> int:
    """How many samples the evaluation that began there has done, as it told last."""
    end = log.next_position if stop is None else stop
    for window in _WINDOWS:
        start = max(since, end - window)
        told = [
            event[2]
            for frame in log.frames(start, end)
            if isinstance(frame, Frame)
            for event in frame.events
            if event[0] == "evaluation_progressed" and frame.position >= since
        ]
        if told:
            return int(told[-1])
        if start == since:
            break
    return 0


def _ended(said: tuple[int, WireEvent] | None, pid: int | None) -> tuple[State, str]:
    word, error = "", ""
    if said is not None and said[1][0] == "branched":
        _, _, run, step = said[1]
        return "finished", f"branched from {run} at step {step}, not trained since"
    if said is not None and said[1][0] == "run_finished":
        _, _, word, error = said[1]
    if word == "failed":
        return "failed", error
    if word == "finished":
        return "finished", ""
    if word == "stopped":
        return "finished", f"stopped on request{error and f' ({error})'}"
    if word == "interrupted":
        return "finished", "interrupted by Ctrl-C"
    who = "the process that began it" if pid is None else f"process {pid}"
    return "crashed", f"{who} ended without finishing the run"
