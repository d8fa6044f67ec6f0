"""What a data set's item is made of: its id, data, target and metadata.

A data set may return ``(x, y)``, ``(x, id, y)``, ``(x, id, y, metadata)``, a dict, or the data
alone. How items become batches is `collate`'s business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.codec import SampleId
from wl_core.errors import UsageError
from wl_core.values import as_ids

ID_KEYS = ("id", "uid", "sample_id", "image_id", "idx")
DATA_KEYS = ("image", "data", "x", "input", "inputs", "img")
TARGET_KEYS = ("target", "targets", "label", "labels", "instances", "mask", "masks", "y")
_METADATA_KEYS = ("metadata", "meta")
_LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a data set, taken apart. ``id`` is its index where it brings none of its own."""

    id: SampleId
    data: Any
    target: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def image(self) -> npt.NDArray[Any]:
        """The data as an array ``[H, W]`` or ``[H, W, C]``, see `as_image`."""
        return as_image(self.data)


def take_apart(item: Any, index: int | None, *, hashed: bool = False) -> Item:
    """Reads ``(x, y)``, ``(x, id, y)``, ``(x, id, y, metadata)``, a dict, or the data alone.

    Raises:
        UsageError: it is none of these, or nothing in it can be an id.
    """
    if isinstance(item, dict):
        data = first_of(item, DATA_KEYS)
        own = first_of(item, ID_KEYS)
        metadata = first_of(item, _METADATA_KEYS) or {}
        found = Item(0, data, first_of(item, TARGET_KEYS), metadata)
    elif isinstance(item, (tuple, list)) and 2 <= len(item) <= 4:
        data, own = item[0], item[1] if len(item) > 2 else None
        metadata = item[3] if len(item) == 4 else {}
        found = Item(0, data, item[2] if len(item) > 2 else item[1], metadata or {})
    elif isinstance(item, (tuple, list)):
        raise UsageError(
            f"the data set returned {len(item)} things: expected (x, y), (x, id, y),"
            " (x, id, y, metadata) or a dict"
        )
    else:
        own, found = None, Item(0, item)
    return Item(
        _id_of(own, found.data, index, hashed), found.data, found.target, dict(found.metadata)
    )


def first_of(item: dict[Any, Any], keys: Sequence[str]) -> Any:
    return next((item[key] for key in keys if key in item), None)


def _id_of(own: Any, data: Any, index: int | None, hashed: bool) -> SampleId:
    if own is not None:
        try:
            return as_ids([own])[0]
        except (ValueError, TypeError, RuntimeError) as error:
            raise UsageError(
                f"the data set's second value is not an id but {type(own).__name__}: return"
                " (x, id, y) or (x, id, y, metadata) with an integer or text as id, or (x, y)"
            ) from error
    if hashed:
        array = np.ascontiguousarray(np.asarray(data))
        return hashlib.sha256(str(array.dtype).encode() + array.tobytes()).hexdigest()[:16]
    if index is None:
        raise UsageError(
            "an IterableDataset has no indices to know its samples by: yield (x, id, y) or a dict"
            " with an 'id', or watch it with compute_hash=True"
        )
    return index


def is_scalar(value: Any) -> bool:
    if isinstance(value, (bool, int, float, str)):
        return True
    return hasattr(value, "item") and getattr(value, "ndim", 1) == 0


def plain(value: Any) -> Any:
    """What a column of metadata can hold: numbers, bools, text; anything else as its text."""
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    return str(value)[:_LONGEST_TEXT]


def as_image(data: Any) -> npt.NDArray[Any]:
    """An image as ``[H, W]`` or ``[H, W, C]``, from ``[H, W]``, ``[C, H, W]`` or ``[H, W, C]``.

    An axis of at most 4 counts as channels, of two such axes the first in a tensor and the last
    in an array; one channel is dropped. Values are kept as they are.

    Raises:
        UsageError: the data has neither two nor three dimensions.
    """
    is_tensor = hasattr(data, "detach")
    array = np.asarray(data.detach().cpu() if is_tensor else data)
    if array.ndim == 3 and array.shape[0] <= 4 and (is_tensor or array.shape[2] > 4):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3):
        raise UsageError(f"the data is no image: it has shape {list(array.shape)}")
    return array
