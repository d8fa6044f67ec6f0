"""The walk-through as a whole: one real training, and what its run says afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import MultiplicativeLR
from torch.utils.data import DataLoader

import wl_core as wl
from tests import warm
from wl_plugins.demo.dataset import NucleiTiles
from wl_plugins.demo.model import UNet
from wl_plugins.demo.tiles import all_tiles, tiles
from wl_plugins.demo.train import one_cycle, recorded_end, train
from wl_plugins.demo.worst import scored_instances
from wl_plugins.segmentation import PerSampleBCE, PerSampleDice, seg_collate

STEPS = 30  # ten passes over the twelve tiles


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "run"
    done = warm.run(["-m", "wl_plugins.demo.train", "--steps", STEPS, "--run", path])
    assert done.returncode == 0, done.stderr
    assert f"step   {STEPS}/{STEPS}" in done.stderr
    return path


@pytest.fixture
def run(path):
    with wl.open_run(path) as opened:
        yield opened


def rows_of(table):
    return [table.row(number) for number in range(len(table))]


def samples_of(run, origin):
    return {row["sample_id"]: row for row in rows_of(run.samples()) if row["origin"] == origin}


def test_the_run_is_finished_at_its_last_step(run):
    status = run.status()
    assert (status.state, status.step) == ("finished", STEPS)


def test_every_tile_is_a_sample_under_its_own_id(run):
    for origin, split in (("train_loader", "train"), ("test_loader", "test")):
        assert set(samples_of(run, origin)) == {tile.uid for tile in tiles(split)}


def test_every_tile_was_seen_once_in_each_pass(run):
    assert {row["times_seen"] for row in samples_of(run, "train_loader").values()} == {10}


def test_every_mask_is_an_instance(run):
    assert len(run.instances()) == sum(len(tile.instances) for tile in all_tiles().values())
    for uid, row in samples_of(run, "train_loader").items():
        assert row["instances"] == len(all_tiles()[uid].instances)
        numbers = [one["annotation_id"] for one in rows_of(run.instances(uid))]
        assert sorted(numbers) == list(range(1, row["instances"] + 1))


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("measure", ["dice", "bce"])
def test_all_samples_and_instances_are_scored(run, split, measure):
    for row in samples_of(run, f"{split}_loader").values():
        assert row[f"{split}_{measure}/sample"] >= 0
    scored = [row for row in rows_of(run.instances()) if row["origin"] == f"{split}_loader"]
    assert scored
    assert all(row[f"{split}_{measure}/instance"] >= 0 for row in scored)


def test_the_masks_read_back_are_those_of_the_data_set(run):
    for uid in samples_of(run, "test_loader"):
        stored = run.instance_arrays("test_loader", uid)
        for number, mask in enumerate(all_tiles()[uid].instances, start=1):
            assert np.array_equal(np.asarray(stored[number]["target"]), mask)


def test_predictions_are_maps_of_classes(run):
    for uid in samples_of(run, "train_loader"):
        prediction = np.asarray(run.arrays("train_loader", uid)["prediction"])
        assert (prediction.shape, prediction.dtype) == ((128, 128), np.uint8)
        assert prediction.max() <= 3


def test_the_metadata_are_columns_and_lead_to_the_image(run):
    for uid, row in samples_of(run, "test_loader").items():
        assert row["density"] == all_tiles()[uid].metadata["density"]
        assert row["place"] == all_tiles()[uid].metadata["place"]
        image = run.image("test_loader", uid)
        assert np.abs(image / 255 - all_tiles()[uid].image).max() <= 1 / 255


def test_the_static_signal_is_computed_from_every_image(run):
    for origin in ("train_loader", "test_loader"):
        for uid, row in samples_of(run, origin).items():
            assert row["bright_pixels"] == (all_tiles()[uid].image > 0.5).sum()


def test_the_dynamic_signal_reads_the_static_one_and_follows_the_loss(run):
    for uid, row in samples_of(run, "train_loader").items():
        share = row["bright_pixels"] / (128 * 128)
        steps, values = run.signal_history("bright_weighted_loss", "train_loader", uid)
        at, losses = run.signal_history("train_bce/sample", "train_loader", uid)
        assert steps.tolist() == at.tolist()
        np.testing.assert_allclose(values, losses * share, rtol=1e-6)
    assert all("bright_weighted_loss" not in row for row in samples_of(run, "test_loader").values())


def test_the_combined_loss_is_made_of_both_measures(run):
    for uid in samples_of(run, "train_loader"):
        dice, bce, combined = (
            run.signal_history(name, "train_loader", uid)[1]
            for name in ("train_dice/sample", "train_bce/sample", "combined_bce_dice_per_sample")
        )
        np.testing.assert_allclose(combined, 0.5 * (1 - dice) + 0.5 * bce, atol=1e-6)


def test_tests_are_recorded_at_the_age_of_the_model(run):
    steps, values = run.signal_history("test_dice/sample", "test_loader", "nuclei_r0_c1")
    assert steps.tolist() == [0, 25, STEPS]
    assert len(set(values.tolist())) == 3


def test_it_learns(run):
    curve = run.curves()["test_dice/sample"]
    assert curve.mean[-1] > 1.5 * curve.mean[0]


def test_every_signal_that_asks_for_it_has_a_curve(run):
    names = {f"{s}_{m}/{o}" for s in ("train", "test") for m in ("dice", "bce")
             for o in ("sample", "instance")}  # fmt: skip
    assert names <= set(run.curves())


def test_the_class_of_an_instance_is_read_from_its_recorded_mask(run):
    names = {1: "small", 2: "medium", 3: "large"}
    scored = list(scored_instances(run))
    assert len(scored) == len(run.instances())
    for one in scored:
        mask = all_tiles()[one.sample].instances[one.annotation_id - 1]
        assert one.class_name == names[int(mask.max())]
        assert 0 <= one.dice <= 1


def unwatched(steps, seed, batch_size=4):
    """The same training in plain PyTorch, with nothing of wl in it."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    loader = DataLoader(NucleiTiles("train"), batch_size, shuffle=True, collate_fn=seg_collate)
    test_loader = DataLoader(NucleiTiles("test"), batch_size, collate_fn=seg_collate)
    model = UNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-4)
    schedule = MultiplicativeLR(
        optimizer, lambda step: one_cycle(step / steps) / one_cycle((step - 1) / steps)
    )
    dice, bce = PerSampleDice(merge_classes=True), PerSampleBCE(merge_classes=True)
    list(test_loader)  # an iteration draws a number from torch's generator, here as there
    batches = iter(loader)
    for _ in range(steps):
        batch = next(batches, None)
        if batch is None:
            batches = iter(loader)
            batch = next(batches)
        inputs, _, labels, _ = batch
        outputs = model(inputs)
        loss = 0.5 * (1 - dice(outputs, labels)) + 0.5 * bce(outputs, labels)
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
        schedule.step()
    return model


def test_watching_changes_no_bit_of_the_weights(tmp_path):
    with recorded_end():
        watched = train(5, tmp_path, seed=3)
    plain = unwatched(5, seed=3).state_dict()
    assert all(torch.equal(value, plain[name]) for name, value in watched.state_dict().items())


def test_another_seed_gives_another_model(tmp_path):
    with recorded_end():
        first = train(1, tmp_path, seed=0)
    with recorded_end():
        other = train(1, tmp_path, seed=1)
    assert not torch.equal(first.head.weight, other.head.weight)
    assert len(wl.list_runs(tmp_path)) == 2


def test_an_exception_reaches_the_caller_and_the_run_says_it_failed(tmp_path):
    with pytest.raises(ValueError, match="batch_size"), recorded_end():
        train(1, tmp_path, batch_size=0)  # refused by the DataLoader
    (path,) = wl.list_runs(tmp_path)
    with wl.open_run(path) as run:
        assert run.status().state == "failed"
        assert "batch_size" in run.status().detail
