"""The measures of training dynamics at one moment, from logits and the labels that were given.

All are computed on the device of the logits, without a graph and without random numbers. Who they
belong to and how they are recorded is `watching`'s business, what becomes of them over time
`methods`'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wl_core.errors import SignalShapeError

if TYPE_CHECKING:
    from torch import Tensor


def measures(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """What the logits say of the labels ``y``, with ``p`` the softmax of the logits ``z``.

    Args:
        logits: floating point ``[N, C, …]`` with ``C >= 2``; half precision is computed in float32.
        targets: int64 ``[N, …]`` in 0 … C - 1.

    Returns:
        Of the targets' shape each:

        - ``p_true``: ``p[y]``, in 0 … 1.
        - ``margin``: ``z[y] - max z[k != y]``, as Pleiss et al., "Identifying mislabeled data using
          the area under the margin ranking" (NeurIPS 2020) define it.
        - ``probability_margin``: ``p[y] - max p[k != y]``, in -1 … 1: the normalised margin of
          Northcutt et al., "Confident learning" (JAIR 2021).
        - ``correct``: the label's logit is the greatest, alone, bool.
        - ``el2n``: ``|p - onehot(y)|`` (Euclidean), in 0 … √2: Paul et al., "Deep learning on a
          data diet" (NeurIPS 2021).
        - ``loss``: the cross-entropy ``-log p[y]``, in nats.
    """
    import torch

    with torch.no_grad():
        z = logits.detach()
        z = z.float() if z.element_size() < 4 else z
        at = targets.unsqueeze(1)
        log_p = z.log_softmax(1)
        of_label = log_p.gather(1, at)
        p_true = of_label.exp()
        # argmax and vector_norm would say the same, at twenty times the price over class maps.
        margin = z.gather(1, at).squeeze(1) - z.scatter(1, at, -torch.inf).amax(1)
        error = log_p.exp().scatter_(1, at, p_true - 1)  # p - onehot(y), whose y is the least
        return {
            "p_true": p_true.squeeze(1),
            "margin": margin,
            "probability_margin": p_true.squeeze(1) - error.amax(1),
            "correct": margin > 0,
            "el2n": error.square_().sum(1).sqrt_(),
            "loss": -of_label.squeeze(1),
        }


def classes(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Logits ``[B, C, …]`` with ``C >= 2`` and int64 targets ``[B, …]``, of what was handed over.

    The logits of a binary classifier, ``[B]`` or ``[B, 1, …]``, become those of the classes 0 and
    1: ``(0, z)``, whose softmax is the sigmoid. Its targets may be floats or bools.

    Raises:
        SignalShapeError: shapes or types that do not fit, or a class without a logit.
    """
    import torch

    logits, targets = logits.detach(), targets.detach()
    if not logits.is_floating_point() or not logits.ndim:
        raise SignalShapeError(
            f"expected floating point logits [B, C, …], got {logits.dtype} of shape"
            f" {list(logits.shape)}: pass the model's output before argmax"
        )
    given = list(logits.shape), list(targets.shape)
    binary = logits.ndim == 1 or logits.shape[1] == 1
    if binary:
        z = logits.unsqueeze(1) if logits.ndim == 1 else logits
        targets = targets.squeeze(1) if targets.shape == z.shape else targets
        targets = targets if targets.dtype == torch.int64 else targets > 0.5
        logits = torch.cat([torch.zeros_like(z), z], 1)
    if [logits.shape[0], *logits.shape[2:]] != list(targets.shape):
        raise SignalShapeError(
            f"expected logits [B, C, …] and targets [B, …], got {given[0]} and {given[1]}"
        )
    if targets.is_floating_point() or targets.is_complex():
        raise SignalShapeError(
            f"expected integer targets, the classes' numbers, got {targets.dtype}: training"
            " dynamics are of one label for each sample, not of probabilities"
        )
    return logits, targets.to(logits.device, torch.int64)
