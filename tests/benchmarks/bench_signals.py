"""What a dynamic signal costs a sample beyond its own function.

    python -m tests.benchmarks.bench_signals

Each step is timed with the signal and without it, in turns in one run, and so is a bare loop that
calls the function for every sample; what is printed is the step with the signal, less the step
without it, less the loop. A signal that nobody waits for must cost a step nothing.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

import wl_core as wl
from wl_core.dispatch import dispatch
from wl_core.session import session
from wl_core.signals import registry
from wl_core.values import BatchIds

BATCH = 256
STEPS = 200
Function = Callable[[Any], Any]


def doubled(ctx: Any) -> Any:
    return ctx.subscribed_value * 2


def summed(ctx: Any) -> Any:
    return ctx.inputs["loss"] + ctx.inputs["other"]


def batched(ctx: Any) -> Any:
    return ctx.subscribed_values * 2


def read_another(ctx: Any) -> Any:
    return ctx.subscribed_value - ctx.latest("other")


def compared_with_before(ctx: Any) -> Any:
    return ctx.subscribed_value - ctx.history[1][0]


def beyond_the_function(function: Function, **options: Any) -> tuple[float, float]:
    """Microseconds a sample that the signal costs, and that the function alone does (medians)."""
    ids, values = list(range(BATCH)), torch.rand(BATCH)
    wl.signal(name="made", **options)(function)
    signals = registry.replace({})
    spent: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 * STEPS):
        present = number % 2 == 0
        registry.replace(signals if present else {})
        start = time.perf_counter()
        with wl.guard_training_context:
            wl.save_signals({"other": values}, ids, origin="train")
            wl.save_signals({"loss": values}, ids, origin="train")
        spent[present].append(time.perf_counter() - start)
    registry.replace({})
    added = statistics.median(spent[True]) - statistics.median(spent[False])
    alone = _loop(function)
    return (added - alone) / BATCH * 1e6, alone / BATCH * 1e6


def _loop(function: Function) -> float:
    """Seconds that a bare loop over the batch takes; of what only contexts offer, nothing."""
    contexts = [_bare(float(number)) for number in range(BATCH)]
    if function is batched:
        contexts = [SimpleNamespace(subscribed_values=np.ones(BATCH))]
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        for context in contexts:
            function(context)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _bare(value: float) -> SimpleNamespace:
    pair = (np.zeros(1), np.zeros(1))
    return SimpleNamespace(
        subscribed_value=value,
        inputs={"loss": value, "other": value},
        latest=lambda name: 0.0,
        history=pair,
    )


def nobody_waits() -> float:
    """Nanoseconds that `dispatch` takes for a signal that nobody waits for."""
    running, batch, values = session(), BatchIds("train", list(range(BATCH))), np.ones(BATCH)
    count = 100_000
    start = time.perf_counter()
    for _ in range(count):
        dispatch(running, "loss", batch, values)
    return (time.perf_counter() - start) / count * 1e9


@contextmanager
def _run() -> Iterator[None]:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        wl.start_run(Path(directory) / "run")
        registry.clear()
        try:
            yield
        finally:
            wl.finish()


def main() -> None:
    """Prints a table, then the same as one line of JSON."""
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    cases: list[tuple[str, Function, dict[str, Any], str]] = [
        ("one sample at a time", doubled, {"subscribe_to": "loss"}, "3"),
        ("two inputs", summed, {"inputs": ["loss", "other"]}, "3"),
        ("batched", batched, {"subscribe_to": "loss", "batched": True}, ""),
        ("reads another's latest value", read_another, {"subscribe_to": "loss"}, ""),
        (
            "reads its history",
            compared_with_before,
            {"subscribe_to": "loss", "include_history": True},
            "",
        ),
    ]
    for name, function, options, asked in cases:
        with _run():
            added, alone = beyond_the_function(function, **options)
        figures[name] = added
        said = f"   (asked: {asked} us)" if asked else ""
        print(f"{name:32s} {added:6.2f} us a sample beyond the function's {alone:5.2f} us{said}")
    with _run():
        figures["nobody waits"] = nobody_waits()
    print(f"{'nobody waits':32s} {figures['nobody waits']:6.0f} ns a signal")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
