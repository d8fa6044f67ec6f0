"""The demo's training step, watched and unwatched in turns, in one process.

    python -m tests.benchmarks.bench_demo

Unwatched means plain PyTorch: the same tiles, model, criterions and steps, without a line of wl.
One step of each follows the other, and who goes first changes, so that a machine whose speed drifts
by more than what is measured still gives a steady ratio.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import ConstantLR
from torch.utils.data import DataLoader

import wl_core as wl
from wl_plugins.demo import train as demo
from wl_plugins.demo.dataset import NucleiTiles
from wl_plugins.demo.model import UNet
from wl_plugins.segmentation import (
    PerInstanceBCE,
    PerInstanceDice,
    PerSampleBCE,
    PerSampleDice,
    seg_collate,
)

PAIRS = 150
WARM_UP = 5

Step = Callable[[], None]


def plain() -> Step:
    """A step of the demo in plain PyTorch."""
    torch.manual_seed(0)
    model = UNet()
    optimizer = torch.optim.AdamW(model.parameters())
    loader = DataLoader(NucleiTiles("train"), batch_size=4, shuffle=True, collate_fn=seg_collate)
    batches = _for_ever(loader)
    dice_sample, bce_sample = PerSampleDice(merge_classes=True), PerSampleBCE(merge_classes=True)
    dice_instance = PerInstanceDice(neighbourhood=demo.MARGIN)
    bce_instance = PerInstanceBCE(neighbourhood=demo.MARGIN)

    def step() -> None:
        inputs, _, labels, _ = next(batches)
        outputs = model(inputs)
        dice, bce = dice_sample(outputs, labels), bce_sample(outputs, labels)
        with torch.no_grad():
            dice_instance(outputs, labels)
            bce_instance(outputs, labels)
        loss = 0.5 * (1 - dice) + 0.5 * bce
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()

    return step


def _for_ever(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def watched() -> Step:
    """A step of the demo as it is: masks and predictions stored, a signal that reads another."""
    torch.manual_seed(0)
    loader = wl.watch_or_edit(
        NucleiTiles("train"),
        flag="data",
        loader_name="train_loader",
        batch_size=4,
        shuffle=True,
        collate_fn=seg_collate,
        is_training=True,
    )
    model = wl.watch_or_edit(UNet(), flag="model")
    optimizer = wl.watch_or_edit(torch.optim.AdamW(model.parameters()), flag="optimizer")
    signals = demo.make_seg_signals("train")
    demo.custom_signals()
    wl.compute_signals()
    schedule = ConstantLR(optimizer, 1.0)
    return lambda: demo.train_step(model, loader, optimizer, schedule, signals)


def _seconds(step: Step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main() -> None:
    """Prints the median step of both and the median ratio, then the same as one line of JSON."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        wl.start_run(Path(directory) / "run")
        steps = {"unwatched": plain(), "watched": watched()}
        taken: dict[str, list[float]] = {name: [] for name in steps}
        for number in range(WARM_UP + PAIRS):
            names = list(steps) if number % 2 else list(reversed(steps))
            for name in names:
                seconds = _seconds(steps[name])
                if number >= WARM_UP:
                    taken[name].append(seconds)
        wl.finish()
    medians = {name: statistics.median(found) * 1e3 for name, found in taken.items()}
    pairs = zip(taken["watched"], taken["unwatched"], strict=True)
    ratio = statistics.median(with_wl / without for with_wl, without in pairs)
    print(
        f"the demo's step: {medians['unwatched']:.1f} ms unwatched, {medians['watched']:.1f} ms"
        f" watched, ratio {ratio:.3f} median of {PAIRS} pairs   (asked: 1.03)"
    )
    print(json.dumps({**medians, "ratio": ratio}))


if __name__ == "__main__":
    main()
