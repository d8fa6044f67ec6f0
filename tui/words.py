"""What numbers, states and events are called on the screen; no widget and no run in sight."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from wl_core.codec import Event

STATE_SYMBOLS: Mapping[str, str] = {
    "training": "●",
    "evaluating": "◆",
    "paused": "‖",
    "finished": "✓",
    "failed": "✗",
    "crashed": "!",
}
_MAX_TEXT = 120
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def duration(seconds: float) -> str:
    """``0.3 s``, ``12 s``, ``5 min``, ``3 h``, ``2 d``"""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.0f} h" if seconds < 2 * _DAY else f"{seconds / _DAY:.0f} d"


def age(steps: int, seconds: float) -> str:
    """How old an order is: in steps while training goes on, else in seconds."""
    if steps:
        return f"{steps} step{'s' if steps > 1 else ''} old"
    return f"{duration(seconds)} old"


def clock(unix_time: float) -> str:
    """Local wall time of an event."""
    return time.strftime("%H:%M:%S", time.localtime(unix_time))


def shorten(text: str, width: int) -> str:
    """At most ``width`` characters of the first line."""
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= width else line[: width - 1] + "…"


def fitting(parts: Sequence[tuple[int, str]], width: int, between: str = " · ") -> str:
    """The parts in a line of at most ``width``, if need be without the least needed ones.

    Args:
        parts: ``(rank, text)``; empty texts are left out, and the highest rank goes first. What
            has rank 0 stays.
    """
    kept = [part for part in parts if part[1]]
    while True:
        line = between.join(text for _, text in kept)
        least = max((rank for rank, _ in kept), default=0)
        if len(line) <= width or not least:
            return line
        kept.remove(next(part for part in reversed(kept) if part[0] == least))


def event_line(event: Event) -> str:
    """One event on one line: time, step, kind, and what is in it."""
    failed = "FAILED STEP " if event.failed else ""
    return f"{clock(event.time)} {event.step:>7} {event.kind:<18} {failed}{describe(event)}"


def describe(event: Event) -> str:
    """The fields of an event in a few words; long vectors by count and mean."""
    said = {"ids"} if "values" in event.data else set()  # as many ids as values
    parts = [_field(name, value) for name, value in event.data.items() if name not in said]
    return shorten("  ".join(part for part in parts if part), _MAX_TEXT)


def _field(name: str, value: Any) -> str:
    if value is None or value == "" or name in _UNSAID:
        return ""
    if name in _SAID_BY_THEMSELVES:
        return str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_short(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _vector(name, value)
    return f"{name}={_short(value)}"


# Said by the kind, or of no use to a person.
_UNSAID = frozenset(
    {"log", "batch_idx", "group_idx", "refs", "spec_idx", "specs", "traceback", "run_id"}
)
_SAID_BY_THEMSELVES = frozenset({"signal", "origin", "tag", "role", "name", "field", "error"})


def _vector(name: str, items: Sequence[Any]) -> str:
    if name in ("ids", "names") and len(items) <= 3:
        return ", ".join(map(str, items))
    numbers = [v for v in items if isinstance(v, int | float) and math.isfinite(v)]
    if name == "values" and numbers:
        return f"{len(items)} values, mean {sum(numbers) / len(numbers):.4g}"
    return f"{len(items)} {name}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else shorten(str(value), 40)
