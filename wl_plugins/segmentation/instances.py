"""Lists of instance masks as flat pixel lists: what the criterions of this package sum over.

A nucleus covers some 2 % of its image, so a criterion that multiplied every mask with a whole map
would touch fifty times more pixels than it needs. Here the masks of a batch are read once, and
what is left are the pixels inside them, each with the instance that owns it. How a map is scored
on those pixels is the business of `criterions`; batching is that of `collate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wl_core.errors import SignalShapeError

# Mask dtypes for which torch lacks nonzero and comparison kernels are widened to int64.
_NARROW = frozenset({torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32})


@dataclass(frozen=True, slots=True, eq=False)
class InstancePixels:
    """The masks of a batch, `N` of them with `P` pixels in total, sample-major.

    Attributes:
        batch_idx: int64 `[N]`, the sample (0 … B - 1) that each mask belongs to.
        class_id: int64 `[N]`, which is also the channel of the logits that it is scored against.
        area: int64 `[N]`, pixels in each mask.
        owner: int64 `[P]`, the mask (0 … N - 1) of each pixel.
        position: int64 `[P]`, where the pixel lies in the mask's own class map, as an index into
            the logits' elements in the order `[B, C, H, W]`.
        shape: `(B, C, H, W)` of the logits.
    """

    batch_idx: Tensor
    class_id: Tensor
    area: Tensor
    owner: Tensor
    position: Tensor
    shape: tuple[int, int, int, int]

    @property
    def map_index(self) -> Tensor:
        """int64 `[N]`: which of the `B * C` class maps each mask is scored against."""
        return self.batch_idx * self.shape[1] + self.class_id

    def sum_inside(self, values: Tensor) -> Tensor:
        """Sum of per-pixel `values` `[P]` over each mask, `[N]`."""
        total = values.new_zeros(len(self.area))
        return total.index_add(0, self.owner, values)

    def merged(self) -> InstancePixels:
        """One mask for each class that a sample has: the union of its masks of that class."""
        _, channels, height, width = self.shape
        position = torch.unique(self.position)
        maps, owner, area = torch.unique_consecutive(
            position // (height * width), return_inverse=True, return_counts=True
        )
        return InstancePixels(maps // channels, maps % channels, area, owner, position, self.shape)


def instance_batch_idx(labels: Sequence[Sequence[object]]) -> Tensor:
    """The sample that each instance belongs to, as a watched per-instance criterion wants it.

    Args:
        labels: for each of the `B` samples its list of instances; a list may be empty.

    Returns:
        int64 `[total_instances]`, sample-major: `[[a, b], [], [c]]` gives `[0, 0, 2]`.
    """
    counts = torch.tensor([len(instances) for instances in labels], dtype=torch.int64)
    return torch.repeat_interleave(counts)


def instance_pixels(logits: Tensor, labels: Sequence[Sequence[Tensor]]) -> InstancePixels:
    """Reads the instance masks of a batch.

    Args:
        logits: `[B, C, H, W]`, whose channel `k` is class `k` and whose channel 0 is background.
        labels: for each of the `B` samples its list of masks `[H, W]`, bool or integer, in which
            every pixel of the instance holds its class id (1 … C - 1) and every other holds 0.
            True in a bool mask is class 1.

    Raises:
        SignalShapeError: logits, labels or masks have another shape; a mask is empty, holds
            several class ids, or one for which the logits have no channel.
    """
    shape = _checked_shape(logits, labels)
    batch_idx = instance_batch_idx(labels).to(logits.device)
    masks = _stacked([mask for instances in labels for mask in instances], shape, logits.device)
    owner, pixel = masks.nonzero(as_tuple=True)
    area = torch.bincount(owner, minlength=len(masks))
    class_id = _class_ids(masks[owner, pixel].long(), owner, area, batch_idx, shape[1])
    position = (batch_idx * shape[1] + class_id)[owner] * (shape[2] * shape[3]) + pixel
    return InstancePixels(batch_idx, class_id, area, owner, position, shape)


def _checked_shape(logits: Tensor, labels: Sequence[Sequence[Tensor]]) -> tuple[int, int, int, int]:
    if logits.dim() != 4:
        raise SignalShapeError(
            f"expected logits [B, C, H, W], got shape {tuple(logits.shape)}; "
            "pass the model's output before argmax or softmax"
        )
    if logits.shape[1] < 2:
        raise SignalShapeError(
            f"expected logits with a channel for background and one for each class, got "
            f"{logits.shape[1]} channel in {tuple(logits.shape)}; for a single class give the "
            "model 2 channels"
        )
    if not logits.is_floating_point():
        raise SignalShapeError(
            f"expected floating point logits, got {logits.dtype}; "
            "pass the model's output before argmax"
        )
    if len(labels) != len(logits):
        raise SignalShapeError(
            f"expected one list of masks for each of the {len(logits)} samples of the logits, "
            f"got {len(labels)} lists"
        )
    batch, channels, height, width = logits.shape
    return batch, channels, height, width


def _stacked(masks: list[Tensor], shape: tuple[int, int, int, int], device: torch.device) -> Tensor:
    """The masks as `[N, H * W]` on `device`, in a dtype that torch can compare."""
    _, _, height, width = shape
    for number, mask in enumerate(masks):
        if mask.shape != (height, width):
            raise SignalShapeError(
                f"expected masks of shape {(height, width)} as the logits have, got "
                f"{tuple(mask.shape)} for mask {number} of the batch"
            )
        if mask.is_floating_point() or mask.is_complex():
            raise SignalShapeError(
                f"expected bool or integer masks that hold class ids, got {mask.dtype} for mask "
                f"{number} of the batch; convert it with .long()"
            )
    if not masks:
        return torch.zeros((0, height * width), dtype=torch.uint8, device=device)
    stacked = torch.stack(masks).to(device)
    if stacked.dtype not in _NARROW:
        stacked = stacked.long()
    return stacked.flatten(1)


def _class_ids(
    values: Tensor, owner: Tensor, area: Tensor, batch_idx: Tensor, channels: int
) -> Tensor:
    """The class id of each mask, int64 `[N]`, from the `values` `[P]` of its pixels."""
    low = values.new_zeros(len(area)).scatter_reduce(0, owner, values, "amin", include_self=False)
    high = values.new_zeros(len(area)).scatter_reduce(0, owner, values, "amax", include_self=False)
    wrong = (low != high) | (low < 1) | (high >= channels)
    if bool(wrong.any()):
        number = int(wrong.nonzero()[0, 0])
        sample = int(batch_idx[number])
        where = f"mask {number - int((batch_idx < sample).sum())} of sample {sample} in the batch"
        raise SignalShapeError(
            _what_is_wrong(where, int(area[number]), int(low[number]), int(high[number]), channels)
        )
    return high


def _what_is_wrong(where: str, area: int, low: int, high: int, channels: int) -> str:
    if area == 0:
        return f"{where} is empty, so it has no class; drop empty masks (seg_collate does)"
    if low != high:
        return (
            f"{where} holds several class ids ({low} … {high}); an instance mask holds its one "
            "class id and 0: make one mask for each instance"
        )
    return (
        f"{where} has class id {high}, but the logits have {channels} channels: channel k is class "
        f"k and channel 0 is background, so ids 1 … {channels - 1} can be scored; "
        "give the model one channel more than there are classes"
    )
