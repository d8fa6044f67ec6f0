"""What watching training dynamics costs a step, and what their fold costs a reader.

    python -m tests.benchmarks.bench_dynamics [--frames N] [--rows N]

A step is timed with `dynamics.watch`, with a watched loss in its place and with neither, in turns
in one run; what is printed is the difference (medians). The fold is that of steps of 6 signals x 64
values of 10,000 samples, from a real log, beside `scan` (see bench_fold) and the fold of the view
``samples``, in turns (the best of several rounds). Columns are timed as ``run.samples()`` makes
them. Prints a table, then the same as one line of JSON. `make bench` runs this.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import wl_core as wl
from tests.benchmarks.bench_fold import best_rates, fold, scan
from wl_core.batches import EventBatch
from wl_core.codec import Frame, FrameBuilder, decode, encode
from wl_core.log import EventLog
from wl_core.tail import Entry
from wl_plugins import dynamics
from wl_plugins.dynamics.dynamics_view import DynamicsView
from wl_plugins.dynamics.measures import measures
from wl_plugins.dynamics.names import SIGNALS
from wl_plugins.dynamics.plugin import wl_columns
from wl_plugins.sample_view import SampleView

BATCH, CLASSES, SAMPLES, STEPS = 64, 10, 10_000, 300


# -- a step ----------------------------------------------------------------------------------------


def step_costs() -> dict[str, float]:
    """Microseconds that each way of watching adds to a step; the formulas alone beside them."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(BATCH, CLASSES, generator=generator)
    y = torch.randint(CLASSES, (BATCH,), generator=generator)
    ids = list(range(BATCH))
    criterion = torch.nn.CrossEntropyLoss(reduction="none")
    watched = wl.watch_or_edit(criterion, flag="loss", name="train_loss", per_sample=True)
    ways: dict[str, Callable[[], Any]] = {
        "nothing": lambda: criterion(z, y),
        "watched loss": lambda: watched(z, y, batch_ids=ids),
        "dynamics.watch": lambda: (criterion(z, y), dynamics.watch(z, y, ids, origin="train")),
    }
    spent = in_guards(ways, STEPS)
    formulas = statistics.median(seconds(lambda: measures(z, y)) for _ in range(STEPS))
    return {
        "added by dynamics.watch, us": spent["dynamics.watch"] - spent["nothing"],
        "  of these its formulas, us": formulas * 1e6,
        "added by a watched loss, us": spent["watched loss"] - spent["nothing"],
    }


def dense_costs() -> dict[str, float]:
    """The same of a dense prediction with instances, beside the loss and its gradient."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(8, 4, 128, 128, generator=generator)
    masks = [[_disc(generator) for _ in range(20)] for _ in range(8)]
    y = torch.stack([torch.stack(ones).amax(0) for ones in masks])
    ids = list(range(8))

    def loss() -> Tensor:
        logits = z.clone().requires_grad_()
        functional.cross_entropy(logits, y).backward()
        return logits

    spent = in_guards(
        {
            "nothing": loss,
            "map": lambda: (loss(), dynamics.watch(z, y, ids, origin="dense")),
            "masks": lambda: (loss(), dynamics.watch(z, masks, ids, origin="dense")),
        },
        STEPS // 10,
    )
    return {
        "dense: loss and gradient, us": spent["nothing"],
        "  added by a map, us": spent["map"] - spent["nothing"],
        "  added by 160 masks, us": spent["masks"] - spent["nothing"],
    }


def _disc(generator: torch.Generator) -> Tensor:
    row, column = torch.randint(8, 120, (2,), generator=generator).tolist()
    mask = torch.zeros(128, 128, dtype=torch.int64)
    mask[row - 6 : row + 6, column - 6 : column + 6] = 1 + (row + column) % 3
    return mask


def in_guards(ways: dict[str, Callable[[], Any]], steps: int) -> dict[str, float]:
    """Microseconds of a step that does each of these; they take turns."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(steps):
        for name, work in ways.items():
            start = time.perf_counter()
            with wl.guard_training_context:
                work()
            spent[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) * 1e6 for name, times in spent.items()}


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


# -- the fold --------------------------------------------------------------------------------------


def frame(number: int, ids: list[int], generator: np.random.Generator) -> Frame:
    """A step as `dynamics.watch` records it."""
    builder = FrameBuilder()
    at = builder.ids(ids)
    for what in SIGNALS:
        found = generator.random(len(ids), np.float32)
        values = builder.vector(found > 0.5 if what == "correct" else found)
        builder.add("values", f"dynamics/{what}", "train_loader", False, at, values)
    return Frame(
        number, 0.0, b"somebody", number + 1, "train", False, builder.blobs, builder.events
    )


def fold_rates(frames: int) -> dict[str, float]:
    """Values a second."""
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as directory:
        log = EventLog(Path(directory) / "log", create=True)
        for start in range(0, frames, 2000):
            made = [
                frame(number, generator.integers(0, SAMPLES, BATCH).tolist(), generator)
                for number in range(start, min(start + 2000, frames))
            ]
            log.append(
                [Entry(b"somebody", one.number, len(one.events), encode(one)) for one in made]
            )
        works = {
            "scan": lambda: scan(log),
            "fold dynamics": lambda: fold(log, DynamicsView),
            "fold samples": lambda: fold(log, SampleView),
            "fold both": lambda: fold(log, SampleView, DynamicsView),
        }
        rates = best_rates(works, frames * len(SIGNALS) * BATCH)
        log.close()
    return {f"{name}, M values/s": rate / 1e6 for name, rate in rates.items()}


# -- the rows --------------------------------------------------------------------------------------


def row_costs(rows: int) -> dict[str, float]:
    """Bytes a row in memory, and milliseconds for all columns of so many samples."""
    generator = np.random.default_rng(0)
    views: dict[str, Any] = {"samples": SampleView(), "dynamics": DynamicsView()}
    for number in range(2):
        made = decode(0, encode(frame(number, list(range(rows)), generator)))
        for view in views.values():
            view.fold(EventBatch([made]))
    run: Any = SimpleNamespace(view=views.__getitem__)
    kept = sum(len(bytes(one)) for one in views["dynamics"].snapshot().values())
    return {
        "bytes a row": kept / rows,
        f"columns of {rows:,} samples, ms": min(seconds(lambda: wl_columns(run)) for _ in range(5))
        * 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as directory:
        wl.start_run(Path(directory) / "run")
        found = {**step_costs(), **dense_costs()}
        wl.finish()
    found |= {**fold_rates(arguments.frames), **row_costs(arguments.rows)}
    print(
        f"batch {BATCH}, {CLASSES} classes; {arguments.frames:,} frames of {len(SIGNALS)} signals"
    )
    for name, number in found.items():
        print(f"  {name:<36}{number:10.1f}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
