"""How fast signals are computed after the fact, and what that is of recording with them.

    python -m tests.benchmarks.bench_backfill [STEPS]

A run of so many steps (2,000 by default) of 256 samples with two signals is recorded once without
the signals of below and, for each of them, once with it: the same process and machine, one after
the other. A script that does nothing but record takes that long with the signal; a backfill reads
the log instead, and writes a frame for each that it computed from.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import wl_core as wl
from wl_core.backfill import backfill
from wl_core.signal_sources import SignalSource, registered_apart
from wl_core.signals import registry

BATCH = 256
SAMPLES = 10_240
Function = Callable[[Any], Any]

CASES: dict[str, tuple[Function, dict[str, Any]]] = {
    "a function of each value": (lambda ctx: ctx.subscribed_value * 2, {}),
    "that reads the latest of another": (
        lambda ctx: ctx.subscribed_value - ctx.latest("other", default=0.0),
        {},
    ),
    "that reads its history": (
        lambda ctx: ctx.subscribed_value - ctx.history[1][0],
        {"include_history": True},
    ),
    "that reads a cell": (
        lambda ctx: ctx.dataframe.get_value(ctx.origin, ctx.sample_id, "other") or 0.0,
        {},
    ),
    "batched": (lambda ctx: ctx.subscribed_values * 2, {"batched": True}),
}


def register(function: Function, options: dict[str, Any]) -> None:
    wl.signal(name="made", subscribe_to="loss", **options)(function)


def record(path: Path, steps: int) -> float:
    """Seconds that the recording of the steps took."""
    rng = np.random.default_rng(0)
    wl.start_run(path)
    began = time.perf_counter()
    for step in range(steps):
        ids = ((np.arange(BATCH) + BATCH * step) % SAMPLES).tolist()
        with wl.guard_training_context:
            wl.save_signals({"other": rng.random(BATCH)}, ids, origin="train")
            wl.save_signals({"loss": rng.random(BATCH)}, ids, origin="train")
    wl.finish()
    return time.perf_counter() - began


def measure(folder: Path, steps: int) -> dict[str, Any]:
    with registered_apart():
        record(folder / "untold", steps)
    found: dict[str, Any] = {"steps": steps, "values": steps * BATCH}
    for name, (function, options) in CASES.items():
        with registered_apart():
            register(function, options)
            source = SignalSource("bench", "", dict(registry.by_name))
            live = record(folder / "live", steps)
        shutil.copytree(folder / "untold", folder / "copy")
        run = wl.open_run(folder / "copy")
        done = backfill(run, source, source.signals, who="bench")
        run.close()
        assert done.values["made"] == steps * BATCH
        found[name] = {
            "values_per_second": round(done.values["made"] / done.seconds),
            "seconds": round(done.seconds, 2),
            "of_recording_with_it": round(done.seconds / live, 2),
        }
        for made in ("live", "copy"):
            shutil.rmtree(folder / made)
    return found


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), steps), indent=1))


if __name__ == "__main__":
    main()
