"""Batches samples whose number of instance masks differs.

Torch's own collate stacks what it gets, and lists of different lengths cannot be stacked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

SegmentationSample = tuple[Tensor, int | str, Sequence[Tensor], Mapping[str, Any]]
SegmentationBatch = tuple[Tensor, list[int | str], list[list[Tensor]], list[dict[str, Any]]]


def seg_collate(samples: Sequence[SegmentationSample]) -> SegmentationBatch:
    """Batches `(image, uid, instances, metadata)` samples; pass it as `collate_fn=`.

    Empty masks (all pixels 0) are dropped: an object that a crop or an augmentation has pushed
    out of the image is no instance of it any more.

    Args:
        samples: `B` tuples of an image `[C, H, W]`, the sample's id, its list of instance masks
            `[H, W]` (pixel value = class id) and its metadata.

    Returns:
        `(images, ids, labels, metas)`: images `[B, C, H, W]`, the ids as they are, `labels[s]`
        the masks of sample `s` in their order, and the metadata as dicts.
    """
    images, ids, labels, metas = zip(*samples, strict=True)
    kept = [[mask for mask in instances if bool(mask.any())] for instances in labels]
    return torch.stack(images), list(ids), kept, [dict(meta) for meta in metas]
