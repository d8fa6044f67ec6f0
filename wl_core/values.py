"""What a training script hands over -> what an event holds: ids, values, instance numbers, arrays.

Everything here checks before anything is recorded, and says what was expected, what was got and
what to do. Torch objects are recognised by duck typing (`detach`), so that this file, and all that
reads logs, works without torch.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.codec import DTYPES, SampleId, pack_ids, pack_index, pack_vector
from wl_core.errors import SignalShapeError


@dataclass(slots=True, eq=False)
class BatchIds:
    """The samples that some values belong to: their origin, ids ``[B]`` and the ids' blob.

    ``counted`` is False for a batch that an evaluation looks at, which is no exposure.
    """

    origin: str
    ids: list[SampleId]
    blob: tuple[str, Any] = field(init=False)
    counted: bool = True

    def __post_init__(self) -> None:
        try:
            self.blob = pack_ids(self.ids)
        except OverflowError:
            largest = max((one for one in self.ids if isinstance(one, int)), key=abs)
            raise SignalShapeError(
                f"the sample id {largest} does not fit 64 bits: give it as text"
            ) from None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(slots=True, eq=False)
class Instances:
    """The instances that some values belong to, flat ``[N]``.

    Instance ``i`` belongs to the sample at ``batch_idx[i]`` of ``batch`` and is its
    ``annotation_ids[i]``-th, counted from 1. The blobs are what an event holds of both.
    """

    batch: BatchIds
    batch_idx: npt.NDArray[np.int64]
    batch_idx_blob: tuple[str, bytes]
    annotation_blob: tuple[str, bytes]

    @property
    def annotation_ids(self) -> npt.NDArray[np.int64]:
        code, data = self.annotation_blob
        return np.frombuffer(data, DTYPES[code]).astype(np.int64)

    def __len__(self) -> int:
        return len(self.batch_idx)


def as_array(value: Any) -> npt.NDArray[Any]:
    """A tensor, array, sequence or number as a numpy array, off its graph and device."""
    if hasattr(value, "detach"):
        if _unknown_to_numpy(value.dtype):
            value = value.float()  # exact
        array: npt.NDArray[Any] = value.numpy(force=True)
        return array
    if isinstance(value, (list, tuple)) and value and hasattr(value[0], "detach"):
        return np.stack([as_array(item) for item in value])
    return np.asarray(value)


@functools.cache
def _unknown_to_numpy(dtype: Any) -> bool:
    """bfloat16 and the 8-bit floats."""
    small = dtype.is_floating_point and dtype.itemsize < 4
    return bool(small) and str(dtype) != "torch.float16"


def as_arrays(values: Any) -> Sequence[npt.NDArray[Any]] | npt.NDArray[Any]:
    """Several tensors or arrays: one stack ``[N, …]`` if they are alike, else a list.

    One copy by torch is far cheaper than one conversion per mask.
    """
    if not isinstance(values, (list, tuple)):
        return as_array(values)
    if values and all(hasattr(one, "detach") for one in values):
        first = values[0]
        if all(one.shape == first.shape and one.dtype == first.dtype for one in values):
            import torch

            return as_array(torch.stack(list(values)))
    return [as_array(one) for one in values]


def as_ids(batch_ids: Any) -> list[SampleId]:
    """Sample ids, integers or text, as plain Python values.

    Raises:
        SignalShapeError: something else is among them.
    """
    if isinstance(batch_ids, (str, bytes, int, float)):
        raise SignalShapeError(
            f"batch_ids must be a list of ids, one per sample; got {batch_ids!r}"
        )
    try:
        ids = batch_ids.tolist() if hasattr(batch_ids, "tolist") else list(batch_ids)
    except TypeError as error:
        raise SignalShapeError(
            f"batch_ids must be a list of ids, one per sample; got {type(batch_ids).__name__}"
        ) from error
    if not isinstance(ids, list):
        raise SignalShapeError(f"batch_ids must be one id per sample, not the single {ids!r}")
    for number, one in enumerate(ids):
        if type(one) is int or type(one) is str:
            continue
        ids[number] = _as_id(one)
    return ids


def _as_id(one: Any) -> SampleId:
    if hasattr(one, "item"):
        try:
            one = one.item()
        except (ValueError, RuntimeError):  # not one value, say numpy and torch
            shape = list(one.shape)
            raise SignalShapeError(f"a sample id must be one value, not shape {shape}") from None
    if isinstance(one, str):
        return str(one)
    if isinstance(one, int) and not isinstance(one, bool):
        return int(one)
    raise SignalShapeError(
        f"a sample id must be an integer or text, not {one!r} ({type(one).__name__})"
    )


def per_sample(signal: str, value: Any, count: int) -> npt.NDArray[Any]:
    """The values ``[count]`` of a per-sample signal; dimensions beyond the first are averaged.

    Bools stay bools, where there is nothing to average.

    Raises:
        SignalShapeError: not one value (or block of values) per sample, or not numbers.
    """
    array = _numbers(signal, value)
    check_per_sample(signal, array.shape, count)
    if array.ndim == 1:
        return array
    return _average(array.astype(np.float32) if array.dtype.kind == "b" else array)


def check_per_sample(signal: str, shape: Sequence[int], count: int) -> None:
    """Refuses what is not one value, or one block of values, for each of ``count`` samples.

    Raises:
        SignalShapeError: it is not.
    """
    if not shape:
        raise SignalShapeError(
            f"signal {signal!r}: expected one value for each of {count} samples, got a single"
            " number. If a criterion has averaged already, build it with reduction='none'"
        )
    if shape[0] != count:
        raise SignalShapeError(
            f"signal {signal!r}: expected {count} values, one per sample, got shape {list(shape)}"
        )


def _average(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The mean of each row, summed in float64; a row of nothing is NaN."""
    if not array.size:
        return np.full(len(array), np.nan, array.dtype)
    means = array.reshape(len(array), -1).mean(axis=1, dtype=np.float64)
    return np.asarray(means, array.dtype)


def per_instance(signal: str, value: Any, count: int) -> npt.NDArray[Any]:
    """The values ``[count]`` of a per-instance signal, flat and sample-major.

    Raises:
        SignalShapeError: another number or rank of values than instances.
    """
    array = _numbers(signal, value)
    check_per_instance(signal, array.shape, count)
    return array


def check_per_instance(signal: str, shape: Sequence[int], count: int) -> None:
    """Refuses what is not one value for each of ``count`` instances.

    Raises:
        SignalShapeError: it is not.
    """
    if len(shape) != 1 or shape[0] != count:
        raise SignalShapeError(
            f"signal {signal!r}: expected {count} values, one per instance in sample-major order"
            f" (shape [{count}]), got shape {list(shape)}. batch_idx must come from the same"
            " instance lists as the values"
        )


def _numbers(signal: str, value: Any) -> npt.NDArray[Any]:
    try:
        array = as_array(value)
    except (ValueError, TypeError) as error:
        got = type(value).__name__ if hasattr(value, "__len__") else repr(value)
        raise SignalShapeError(
            f"signal {signal!r}: expected numbers, got {got}: {error}"
        ) from error
    if array.dtype.kind == "b":
        return array  # a column of bools alone is one of flags
    if array.dtype.kind in "iu":
        exact = array.size == 0 or int(np.abs(array).max()) <= 1 << 24
        return array.astype(np.float32 if exact else np.float64)
    if array.dtype.kind != "f":
        raise SignalShapeError(
            f"signal {signal!r}: expected numbers, got {array.dtype} of shape {list(array.shape)}"
        )
    return array.astype(np.float32) if array.dtype.itemsize < 4 else array


def as_instances(batch: BatchIds, batch_idx: Any) -> Instances:
    """Numbers the instances of each sample 1, 2, … by appearance, whatever order they come in.

    Raises:
        SignalShapeError: ``batch_idx`` is not flat integers within the batch.
    """
    index = as_array(batch_idx)
    if index.size == 0:
        index = index.astype(np.int64).reshape(-1)
    if index.ndim != 1 or index.dtype.kind not in "iu":
        raise SignalShapeError(
            "batch_idx must hold one integer per instance, the position of its sample in the batch;"
            f" got {index.dtype} of shape {list(index.shape)}"
        )
    index = index.astype(np.int64)  # a copy: the script may change its tensor in place
    if index.size and (int(index.min()) < 0 or int(index.max()) >= len(batch)):
        raise SignalShapeError(
            f"batch_idx must lie within 0 … {len(batch) - 1} (the batch has {len(batch)} samples),"
            f" got {int(index.min())} … {int(index.max())}"
        )
    counts = np.bincount(index, minlength=len(batch)).tolist()
    return _in_order(batch, index, counts) or Instances(
        batch,
        index,
        pack_vector(pack_index(index)),
        pack_vector(pack_index(number_by_appearance(index))),
    )


_BYTES = [bytes([number]) for number in range(256)]
_RAMP = bytes(range(1, 256))


def _in_order(batch: BatchIds, index: npt.NDArray[np.int64], counts: list[int]) -> Instances | None:
    """The usual case, sample by sample and none of them huge, where joining bytes is enough.

    Every step with instances comes by here, and numpy's price is per call: this is three times as
    fast. None when it is another case.
    """
    if len(counts) > len(_RAMP) or max(counts, default=0) > len(_RAMP):
        return None
    narrow = index.astype(np.uint8).tobytes()
    if narrow != b"".join([_BYTES[at] * count for at, count in enumerate(counts)]):
        return None
    numbers = b"".join([_RAMP[:count] for count in counts])
    return Instances(batch, index, ("u1", narrow), ("u1", numbers))


def number_by_appearance(batch_idx: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """``[0, 0, 2, 0]`` gives ``[1, 2, 1, 3]``: which instance of its sample each one is."""
    if not batch_idx.size:
        return batch_idx
    in_order = bool((batch_idx[1:] >= batch_idx[:-1]).all())
    order = None if in_order else np.argsort(batch_idx, kind="stable")
    grouped = batch_idx if order is None else batch_idx[order]
    counts = np.bincount(grouped)
    ends = np.cumsum(counts)
    numbers = np.arange(1, len(grouped) + 1) - np.repeat(ends - counts, counts)
    if order is None:
        return numbers
    back = np.empty_like(numbers)
    back[order] = numbers
    return back


def counts_to_batch_idx(counts: Sequence[int]) -> npt.NDArray[np.int64]:
    """``[2, 0, 1]`` instances per sample give ``[0, 0, 2]``."""
    return np.repeat(np.arange(len(counts)), counts)


def is_nested(targets: Any) -> bool:
    """Is this a list, with one list of arrays for each sample? A list of numbers is one array."""
    return (
        isinstance(targets, (list, tuple))
        and bool(targets)
        and all(isinstance(one, (list, tuple)) for one in targets)
        and all(_is_array_like(item) for one in targets for item in one)
    )


def _is_array_like(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) >= 1


def flatten(targets: Any, instances: Instances) -> Any:
    """Nested lists of arrays, or a flat list or stacked array of them, in the instances' order.

    Raises:
        SignalShapeError: nested lists that disagree with the instances.
    """
    if not is_nested(targets):
        return targets
    counts = [len(one) for one in targets]
    wanted = np.bincount(instances.batch_idx, minlength=len(instances.batch)).tolist()
    if counts != wanted:
        raise SignalShapeError(
            f"the nested lists hold {counts} arrays per sample, batch_idx says {wanted}"
        )
    where = zip(instances.batch_idx.tolist(), instances.annotation_ids.tolist(), strict=True)
    return [targets[sample][number - 1] for sample, number in where]
