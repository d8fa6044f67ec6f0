"""A stream's items as one tensor, on their way from a worker to the main process.

One tensor goes through shared memory with one file descriptor and is only looked into when a
discarded sample is in its batch; the items themselves would take a descriptor for each tensor.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import torch

from wl_core.errors import UsageError

_PLAIN = frozenset(
    (torch.float32, torch.float64, torch.float16, torch.int64, torch.int32, torch.uint8, torch.bool)
)


class _Pickler(pickle.Pickler):
    """Takes of a tensor what it shows, where torch would take all of the storage behind it."""

    def reducer_override(self, obj: Any) -> Any:
        if (
            type(obj) is torch.Tensor
            and obj.dtype in _PLAIN
            and obj.device.type == "cpu"
            and obj.layout is torch.strided
            and not obj.requires_grad
        ):
            return torch.from_numpy, (obj.numpy(force=True),)
        return NotImplemented


def pack(items: list[Any]) -> torch.Tensor:
    """The items as bytes ``[n]``, uint8.

    Raises:
        UsageError: something in them cannot be pickled.
    """
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, protocol=5).dump(items)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise UsageError(
            "the items of a stream with workers and is_training=True travel to the main process,"
            " so that discarded samples can be left out, but one cannot be pickled"
            f" ({error}): yield plain values and tensors, or use num_workers=0"
        ) from error
    return torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8)


def unpack(packed: torch.Tensor) -> list[Any]:
    """The items that `pack` was given, in the process that started the worker."""
    items: list[Any] = pickle.loads(packed.numpy().data)
    return items
