"""The walk-through: a segmentation training, watched. Read it from `train` downwards.

A U-Net learns to find cell nuclei and to tell small, medium and large ones apart. What is said to
wl is what a script of your own would say; everything else is plain PyTorch. `wl demo` runs this
and shows it (`command`); by itself it is

    python -m wl_plugins.demo.train --steps 400
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, MultiplicativeLR

import wl_core as wl
from wl_plugins.demo import STEPS
from wl_plugins.demo.dataset import NucleiTiles
from wl_plugins.demo.model import UNet
from wl_plugins.demo.progress import reporting
from wl_plugins.demo.tiles import TILE
from wl_plugins.segmentation import (
    PerInstanceBCE,
    PerInstanceDice,
    PerSampleBCE,
    PerSampleDice,
    instance_batch_idx,
    seg_collate,
)

# An instance is scored in its box and 8 pixels around, without the nuclei beside it: a map of
# classes says where nuclei are and not which pixel belongs to which.
MARGIN = 8

# A pixel is bright above half of the image's white, where dying nuclei are and others seldom.
BRIGHT = 0.5

Signals = dict[str, Any]


def train(
    steps: int = STEPS,
    root: Path | str | None = None,
    *,
    seed: int = 0,
    threads: int = 1,
    batch_size: int = 4,
    evaluate_every: int = 25,
    keep_serving: bool = False,
) -> UNet:
    """Trains for `steps` batches and returns the model; the run goes to a new directory in `root`.

    Args:
        steps: batches to learn from, at least 1.
        root: the folder of the runs; `$WL_ROOT`, else `./wl_runs`, when left out.
        seed: of the weights, the order of the tiles and how they are turned.
        threads: of torch; one leaves a core to those who watch. Another number rounds differently,
            so it gives another model.
        batch_size: tiles in a batch.
        evaluate_every: steps between evaluations on the test tiles.
        keep_serving: stay after training until Ctrl-C, obeying what others ask of the run.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    settings: dict[str, Any] = {
        "steps": steps,
        "batch_size": batch_size,
        "seed": seed,
        "optimizer": {"lr": 4e-4},  # at the first step, see `one_cycle`
    }
    if root is not None:
        settings["root_log_dir"] = str(root)
    hyperparameters = wl.watch_or_edit(settings, flag="hyperparameters")

    train_loader = wl.watch_or_edit(
        NucleiTiles("train"), flag="data", loader_name="train_loader", batch_size=batch_size,
        shuffle=True, collate_fn=seg_collate, is_training=True, preload_labels=False,
    )  # fmt: skip
    test_loader = wl.watch_or_edit(
        NucleiTiles("test"), flag="data", loader_name="test_loader", batch_size=batch_size,
        collate_fn=seg_collate, preload_labels=False,
    )  # fmt: skip
    model: UNet = wl.watch_or_edit(UNet(), flag="model")
    optimizer = wl.watch_or_edit(
        torch.optim.AdamW(model.parameters(), lr=hyperparameters["optimizer"]["lr"]),
        flag="optimizer",
    )
    # It multiplies the learning rate that is there, so an edit of it from outside lasts.
    schedule = MultiplicativeLR(
        optimizer, lambda step: one_cycle(step / steps) / one_cycle((step - 1) / steps)
    )
    train_signals, test_signals = make_seg_signals("train"), make_seg_signals("test")

    custom_signals()
    wl.serve()
    wl.compute_signals()
    wl.checkpoint(every=evaluate_every, extra={"schedule": schedule})
    wl.restore()  # where an earlier process of this run was, if there was one

    with reporting(steps) as report:
        report(wl.model_age(), evaluate(model, test_loader, test_signals))
        for step in range(wl.model_age() + 1, steps + 1):
            train_step(model, train_loader, optimizer, schedule, train_signals)
            due = step % evaluate_every == 0 or step == steps
            report(step, evaluate(model, test_loader, test_signals) if due else "")
    if keep_serving:
        wl.keep_serving()
    return model


def one_cycle(done: float) -> float:
    """The learning rate as a multiple of the first one, `done` of the way (0 to 1) through.

    It rises to 25 times that and falls to nearly nothing, along half cosines, as in Smith & Topin
    (2018), "Super-Convergence".
    """
    if done < 0.3:
        return 1 + 24 * (1 - math.cos(math.pi * done / 0.3)) / 2
    return 0.02 + 24.98 * (1 + math.cos(math.pi * min(1.0, (done - 0.3) / 0.7))) / 2


def train_step(
    model: UNet, loader: Any, optimizer: torch.optim.Optimizer, schedule: LRScheduler, sig: Signals
) -> None:
    """One step: what happens within the guard is one frame of the log."""
    with wl.guard_training_context:
        inputs, ids, labels, _ = next(loader)
        outputs = model(inputs)  # [B, C, H, W]
        dice_sample, bce_sample = score(outputs, ids, labels, sig)
        loss_per_sample = 0.5 * (1 - dice_sample) + 0.5 * bce_sample
        wl.save_signals({"combined_bce_dice_per_sample": loss_per_sample}, ids)
        optimizer.zero_grad()
        loss_per_sample.mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


def evaluate(model: UNet, loader: Any, sig: Signals) -> str:
    """Measures the model, as it is at this step, on all test tiles; says what came out."""
    dice = []
    model.eval()
    with wl.guard_testing_context, torch.no_grad():
        for inputs, ids, labels, _ in loader:
            dice_sample, _ = score(model(inputs), ids, labels, sig)
            dice.append(dice_sample)
    model.train()
    return f"test dice {torch.cat(dice).mean():.3f}"


def score(
    outputs: Tensor, ids: list[str], labels: list[list[Tensor]], sig: Signals
) -> tuple[Tensor, Tensor]:
    """Dice and cross-entropy of each sample, both `[B]`; those of the instances are recorded."""
    batch_idx = instance_batch_idx(labels)
    flat_masks = [mask for instances in labels for mask in instances]
    preds = outputs.detach().max(1).indices.byte()  # as argmax(1), which is slower on a CPU

    # Per-sample (-> annotation_id 0) and per-instance (-> annotation_id >= 1) signals.
    bce_sample = sig["bce_sample"](outputs, labels, batch_ids=ids, preds=preds)
    dice_sample = sig["dice_sample"](outputs, labels, batch_ids=ids)
    with torch.no_grad():
        sig["dice_instance"](
            outputs, labels, batch_ids=ids, batch_idx=batch_idx, targets=flat_masks
        )
        sig["bce_instance"](outputs, labels, batch_ids=ids, batch_idx=batch_idx)
    return dice_sample, bce_sample


def make_seg_signals(split: str) -> Signals:
    """The four watched criterions of one split.

    A sample's masks are merged by class before they are scored, since several nuclei of a class
    lie in one map. An instance is scored in its own neighbourhood for the same reason.
    """
    return {
        "dice_sample": wl.watch_or_edit(
            PerSampleDice(merge_classes=True), flag="metric",
            name=f"{split}_dice/sample", per_sample=True, log=True,
        ),
        "dice_instance": wl.watch_or_edit(
            PerInstanceDice(neighbourhood=MARGIN), flag="metric",
            name=f"{split}_dice/instance", per_instance=True, log=True,
        ),
        "bce_sample": wl.watch_or_edit(
            PerSampleBCE(merge_classes=True), flag="loss",
            name=f"{split}_bce/sample", per_sample=True, log=True,
        ),
        "bce_instance": wl.watch_or_edit(
            PerInstanceBCE(neighbourhood=MARGIN), flag="loss",
            name=f"{split}_bce/instance", per_instance=True, log=True,
        ),
    }  # fmt: skip


def custom_signals() -> None:
    """Registers three signals of our own; call it before `wl.serve()`."""

    @wl.signal(name="bright_pixels")  # static: from the image alone
    def compute_bright_pixels(ctx: wl.SignalContext) -> int:
        return int((ctx.image > BRIGHT).sum())

    @wl.signal(name="class", level="instance")  # static: of each mask, which is drawn in its class
    def compute_class(ctx: wl.SignalContext) -> int:
        return int(ctx.target.max())

    @wl.signal(name="bright_weighted_loss", subscribe_to="train_bce/sample")  # dynamic
    def compute_bright_weighted_loss(ctx: wl.SignalContext) -> float | None:
        bright = ctx.dataframe.get_value(ctx.origin, ctx.sample_id, "signals_bright_pixels")
        if ctx.subscribed_value is None:
            return None
        return ctx.subscribed_value * (float(bright or 0) / (TILE * TILE))


@contextmanager
def recorded_end() -> Iterator[None]:
    """Ends the run when the block ends, and says in the run how that was."""
    try:
        yield
    except KeyboardInterrupt:
        wl.finish("interrupted")
        raise
    except Exception as error:
        wl.finish("failed", f"{type(error).__name__}: {error}")
        raise
    wl.finish()


def interrupt_at_end_of_input() -> None:
    """Ctrl-C for this process when its standard input ends, as it does when the parent is gone.

    A training that somebody watches in the terminal must not outlive that, however it ends.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, name="end-of-input", daemon=True).start()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m wl_plugins.demo.train", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--root", help="folder of the runs")
    parser.add_argument("--run", help="directory of this run, instead of a new one in the root")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep-serving", action="store_true")
    parser.add_argument("--stop-at-end-of-input", action="store_true")
    given = parser.parse_args(arguments)
    if given.stop_at_end_of_input:
        interrupt_at_end_of_input()
    try:
        with recorded_end():
            if given.run:
                wl.start_run(given.run)
            train(
                given.steps, given.root, seed=given.seed, threads=given.threads,
                keep_serving=given.keep_serving,
            )  # fmt: skip
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
