"""A script watched and the same script unwatched end with bit-identical weights."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import wl_core as wl
from tests.core.watched_runs import Named, recorded


class Augmented(Named):
    """Items that draw random numbers from all three generators whenever they are read."""

    def __getitem__(self, index: int) -> Any:
        x, own, y = super().__getitem__(index)
        noise = torch.rand(3) + random.random() + np.random.rand()
        return x / 10 + noise, own, y


def seed() -> None:
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)


def train(*, watched: bool, given_loader: bool, workers: int) -> dict[str, Tensor]:
    """SGD with momentum, shuffle and dropout; with ``watched``, all that wl has is switched on."""
    seed()
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    loss_function: Any = nn.CrossEntropyLoss(reduction="none")
    options: dict[str, Any] = {"batch_size": 4, "shuffle": True, "num_workers": workers}
    train_data: Any = Augmented(12)
    train_loader: Any = DataLoader(train_data, **options)
    test_loader: Any = DataLoader(Augmented(4), batch_size=4)
    if watched:
        wl.watch_or_edit({"lr": 0.05}, flag="hp")
        model = wl.watch_or_edit(model, flag="model")
        optimizer = wl.watch_or_edit(optimizer, flag="optimizer")
        loss_function = wl.watch_or_edit(loss_function, flag="loss", name="ce", per_sample=True)
        if given_loader:
            train_loader = wl.watch_or_edit(train_loader, flag="data", loader_name="train")
        else:
            train_loader = wl.watch_or_edit(
                train_data, flag="data", loader_name="train", preload_labels=True, **options
            )
        test_loader = wl.watch_or_edit(test_loader, flag="data", loader_name="test")
        wl.signal(name="brightness")(lambda ctx: ctx.data.mean())
        wl.signal(name="weighted", subscribe_to="ce")(
            lambda ctx: ctx.subscribed_value * ctx.data.sum() + ctx.logits.detach().sum()
        )
        wl.compute_signals()
    for _ in range(3):
        for x, ids, y in train_loader:
            guard = wl.guard_training_context if watched else torch.enable_grad()
            with guard:
                outputs = model(x)
                more = {"batch_ids": ids, "preds": outputs, "targets": y} if watched else {}
                losses = loss_function(outputs, y, **more)
                if watched:
                    wl.save_signals({"again": losses}, ids, log=True, preds_raw=outputs)
                optimizer.zero_grad()
                losses.mean().backward()
                optimizer.step()
        model.eval()
        guard = wl.guard_testing_context if watched else torch.enable_grad()
        with guard, torch.no_grad():
            for x, _, y in test_loader:
                loss_function(model(x), y)
        model.train()
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    ("given_loader", "workers"), [(True, 0), (False, 0), (True, 2), (False, 2)]
)
def test_watching_changes_no_bit_of_the_weights(
    tmp_path: Path, given_loader: bool, workers: int
) -> None:
    expected = train(watched=False, given_loader=given_loader, workers=workers)
    for finished in recorded(tmp_path / "run"):
        found = train(watched=True, given_loader=given_loader, workers=workers)
        run = finished()
        assert run.status().step == 9
        assert {"ce", "again", "brightness", "weighted"} <= set(run.samples().names)
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
