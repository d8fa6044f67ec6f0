"""What happened to a run besides its steps, as marks on the step axis of curves.

Read from the log's index of landmarks and decisions, not from the log itself; runs in the
follower's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from tui.widgets.plot_panel import Mark
from tui.words import shorten
from wl_core.codec import frame_events

if TYPE_CHECKING:
    from wl_core.codec import Frame
    from wl_core.run import Run

_Data: TypeAlias = Mapping[str, Any]
_Said: TypeAlias = tuple[str, str]  # a symbol, and words
_WIDEST = 60


def marks_of(run: Run) -> list[Mark]:
    """Evaluations, pauses, edits of hyperparameters, discards and tags, starts, ends and crashes.

    By their step; those of a step in the order of the log.
    """
    landmarks = list(run.log.landmarks())
    frames = [*landmarks, *run.log.decisions()]
    found = {(frame.position, mark) for frame in frames for mark in _marks(frame)}
    found |= set(_crashes(run, landmarks))
    return [mark for _, mark in sorted(found, key=lambda one: (one[1].step, one[0]))]


def _crashes(run: Run, landmarks: Sequence[Frame]) -> Iterator[tuple[int, Mark]]:
    """A process that began while no other had said that it ended; the newest landmark is first.

    That a process was killed nobody wrote down: it is where its last frame is.
    """
    alive = False
    for frame in reversed(landmarks):
        for event in frame.events:
            if event[0] == "run_started" and alive:
                last = run.log.last_frame(frame.position)
                step = frame.step if last is None else last.step
                yield frame.position, Mark(float(step), "!", "the process was killed")
            if event[0] in ("run_started", "run_finished"):
                alive = event[0] == "run_started"


# How every run begins, which is no news.
_FIRST = frozenset({"run_started", "hyperparameters"})


def _marks(frame: Frame) -> Iterator[Mark]:
    if KINDS.isdisjoint(event[0] for event in frame.events):
        return
    for event in frame_events(frame):
        said = _SAYING[event.kind](event.data) if event.kind in KINDS else None
        if said is not None and (frame.step > 0 or event.kind not in _FIRST):
            yield Mark(float(frame.step), said[0], shorten(said[1], _WIDEST))


def _evaluated(data: _Data) -> _Said:
    how = "failed" if data["error"] else "cancelled" if data["cancelled"] else "done"
    tag = f" [{data['tag']}]" if data["tag"] else ""
    return "◆", f"evaluation on {data['origin']}{tag} {how}"


def _paused(data: _Data) -> _Said:
    return "‖", f"paused{_by(data)} {data['why']}".strip()


def _discarded(data: _Data) -> _Said:
    what = data["ids"] if data["annotation_ids"] is None else data["annotation_ids"]
    symbol, done = ("✗", "discarded") if data["discarded"] else ("+", "restored")
    return symbol, f"{len(what)} {done}{_by(data)}"


def _tagged(data: _Data) -> _Said:
    what = data["ids"] if data["annotation_ids"] is None else data["annotation_ids"]
    return ("#" if data["add"] else "-"), f"{len(what)} tagged {data['tag']}{_by(data)}"


def _edited(data: _Data) -> _Said | None:
    """None for what a script says when it is run again, which is no edit."""
    values = ", ".join(f"{name} {value}" for name, value in data["values"].items())
    return ("✎", f"{values} set{_by(data)}") if data["who"] != "script" else None


def _by(data: _Data) -> str:
    return f" by {data['who']}" if data["who"] else ""


_SAYING: Mapping[str, Callable[[_Data], _Said | None]] = {
    "evaluation_finished": _evaluated,
    "paused": _paused,
    "discarded": _discarded,
    "tagged": _tagged,
    "hyperparameters": _edited,
    "run_started": lambda _: ("▷", "a process went on with it"),
    "run_finished": lambda data: ("■", f"{data['reason']} {data['error']}".strip()),
    "branched": lambda data: ("⑂", f"branched from {data['run']}"),
}
# An event of one of these kinds makes a mark, if it says anything.
KINDS = frozenset(_SAYING)
