"""A training on wrong labels, watched: which labels would you have me check? Read `train`.

A small convolutional network learns handwritten digits of which a fifth was given a wrong label on
purpose. It is not told which, and neither is wl. What is said to wl is what a script of your own
would say. `wl demo --mislabels` runs this and shows what was found (`suspects`); by itself it is

    python -m wl_plugins.demo.mislabels --epochs 30
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import wl_core as wl
from wl_plugins import dynamics
from wl_plugins.demo import EPOCHS, NOISE
from wl_plugins.demo.digits import (
    CLASSES,
    SIDE,
    Labels,
    digit_id,
    flipped,
    image_metadata,
    read_digits,
)
from wl_plugins.demo.progress import reporting
from wl_plugins.demo.train import interrupt_at_end_of_input, recorded_end

Sample = tuple[Tensor, str, int, Mapping[str, Any]]


class LabelledImages(Dataset[Sample]):
    """Items are ``(image, id, label, metadata)``: float32 ``[1, H, W]``, and the label as given."""

    def __init__(
        self,
        images: npt.NDArray[np.float32],
        labels: Labels,
        name: Callable[[int], str] = digit_id,
        metadata: Callable[[int], Mapping[str, Any]] = image_metadata,
    ) -> None:
        self.images = torch.from_numpy(images).unsqueeze(1)
        self.labels = labels.tolist()
        self._name, self._metadata = name, metadata

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        label = self.labels[index]
        return (
            self.images[index], self._name(index), label,
            {"label": label, **self._metadata(index)},
        )  # fmt: skip


class SmallCNN(nn.Sequential):
    """Class logits of square images: ``[B, 1, side, side]`` to ``[B, classes]``."""

    def __init__(self, side: int, width: int = 32, classes: int = CLASSES) -> None:
        super().__init__(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * width * (side // 4) ** 2, classes),
        )


def train_on_digits(epochs: int = EPOCHS, noise: float = NOISE, *, seed: int = 0) -> None:
    """Trains on the digits, of whose labels the share ``noise`` is wrong."""
    digits = read_digits()
    given = flipped(digits.labels, noise, seed)
    torch.manual_seed(seed)
    images = digits.images.astype(np.float32) / np.float32(16)
    train(LabelledImages(images, given), SmallCNN(SIDE), epochs)


def train(dataset: LabelledImages, model: nn.Module, epochs: int, *, lr: float = 0.05) -> None:
    """Trains and records; a run that is continued goes on where its model was saved.

    The learning rate stays high: what a network believes of a label is told by the time that it
    takes to learn it by heart, and small steps at the end are when it does.

    Args:
        dataset: what to learn, labels as they were given.
        model: from images to class logits.
        epochs: passes over the data.
        lr: the learning rate of stochastic gradient descent.
    """
    torch.set_num_threads(1)
    loader = wl.watch_or_edit(
        dataset, flag="data", loader_name="train_loader", batch_size=32, shuffle=True,
        is_training=True,
    )  # fmt: skip
    model = wl.watch_or_edit(model, flag="model")
    optimizer = wl.watch_or_edit(
        torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=1e-3),
        flag="optimizer",
    )
    criterion = wl.watch_or_edit(
        nn.CrossEntropyLoss(reduction="none"), flag="loss", name="loss", per_sample=True
    )
    wl.serve()
    an_epoch = len(loader)
    wl.checkpoint(every=an_epoch)
    wl.restore()  # where an earlier process of this run was, if there was one

    with reporting(epochs * an_epoch) as report:
        for step in range(wl.model_age() + 1, epochs * an_epoch + 1):
            loss = train_step(model, loader, optimizer, criterion)
            due = step % (an_epoch * 5) == 0 or step == epochs * an_epoch
            report(step, f"epoch {step // an_epoch:3}  loss {loss:.3f}" if due else "")


def train_step(
    model: nn.Module, loader: Any, optimizer: torch.optim.Optimizer, criterion: Any
) -> Tensor:
    """One step: what happens within the guard is one frame of the log."""
    with wl.guard_training_context:
        images, ids, labels, _ = next(loader)
        logits = model(images)
        loss: Tensor = criterion(logits, labels, batch_ids=ids).mean()
        dynamics.watch(logits, labels, batch_ids=ids)
        wl.save_signals({"predicted": logits.argmax(1)}, ids)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return loss.detach()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m wl_plugins.demo.mislabels")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--noise", type=float, default=NOISE, help="the share of wrong labels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", type=Path, help="directory of this run; one that is there goes on")
    parser.add_argument("--stop-at-end-of-input", action="store_true")
    given = parser.parse_args(arguments)
    if given.stop_at_end_of_input:
        interrupt_at_end_of_input()
    try:
        with recorded_end():
            wl.start_run(given.run)
            train_on_digits(given.epochs, given.noise, seed=given.seed)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
