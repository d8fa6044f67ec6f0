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
    masks = _masks(targets, instances, batch_idx)
    if not isinstance(targets, torch.Tensor):
        targets = _painted(logits, targets)
    z, y = classes(logits, targets)
    found = _of_samples(z, y, ignore_index)
    of_instances = None if masks is None else _of_instances(z, y, masks, ignore_index)
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
    """Masks ``[N, H, W]`` and the sample of each ``[N]``; ``hold_classes``: the class in them."""

    stack: Tensor
    batch_idx: Tensor
    hold_classes: bool


def _masks(targets: Any, instances: Any, batch_idx: Any) -> _Masks | None:
    """The masks of the instances, however they were given; None without.

    Raises:
        SignalShapeError: masks of two kinds, or without the samples that they belong to.
    """
    import torch

    nested = not isinstance(targets, torch.Tensor)
    if nested and instances is not None:
        raise SignalShapeError("the targets are lists of masks already: leave instances= out")
    given = targets if nested else instances
    if given is None:
        return None
    if isinstance(given, torch.Tensor):
        if batch_idx is None:
            raise SignalShapeError(
                "which sample does each mask belong to? Pass batch_idx=, or instances= as one list"
                " of masks for each sample"
            )
        return _Masks(given.detach(), torch.as_tensor(batch_idx).cpu(), nested)
    flat = [mask.detach() for masks in given for mask in masks]
    counts = torch.tensor([len(masks) for masks in given], dtype=torch.int64)
    stack = torch.stack(flat) if flat else torch.zeros(0, 0, 0, dtype=torch.int64)
    return _Masks(stack, torch.repeat_interleave(counts), nested)


def _painted(logits: Tensor, masks: Sequence[Sequence[Tensor]]) -> Tensor:
    """The map of classes ``[B, H, W]`` that lists of masks mean: 0 where there is no instance.

    Raises:
        SignalShapeError: not one list of masks of the logits' size for each sample.
    """
    import torch

    if logits.ndim != 4 or len(masks) != len(logits):
        raise SignalShapeError(
            f"expected logits [B, C, H, W] beside lists of masks for {len(masks)} samples, got"
            f" shape {list(logits.shape)}"
        )
    painted = torch.zeros(len(logits), *logits.shape[2:], dtype=torch.int64, device=logits.device)
    for canvas, ones in zip(painted, masks, strict=True):
        for mask in ones:
            if mask.shape != canvas.shape:
                raise SignalShapeError(
                    f"expected masks of shape {list(canvas.shape)}, got {list(mask.shape)}"
                )
            here = mask.detach().to(canvas.device, torch.int64)
            canvas.copy_(here.where(here != 0, canvas))
    return painted


def _of_instances(z: Tensor, y: Tensor, masks: _Masks, ignore_index: int) -> dict[str, Tensor]:
    """The measures of each instance ``[N]``: means over those of its pixels that count.

    Raises:
        SignalShapeError: masks of another size than the logits, or of another number of samples.
    """
    import torch

    count = len(masks.stack)
    if y.ndim != 3 or (count and masks.stack.shape[1:] != y.shape[1:]):
        raise SignalShapeError(
            f"expected masks [N, H, W] of the size of the logits {list(z.shape)}, got"
            f" {list(masks.stack.shape)}"
        )
    if masks.batch_idx.shape != (count,):
        raise SignalShapeError(
            f"expected batch_idx [{count}], the sample of each mask, got"
            f" {list(masks.batch_idx.shape)}"
        )
    low, high = _range(masks.batch_idx)
    if low < 0 or high >= len(z):
        raise SignalShapeError(
            f"expected batch_idx in 0 … {len(z) - 1}, the samples' places, got {low} … {high}"
        )
    stack = masks.stack.to(z.device).flatten(1)
    owner, pixel = (stack != 0).nonzero(as_tuple=True)
    sample = masks.batch_idx.to(z.device)[owner]
    label = stack[owner, pixel].long() if masks.hold_classes else y.flatten(1)[sample, pixel]
    of_pixels = z.flatten(2)[sample, :, pixel]
    counted, label = _counted(of_pixels, label, ignore_index)
    weight = torch.ones_like(owner) if counted is None else counted.long()
    area = torch.zeros(count, dtype=torch.int64, device=z.device).index_add(0, owner, weight)
    return {
        what: torch.zeros(count, dtype=torch.float64, device=z.device)
        .index_add(0, owner, values.double() * weight)
        .div(area)
        .float()
        for what, values in measures(of_pixels, label).items()
    }
