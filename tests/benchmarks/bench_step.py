"""What watching adds to a training step, and what a commit costs the caller.

    python -m tests.benchmarks.bench_step

Watched and unwatched criterions take turns in one run, so that the machine's moods fall on both.
They return values that are there already: what is timed is wl, not Dice. Steps follow each other
at once, and then once more with a small model running for some milliseconds between them, as one
does in a training: it takes the processor's caches from wl, which makes any code several times
slower, the unwatched criterions as well.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

import wl_core as wl
from wl_core.session import session
from wl_core.values import BatchIds

BATCH = 16
INSTANCES = 10  # of each sample: 160 in the batch, as in the demo's densest tiles
SIZE = 128
STEPS = 400


class Given(torch.nn.Module):
    """A criterion that costs nothing: it returns what it was built with."""

    def __init__(self, values: torch.Tensor) -> None:
        super().__init__()
        self.values = values

    def forward(self, outputs: torch.Tensor, labels: Any) -> torch.Tensor:
        return self.values


def _criterions(per_sample: int) -> list[tuple[Given, str, bool]]:
    rows, instances = torch.rand(BATCH), torch.rand(BATCH * per_sample)
    return [
        (Given(rows), "train_dice/sample", False),
        (Given(rows.clone()), "train_bce/sample", False),
        (Given(instances), "train_dice/instance", True),
        (Given(instances.clone()), "train_bce/instance", True),
    ]


def _watched(per_sample: int) -> list[tuple[Any, bool]]:
    return [
        (
            wl.watch_or_edit(one, flag="loss", name=name, per_sample=not per, per_instance=per),
            per,
        )
        for one, name, per in _criterions(per_sample)
    ]


def added_per_step(*, masks: int, between: bool) -> tuple[float, float]:
    """Microseconds that watching adds to a step: median and 90th percentile.

    ``masks`` instance masks of each sample are stored, and its prediction; 0 stores neither. With
    ``between`` a model runs between two steps.
    """
    instances = masks or INSTANCES
    plain = [(one, per) for one, _, per in _criterions(instances)]
    watched = _watched(instances)
    outputs = torch.rand(BATCH, 4, SIZE, SIZE)
    ids = [f"nuclei_r{n // 4}_c{n % 4}" for n in range(BATCH)]
    batch_idx = torch.arange(BATCH).repeat_interleave(instances)
    targets = _masks(BATCH * masks)
    model = torch.nn.Conv2d(4, 4, 9, padding=4)
    differences = []
    for number in range(STEPS):
        predictions = _predictions(number) if masks else None
        if between:
            with torch.no_grad():
                model(outputs)
        start = time.perf_counter()
        with nullcontext():
            loss = sum((one(outputs, None).mean() for one, _ in plain), torch.zeros(()))
        middle = time.perf_counter()
        with wl.guard_training_context:
            loss = torch.zeros(())
            for one, per in watched:
                more: dict[str, Any] = {"batch_ids": ids}
                if per:
                    more["batch_idx"] = batch_idx
                if masks and one is watched[0][0]:
                    more["preds"] = predictions
                if masks and one is watched[2][0]:
                    more["targets"] = targets
                loss = loss + one(outputs, None, **more).mean()
            wl.save_signals({"combined": plain[0][0].values}, ids)
        differences.append((time.perf_counter() - middle) - (middle - start))
    return _micros(differences)


def _masks(count: int) -> list[torch.Tensor]:
    """One class-id mask per instance. They come again in every step, as in every epoch."""
    masks = []
    for number in range(count):
        mask = torch.zeros(SIZE, SIZE, dtype=torch.uint8)
        top, left = number * 7 % 100, number * 13 % 100
        mask[top : top + 22, left : left + 22] = 1 + number % 3
        masks.append(mask)
    return masks


def _predictions(seed: int) -> torch.Tensor:
    """Class maps of blobs with ragged edges, other ones in every step."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(BATCH, 1, SIZE // 8, SIZE // 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=SIZE, mode="bilinear")[:, 0]
    ragged = smooth + 0.02 * torch.rand(BATCH, SIZE, SIZE, generator=generator)
    return (ragged * 4).clamp(0, 3).byte()


def commit_in_caller() -> tuple[float, float]:
    """Microseconds for a step of 5 signals x 64 values, from arrays to safe: median, 90th."""
    running = session()
    rng = np.random.default_rng(0)
    times = []
    recorder = running.recorder
    batch = BatchIds("train_loader", list(range(64)))
    for _ in range(4000):
        values = [rng.random(64).astype(np.float32) for _ in range(5)]
        start = time.perf_counter()
        recorder.begin("train")
        for number, one in enumerate(values):
            recorder.values(f"signal_{number}", True, batch, one)
        recorder.end()
        times.append(time.perf_counter() - start)
    return _micros(times)


def bytes_per_value() -> float:
    """Bytes of used log pages per logged value, at 5 signals x 64 values a step."""
    running = session()
    running.flush()
    before = running.log.bytes_used
    commit_in_caller()
    running.flush()
    return (running.log.bytes_used - before) / (4000 * 5 * 64)


def _micros(seconds: list[float]) -> tuple[float, float]:
    ordered = sorted(seconds)
    return statistics.median(ordered) * 1e6, ordered[int(len(ordered) * 0.9)] * 1e6


@contextmanager
def _run() -> Iterator[None]:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        wl.start_run(Path(directory) / "run")
        try:
            yield
        finally:
            wl.finish()


def main() -> None:
    """Prints a table, then the same as one line of JSON."""
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    cases: list[tuple[str, Callable[[], tuple[float, float]], float]] = [
        ("added per step", lambda: added_per_step(masks=0, between=False), 150),
        ("the same after a model's work", lambda: added_per_step(masks=0, between=True), 150),
        ("with 16 masks and predictions", lambda: added_per_step(masks=1, between=True), 3000),
        ("with 160 masks, 16 predictions", lambda: added_per_step(masks=10, between=True), 3000),
        ("commit of 5 x 64 values in the caller", commit_in_caller, 25),
    ]
    for name, measure, asked in cases:
        with _run():
            median, high = measure()
        figures[name] = median
        print(f"{name:48s} {median:9.1f} us median {high:9.1f} us p90   (asked: {asked} us)")
    with _run():
        figures["bytes per value"] = bytes_per_value()
    print(
        f"{'bytes on disk per value at batch 64':48s} {figures['bytes per value']:9.2f}"
        "                              (asked: 8)"
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
