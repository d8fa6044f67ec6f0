"""Every value that a signal ever had: folding them, one sample's, all of them, and what it takes.

    python -m tests.benchmarks.bench_history [--samples N] [--epochs N] [--directory DIR]

One signal of a training over shuffled samples; the defaults give 10^8 values. A process of its own
folds the log into the view and saves the checkpoint, so that its peak of memory is that of folding;
another opens the run and reads, as `wl` and the TUI do. A trajectory is one of 200 random samples,
found warm: the second time it is asked. Memory with maps counts all of the log that was read, which
lies in the page cache and is given back when others need it.
Prints a table, then the same as one line of JSON. Takes about 25 bytes of disk a value.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from wl_core.checkpoints import Checkpoints
from wl_core.codec import Frame, FrameBuilder, encode
from wl_core.log import EventLog
from wl_core.projection import Projector
from wl_core.tail import Entry
from wl_plugins.history import History

LOOKUPS = 200
ROUNDS = 3


def entries(samples: int, epochs: int, batch: int) -> Iterator[Entry]:
    generator = np.random.default_rng(0)
    number = 0
    for _ in range(epochs):
        order = generator.permutation(samples).astype(np.int32)
        values = generator.random(samples, np.float32)
        for low in range(0, samples, batch):
            builder = FrameBuilder()
            at = builder.ids(order[low : low + batch].tolist())
            vector = builder.vector(values[low : low + batch])
            builder.add("values", "train_loss/sample", "train_loader", True, at, vector)
            number += 1
            frame = Frame(
                number, 0.0, b"somebody", number, "train", False, builder.blobs, builder.events
            )
            yield Entry(b"somebody", number, 1, encode(frame))


def write_log(path: Path, samples: int, epochs: int, batch: int) -> None:
    log = EventLog(path, create=True)
    waiting: list[Entry] = []
    for entry in entries(samples, epochs, batch):
        waiting.append(entry)
        if len(waiting) * batch > 2_000_000:
            log.append(waiting)
            waiting = []
    log.append(waiting)
    log.close()


def opened(directory: Path) -> Projector:
    log = EventLog(directory / "log")
    return Projector([("bench", History)], log, Checkpoints(directory / "views"))


def fold(directory: Path, values: int) -> dict[str, float]:
    own = OwnMemory()
    own.start()
    before = megabytes()
    projector = opened(directory)
    start, busy = time.perf_counter(), time.process_time()
    projector.catch_up()
    folded, busy = time.perf_counter(), time.process_time() - busy
    projector.checkpoint()
    saved = time.perf_counter()
    return {
        "fold, M values/s": values / (folded - start) / 1e6,
        "fold, M values per second of CPU": values / busy / 1e6,
        "saving the checkpoint, s": saved - folded,
        "memory before, MB": before,
        "memory with maps, peak, MB": peak_megabytes(),
        "memory without maps, peak, MB": own.peak,
    }


def read(directory: Path, samples: int, values: int) -> dict[str, float]:
    start = time.perf_counter()
    projector = opened(directory)
    projector.restore()
    projector.catch_up()
    view = projector.view("history")
    assert isinstance(view, History)
    ready = time.perf_counter() - start
    rows = np.random.default_rng(1).integers(0, samples, LOOKUPS).tolist()
    cold, warm = ([lookup(view, row) for row in rows] for _ in range(2))
    memory = peak_megabytes()
    whole, whole_busy = best(lambda: check(view, values))
    pieces, pieces_busy = best(lambda: consume(view))
    return {
        "until it can be read, ms": ready * 1e3,
        "one trajectory, first, p50, ms": float(np.percentile(cold, 50)),
        "one trajectory, p50, ms": float(np.percentile(warm, 50)),
        "one trajectory, p99, ms": float(np.percentile(warm, 99)),
        "memory after lookups, MB": memory,
        "whole signal, M values/s": values / whole / 1e6,
        "whole signal, M values per second of CPU": values / whole_busy / 1e6,
        "in pieces, M values/s": values / pieces / 1e6,
        "in pieces, M values per second of CPU": values / pieces_busy / 1e6,
    }


def lookup(view: History, row: int) -> float:
    start = time.perf_counter()
    steps, _ = view.history("train_loss/sample", "train_loader", row)
    taken = time.perf_counter() - start
    assert len(steps)
    return taken * 1e3


def check(view: History, values: int) -> None:
    assert len(view.trajectories("train_loss/sample").values) == values


def consume(view: History) -> None:
    for _ in view.ranges("train_loss/sample"):
        pass


def best(work: Callable[[], None]) -> tuple[float, float]:
    """The least seconds, by the clock and of CPU, of several rounds."""
    rounds = []
    for _ in range(ROUNDS):
        start, busy = time.perf_counter(), time.process_time()
        work()
        rounds.append((time.perf_counter() - start, time.process_time() - busy))
    return min(one for one, _ in rounds), min(one for _, one in rounds)


def megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class OwnMemory(threading.Thread):
    """Watches the memory that is this process's alone: without the files that it has mapped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0.0

    def run(self) -> None:
        while True:
            status = Path("/proc/self/status").read_text()
            self.peak = max(self.peak, int(status.split("RssAnon:")[1].split()[0]) / 1024)
            time.sleep(0.02)


def disk_bytes(path: Path) -> int:
    return sum(one.stat().st_blocks * 512 for one in path.rglob("*") if one.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--directory", type=Path, help="where the run is written, and removed from")
    arguments = parser.parse_args()
    samples, values = arguments.samples, arguments.samples * arguments.epochs
    apart = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        directory = Path(name)
        with apart.Pool(1, maxtasksperchild=1) as pool:
            pool.apply(write_log, (directory / "log", samples, arguments.epochs, arguments.batch))
            results = pool.apply(fold, (directory, values))
            results |= pool.apply(read, (directory, samples, values))
        results["log, bytes per value"] = disk_bytes(directory / "log") / values
        results["view, bytes per value"] = disk_bytes(directory / "views") / values
    print(f"{samples:,} samples x {arguments.epochs} epochs, {os.cpu_count()} cores")
    for what, number in results.items():
        print(f"  {what:<42}{number:10.2f}")
    print(json.dumps({"samples": samples, "epochs": arguments.epochs, **results}))


if __name__ == "__main__":
    main()
