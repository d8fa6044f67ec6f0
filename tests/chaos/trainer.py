"""A real training to be killed: it says each step once its guard is left, and nothing before.

    python -m tests.chaos.trainer RUN [--model] [--steps N]

Its lines, unbuffered: ``start STEP`` (where it goes on), ``exit STEP`` after each training guard,
``said NUMBER`` after each fact outside of a guard. With --model a small network learns, with
watched criterions and predictions kept; without, numpy stands in for it and starts in no time.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Callable

import numpy as np

import wl_core as wl

BATCH = 8


def tell(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def numpy_step() -> Callable[[int], None]:
    def step(number: int) -> None:
        random = np.random.default_rng(number)
        ids = random.integers(0, 50, BATCH).tolist()
        counts = random.integers(0, 4, BATCH)
        batch_idx = np.repeat(np.arange(BATCH), counts)
        masks = random.integers(0, 3, (BATCH, 16, 16))
        wl.save_signals(
            {"loss": random.random(BATCH), "score": random.random(BATCH)},
            ids,
            preds=masks,
            origin="train",
            log=True,
        )
        wl.save_instance_signals(
            {"iou": random.random(len(batch_idx))}, ids, batch_idx=batch_idx, origin="train"
        )

    return step


def model_step() -> Callable[[int], None]:
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion = wl.watch_or_edit(
        nn.MSELoss(reduction="none"), flag="loss", name="mse", per_sample=True, log=True
    )

    def step(number: int) -> None:
        x = torch.rand(BATCH, 4, generator=torch.Generator().manual_seed(number))
        ids = [f"s{(number * BATCH + i) % 40}" for i in range(BATCH)]
        loss = criterion(model(x), x.sum(1, keepdim=True), batch_ids=ids)
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
        wl.save_signals({"distance": x.norm(dim=1)}, ids)

    return step


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--model", action="store_true")
    parser.add_argument("--steps", type=int)
    options = parser.parse_args()
    first = wl.start_run(options.run).step
    step = model_step() if options.model else numpy_step()
    tell("start", first)
    for number in itertools.islice(itertools.count(first), options.steps):
        with wl.guard_training_context:
            step(number)
        tell("exit", number)
        if number % 5 == 0:
            wl.tag_samples([number % 7], f"tag-{number}", origin="train")
            tell("said", number)


if __name__ == "__main__":
    main()
