"""Exports: the rows that a table shows, in a file; and the command that would write the same.

The formats are plugins' (`wl_core.export`). A file is there whole or not at all.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tui.widgets.table import VirtualTable
from wl_core.export import exporter_of, write_file
from wl_core.long_form import PART
from wl_core.table import Table

Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True, eq=False)
class ShownRows:
    """Columns as they are shown, and which of their rows ``[k]`` in which order.

    ``marked``: these are the marked ones, not all that the filter leaves. ``left_out`` are columns
    that are shown and whose cells nobody has wanted so far.
    """

    table: Table
    rows: npt.NDArray[np.intp]
    marked: bool
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, shown: VirtualTable, uncomputed: frozenset[str] = frozenset()) -> ShownRows:
        """What the table shows now; of a million rows nothing is copied."""
        columns = tuple(one.column for one in shown.shown if one.drawn is None)
        left_out = tuple(one.name for one in columns if one.name in uncomputed)
        table = Table(tuple(one for one in columns if one.name not in uncomputed))
        if shown.marks.count:
            return cls(table, shown.marked_rows, True, left_out)
        rows = shown.order.rows
        rows = np.arange(len(shown.table)) if rows is None else rows
        return cls(table, rows, False, left_out)

    def __len__(self) -> int:
        return len(self.rows)

    def parts(self) -> Iterator[tuple[float, Table]]:
        """The rows bit by bit, each with how much is done after it (1 is all)."""
        for start in range(0, max(1, len(self)), PART):
            end = min(start + PART, len(self))
            yield end / max(1, len(self)), self.table.take(self.rows[start:end])

    def write(self, file: Path, progress: Progress) -> int:
        """Writes the file, which is replaced once the new one is whole; gives the rows in it.

        Raises:
            UsageError: no format that is known by the file's ending.
            WlError: it cannot be written.
        """

        @contextmanager
        def shown(_what: str, _total: int) -> Iterator[Progress]:
            yield progress

        return write_file(self.parts(), file, exporter_of(file, None), shown)


def export_command(listing: str, file: str) -> str:
    """The ``wl export`` that writes what a ``wl samples RUN …`` prints.

    Empty for a command that prints something else.
    """
    words = shlex.split(listing)
    if len(words) < 3 or words[:2] not in (["wl", "samples"], ["wl", "instances"]):
        return ""
    if words[1] == "instances" and "--all" not in words:
        return ""  # those of one sample: `wl export` chooses by --where alone
    options = [word for word in words[3:] if word != "--all"]
    run = words[2] if words[2] != "--all" else options.pop(0)
    level = [] if words[1] == "samples" else ["--instances"]
    return shlex.join(["wl", "export", file, "--run", run, *level, *options])
