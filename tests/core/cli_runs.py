"""Runs that are written frame by frame, for tests of the command line: small, exact, no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wl_core.codec import Frame, FrameBuilder, encode
from wl_core.directory import RunDirectory
from wl_core.log import EventLog
from wl_core.tail import Entry

WRITER = b"8 bytes."
TIME = 1_700_000_000.0
IDS = ["s1", "s2", "s3", "s4"]


class LogWriter:
    """Appends frames to the log of a run that this process makes."""

    def __init__(self, path: Path) -> None:
        self.directory = RunDirectory(path)
        self.directory.rank_path.mkdir(parents=True, exist_ok=True)
        self.log = EventLog(self.directory.log, create=True)
        self.number = 0

    def frame(self, step: int, *events: tuple[Any, ...], phase: str = "train") -> int:
        """Commits one frame and gives the position after it.

        Lists among an event's fields become ids, arrays vectors; the rest stays as it is.
        """
        builder = FrameBuilder()
        for kind, *fields in events:
            builder.add(kind, *(_field(builder, value) for value in fields))
        self.number += 1
        data = encode(
            Frame(
                step=step,
                time=TIME + step,
                writer=WRITER,
                number=self.number,
                phase=phase,
                failed=False,
                blobs=builder.blobs,
                events=builder.events,
            )
        )
        entry = Entry(
            WRITER,
            self.number,
            count=len(builder.events),
            frame=data,
            model_age=step + (phase == "train"),
            landmark=builder.landmark,
        )
        return self.log.append([entry])

    def close(self) -> None:
        self.log.close()


def _field(builder: FrameBuilder, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return builder.vector(value)
    return builder.ids(value) if isinstance(value, list) else value


def floats(*values: float) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


def indexes(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.uint8)


def values(signal: str, ids: Sequence[Any], numbers: np.ndarray[Any, Any]) -> tuple[Any, ...]:
    return ("values", signal, "train_loader", True, list(ids), numbers)


def write_run(path: Path, steps: int = 3) -> None:
    """Four samples; s1 has two instances; s4 was never measured; s3's loss is NaN, then inf."""
    writer = LogWriter(path)
    columns = {"place": ["a", "b", "tab\there", None], "size": [1, 2, 3, 4]}
    writer.frame(
        0,
        ("run_started", "id", 1, "host", {}, False),
        ("signal_declared", "loss", "sample", "loss", True, {}),
        ("metadata", "train_loader", IDS, columns),
        ("instances_found", "train_loader", IDS[:1], indexes(2)),
        phase="outside",
    )
    for step in range(steps):
        third = math.nan if step < steps - 1 else math.inf
        writer.frame(
            step,
            ("exposed", "train_loader", IDS[:3]),
            values("loss", IDS[:3], floats(0.1 + step, 0.5, third)),
            (
                "instance_values",
                "dice",
                "train_loader",
                True,
                IDS[:1],
                indexes(0, 0),
                indexes(1, 2),
                floats(0.25, 0.75),
            ),
        )
    writer.frame(
        steps,
        ("tagged", "blurry", True, "train_loader", IDS[1:2], None, "tester", ""),
        ("discarded", True, "train_loader", IDS[2:3], None, "tester", ""),
        phase="outside",
    )
    writer.frame(steps, ("run_finished", "finished", ""), phase="outside")
    writer.close()
