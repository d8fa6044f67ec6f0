"""The runs that `bench_tui` looks at: one of a million samples, a small one, and who writes on.

    python -m tests.benchmarks.tui_runs PATH SAMPLES SECONDS

writes 50 steps a second to the run, each with 16 samples and 5 signals, as a training would.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from wl_core.codec import Frame, FrameBuilder, encode
from wl_core.directory import RunDirectory, WriterLock
from wl_core.log import EventLog
from wl_core.run import open_run
from wl_core.tail import Entry

ORIGIN = "train_loader"
BATCH, TOGETHER = 2_000, 50  # samples in a step, steps in a commit
LIVE_BATCH, LIVE_SIGNALS, STEPS_PER_SECOND = 16, 5, 50
COMMIT = 5  # steps that are written to the log at a time: the recorder commits every 0.1 s


class Writer:
    """Writes steps to a run's log; holds the writer's lock, so that the run is said to train."""

    def __init__(self, path: Path) -> None:
        directory = RunDirectory(path)
        directory.rank_path.mkdir(parents=True, exist_ok=True)
        self._lock = WriterLock(directory.lock)
        self._lock.sign()
        self._log = EventLog(directory.log, create=True)
        self._random = np.random.default_rng(0)
        self._name = b"bench" + bytes([self._random.integers(256)]) * 3
        self._number = self._log.committed(self._name)
        self.step = self._log.model_age
        if not self.step:
            self._log.append([self._started()])

    def _started(self) -> Entry:
        builder = FrameBuilder()
        builder.add("run_started", "bench", 1, "here", {}, False)
        return self._entry(builder, "outside")

    def entry(self, ids: list[int], signals: int) -> Entry:
        """One step: a value of so many signals for each of these samples."""
        builder = FrameBuilder()
        at = builder.ids(ids)
        builder.add("exposed", ORIGIN, at)
        for number in range(signals):
            values = builder.vector(self._random.random(len(ids), np.float32))
            builder.add("values", f"signal_{number:02d}/sample", ORIGIN, True, at, values)
        self.step += 1
        return self._entry(builder, "train")

    def _entry(self, builder: FrameBuilder, phase: str) -> Entry:
        self._number += 1
        frame = Frame(
            max(0, self.step - 1), time.time(), self._name, self._number, phase, False,
            builder.blobs, builder.events,
        )  # fmt: skip
        count = len(builder.events)
        return Entry(
            self._name, self._number, count, encode(frame), self.step, landmark=builder.landmark
        )

    def append(self, entries: list[Entry]) -> None:
        self._log.append(entries)

    def close(self) -> None:
        self._log.close()
        self._lock.release()


def build(path: Path, samples: int, signals: int) -> None:
    """One epoch over the shuffled samples, of all signals; folded, and its checkpoint saved."""
    writer = Writer(path)
    order = np.random.default_rng(1).permutation(samples)
    batches = [order[start : start + BATCH].tolist() for start in range(0, samples, BATCH)]
    for at in range(0, len(batches), TOGETHER):
        writer.append([writer.entry(ids, signals) for ids in batches[at : at + TOGETHER]])
    writer.close()
    with open_run(path) as run:
        run.refresh()


def write_on(path: Path, samples: int, seconds: float) -> None:
    """Steps on some of the samples, in time as far as the machine allows."""
    writer = Writer(path)
    random = np.random.default_rng(2)
    start, steps, waiting = time.monotonic(), 0, list[Entry]()
    while time.monotonic() < start + seconds:
        ids = random.integers(0, samples, LIVE_BATCH).tolist()
        waiting.append(writer.entry(list(dict.fromkeys(ids)), LIVE_SIGNALS))
        steps += 1
        if len(waiting) == COMMIT:
            writer.append(waiting)
            waiting = []
        time.sleep(max(0.0, start + steps / STEPS_PER_SECOND - time.monotonic()))
    writer.append(waiting)
    writer.close()
    print(f"{steps / (time.monotonic() - start):.1f}")


if __name__ == "__main__":
    write_on(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
