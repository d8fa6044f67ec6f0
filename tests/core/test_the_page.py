"""The use case's page as a script, nearly word for word: it must work as it is written.

The model and the data are small; everything that touches wl is the page's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import wl_core as wl
from tests.core.watched_runs import (
    Finished,
    annotation_ids,
    events,
    history,
    instances,
    rows,
    same,
    sample,
)
from wl_core.signals import registry
from wl_plugins.segmentation import (
    PerInstanceBCE,
    PerInstanceDice,
    PerSampleBCE,
    PerSampleDice,
    seg_collate,
)

SIZE = 8


class Shapes(Dataset[Any]):
    """``(image [3, 8, 8], uid, instances, metadata)``; one mask per class id, some empty."""

    def __init__(self, count: int, prefix: str) -> None:
        self.count = count
        self.prefix = prefix

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, idx: int) -> Any:
        return self.get_items(idx)

    def get_items(self, idx: int, include_image: bool = True) -> Any:
        mask_t = torch.zeros(SIZE, SIZE, dtype=torch.int64)
        if idx != 1:  # the sample with no instance at all
            mask_t[idx % 4 : idx % 4 + 3, 1:4] = 1
            mask_t[5:, 5:] = 3
        img_t = torch.stack([mask_t == 1, mask_t == 3, mask_t == 0]).float()
        mask_t_instances = []
        lbl_max = mask_t.max().item()
        for i in range(1, lbl_max + 1):
            m = torch.zeros_like(mask_t)
            m[mask_t == i] = i  # one mask per class id; that of class 2 is empty
            mask_t_instances.append(m)
        metadata = {"weather": "rainy" if idx % 2 else "dry"}
        return img_t if include_image else None, f"{self.prefix}{idx}", mask_t_instances, metadata


def _make_seg_signals(split: str) -> dict[str, Any]:
    return {
        "dice_sample": wl.watch_or_edit(PerSampleDice(), flag="metric",
            name=f"{split}_dice/sample", per_sample=True, log=True),
        "dice_instance": wl.watch_or_edit(PerInstanceDice(), flag="metric",
            name=f"{split}_dice/instance", per_instance=True, log=True),
        "bce_sample": wl.watch_or_edit(PerSampleBCE(), flag="loss",
            name=f"{split}_bce/sample", per_sample=True, log=True),
        "bce_instance": wl.watch_or_edit(PerInstanceBCE(), flag="loss",
            name=f"{split}_bce/instance", per_instance=True, log=True),
    }  # fmt: skip


def _instance_batch_idx(labels: list[list[Tensor]]) -> Tensor:
    return torch.tensor(
        [s for s, insts in enumerate(labels) for _ in insts],
        dtype=torch.long,
    )


def custom_signals() -> None:
    @wl.signal(name="blue_pixels")  # STATIC: from ctx.image
    def compute_blue_pixels(ctx: wl.SignalContext) -> int:
        img = ctx.image
        blue_mask = img[:, :, 2] > 0.5
        return int(blue_mask.sum())

    @wl.signal(name="blue_weighted_loss",  # DYNAMIC: subscribes to a metric
               subscribe_to="train_bce/sample", compute_every_n_steps=1)  # fmt: skip
    def compute_blue_weighted_loss(ctx: wl.SignalContext) -> float:
        blue = ctx.dataframe.get_value(ctx.origin, ctx.sample_id, "signals_blue_pixels")
        return ctx.subscribed_value * (float(blue or 0) / (SIZE * SIZE))


def script(root: Path, steps: int = 4) -> None:
    torch.manual_seed(0)
    wl.watch_or_edit({"root_log_dir": str(root), "lr": 0.5}, flag="hyperparameters")
    train_loader = wl.watch_or_edit(
        Shapes(4, "train"), flag="data", loader_name="train_loader",
        batch_size=2, collate_fn=seg_collate, preload_labels=False,
    )  # fmt: skip
    test_loader = wl.watch_or_edit(
        Shapes(2, "test"), flag="data", loader_name="test_loader",
        batch_size=2, collate_fn=seg_collate, preload_labels=False,
    )  # fmt: skip
    model = wl.watch_or_edit(nn.Conv2d(3, 4, 1), flag="model")
    optimizer = wl.watch_or_edit(torch.optim.SGD(model.parameters(), lr=0.5), flag="optimizer")
    train_sig = _make_seg_signals("train")
    test_sig = _make_seg_signals("test")
    custom_signals()  # register before wl.serve()
    wl.serve()
    wl.compute_signals()
    for _ in range(steps):
        train_step(train_loader, model, optimizer, train_sig)
        test_pass(test_loader, model, test_sig)
    wl.keep_serving(timeout=0.01)


def train_step(loader: Any, model: Any, optimizer: Any, sig: dict[str, Any]) -> None:
    with wl.guard_training_context:
        inputs, ids, labels, _ = next(loader)
        optimizer.zero_grad()
        outputs = model(inputs)  # [B, C, H, W]
        preds = outputs.argmax(1)
        batch_idx = _instance_batch_idx(labels)
        flat_masks = [one for insts in labels for one in insts]

        # Per-sample (→ IID 0) and per-instance (→ IID >= 1) signals.
        bce_sample = sig["bce_sample"](outputs, labels, batch_ids=ids, preds=preds)
        dice_sample = sig["dice_sample"](outputs, labels, batch_ids=ids)
        sig["dice_instance"](
            outputs, labels, batch_ids=ids, batch_idx=batch_idx, targets=flat_masks
        )
        sig["bce_instance"](outputs, labels, batch_ids=ids, batch_idx=batch_idx)

        # Custom per-sample aggregate, saved on the sample row and used for backward.
        loss_per_sample = 0.5 * (1 - dice_sample) + 0.5 * bce_sample
        wl.save_signals({"combined_bce_dice_per_sample": loss_per_sample}, ids)
        loss_per_sample.mean().backward()
        optimizer.step()


def test_pass(loader: Any, model: Any, sig: dict[str, Any]) -> None:
    with wl.guard_testing_context, torch.no_grad():
        for inputs, ids, labels, _ in loader:
            outputs = model(inputs)
            batch_idx = _instance_batch_idx(labels)
            for name, criterion in sig.items():
                more = {"batch_idx": batch_idx} if name.endswith("instance") else {}
                criterion(outputs, labels, batch_ids=ids, **more)


test_pass.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("root")
    before = registry.replace({})
    script(root)
    wl.finish()
    registry.replace(before)
    with wl.open_run(wl.find_run(root=root)) as opened:
        yield opened


def test_every_sample_and_instance_has_its_row(run: wl.Run) -> None:
    expected = {("train_loader", f"train{n}") for n in range(4)}
    expected |= {("test_loader", f"test{n}") for n in range(2)}
    assert set(rows(run)) == expected
    assert annotation_ids(run, "train0") == [1, 2]  # the empty mask of class 2 makes no row
    assert annotation_ids(run, "train1") == []
    assert sample(run, "train2")["weather"] == "dry"


def test_all_signals_are_there_at_their_level(run: wl.Run) -> None:
    row = sample(run, "train0")
    for name in ("train_dice/sample", "train_bce/sample", "combined_bce_dice_per_sample"):
        assert row[name] >= 0
    assert all(0 <= one <= 1 for one in instances(run, "train0", "train_dice/instance"))
    assert len(instances(run, "test0", "test_bce/instance")) == 2
    # The sample row is empty there, so the display shows its instances' mean.
    column = run.samples().column("train_dice/instance")
    at = list(rows(run)).index(("train_loader", "train0"))
    assert column.is_aggregated(at)
    assert column.cell(at) == pytest.approx(
        sum(instances(run, "train0", "train_dice/instance")) / 2
    )


def test_the_signals_of_ones_own_are_there(run: wl.Run) -> None:
    row = sample(run, "train0")
    assert row["blue_pixels"] == 46
    assert row["blue_weighted_loss"] == pytest.approx(row["train_bce/sample"] * 46 / 64)
    assert not events(run, "signal_failed")


def test_the_arrays_are_there_as_they_were(run: wl.Run) -> None:
    prediction = run.arrays("train_loader", "train0")["prediction"]
    assert (prediction.shape, str(prediction.dtype)) == ((SIZE, SIZE), "int64")
    _, _, masks, _ = Shapes(4, "train")[0]
    stored = run.instance_arrays("train_loader", "train0")
    assert same(stored[1]["target"], masks[0])
    assert same(stored[2]["target"], masks[2])


def test_the_clock_and_the_exposures_are_right(run: wl.Run) -> None:
    assert run.status().step == 4
    assert history(run, "train_bce/sample", "train_loader", "train0")[0] == [0, 2]
    assert history(run, "test_bce/sample", "test_loader", "test0")[0] == [1, 2, 3, 4]
    assert sample(run, "train0")["times_seen"] == 2
    assert sample(run, "test0")["times_seen"] == 4


def test_the_curves_are_there(run: wl.Run) -> None:
    names = {
        f"{split}_{kind}/{level}"
        for split in ("train", "test")
        for kind in ("dice", "bce")
        for level in ("sample", "instance")
    }
    assert names | {"optimizer/lr"} <= set(run.curves())
    assert "combined_bce_dice_per_sample" not in run.curves()  # saved without log=True


def test_it_learns(run: wl.Run) -> None:
    mean = run.curves()["test_bce/instance"].mean
    assert mean[-1] < mean[0]


def test_the_page_runs_in_a_run_that_was_chosen(finished: Finished, tmp_path: Path) -> None:
    script(tmp_path / "not this one", steps=1)
    assert finished().status().step == 1
    assert not (tmp_path / "not this one").exists()
