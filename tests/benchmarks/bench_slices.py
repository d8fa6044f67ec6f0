"""How long it takes to slice many rows, to cross facets, and to find the worst slices.

    python -m tests.benchmarks.bench_slices [--rows N]

The rows have five facets (texts of 3 and 20 kinds, a flag, tags, a number in quartiles), a class
of ten, and a loss that 10 % of them lack. "one pass" is what nothing can undercut: numpy sums the
loss by the codes of one column. Prints a table, then the same as one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from wl_core.slice_finding import find_slices
from wl_core.slices import cross_tab, slice_by
from wl_core.table import Table, TableColumn

FACETS = ("weather", "road", "night", "tags", "size")
ROUNDS = 5


def make_table(rows: int) -> Table:
    random = np.random.default_rng(0)
    everywhere = np.ones(rows, np.bool_)

    def text(name: str, count: int) -> TableColumn:
        codes = random.integers(0, count, rows).astype(np.int32)
        return TableColumn(name, "text", codes, random.random(rows) < 0.95, _names(count))

    night = random.random(rows) < 0.3
    weather = text("weather", 3)
    loss = random.exponential(1.0, rows) + 0.5 * ((weather.values == 1) & weather.present & night)
    tags = random.integers(0, 4, rows).astype(np.int32)
    size = random.lognormal(3, 1, rows).astype(np.float32)
    labels = random.integers(0, 10, rows)
    return Table(
        (
            weather,
            text("road", 20),
            TableColumn("night", "flag", night, everywhere),
            TableColumn("tags", "text", tags, tags > 0, ("", "old", "old,blurry", "blurry")),
            TableColumn("size", "number", size, everywhere),
            TableColumn("class", "number", labels, everywhere),
            TableColumn("loss", "number", loss.astype(np.float32), random.random(rows) < 0.9),
        )
    )


def _names(count: int) -> tuple[str, ...]:
    return tuple(f"kind {number}" for number in range(count))


def one_pass(table: Table) -> npt.NDArray[np.float64]:
    weights = table.column("loss").values.astype(np.float64)
    return np.bincount(table.column("road").values, weights=weights)


def works(table: Table) -> dict[str, Callable[[], object]]:
    return {
        "one pass": lambda: one_pass(table),
        "slice by weather": lambda: slice_by(table, "weather", "loss"),
        "slice by tags": lambda: slice_by(table, "tags", "loss"),
        "cross class and size:10": lambda: cross_tab(table, "class", "size:10", "loss"),
        "find over one column": lambda: find_slices(table, "loss", FACETS, max_columns=1),
        "find over two columns": lambda: find_slices(table, "loss", FACETS),
    }


def best_seconds(timed: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The best of several rounds, in which all take turns."""
    best = dict.fromkeys(timed, float("inf"))
    for _ in range(ROUNDS):
        for name, work in timed.items():
            start = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    table = make_table(rows)
    worst = find_slices(table, "loss", FACETS).row(0)
    assert worst["slice"] == "weather = kind 1, night = yes", worst
    results = best_seconds(works(table))
    print(f"{rows:,} rows, {len(FACETS)} facets; the worst slice found: {worst['slice']}")
    for name, seconds in results.items():
        print(f"  {name:<26}{seconds * 1000:8.0f} ms{seconds / results['one pass']:8.0f} passes")
    print(json.dumps({"rows": rows, **results}))


if __name__ == "__main__":
    main()
