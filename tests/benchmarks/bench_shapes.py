"""How fast shapes are found, and how often they are the right ones.

    python -m tests.benchmarks.bench_shapes [--rows N] [--per-cell N]

Speed: trajectories of 50 values a second on one core, beside merely adding the same values up,
which nothing that looks at them can undercut. Accuracy: by noise and length, on the three families
of labelled trajectories of `wl_core.testing.shapes`, all multiplied by random factors; then the
confusion matrix at 50 values and a noise of 0.05. Prints tables, then one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable

# One core is what is promised; numpy reads these when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt

from wl_core.shapes import LOSS_SHAPES, classify_all, classify_rows
from wl_core.testing.shapes import FAMILIES, Family, trajectories
from wl_core.trajectories import Trajectories

NOISES = (0.0, 0.02, 0.05, 0.1)
LENGTHS = (8, 12, 20, 50, 100, 300)
ROUNDS = 5
DRAWN = 5_000  # different trajectories that speed is measured on


def rates(works: dict[str, Callable[[], object]], rows: int) -> dict[str, float]:
    """Trajectories a second, the best of several rounds in which the works take turns."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(ROUNDS):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: rows / seconds for name, seconds in best.items()}


def speed(rows: int) -> dict[str, float]:
    drawn, _ = trajectories(np.random.default_rng(0), min(rows, DRAWN), 50, 0.05)
    values = np.resize(drawn, (rows, 50))
    mixed = ragged(np.random.default_rng(1).integers(40, 61, rows))
    works: dict[str, Callable[[], object]] = {
        "adding up": lambda: values.sum(axis=1),
        "one length": lambda: classify_rows(values),
        "40 to 60 values": lambda: classify_all(mixed),
    }
    return rates(works, rows)


def ragged(lengths: npt.NDArray[np.int64]) -> Trajectories:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    rows, values = np.arange(len(lengths)), np.random.default_rng(2).random(offsets[-1])
    return Trajectories(rows, np.zeros_like(rows), offsets, np.arange(len(values)), values)


def confusion(family: Family, count: int, length: int, noise: float) -> npt.NDArray[np.int64]:
    """How many of each shape (row) were taken for which (column)."""
    rng = np.random.default_rng([FAMILIES.index(family), length, round(1000 * noise)])
    values, shapes = trajectories(rng, count, length, noise, family)
    found = classify_rows(values * rng.uniform(1e-3, 1e3, (count, 1)))
    matrix = np.zeros((len(LOSS_SHAPES), len(LOSS_SHAPES)), np.int64)
    np.add.at(matrix, (shapes, found), 1)
    return matrix


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--per-cell", type=int, default=4_000)
    arguments = parser.parse_args()
    speeds = speed(arguments.rows)
    print(f"{arguments.rows:,} trajectories of 50 values, one core")
    for name, rate in speeds.items():
        print(f"  {name:<20}{rate:14,.0f} a second")
    accuracy: dict[str, float] = {}
    for family in FAMILIES:
        print(f"\naccuracy, {family!r}    " + "".join(f"noise {noise:<6}" for noise in NOISES))
        for length in LENGTHS:
            for noise in NOISES:
                matrix = confusion(family, arguments.per_cell, length, noise)
                accuracy[f"{family} {length} {noise}"] = round(matrix.trace() / matrix.sum(), 4)
            cells = (accuracy[f"{family} {length} {noise}"] for noise in NOISES)
            print(f"  {length:>4} values         " + "".join(f"{cell:<12.3f}" for cell in cells))
    for family in FAMILIES:
        for length in (20, 50):
            print(f"\n{family!r}, {length} values, noise 0.05: share of each shape taken for")
            print(" " * 15 + "".join(f"{shape:>15}" for shape in LOSS_SHAPES))
            matrix = confusion(family, 5 * arguments.per_cell, length, 0.05)
            for shape, row in zip(LOSS_SHAPES, matrix / matrix.sum(axis=1)[:, None], strict=True):
                print(f"{shape:<15}" + "".join(f"{share:>15.3f}" for share in row))
    print(json.dumps({"rows": arguments.rows, "per_second": speeds, "accuracy": accuracy}))


if __name__ == "__main__":
    main()
