"""The demo's tiles: what was cut from the real image, and what the data set gives of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from wl_plugins.demo import tiles as demo
from wl_plugins.demo.dataset import NucleiTiles
from wl_plugins.images import read_image
from wl_plugins.segmentation import seg_collate

LABELS = np.asarray(Image.open(demo.DATA / demo.MASK_FILE))


def label_tile(uid):
    row, column = int(uid[8]), int(uid[11])
    return LABELS[row * 128 : row * 128 + 128, column * 128 : column * 128 + 128]


def test_the_image_is_the_one_that_the_readme_describes():
    assert LABELS.shape == (512, 512)
    assert len(np.unique(LABELS)) - 1 == 125
    image = demo.read_image()
    assert image.dtype == np.float32
    assert (image.min(), image.max()) == (0, 1)


def test_twelve_tiles_are_for_training_and_four_others_for_testing():
    train, test = NucleiTiles("train"), NucleiTiles("test")
    uids = [data[n][1] for data in (train, test) for n in range(len(data))]
    assert (len(train), len(test)) == (12, 4)
    assert len(set(uids)) == 16
    assert "nuclei_r0_c3" in uids


def test_one_tile_of_each_row_and_column_is_for_testing():
    rows, columns = zip(*demo.places("test"), strict=True)
    assert sorted(rows) == sorted(columns) == [0, 1, 2, 3]


def test_every_nucleus_of_a_tile_is_an_instance_of_its_own():
    for uid, tile in demo.all_tiles().items():
        labels = label_tile(uid)
        for mask in tile.instances:
            (nucleus,) = np.unique(labels[mask > 0])
            assert np.array_equal(labels == nucleus, mask > 0)
        union = sum((mask > 0).astype(int) for mask in tile.instances)
        assert union.max() == 1
        left_out, areas = np.unique(labels[(union == 0) & (labels > 0)], return_counts=True)
        assert (areas < demo.SMALLEST_FRAGMENT).all()
        assert len(left_out) + len(tile.instances) == len(np.unique(labels)) - 1


def test_no_whole_nucleus_is_dropped_as_a_fragment():
    _, areas = np.unique(LABELS[LABELS > 0], return_counts=True)
    assert areas.min() >= demo.SMALLEST_FRAGMENT


def test_the_pixel_value_of_a_mask_is_its_class_by_size():
    for tile in demo.all_tiles().values():
        for mask in tile.instances:
            area = int((mask > 0).sum())
            expected = 1 if area < 250 else 2 if area < 450 else 3
            assert np.unique(mask).tolist() == [0, expected]


@pytest.mark.parametrize("split", ["train", "test"])
def test_both_splits_hold_all_classes(split):
    found = {int(mask.max()) for tile in demo.tiles(split) for mask in tile.instances}
    assert found == {1, 2, 3}


def test_the_metadata_are_slices_as_text_and_numbers():
    metadata = [tile.metadata for tile in demo.all_tiles().values()]
    assert {m["density"] for m in metadata} == {"sparse", "medium", "dense"}
    assert {m["brightness"] for m in metadata} == {"dark", "medium", "bright"}
    assert {m["contrast"] for m in metadata} == {"low", "medium", "high"}
    assert len({m["place"] for m in metadata}) == 16
    assert all(isinstance(m["nuclei"], int) for m in metadata)
    assert all(isinstance(m["rms_contrast"], float) for m in metadata)


def test_the_slices_follow_the_numbers():
    metadata = [tile.metadata for tile in demo.all_tiles().values()]
    dark = [m["mean_intensity"] for m in metadata if m["brightness"] == "dark"]
    bright = [m["mean_intensity"] for m in metadata if m["brightness"] == "bright"]
    assert max(dark) < min(bright)


def test_an_item_is_image_uid_instances_and_metadata():
    data = NucleiTiles("test")
    image, uid, instances, metadata = data[0]
    assert (image.shape, image.dtype) == ((1, 128, 128), torch.float32)
    assert uid == "nuclei_r0_c1"
    assert all(mask.shape == (128, 128) and mask.dtype == torch.uint8 for mask in instances)
    assert metadata["place"] == "row 0 column 1"


def test_items_are_the_same_every_time_and_belong_to_the_caller():
    data = NucleiTiles("train")
    first = data[3]
    first[0].zero_()
    first[2][0].zero_()
    first[3].clear()
    again, third = data[3], NucleiTiles("train")[3]
    assert torch.equal(again[0], third[0])
    assert again[0].any()
    assert again[2][0].any()
    assert again[3] == third[3] != {}


def test_get_items_makes_only_what_is_asked_for():
    data = NucleiTiles("train")
    image, uid, instances, metadata = data.get_items(
        2, include_image=False, include_instances=False, include_metadata=False
    )
    assert (image, instances, metadata) == (None, None, None)
    assert uid == data[2][1]
    assert data.get_items(2, include_image=False)[3] == data[2][3]


def test_an_index_beyond_the_end_ends_an_iteration():
    assert len(list(NucleiTiles("test"))) == 4
    with pytest.raises(IndexError):
        NucleiTiles("test")[4]


def test_the_tiles_make_a_batch():
    data = NucleiTiles("train")
    images, ids, labels, metas = seg_collate([data[n] for n in range(4)])
    assert images.shape == (4, 1, 128, 128)
    assert [len(masks) for masks in labels] == [meta["nuclei"] for meta in metas]
    assert ids[0] == "nuclei_r0_c0"


def test_the_metadata_lead_back_to_the_tile_in_the_file():
    for tile in demo.all_tiles().values():
        shown = read_image(Path(tile.metadata["path"]), tile.metadata)
        assert shown.shape == (128, 128)
        assert np.abs(shown.astype(float) / 255 - tile.image).max() <= 1 / 255
