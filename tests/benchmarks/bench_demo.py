"""The demo's training, watched and unwatched in turns, in one process.

    python -m tests.benchmarks.bench_demo

Unwatched means plain PyTorch: the same tiles, model, criterions and steps, without a line of wl.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
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

STEPS = 25
ROUNDS = 7


def plain(steps: int) -> float:
    """Seconds for that many steps of plain PyTorch."""
    torch.manual_seed(0)
    model = UNet()
    optimizer = torch.optim.AdamW(model.parameters())
    loader = DataLoader(NucleiTiles("train"), batch_size=4, shuffle=True, collate_fn=seg_collate)
    dice_sample, bce_sample = PerSampleDice(merge_classes=True), PerSampleBCE(merge_classes=True)
    dice_instance = PerInstanceDice(neighbourhood=demo.MARGIN)
    bce_instance = PerInstanceBCE(neighbourhood=demo.MARGIN)
    batches: Any = iter(())
    start = time.perf_counter()
    for _ in range(steps):
        batch = next(batches, None)
        if batch is None:
            batches = iter(loader)
            batch = next(batches)
        inputs, _, labels, _ = batch
        outputs = model(inputs)
        dice, bce = dice_sample(outputs, labels), bce_sample(outputs, labels)
        with torch.no_grad():
            dice_instance(outputs, labels)
            bce_instance(outputs, labels)
        loss = 0.5 * (1 - dice) + 0.5 * bce
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    return time.perf_counter() - start


class Watched:
    """The demo's training, watched, some steps at a time."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.loader = wl.watch_or_edit(
            NucleiTiles("train"),
            flag="data",
            loader_name="train_loader",
            batch_size=4,
            shuffle=True,
            collate_fn=seg_collate,
            is_training=True,
        )
        self.signals = demo.make_seg_signals("train")
        demo.custom_signals()
        wl.compute_signals()

    def __call__(self, steps: int) -> float:
        """Seconds for that many steps."""
        torch.manual_seed(0)
        model = wl.watch_or_edit(UNet(), flag="model")
        optimizer = wl.watch_or_edit(torch.optim.AdamW(model.parameters()), flag="optimizer")
        start = time.perf_counter()
        for _ in range(steps):
            demo.train_step(model, self.loader, optimizer, self.signals)
        return time.perf_counter() - start


def main() -> None:
    """Prints the ratio of each round and the median, then the same as one line of JSON."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        wl.start_run(Path(directory) / "run")
        watched = Watched()
        plain(3), watched(3)
        ratios = []
        for number in range(ROUNDS):
            # Who goes first changes: a machine that warms or cools favours nobody.
            if number % 2:
                without, with_wl = plain(STEPS), watched(STEPS)
            else:
                with_wl, without = watched(STEPS), plain(STEPS)
            ratios.append(with_wl / without)
            print(f"round {number}: unwatched {without:.2f} s, ratio {ratios[-1]:.3f}", flush=True)
        wl.finish()
    median = statistics.median(ratios)
    print(f"the demo's steps, watched / unwatched: {median:.3f} median   (asked: 1.03)")
    print(json.dumps({"ratio": median}))


if __name__ == "__main__":
    main()
