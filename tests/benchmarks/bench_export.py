"""How fast a run is exported: the table of its samples, and the history of a signal.

    python -m tests.benchmarks.bench_export [--samples N] [--values N]

The samples have 12 columns: ids, counts, two texts, a flag, five signals. The history is that of
one signal of 100,000 samples in shuffled order, folded before. "pyarrow alone" writes finished
Arrow tables with the same settings, which nothing that uses it can undercut; the rest is spent on
putting values in order. Peak memory is the process's. Prints a table, then the same as one line of
JSON. `make bench` runs this.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import parquet

from wl_core.codec import Frame, FrameBuilder, encode
from wl_core.directory import RunDirectory
from wl_core.export import exporter_of, write_file, write_history
from wl_core.log import EventLog
from wl_core.long_form import PART, LongForm
from wl_core.run import Run, open_run
from wl_core.table import Table, TableColumn
from wl_core.tail import Entry

ROWS, BATCH = 100_000, 500
ROUNDS = 3


def samples(count: int) -> Table:
    """A table such as ``run.samples()`` gives."""
    random = np.random.default_rng(0)
    everywhere = np.ones(count, np.bool_)
    paths = tuple(f"/data/images/{number:07d}.png" for number in range(count))
    weather = random.integers(0, 3, count).astype(np.int32)
    columns = [
        TableColumn("origin", "text", np.zeros(count, np.int32), everywhere, ("train_loader",)),
        TableColumn("sample_id", "number", np.arange(count), everywhere),
        TableColumn("times_seen", "number", random.integers(0, 100, count), everywhere),
        TableColumn("last_step", "number", random.integers(0, 10_000, count), everywhere),
        TableColumn("discarded", "flag", random.random(count) < 0.1, everywhere),
        TableColumn("path", "text", np.arange(count, dtype=np.int32), everywhere, paths),
        TableColumn("weather", "text", weather, weather > 0, ("none", "rain", "snow")),
    ]
    for number in range(5):
        values = random.random(count, np.float32)
        columns.append(TableColumn(f"signal_{number}", "number", values, values > 0.05))
    return Table(tuple(columns))


def parts(table: Table) -> Iterator[tuple[float, Table]]:
    for start in range(0, len(table), PART):
        rows = np.arange(start, min(start + PART, len(table)))
        yield (start + len(rows)) / len(table), table.take(rows)


def write_run(path: Path, values: int) -> None:
    """One signal of so many values, in steps of a batch each."""
    directory = RunDirectory(path)
    directory.rank_path.mkdir(parents=True)
    log = EventLog(directory.log, create=True)
    random = np.random.default_rng(0)
    entries = []
    for step in range(values // BATCH):
        builder = FrameBuilder()
        ids = builder.ids(random.integers(0, ROWS, BATCH).tolist())
        numbers = builder.vector(random.random(BATCH, np.float32))
        builder.add("values", "loss", "train_loader", True, ids, numbers)
        frame = Frame(
            step, 0.0, b"writer..", step + 1, "train", False, builder.blobs, builder.events
        )
        entries.append(Entry(b"writer..", step + 1, 1, encode(frame)))
        if len(entries) == 2000:
            log.append(entries)
            entries.clear()
    log.append(entries)
    log.close()


def alone(tables: list[Any], path: Path) -> None:
    """What pyarrow takes for Arrow tables that are there already."""
    columns = [n for n in tables[0].column_names if "float" not in str(tables[0].field(n).type)]
    with parquet.ParquetWriter(
        path, tables[0].schema, compression="zstd", store_schema=False, use_dictionary=columns
    ) as writer:
        for table in tables:
            writer.write_table(table)


def best(works: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Seconds of each, the best of several rounds in which they take turns."""
    rounds: list[dict[str, float]] = []
    for _ in range(ROUNDS):
        rounds.append({})
        for name, work in works.items():
            start = time.perf_counter()
            work()
            rounds[-1][name] = time.perf_counter() - start
    return {name: min(one[name] for one in rounds) for name in works}


def of_samples(folder: Path, count: int) -> dict[str, float]:
    table = samples(count)
    arrow = [part.to_arrow() for _, part in parts(table)]

    def written(ending: str) -> Callable[[], Any]:
        path = folder / f"samples.{ending}"
        return lambda: write_file(parts(table), path, exporter_of(path, None))

    return best(
        {
            "parquet": written("parquet"),
            "parquet, pyarrow alone": lambda: alone(arrow, folder / "alone.parquet"),
            "csv": written("csv"),
            "jsonl": written("jsonl"),
            "to_arrow()": table.to_arrow,
        }
    )


def of_history(folder: Path, run: Run) -> dict[str, float]:
    long_form = LongForm(run.view("history"), "loss", None, instances=False)
    arrow = [part.to_arrow() for _, part in long_form.tables()]
    path = folder / "history.parquet"
    found = best(
        {
            "parquet": lambda: write_history(path, run=run),
            "parquet, pyarrow alone": lambda: alone(arrow, folder / "alone.parquet"),
        }
    )
    return {**found, "bytes a value": path.stat().st_size / (run.position * BATCH)}


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--values", type=int, default=10_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        write_run(folder / "run", arguments.values)
        with open_run(folder / "run") as run:
            run.view("history")
            before = peak_megabytes()
            write_history(folder / "history.parquet", run=run)
            memory = {"before": before, "after": peak_megabytes()}
            history = of_history(folder, run)
        rows = of_samples(folder, arguments.samples)
    print(f"{arguments.samples:,} samples of 12 columns")
    for name, seconds in rows.items():
        print(f"  {name:<24}{seconds:8.2f} s{arguments.samples / seconds / 1e6:8.2f} M rows/s")
    print(f"a history of {arguments.values:,} values of {ROWS:,} samples")
    for name in ("parquet", "parquet, pyarrow alone"):
        rate = arguments.values / history[name] / 1e6
        print(f"  {name:<24}{history[name]:8.2f} s{rate:8.2f} M values/s")
    print(f"  {'bytes a value':<24}{history['bytes a value']:8.2f}")
    print(f"  {'peak memory, MB':<24}{memory['before']:8.0f} before, {memory['after']:.0f} after")
    print(json.dumps({"samples": rows, "history": history, "peak_megabytes": memory}))


if __name__ == "__main__":
    main()
