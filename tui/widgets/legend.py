"""Legends that take as many lines as they need."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len
from rich.segment import Segment


def wrap_segments(entries: Iterable[Segment], width: int) -> list[list[Segment]]:
    """Entries on lines of at most ``width`` cells, none broken; at least one line."""
    lines: list[list[Segment]] = [[]]
    used = 0
    for entry in entries:
        size = cell_len(entry.text)
        if used and used + size > width:
            lines.append([])
            used = 0
        lines[-1].append(entry)
        used += size
    return lines
