"""How `wl tui` feels on a run of a million samples, measured in a real pseudo-terminal.

    python -m tests.benchmarks.bench_tui [--samples N] [--signals N] [--directory DIR] [--only PART]

A process draws into a pseudo-terminal of 200 x 60 and of 80 x 24. A time is that from the bytes of
a key to the moment at which what the key brings about stands on the screen. The run is opened from
its checkpoint; with a directory it is kept for the next time. Parts: `wide`, `small`, `live` (5
signals of 16 samples at 50 steps a second, on a small run and on the large one, and with nothing
going on), `training` (how much slower a training is while it is watched).

How long the event loop was held up is what a task in it that sleeps 2 ms is late, at most. The last
column is the figure that the prototypes in a smaller setting had, or what is asked for.
Prints a table, then the same as one line of JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.benchmarks.tui_runs import build
from tests.benchmarks.tui_terminal import Screen, Terminal

WIDE, SMALL = (200, 60), (80, 24)
ROUNDS = 7
FIRST_ROW = re.compile(r"train_loader +(\d+) +\S")
ASKED = {
    "first paint, ms": "1000 (prototype 31, table alone)",
    "memory, MB": "400",
    "memory after sort and filter, MB": "400",
    "sort, ms": "300 (prototype 200)",
    "sort, loop held up, ms": "30 (prototype 11)",
    "cursor, ms": "20 (prototype 18)",
    "page, ms": "(prototype 31)",
    "filter, ms": "100",
    "switch of pane, ms": "60",
    "live, small run, % of a core": "15",
    "live, large run, % of a core": "15",
    "nothing new, small run, % of a core": "2",
    "nothing new, large run, % of a core": "2",
    "out of focus, large run, live, % of a core": "2",
    "training slower while watched, %": "1",
}


class Watched:
    """`wl tui` on a run, with a record of when its event loop was held up."""

    def __init__(self, run: Path, size: tuple[int, int]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._lags = Path(self._folder.name) / "lags"
        command = [sys.executable, "-m", "tests.benchmarks.tui_monitored", str(run), self._lags]
        self.terminal = Terminal([str(part) for part in command], size)

    def held_up(self, since: float, until: float) -> float:
        """The longest time that the event loop was held up between two `time.monotonic`, in s."""
        time.sleep(0.05)  # for the last line to be written
        found = [line.split() for line in self._lags.read_text().splitlines()]
        return max((float(lag) for at, lag in found if since <= float(at) <= until), default=0.0)

    def close(self) -> None:
        self.terminal.close()
        self._folder.cleanup()


@contextlib.contextmanager
def watching(run: Path, size: tuple[int, int]) -> Iterator[Watched]:
    watched = Watched(run, size)
    try:
        yield watched
    finally:
        watched.close()


def plain(run: Path) -> list[str]:
    """The command line as it is, nothing watching it."""
    return [sys.executable, "-c", "from wl_core.cli import main; main()", "tui", str(run)]


def first_row(screen: Screen) -> str:
    found = FIRST_ROW.search(screen.text)
    return "" if found is None else found.group(1)


def shows(text: str, screen: Screen) -> bool:
    return text in screen.text


def has_rows(screen: Screen) -> bool:
    return first_row(screen) != ""


def cursor_line(screen: Screen) -> int:
    lines = [at for at, line in enumerate(screen.lines) if re.match("▸..? *train_loader", line)]
    return lines[0] if lines else -1


def first_paint(run: Path, size: tuple[int, int]) -> dict[str, float]:
    found, worked, memory = [], [], 0.0
    for _ in range(4):
        terminal = Terminal(plain(run), size)
        found.append(terminal.wait(has_rows, terminal.started))
        worked.append(terminal.cpu_seconds())
        terminal.settle()
        memory = max(memory, terminal.megabytes())
        peak = terminal.megabytes("VmHWM")
        own = terminal.megabytes("RssAnon")
        terminal.close()
    return {  # the first time, modules are compiled
        "first paint, ms": 1e3 * statistics.median(found[1:]),
        "first paint, ms of CPU": 1e3 * statistics.median(worked[1:]),
        "memory, MB": memory,
        "memory, peak, MB": peak,
        "memory without files, MB": own,
    }


def keys(run: Path, size: tuple[int, int]) -> dict[str, float]:
    """What a person does, key by key."""
    found: dict[str, float] = {}
    with watching(run, size) as watched:
        terminal = watched.terminal
        terminal.wait(has_rows, terminal.started)
        terminal.settle(1.0)
        found["cursor, ms"] = median_of(lambda: move(terminal, b"j"))
        found["page, ms"] = median_of(lambda: page(terminal))
        terminal.send(b"gll")  # to a signal: by the ids they are in order already
        terminal.settle()
        found |= sorting(watched)
        found["cursor when sorted, ms"] = median_of(lambda: move(terminal, b"j"))
        found |= panes(watched)
        found |= filtering(watched)
        found["memory after sort and filter, MB"] = terminal.megabytes()
    return found


def median_of(measure: Callable[[], float], rounds: int = ROUNDS) -> float:
    return 1e3 * statistics.median(measure() for _ in range(rounds))


def move(terminal: Terminal, key: bytes) -> float:
    terminal.settle()
    line = cursor_line(terminal.screen)
    return terminal.press(key, lambda screen: cursor_line(screen) not in (line, -1))


def page(terminal: Terminal) -> float:
    terminal.settle()
    row = first_row(terminal.screen)
    return terminal.press(b"\x06", lambda screen: first_row(screen) not in (row, ""))


def sorting(watched: Watched) -> dict[str, float]:
    """By a signal, worst first, then the other way round: until other rows are on top."""
    taken, held = zip(*(held_up(watched, b"s", first_row) for _ in range(2)), strict=True)
    return {"sort, ms": 1e3 * max(taken), "sort, loop held up, ms": 1e3 * max(held)}


def held_up(watched: Watched, key: bytes, read: Callable[[Screen], str]) -> tuple[float, float]:
    """Seconds until what is read from the screen is another, and what the loop was held up."""
    terminal = watched.terminal
    terminal.settle()
    before, begun = read(terminal.screen), time.monotonic()
    taken = terminal.press(key, lambda screen: read(screen) not in (before, ""))
    terminal.settle()
    return taken, watched.held_up(begun, time.monotonic())


def filtering(watched: Watched) -> dict[str, float]:
    terminal, found = watched.terminal, []
    for limit in ("0.5", "0.25", "0.001"):
        terminal.send(b"/\x15")  # ctrl+u: what stands in the line goes
        terminal.settle()
        terminal.send(f"signal_03/sample < {limit}".encode())
        terminal.settle()
        found.append(held_up(watched, b"\r", shown_rows))
    taken, held = zip(*found, strict=True)
    return {"filter, ms": 1e3 * max(taken), "filter, loop held up, ms": 1e3 * max(held)}


def shown_rows(screen: Screen) -> str:
    found = re.search(r"Samples +([\d,]+) of [\d,]+", screen.text)  # not the count of the line
    return "" if found is None else found.group(1)


def panes(watched: Watched) -> dict[str, float]:
    """To each of the next panes and back to the samples: until the mark is there."""
    terminal, taken = watched.terminal, []
    for number in (2, 1, 4, 1, 2, 1, 4, 1):
        terminal.settle()
        mark = f"▸{number} "
        taken.append(terminal.press(str(number).encode(), partial(shows, mark)))
    return {"switch of pane, ms": 1e3 * statistics.median(taken)}


def live(run: Path, samples: int, which: str) -> dict[str, float]:
    """The share of a core: nothing new, then 50 steps a second, then the same out of focus."""
    command = [sys.executable, "-m", "tests.benchmarks.tui_runs", str(run), str(samples), "30"]
    terminal = Terminal(plain(run), WIDE)
    terminal.wait(has_rows, terminal.started)
    terminal.settle(1.0)
    terminal.cpu_share(2.0)
    found = {f"nothing new, {which} run": terminal.cpu_share(8.0)}
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    terminal.cpu_share(3.0)
    found[f"live, {which} run"] = terminal.cpu_share(10.0)
    terminal.send(b"\x1b[O")
    terminal.cpu_share(2.0)
    found[f"out of focus, {which} run, live"] = terminal.cpu_share(8.0)
    steps, _ = writer.communicate()
    memory = terminal.megabytes()
    terminal.close()
    result = {f"{name}, % of a core": 100 * share for name, share in found.items()}
    return {**result, f"live, {which} run, MB": memory, f"steps a second, {which}": float(steps)}


TRAINING = """
import sys, time
import numpy as np
import wl_core as wl

wl.start_run(sys.argv[1])
ids, rng = list(range(16)), np.random.default_rng(0)
work = rng.random((160, 160))
for part in range(int(sys.argv[2])):
    start = time.perf_counter(), time.process_time()
    for step in range(50):
        with wl.guard_training_context:
            for _ in range(40):
                work = np.tanh(work @ work / 80)
            wl.save_signals({f"signal_{n}": rng.random(16) for n in range(5)}, ids)
    print(time.perf_counter() - start[0], time.process_time() - start[1], flush=True)
wl.finish()
"""


def training(folder: Path, parts: int = 16) -> dict[str, float]:
    """A training's seconds for 50 steps with and without a TUI beside it, in turns."""
    run = folder / "training"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", TRAINING, str(run), str(parts)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    taken: dict[bool, list[tuple[float, ...]]] = {False: [], True: []}
    process.stdout.readline()  # warm
    for part in range((parts - 1) // 2):
        is_watched = bool(part % 2)
        terminal = Terminal(plain(run), WIDE) if is_watched else None
        if terminal is not None:
            terminal.wait(lambda screen: "training" in screen.text, terminal.started)
        process.stdout.readline()  # in which it was opened or closed
        line = process.stdout.readline()
        taken[is_watched].append(tuple(map(float, line.split())))
        if terminal is not None:
            terminal.close()
    process.kill()
    process.wait()
    wall, worked = (
        [statistics.median(one[at] for one in taken[which]) for which in (False, True)]
        for at in (0, 1)
    )
    return {
        "training slower while watched, %": 100 * (wall[1] / wall[0] - 1),
        "training, more CPU while watched, %": 100 * (worked[1] / worked[0] - 1),
    }


def large_run(folder: Path, samples: int, signals: int) -> Path:
    run = folder / f"run-{samples}-{signals}"
    if not run.exists():
        build(run, samples, signals)
    return run


def measure(folder: Path, samples: int, signals: int, parts: list[str]) -> dict[str, float]:
    run, results = large_run(folder, samples, signals), dict[str, float]()
    for part, size in (("wide", WIDE), ("small", SMALL)):
        if part in parts:
            found = {**first_paint(run, size), **keys(run, size)}
            results |= {f"{part}: {name}": value for name, value in found.items()}
    if "live" in parts:
        with tempfile.TemporaryDirectory(dir=folder) as other:
            written_on = shutil.copytree(run, Path(other) / run.name)
            results |= live(written_on, samples, "large")
            small = Path(other) / "small"
            build(small, 64, 5)
            results |= live(small, 64, "small")
    if "training" in parts:
        with tempfile.TemporaryDirectory(dir=folder) as other:
            results |= training(Path(other))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--signals", type=int, default=30)
    parser.add_argument("--directory", type=Path, help="where runs are kept for the next time")
    every = ["wide", "small", "live", "training"]
    parser.add_argument("--only", choices=every, action="append")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.directory or Path(temporary)
        folder.mkdir(exist_ok=True)
        results = measure(folder, given.samples, given.signals, given.only or every)
    print(f"{given.samples:,} samples x {given.signals} signals, {os.cpu_count()} cores")
    for name, value in results.items():
        asked = ASKED.get(name.split(": ")[-1], "")
        print(f"  {name:<46}{value:>10.1f}   {asked}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
