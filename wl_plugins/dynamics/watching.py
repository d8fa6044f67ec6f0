"""`watch`: measures training dynamics and records them as signals of samples and instances.

Watching changes nothing: there is no graph, no random number, and what is handed over is only read.
The formulas are `measures`'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wl_core.errors import SignalShapeError
from wl_core.save import save_instance_signals, save_signals
from wl_plugins.dynamics.measures import classes, measures
from wl_plugins.dynamics.names import SET, check_set

if TYPE_CHECKING:
    from torch import Tensor


def watch(
    logits: Tensor,
    targets: Tensor | Sequence[Sequence[Tensor]],
    batch_ids: Any = None,
    *,
    instances: Tensor | Sequence[Sequence[Tensor]] | None = None,
    batch_idx: Any = None,
    origin: str | None = None,
    name: str = SET,
    ignore_index: int = -100,
    log: bool = False,
) -> None:
    """Records what the logits say of the labels, for each sample and, with masks, each instance.

    Call it where the loss is computed, once a step. The signals are ``NAME/p_true``,
    ``NAME/margin``, ``NAME/probability_margin``, ``NAME/correct``, ``NAME/el2n`` and ``NAME/loss``,
    see `measures.measures`; the view ``dynamics`` makes the scores of them.

    Args:
        logits: ``[B, C]``; ``[B]`` or ``[B, 1]`` of a binary classifier; ``[B, C, H, W]`` or
            ``[B, 1, H, W]`` of a dense one, whose measures are averaged over the pixels.
        targets: the labels: classes ``[B]`` or ``[B, H, W]``. For ``[B, C, H, W]`` also, as in
            `wl_plugins.segmentation`, a list of masks ``[H, W]`` for each sample, which hold their
            class where the instance is and 0 elsewhere: a later one lies above an earlier one,
            class 0 is where there is none, and each instance's measures are averaged over its mask.
        batch_ids: the samples' ids ``[B]``; left out, the batch of the tracked loader.
        instances: masks of the instances in ``targets [B, H, W]``, nonzero inside: a list for each
            sample, or ``[N, H, W]`` with ``batch_idx``.
        batch_idx: ``[N]``, the place in the batch of each mask's sample.
        origin: the data that the ids belong to; left out, that of the loader's batch.
        name: ``dynamics`` or ``…/dynamics``; several heads or criterions need several.
        ignore_index: the class of pixels that do not count. A sample or instance that has only
            such is recorded as NaN, which the scores leave out.
        log: draw the batches' means as curves, all six of them.

    Raises:
        SignalShapeError: shapes, types or classes that do not fit; nothing is recorded.
        UsageError: a name that the view would not know.
    """
    import torch

    check_set(name)
    if isinstance(targets, torch.Tensor):
        masks = None if instances is None else _masks(logits, instances, batch_idx)
        z, y = classes(logits, targets)
        of_masks = None if masks is None else y.flatten(1)[masks.sample, masks.pixel]
    else:
        if instances is not None:
            raise SignalShapeError("the targets are lists of masks already: leave instances= out")
        masks = _masks(logits, targets, None)
        z, y = classes(logits, _painted(logits, masks))
        of_masks = masks.value
    found = _of_samples(z, y, ignore_index)
    of_instances = None
    if masks is not None and of_masks is not None:
        of_instances = _of_instances(z, of_masks, masks, ignore_index)
    _save(save_signals, name, found, batch_ids, origin=origin, log=log)
    if masks is not None and of_instances is not None:
        _save(
            save_instance_signals, name, of_instances, batch_ids,
            origin=origin, log=log, batch_idx=masks.batch_idx,
        )  # fmt: skip


def _save(
    save: Callable[..., None], name: str, found: dict[str, Tensor], ids: Any, **where: Any
) -> None:
    save({f"{name}/{what}": values for what, values in found.items()}, ids, **where)


# -- of samples ------------------------------------------------------------------------------------


def _of_samples(z: Tensor, y: Tensor, ignore_index: int) -> dict[str, Tensor]:
    """The measures ``[B]``: means over the pixels that count, NaN where none does."""
    counted, y = _counted(z, y, ignore_index)
    found = measures(z, y)
    if y.ndim == 1:
        return found if counted is None else _nan_unless(counted, found)
    weights = None if counted is None else counted.flatten(1)
    return {what: _row_means(values.flatten(1), weights) for what, values in found.items()}


def _counted(z: Tensor, y: Tensor, ignore_index: int) -> tuple[Tensor | None, Tensor]:
    """Where the targets count (None for "everywhere"), and targets that are classes everywhere.

    Those that lie on a device are looked at there alone: who asks for a number waits for it.

    Raises:
        SignalShapeError: a target is no class of the logits, where that can be known at once.
    """
    classes_here = z.shape[1]
    if y.is_cpu:
        low, high = _range(y)
        if low >= 0 and high < classes_here and not low <= ignore_index <= high:
            return None, y
    counted = y != ignore_index
    y = y.where(counted, 0)
    if y.is_cpu:
        low, high = _range(y)
        if low < 0 or high >= classes_here:
            raise SignalShapeError(
                f"expected targets in 0 … {classes_here - 1}, one logit for each class, or"
                f" {ignore_index} for what does not count; got {low} … {high}"
            )
    return counted, y


def _range(y: Tensor) -> tuple[int, int]:
    if not y.numel():
        return 0, 0
    low, high = y.aminmax()
    return int(low), int(high)


def _nan_unless(counted: Tensor, found: dict[str, Tensor]) -> dict[str, Tensor]:
    import torch

    return {
        what: values.to(found["loss"].dtype).where(counted, torch.nan)
        for what, values in found.items()
    }


def _row_means(values: Tensor, counted: Tensor | None) -> Tensor:
    """The mean of each row ``[N, P]`` over what counts; NaN where nothing does."""
    import torch

    if counted is None:
        return values.mean(1, dtype=torch.float32)
    total = values.float().where(counted, 0.0).sum(1)
    return total / counted.sum(1)


# -- of instances ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Masks:
    """The pixels inside the masks of a batch, ``P`` of ``N`` masks, mask by mask.

    ``batch_idx`` ``[N]``, on the CPU, is the sample of each mask. Of each pixel ``[P]``: ``owner``
    is its mask, ``sample`` its sample, ``pixel`` its place in the image, row by row, and ``value``
    what the mask holds there.
    """

    batch_idx: Tensor
    owner: Tensor
    sample: Tensor
    pixel: Tensor
    value: Tensor


def _masks(logits: Tensor, given: Tensor | Sequence[Sequence[Tensor]], batch_idx: Any) -> _Masks:
    """The masks of the instances, however they were given.

    Raises:
        SignalShapeError: masks of another size than the logits, or of no sample that is there.
    """
    import torch

    if logits.ndim != 4:
        raise SignalShapeError(
            f"expected logits [B, C, H, W] beside masks of instances, got {list(logits.shape)}"
        )
    size = tuple(logits.shape[2:])
    if isinstance(given, torch.Tensor):
        where = _checked_batch_idx(batch_idx, len(given), len(logits))
        _check_size(given.shape[1:], size)
        stack = given.detach()
    else:
        if len(given) != len(logits):
            raise SignalShapeError(
                f"expected one list of masks for each of {len(logits)} samples, got {len(given)}"
            )
        flat = [mask.detach() for masks in given for mask in masks]
        for mask in flat:
            _check_size(mask.shape, size)
        where = torch.repeat_interleave(torch.tensor([len(masks) for masks in given]))
        stack = torch.stack(flat) if flat else torch.zeros(0, *size, dtype=torch.int64)
    values = stack.to(logits.device).flatten()
    inside = (values if values.dtype == torch.bool else values != 0).nonzero().squeeze(1)
    area = size[0] * size[1]
    owner = inside // area
    return _Masks(
        where, owner, where.to(logits.device)[owner], inside - owner * area, values[inside].long()
    )


def _check_size(found: Sequence[int], size: tuple[int, ...]) -> None:
    if tuple(found) != size:
        raise SignalShapeError(
            f"expected masks of shape {list(size)}, as the logits have, got {list(found)}"
        )


def _checked_batch_idx(batch_idx: Any, masks: int, samples: int) -> Tensor:
    import torch

    if batch_idx is None:
        raise SignalShapeError(
            "which sample does each mask belong to? Pass batch_idx=, or instances= as one list of"
            " masks for each sample"
        )
    where = torch.as_tensor(batch_idx).cpu().long()
    low, high = _range(where)
    if where.shape != (masks,) or low < 0 or high >= samples:
        raise SignalShapeError(
            f"expected batch_idx [{masks}] in 0 … {samples - 1}, the place of each mask's sample,"
            f" got shape {list(where.shape)} in {low} … {high}"
        )
    return where


def _painted(logits: Tensor, masks: _Masks) -> Tensor:
    """The map of classes ``[B, H, W]`` that masks mean: 0 where there is no instance."""
    import torch

    batch, _, height, width = logits.shape
    place = masks.sample * (height * width) + masks.pixel
    last = torch.full((batch * height * width,), -1, device=place.device)
    numbers = torch.arange(len(place), device=place.device)
    last = last.scatter_reduce(0, place, numbers, "amax")  # the pixel that lies above all others
    classes_and_none = torch.cat([masks.value, masks.value.new_zeros(1)])
    return classes_and_none[last].reshape(batch, height, width)


def _of_instances(z: Tensor, label: Tensor, masks: _Masks, ignore_index: int) -> dict[str, Tensor]:
    """The measures of each instance ``[N]``, means over those of its pixels that count.

    ``label`` ``[P]`` is the class of each of the masks' pixels.
    """
    import torch

    count = len(masks.batch_idx)
    of_pixels = z.flatten(2)[masks.sample, :, masks.pixel]
    counted, label = _counted(of_pixels, label, ignore_index)
    weight = torch.ones_like(label) if counted is None else counted.long()
    area = torch.zeros(count, dtype=torch.int64, device=z.device).index_add(0, masks.owner, weight)
    sums = torch.zeros(count, dtype=torch.float64, device=z.device)
    return {
        what: (sums.index_add(0, masks.owner, values.double() * weight) / area).float()
        for what, values in measures(of_pixels, label).items()
    }
