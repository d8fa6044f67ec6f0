"""Data sets for the tests of discarded samples, and the settings of workers they are tried with."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

import wl_core as wl
from tests.core.watched_runs import Named

WORKERS: dict[str, dict[str, Any]] = {
    "no worker": {"num_workers": 0},
    "2 workers": {"num_workers": 2},
    "2 persistent workers": {"num_workers": 2, "persistent_workers": True},
}


class NamedStream(IterableDataset[Any]):
    """``(x [3], id, y)`` with ids ``"s0"``, …; workers share them. ``rounds`` None: for ever."""

    def __init__(self, count: int = 6, rounds: int | None = 1) -> None:
        self.count = count
        self.rounds = rounds

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        done = 0
        while self.rounds is None or done < self.rounds:
            for index in range(first, self.count, step):
                yield torch.full((3,), float(index)), f"s{index}", index % 2
            done += 1


class Augmented(Named):
    """Items that draw random numbers from all three generators whenever they are read."""

    def __getitem__(self, index: int) -> Any:
        x, own, y = super().__getitem__(index)
        return x + torch.rand(3) + random.random() + np.random.rand(), own, y


def seed() -> None:
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)


def train_on(dataset: Any, **options: Any) -> Any:
    """The data set's watched training loader, of the origin ``t``."""
    return wl.watch_or_edit(
        dataset, flag="data", **{"loader_name": "t", "is_training": True, **options}
    )


def sizes(passed: list[Any]) -> list[int]:
    return [len(ids) for _, ids, _ in passed]


def flat(passed: list[Any]) -> list[Any]:
    """The ids of some batches."""
    return [one for _, ids, _ in passed for one in ids]


def names(*numbers: int) -> list[str]:
    return [f"s{number}" for number in numbers]
