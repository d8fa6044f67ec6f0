"""Dice and binary cross-entropy for lists of instance masks, per sample and per instance.

A model gives class logits `[B, C, H, W]`; a batch of labels is a list with, for each sample, a
list of instance masks `[H, W]`. **Channel `k` is class `k`, channel 0 is background**, so that
`logits.argmax(1)` holds the same numbers as the masks; a class id without a channel is an error.
Probabilities are the softmax over the channels: `p[k]` is the probability map of class `k`.

Each mask is scored against the map of its class, either

- on the whole map (`neighbourhood=None`): what the map says outside the mask counts against it,
  also where it is another instance of the same class, so that of `n` equal instances each can
  reach a Dice of `2 / (n + 1)` only; or
- in its own neighbourhood (`neighbourhood=m`): its box grown by `m` pixels on each side, less the
  pixels of the sample's other instances of that class. The map names classes, not instances, so
  these would count against a prediction that is right; a perfect map scores every instance 1.

The work is done on the pixels inside the masks plus a few passes over the maps (`instances`); it
grows with the area of the instances and not with their number times the size of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from wl_plugins.segmentation.instances import InstancePixels, instance_pixels

Labels = Sequence[Sequence[Tensor]]


def dice_per_mask(logits: Tensor, masks: InstancePixels, neighbourhood: int | None) -> Tensor:
    """Soft Dice coefficient of each mask `[N]`, in 0 … 1, higher is better.

    `2 Σ p g / (Σ p + Σ g)` over the scored pixels: the coincidence index of Dice, "Measures of the
    amount of ecologic association between species", Ecology 26 (1945), with probabilities in place
    of set membership, as in Drozdzal et al., "The importance of skip connections in biomedical
    image segmentation" (2016). Milletari et al., "V-Net" (2016), square the terms of the
    denominator; unsquared, it is Dice's own number for a prediction of zeros and ones. A mask is
    never empty, so no smoothing term is needed.
    """
    probability = logits.softmax(1)
    inside = _at_pixels(probability, masks)
    outside = _sum_outside(probability, masks, neighbourhood)
    overlap = masks.sum_inside(inside)
    return (2 * overlap / (overlap + outside + masks.area)).to(logits.dtype)


def bce_per_mask(logits: Tensor, masks: InstancePixels, neighbourhood: int | None) -> Tensor:
    """Binary cross-entropy of each mask `[N]` against its class map, in nats per pixel, >= 0.

    `-mean(g log p + (1 - g) log(1 - p))` over the scored pixels, with `p` the softmax probability
    of the mask's class. Both logarithms are taken from the logits, so neither is lost, nor its
    gradient, where `p` rounds to 0 or 1.
    """
    log_p = logits.log_softmax(1)
    inside = -masks.sum_inside(_at_pixels(log_p, masks))
    outside = -_sum_outside(_log_complement(log_p), masks, neighbourhood)
    return ((inside + outside) / _scored_pixels(masks, neighbourhood)).to(logits.dtype)


class _Criterion(nn.Module):
    """What the four share: the option, and a score for each mask."""

    def __init__(
        self,
        score: Callable[[Tensor, InstancePixels, int | None], Tensor],
        neighbourhood: int | None,
    ) -> None:
        super().__init__()
        if neighbourhood is not None and neighbourhood < 0:
            raise ValueError(
                f"neighbourhood is a margin in pixels, 0 or more, or None; got {neighbourhood}"
            )
        self.neighbourhood = neighbourhood
        self._score = score

    def extra_repr(self) -> str:
        return f"neighbourhood={self.neighbourhood}"


class _PerInstance(_Criterion):
    def forward(self, logits: Tensor, labels: Labels) -> Tensor:
        """Scores logits `[B, C, H, W]` on `labels`; flat `[total_instances]`, sample-major."""
        logits = _accurate(logits)
        return self._score(logits, instance_pixels(logits, labels), self.neighbourhood)


class _PerSample(_Criterion):
    def __init__(
        self,
        score: Callable[[Tensor, InstancePixels, int | None], Tensor],
        neighbourhood: int | None,
        merge_classes: bool,
        without_instances: float,
    ) -> None:
        super().__init__(score, neighbourhood)
        self.merge_classes = merge_classes
        self._without_instances = without_instances

    def forward(self, logits: Tensor, labels: Labels) -> Tensor:
        """Scores logits `[B, C, H, W]` on `labels`; the mean of each sample's masks, `[B]`."""
        logits = _accurate(logits)
        masks = instance_pixels(logits, labels)
        if self.merge_classes:
            masks = masks.merged()
        value = self._score(logits, masks, self.neighbourhood)
        count = torch.bincount(masks.batch_idx, minlength=len(logits))
        total = value.new_zeros(len(logits)).index_add(0, masks.batch_idx, value)
        return (total / count.clamp(min=1)).masked_fill(count == 0, self._without_instances)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, merge_classes={self.merge_classes}"


class PerInstanceDice(_PerInstance):
    """Soft Dice of every instance, flat `[total_instances]`, sample-major; see `dice_per_mask`.

    Call it with logits `[B, C, H, W]` and the list of each sample's instance masks. Half precision
    is scored in float32.

    Args:
        neighbourhood: margin in pixels around the instance's box that it is scored in; None
            scores it against the whole map.

    Raises:
        SignalShapeError: from the call, when logits and masks do not fit; see `instance_pixels`.
    """

    def __init__(self, *, neighbourhood: int | None = None) -> None:
        super().__init__(dice_per_mask, neighbourhood)


class PerInstanceBCE(_PerInstance):
    """Binary cross-entropy of every instance, nats per pixel; see `bce_per_mask`.

    Arguments, shapes and errors are those of `PerInstanceDice`; the gradient is kept.
    """

    def __init__(self, *, neighbourhood: int | None = None) -> None:
        super().__init__(bce_per_mask, neighbourhood)


class PerSampleDice(_PerSample):
    """Soft Dice of every sample `[B]`: the mean over its masks of `dice_per_mask`.

    A sample without instances has nothing that could be missed: its Dice is 1, without gradient.

    Args:
        neighbourhood: as in `PerInstanceDice`.
        merge_classes: merge a sample's masks of one class into one before they are scored, and
            average over the classes that it has. A model of classes cannot tell two instances of
            a class apart; scored one by one against the whole map they pull against each other,
            so train on the merged masks where instances share a class.

    Raises:
        SignalShapeError: from the call, when logits and masks do not fit; see `instance_pixels`.
    """

    def __init__(self, *, neighbourhood: int | None = None, merge_classes: bool = False) -> None:
        super().__init__(dice_per_mask, neighbourhood, merge_classes, without_instances=1.0)


class PerSampleBCE(_PerSample):
    """Binary cross-entropy of every sample `[B]`: the mean over its masks of `bce_per_mask`.

    A sample without instances costs 0, without gradient. Arguments, shapes and errors are those of
    `PerSampleDice`.
    """

    def __init__(self, *, neighbourhood: int | None = None, merge_classes: bool = False) -> None:
        super().__init__(bce_per_mask, neighbourhood, merge_classes, without_instances=0.0)


def _accurate(logits: Tensor) -> Tensor:
    """Half precision as float32: sums over some 10⁴ pixels do not fit into 8 or 11 bits."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def _log_complement(log_p: Tensor) -> Tensor:
    """`log(1 - p)` from the log-softmax `log_p`, both `[B, C, H, W]`.

    `1 - p` cancels where `p` is near 1. At most one channel has `p > 1/2`; for that one the others
    are summed in its place, as logarithms, and for the rest `log1p` is exact.
    """
    p = log_p.exp()
    top = p > 0.5
    # The lowest finite number and not -inf, whose gradient in logsumexp is slow and can be NaN.
    others = log_p.masked_fill(top, torch.finfo(log_p.dtype).min).logsumexp(1, keepdim=True)
    return torch.log1p(-p.masked_fill(top, 0)) + top * others


def _at_pixels(maps: Tensor, masks: InstancePixels) -> Tensor:
    """The value of its class map at every pixel of every mask, float64 `[P]`."""
    return maps.flatten().index_select(0, masks.position).double()


def _sum_outside(values: Tensor, masks: InstancePixels, neighbourhood: int | None) -> Tensor:
    """Sum of a class map's values over the scored pixels outside each mask, float64 `[N]`.

    In float64, so that taking a part from a total leaves the rest exact to float32.
    """
    if neighbourhood is None:
        total = values.flatten(0, 1).sum((1, 2), dtype=torch.float64)[masks.map_index]
        return total - masks.sum_inside(_at_pixels(values, masks))
    free = values.flatten().index_fill(0, masks.position, 0).view(values.shape)
    return _box_sums(free, masks, neighbourhood)


def _scored_pixels(masks: InstancePixels, neighbourhood: int | None) -> Tensor:
    """How many pixels each mask is scored on, `[N]`."""
    _, _, height, width = masks.shape
    if neighbourhood is None:
        return torch.full_like(masks.area, height * width)
    ones = torch.ones(masks.shape, device=masks.area.device)
    return masks.area + _sum_outside(ones, masks, neighbourhood)


def _box_sums(values: Tensor, masks: InstancePixels, margin: int) -> Tensor:
    """Sum of its class map over each mask's box grown by `margin`, float64 `[N]`.

    By summed-area tables (Crow 1984): one pass over the maps, then four look-ups for each mask.
    """
    table = values.flatten(0, 1).double().cumsum(1).cumsum(2)
    table = functional.pad(table, (1, 0, 1, 0))
    (top, bottom), (left, right) = _boxes(masks, margin)
    maps = masks.map_index
    lower = table[maps, bottom, right] - table[maps, bottom, left]
    return lower - table[maps, top, right] + table[maps, top, left]


def _boxes(masks: InstancePixels, margin: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """`(top, bottom), (left, right)` of each mask's grown box, half-open, inside the image."""
    _, _, height, width = masks.shape
    row, column = masks.position // width % height, masks.position % width
    return tuple(
        (
            (_reduced(place, masks, "amin") - margin).clamp(min=0),
            (_reduced(place, masks, "amax") + 1 + margin).clamp(max=size),
        )
        for place, size in ((row, height), (column, width))
    )


def _reduced(values: Tensor, masks: InstancePixels, how: str) -> Tensor:
    start = torch.zeros_like(masks.area)
    return start.scatter_reduce(0, masks.owner, values, how, include_self=False)
