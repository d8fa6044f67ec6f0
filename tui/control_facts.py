"""What the control pane shows of a run: its state in words, its settings, what can be evaluated.

`control_facts` runs in the follower's thread, the rest only puts into words and tables. What was
asked and answered is `requests_told`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tui.event_log import read_whole
from tui.sample_facts import text_column
from tui.words import STATE_SYMBOLS, duration
from wl_core.codec import Event, frame_events
from wl_core.setting_values import shown
from wl_core.status import ALIVE
from wl_core.table import Table, TableColumn

if TYPE_CHECKING:
    from tui.follow import News
    from wl_core.curve import Evaluation
    from wl_core.run import Run
    from wl_core.status import State

# What a run says when it comes into a state.
_ENTERED: Mapping[State, frozenset[str]] = {
    "training": frozenset({"run_started", "resumed", "evaluation_finished"}),
    "evaluating": frozenset({"evaluation_started"}),
    "paused": frozenset({"paused"}),
}
_TOLD = frozenset({"obeyed", "hyperparameters"})


@dataclass(frozen=True, slots=True)
class ControlFacts:
    """``settings`` by name; ``since``: when the run came into its state, None: nobody said.

    ``evaluated`` is the last evaluation that ended, ``looked_up`` the events asked for.
    """

    settings: Mapping[str, Any]
    origins: Sequence[str]
    since: float | None
    evaluated: Evaluation | None
    looked_up: Sequence[Event]


def control_facts(run: Run, state: State, positions: Sequence[int]) -> ControlFacts:
    """What is shown of that run; ``positions`` are those of events to be looked up."""
    found = [read_whole(run, position) for position in positions]
    evaluations = run.evaluations()
    return ControlFacts(
        run.view("hyperparameters").settings(),
        list(run.view("samples").index.origins),
        _since(run, state),
        evaluations[-1] if evaluations else None,
        [one.event for one in found if one is not None],
    )


def past_requests(run: Run, seconds: float = 0.1) -> list[Event]:
    """Who asked for what before, and the answers, of as much of the log as that time allows.

    From the index of decisions, in which every answer is; the requests are then looked up.
    """
    until = time.monotonic() + seconds
    found = []
    for frame in run.log.decisions():
        found += [event for event in frame_events(frame) if event.kind in _TOLD]
        if time.monotonic() > until:
            break
    return found


def _since(run: Run, state: State) -> float | None:
    kinds = _ENTERED.get(state)
    if kinds is None:
        return None
    frames = (f for f in run.log.landmarks() if any(event[0] in kinds for event in f.events))
    frame = next(frames, None)
    return None if frame is None else frame.time


def state_said(news: News, since: float | None) -> str:
    """``● training for 5 min · step 1,234 · 12.3 steps/s · process 7 on here``"""
    status = news.status
    parts = [f"{STATE_SYMBOLS.get(status.state, '?')} {status.state}"]
    if status.state not in ALIVE:
        parts[0] += f" {duration(time.time() - status.since)} ago"
    elif since is not None:
        parts[0] += f" for {duration(time.time() - since)}"
    if status.detail:
        parts[0] += f": {status.detail}"
    parts.append(f"step {status.step:,}")
    if status.state == "training" and news.steps_per_second is not None:
        parts.append(f"{news.steps_per_second:.1f} steps/s")
    if status.state in ALIVE and status.pid is not None:
        parts.append(f"process {status.pid} on {status.host}")
    return " · ".join(parts)


def evaluation_said(evaluated: Evaluation) -> str:
    """``last evaluation: test_loader, 4 samples at step 12: test_bce 0.31``"""
    how = f"{evaluated.samples:,} samples at step {evaluated.step:,}"
    if evaluated.error:
        outcome = f"failed: {evaluated.error.strip().splitlines()[-1]}"
    else:
        means = (f"{name} {mean:.4g}" for name, mean in evaluated.means.items())
        outcome = ("given up: " if evaluated.cancelled else "") + ", ".join(means)
    return f"last evaluation: {evaluated.name}, {how}: {outcome}"


def settings_table(settings: Mapping[str, Any], state_of: Callable[[str], str]) -> Table:
    """Name, value, type, who set it when and why, and what came of an edit of it."""
    there = np.ones(len(settings), np.bool_)
    steps = np.array([one.step for one in settings.values()], np.int64)
    return Table(
        (
            text_column("name", list(settings)),
            text_column("value", [_short(one.value) for one in settings.values()]),
            text_column("edit", [state_of(name) for name in settings]),
            text_column("type", [type_said(one.value) for one in settings.values()]),
            TableColumn("at step", "number", steps, there),
            text_column("set by", [one.who for one in settings.values()]),
            text_column("why", [one.why for one in settings.values()]),
        )
    )


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else shown(value)


def type_said(value: Any) -> str:
    """What kind of value may take its place."""
    words = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    return "anything" if value is None else words.get(type(value), "list")
