"""The arrays of one sample or instance, for signals that ask: its mask, its last prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wl_core.arrays import unpack_record
from wl_core.codec import SampleId
from wl_core.errors import UsageError

if TYPE_CHECKING:
    from wl_core.running import Data, DataItem, Running


def instance_targets(loader: Data, item: DataItem) -> list[Any]:
    """The item's masks, in the order in which its instances are numbered.

    A collate may have dropped the masks that are empty, and those have no number then. What the
    loader counted in the batches says whether it did; before the first batch, a collate of the
    user's own is taken to.

    Raises:
        UsageError: the item's target is not a list of arrays.
    """
    if not isinstance(item.target, (list, tuple)):
        raise UsageError(
            f"sample {item.id!r} lists no instances: its target is {type(item.target).__name__},"
            " not a list of masks"
        )
    kept = [mask for mask in item.target if np.asarray(mask).any()]
    counted = loader.instance_counts([item.id])
    drops = not getattr(getattr(loader, "collate_fn", None), "is_default", False)
    if counted is not None:
        drops = counted != [len(item.target)]
    return kept if drops else list(item.target)


def latest_array(
    running: Running, field: str, origin: str, sample_id: SampleId, annotation_id: int
) -> npt.NDArray[Any] | None:
    """The array that was recorded last, this step's included; None when there is none."""
    if annotation_id:
        view = running.views.view("instances")
        found = view.get_ref(origin, sample_id, annotation_id, field)
    else:
        found = running.views.view("samples").get_ref(origin, sample_id, field)
    return None if found is None else _load(running, found[0])


def _load(running: Running, reference: bytes) -> npt.NDArray[Any]:
    for opened in running.recorder.frames:  # on its way into the store
        for known, record in opened.arrays:
            if known == reference:
                return unpack_record(record)
    if reference not in running.arrays:
        running.flush()
    return running.arrays.get(reference)
