"""How long it takes to see a long run as it was at some step.

    python -m tests.benchmarks.bench_time_travel [--samples N] [--epochs N] [--batch N]

A log of samples x epochs values of one signal, in shuffled batches, is folded once, which leaves
milestones. Then a fresh process for each of five random steps opens the run and asks for the table
of samples as of that step; beside it, the same by a fold from the start. The default is 10^8
values, about 1.2 GB of disk; `--epochs 10` is a tenth of that. Prints a table, then the same as one
line of JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from wl_core.codec import Frame, FrameBuilder, encode
from wl_core.directory import RunDirectory
from wl_core.log import EventLog
from wl_core.milestones import Milestones
from wl_core.plugins import load_plugins, projections
from wl_core.projection import Projector
from wl_core.run import open_run
from wl_core.tail import Entry
from wl_plugins.instance_view import InstanceView
from wl_plugins.sample_view import SampleView

STEPS = 5
_WRITER = b"somebody"


def write_run(path: Path, samples: int, epochs: int, batch: int) -> int:
    """A run of ``epochs`` over shuffled samples, of one signal; gives its number of steps."""
    directory = RunDirectory(path)
    directory.rank_path.mkdir(parents=True)
    log, generator = EventLog(directory.log, create=True), np.random.default_rng(0)
    steps = 0
    for _ in range(epochs):
        order = generator.permutation(samples)
        entries = []
        for start in range(0, samples, batch):
            ids = order[start : start + batch].tolist()
            entries.append(_entry(steps, ids, generator.random(len(ids), np.float32)))
            steps += 1
        log.append(entries)
    log.close()
    return steps


def _entry(
    step: int, ids: list[int], losses: np.ndarray[tuple[int], np.dtype[np.float32]]
) -> Entry:
    builder = FrameBuilder()
    at = builder.ids(list(ids))
    builder.add("exposed", "train_loader", at)
    builder.add("values", "train_loss/sample", "train_loader", True, at, builder.vector(losses))
    frame = Frame(
        step, 1.5e9 + step, _WRITER, step + 1, "train", False, builder.blobs, builder.events
    )
    return Entry(_WRITER, step + 1, 2, encode(frame), step + 1)


def seconds_to_see(path: Path, step: int) -> tuple[float, float]:
    """The run opened, gone back, and its samples as of then: seconds, and those of the CPU."""
    start, worked = time.perf_counter(), time.process_time()
    with open_run(path) as run, run.at(step=step) as past:
        table = past.samples()
        assert int(table.column("last_step").values.max()) == step
        return time.perf_counter() - start, time.process_time() - worked


def seconds_from_the_start(path: Path, step: int) -> float:
    """The same views folded from the first event on, in seconds."""
    log = EventLog(RunDirectory(path).log)
    views = [("bench", SampleView), ("bench", InstanceView)]
    start = time.perf_counter()
    projector = Projector(views, log, last_step=step)
    projector.catch_up()
    view = projector.view("samples")
    assert isinstance(view, SampleView)
    view.table()
    taken = time.perf_counter() - start
    log.close()
    return taken


def fold(path: Path) -> float:
    """What it takes to bring all views up to date, milestones and checkpoint included."""
    start = time.perf_counter()
    with open_run(path) as run:
        run.refresh()
    return time.perf_counter() - start


def fold_leaving_nothing(path: Path) -> float:
    """The same views folded without milestones and checkpoint."""
    kinds = [(plugin, kind) for plugin, kind in projections(load_plugins()) if not kind.on_demand]
    log = EventLog(RunDirectory(path).log)
    start = time.perf_counter()
    Projector(kinds, log).catch_up()
    taken = time.perf_counter() - start
    log.close()
    return taken


def measure(path: Path, samples: int, epochs: int, batch: int) -> dict[str, float]:
    steps = write_run(path, samples, epochs, batch)
    results: dict[str, float] = {"values": samples * epochs, "steps": steps}
    results["log, MB"] = _megabytes(RunDirectory(path).log)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as fresh:
        results["fold that leaves nothing, s"] = fresh.apply(fold_leaving_nothing, (path,))
        results["first fold, s"] = fresh.apply(fold, (path,))
        asked = random.Random(0).sample(range(steps), STEPS)
        seen = [fresh.apply(seconds_to_see, (path, step)) for step in asked]
        start = [fresh.apply(seconds_from_the_start, (path, step)) for step in asked]
    wall, worked = zip(*seen, strict=True)
    results["run.at(step).samples(), median s"] = statistics.median(wall)
    results["run.at(step).samples(), worst s"] = max(wall)
    results["of it the CPU's, worst s"] = max(worked)
    results["from the start, median s"] = statistics.median(start)
    results["milestones of samples"] = _milestones(path)
    results["milestones, MB"] = _megabytes(path / "views" / "past")
    return results


def _milestones(path: Path) -> int:
    with open_run(path) as run:
        first = next(frame for frame in run.log.frames() if isinstance(frame, Frame))
        identity = first.writer + f":{first.number}:{first.time!r}".encode()
    found = Milestones(path / "views" / "past")
    return len(found.marks(SampleView.name, SampleView.version, identity))


def _megabytes(path: Path) -> float:
    return sum(one.stat().st_blocks * 512 for one in path.rglob("*") if one.is_file()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where there is room; a temporary one if not")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as directory:
        results = measure(Path(directory) / "run", given.samples, given.epochs, given.batch)
    print(f"{given.samples:,} samples, {given.epochs} epochs, batches of {given.batch:,}")
    for name, value in results.items():
        print(f"  {name:<34}{value:>16,.2f}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
