"""Deferred: values that lie on a device, and come to the host without anybody waiting for them.

A number on a GPU is known to the host only when the device has done everything before it; who asks
for it earlier stops the training until then. So a tensor that is elsewhere is checked by its shape
and type alone, a copy is started, and what is to be made of the values is done when they have
arrived. Which frame waits for them, and for how long, is `parking`'s business; what values may look
like is `values`'.

Tensors of the CPU take the way they always took.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.errors import SignalShapeError
from wl_core.values import (
    as_array,
    as_arrays,
    check_per_instance,
    check_per_sample,
    per_instance,
    per_sample,
)

Array = npt.NDArray[Any]


class Arriving:
    """A tensor on its way to the host.

    ``shape`` and ``dtype`` are those of the array that leaves the device; ``finish`` makes of it
    what `land` gives.
    """

    __slots__ = ("_finish", "_host", "_landed", "_left", "dtype", "shape")

    def __init__(self, tensor: Any, finish: Callable[[Array], Array] | None = None) -> None:
        tensor = tensor.detach()
        self.shape = tuple(tensor.shape)
        self.dtype = _numpy_dtype(tensor.dtype)
        self._finish = finish
        self._landed: Array | None = None
        # Pinned by torch, where the device can write into it by itself.
        self._host = tensor.to("cpu", non_blocking=_has_events(tensor.device.type))
        self._left = _mark(tensor.device)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return int(self.shape[0])

    def has_arrived(self) -> bool:
        """Asks without waiting."""
        return self._left is None or bool(self._left.query())

    def land(self) -> Array:
        """The values; waits for the device if it is not that far."""
        if self._landed is None:
            if self._left is not None:
                self._left.synchronize()
            array = as_array(self._host)
            self._landed = array if self._finish is None else self._finish(array)
            self._host = self._left = None
        return self._landed


Values = npt.NDArray[Any] | Arriving


def landed(values: Values) -> Array:
    """The array, be it here or on its way."""
    return values.land() if type(values) is Arriving else values  # type: ignore[return-value]


@functools.cache
def _numpy_dtype(dtype: Any) -> np.dtype[Any]:
    import torch

    return as_array(torch.empty(0, dtype=dtype)).dtype


@functools.cache
def _has_events(kind: str) -> bool:
    """Without them nobody could say when a copy is complete, so that it is waited for at once."""
    import torch

    return hasattr(getattr(torch, kind, None), "Event")


def _mark(device: Any) -> Any:
    """An event behind everything that this device has been asked to do so far; None without."""
    import torch

    if not _has_events(device.type):
        return None
    module = getattr(torch, device.type)
    event = module.Event()
    if hasattr(module, "current_stream"):
        event.record(module.current_stream(device))  # of that device, which need not be the current
    else:
        event.record()
    return event


# -- what a script hands over --------------------------------------------------------------------


def is_away(value: Any) -> bool:
    """Is it a tensor on another device than the CPU?"""
    return getattr(value, "is_cpu", None) is False


def _tensor_away(value: Any) -> Any:
    """The tensor, or the stack of a list of tensors, that is away; None for all else."""
    if is_away(value):
        return value
    if isinstance(value, (list, tuple)) and value and is_away(value[0]):
        import torch

        return torch.stack([one.detach() for one in value])
    return None


def sample_values(signal: str, value: Any, count: int) -> Values:
    """`values.per_sample`, of values that are away once they are here.

    Raises:
        SignalShapeError: as there.
    """
    tensor = None if getattr(value, "is_cpu", None) else _tensor_away(value)
    if tensor is None:
        return per_sample(signal, value, count)
    _refuse_complex(signal, tensor)
    check_per_sample(signal, tensor.shape, count)
    return Arriving(_row_means(tensor.detach()), lambda found: per_sample(signal, found, count))


def instance_values(signal: str, value: Any, count: int) -> Values:
    """`values.per_instance`, of values that are away once they are here.

    Raises:
        SignalShapeError: as there.
    """
    tensor = None if getattr(value, "is_cpu", None) else _tensor_away(value)
    if tensor is None:
        return per_instance(signal, value, count)
    _refuse_complex(signal, tensor)
    check_per_instance(signal, tensor.shape, count)
    return Arriving(tensor, lambda found: per_instance(signal, found, count))


def one_number(signal: str, value: Any) -> float | Arriving:
    """The one number of a step, or the mean of what is more than that.

    Raises:
        SignalShapeError: it is no number.
    """
    if is_away(value):
        _refuse_complex(signal, value)
        tensor = value.detach()
        return Arriving(tensor.float().mean() if tensor.ndim else tensor)
    try:
        return float(as_array(value).mean())
    except (TypeError, ValueError) as error:
        raise SignalShapeError(
            f"signal {signal!r}: expected a number or a tensor, got {type(value).__name__}"
        ) from error


def numbers(values: Mapping[str, float | Arriving]) -> dict[str, float]:
    """What `one_number` gave, as numbers."""
    return {
        name: float(one.land()) if isinstance(one, Arriving) else one
        for name, one in values.items()
    }


class Numbers:
    """One number for each name, given as numbers or tensors of one element, here or away.

    Those of one device make the way together: one copy, however many they are.

    Raises:
        SignalShapeError: one of them is no such thing.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._values: dict[str, float] = {}
        self._tensors: list[tuple[list[str], Values]] = []
        places: dict[Any, dict[str, Any]] = {}
        for name, value in given.items():
            if hasattr(value, "detach"):
                places.setdefault(value.device, {})[name] = _single(name, value)
            else:
                self._values[name] = _number(name, value)
        self.names = list(given)
        for tensors in places.values():
            stack = _stacked(list(tensors.values()))
            found: Values = Arriving(stack) if is_away(stack) else as_array(stack)
            self._tensors.append((list(tensors), found))

    @property
    def arriving(self) -> list[Arriving]:
        return [one for _, one in self._tensors if isinstance(one, Arriving)]

    def land(self) -> dict[str, float]:
        """The numbers in the order in which they were given; waits for the devices."""
        found = dict(self._values)
        for names, values in self._tensors:
            found.update(zip(names, landed(values).tolist(), strict=True))
        return {name: float(found[name]) for name in self.names}


def _single(signal: str, tensor: Any) -> Any:
    _refuse_complex(signal, tensor)
    if tensor.numel() != 1:
        raise SignalShapeError(
            f"signal {signal!r}: expected one number, got a tensor of shape {list(tensor.shape)}"
        )
    return tensor.detach().reshape(())


def _number(signal: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise SignalShapeError(
            f"signal {signal!r}: expected one number, got {type(value).__name__}"
        ) from error


def _stacked(tensors: Sequence[Any]) -> Any:
    """Single numbers ``[]`` as one tensor ``[N]``, of a dtype that holds them all."""
    import torch

    if len({one.dtype for one in tensors}) > 1:
        wide = torch.float32 if tensors[0].device.type == "mps" else torch.float64
        tensors = [one.to(wide) for one in tensors]
    return torch.stack(list(tensors))


def some_arrays(values: Any) -> Values | Sequence[Values]:
    """`values.as_arrays`, where tensors that are away are `Arriving`."""
    if not isinstance(values, (list, tuple)):
        return Arriving(values) if is_away(values) else as_array(values)
    if not values or not is_away(values[0]):
        return as_arrays(values)
    if len({(getattr(one, "device", None), one.shape, one.dtype) for one in values}) == 1:
        import torch

        return Arriving(torch.stack([one.detach() for one in values]))
    return [Arriving(one) if is_away(one) else as_array(one) for one in values]


def _row_means(tensor: Any) -> Any:
    """``[B, …]`` averaged to ``[B]`` where it lies, as `values.per_sample` would.

    What that decides by the values themselves (integers, empty rows) is left to it.
    """
    if tensor.ndim == 1 or not tensor.is_floating_point() or not tensor.numel():
        return tensor
    import torch

    exact = torch.float32 if tensor.device.type == "mps" else torch.float64  # which MPS lacks
    narrow = torch.float32 if tensor.itemsize < 4 else tensor.dtype
    return tensor.reshape(len(tensor), -1).mean(1, dtype=exact).to(narrow)


def _refuse_complex(signal: str, tensor: Any) -> None:
    if tensor.is_complex():
        raise SignalShapeError(
            f"signal {signal!r}: expected numbers, got {tensor.dtype} of shape {list(tensor.shape)}"
        )
