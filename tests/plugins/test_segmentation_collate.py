"""Batching of samples with different numbers of instances."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader

from wl_plugins.segmentation import instance_batch_idx, seg_collate


def sample(uid, *masks):
    return torch.zeros(1, 4, 4), uid, list(masks), {"path": f"{uid}.tif"}


def mask_of(class_id, dtype=torch.uint8):
    mask = torch.zeros(4, 4, dtype=dtype)
    mask[1, 1:3] = class_id
    return mask


def test_samples_with_different_numbers_of_instances_make_one_batch():
    images, ids, labels, metas = seg_collate(
        [sample("a", mask_of(1), mask_of(2)), sample("b"), sample("c", mask_of(3))]
    )
    assert images.shape == (3, 1, 4, 4)
    assert ids == ["a", "b", "c"]
    assert [len(masks) for masks in labels] == [2, 0, 1]
    assert metas[2] == {"path": "c.tif"}


def test_ids_keep_their_type():
    _, ids, _, _ = seg_collate([sample(1), sample("1")])
    assert ids == [1, "1"]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
def test_empty_masks_are_dropped_and_the_others_keep_their_order(dtype):
    kept = [mask_of(1, dtype), mask_of(1, dtype).T.contiguous()]
    empty = torch.zeros(4, 4, dtype=dtype)
    _, _, labels, _ = seg_collate([sample("a", empty, kept[0], empty, kept[1])])
    assert len(labels[0]) == 2
    assert all(got is expected for got, expected in zip(labels[0], kept, strict=True))


def test_a_sample_whose_masks_are_all_empty_has_no_instances():
    _, _, labels, _ = seg_collate([sample("a", torch.zeros(4, 4, dtype=torch.uint8))])
    assert labels == [[]]


def test_the_collate_works_in_a_data_loader():
    data = [sample("a", mask_of(1)), sample("b"), sample("c", mask_of(2), mask_of(1))]
    batches = list(DataLoader(data, batch_size=2, collate_fn=seg_collate))
    assert [ids for _, ids, _, _ in batches] == [["a", "b"], ["c"]]
    assert [len(masks) for masks in batches[1][2]] == [2]


def test_batch_idx_numbers_the_sample_of_every_instance():
    batch_idx = instance_batch_idx([[mask_of(1)] * 2, [], [mask_of(1)]])
    assert batch_idx.dtype == torch.int64
    assert batch_idx.tolist() == [0, 0, 2]


def test_batch_idx_of_a_batch_without_instances_is_empty():
    batch_idx = instance_batch_idx([[], []])
    assert batch_idx.dtype == torch.int64
    assert batch_idx.shape == (0,)
