"""How fast a log is folded into the sample view and the curves, beside merely reading it.

    python -m tests.benchmarks.bench_fold [--frames N] [--text-ids]

A frame is a training step of 5 signals x 64 values (batch 64) of 10,000 samples. "scan" decodes
every frame and looks at every vector, which nothing that reads the log can undercut; "fold" is what
a Projector does when a run is opened. Both read LMDB, check the checksums and decode msgpack.
Prints a table, then the same as one line of JSON. `make bench` runs this.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from wl_core.codec import Frame, FrameBuilder, SampleId, encode
from wl_core.log import EventLog
from wl_core.projection import Projection, Projector
from wl_core.tail import Entry
from wl_plugins.curves import Curves
from wl_plugins.history import History
from wl_plugins.instance_view import InstanceView
from wl_plugins.sample_view import SampleView

SIGNALS, BATCH, SAMPLES = 5, 64, 10_000
ROUNDS = 9


def write_log(path: Path, frames: int, *, text_ids: bool) -> EventLog:
    """A log of that many steps of a training over shuffled samples."""
    generator = np.random.default_rng(0)
    log = EventLog(path, create=True)
    entries = []
    for step in range(frames):
        numbers = generator.integers(0, SAMPLES, BATCH).tolist()
        ids: list[SampleId] = [f"img_{n:06d}" for n in numbers] if text_ids else numbers
        builder = FrameBuilder()
        at = builder.ids(ids)
        for signal in range(SIGNALS):
            values = builder.vector(generator.random(BATCH, np.float32))
            builder.add("values", f"train_signal_{signal}/sample", "train_loader", True, at, values)
        frame = Frame(
            step, 0.0, b"somebody", step + 1, "train", False, builder.blobs, builder.events
        )
        entries.append(Entry(b"somebody", step + 1, SIGNALS, encode(frame)))
        if len(entries) == 2000:
            log.append(entries)
            entries = []
    log.append(entries)
    return log


def scan(log: EventLog) -> None:
    """Decodes every frame and sums every vector of values."""
    for frame in log.frames():
        assert isinstance(frame, Frame)
        for event in frame.events:
            frame.vector(event[6]).sum()


def fold(log: EventLog, *kinds: type[Projection]) -> None:
    Projector([("bench", kind) for kind in kinds], log).catch_up()


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def best_rates(works: dict[str, Callable[[], None]], values: int) -> dict[str, float]:
    """Values a second of each, the best of several rounds.

    They take turns, so that what else the machine does in a while slows down all of them alike.
    """
    rounds = [{name: seconds(work) for name, work in works.items()} for _ in range(ROUNDS)]
    return {name: values / min(one[name] for one in rounds) for name in works}


def measure(log: EventLog, values: int) -> dict[str, float]:
    every = (SampleView, InstanceView, Curves, History)
    bounded = {
        "scan": lambda: scan(log),
        "fold samples + curves": lambda: fold(log, SampleView, Curves),
    }
    return {
        **best_rates(bounded, values),
        # The history keeps every value, which is why it is no part of the memory measured here.
        "peak memory, MB": peak_megabytes(),
        **best_rates({"fold all four views": lambda: fold(log, *every)}, values),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--text-ids", action="store_true", help="ids such as img_000017")
    arguments = parser.parse_args()
    values = arguments.frames * SIGNALS * BATCH
    with tempfile.TemporaryDirectory() as directory:
        log = write_log(Path(directory) / "log", arguments.frames, text_ids=arguments.text_ids)
        before = peak_megabytes()
        results = {**measure(log, values), "bytes per value": log.bytes_used / values}
        log.close()
    ids = "text" if arguments.text_ids else "integer"
    print(f"{arguments.frames:,} frames of {SIGNALS} signals x {BATCH} values, {ids} ids")
    for name, rate in results.items():
        per_second = "fold" in name or name == "scan"
        shown = f"{rate / 1e6:10.1f} M values/s" if per_second else f"{rate:10.1f}"
        print(f"  {name:<24}{shown}")
    print(f"  {'memory before, MB':<24}{before:10.1f}")
    print(json.dumps({"frames": arguments.frames, "ids": ids, **results}))


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
