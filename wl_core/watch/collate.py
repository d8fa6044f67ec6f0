"""What a batch tells of its samples, gathered by the collate: in the worker, if there are workers.

It travels with the batch; the main process takes it off again and records it, so that no worker
ever touches the log (G6). What the user's collate gets and gives is not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset, IterableDataset, default_collate, get_worker_info

from wl_core.codec import SampleId
from wl_core.watch.items import ID_KEYS, TARGET_KEYS, Item, first_of, is_scalar, plain, take_apart
from wl_core.watch.packing import pack
from wl_core.watch.sampling import Discarded


@dataclass(slots=True)
class Collated:
    """A batch as the user's collate made it, with what is known of its samples."""

    batch: Any
    ids: list[SampleId]
    indices: list[int | None]
    metadata: list[dict[str, Any]]
    counts: list[int] | None
    packed: torch.Tensor | None = None  # a stream's items, from a worker, see `packing`

    def pin_memory(self) -> Collated:
        from torch.utils.data._utils.pin_memory import pin_memory

        self.batch = pin_memory(self.batch)  # type: ignore[no-untyped-call]
        return self


class IndexedDataset(Dataset[tuple[int, Any]]):
    """The user's data set, its items with their indices."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        return index, self.dataset[index]

    def __getitems__(self, indices: list[int]) -> list[tuple[int, Any]]:
        if hasattr(self.dataset, "__getitems__"):
            return list(zip(indices, self.dataset.__getitems__(indices), strict=True))
        return [(index, self.dataset[index]) for index in indices]


class IndexedIterable(IterableDataset[tuple[None, Any]]):
    """The user's iterable data set; its items have no index."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self._discarded: Discarded | None = None
        self._hashed = False

    def leave_out(self, discarded: Discarded, *, hashed: bool) -> None:
        """Skips these samples in the main process; ``hashed`` as for `take_apart`."""
        self._discarded, self._hashed = discarded, hashed

    def __iter__(self) -> Iterator[tuple[None, Any]]:
        items = iter(self.dataset)
        # A worker would not learn of what is discarded and restored later.
        if self._discarded is not None and get_worker_info() is None:
            items = self._discarded.streamed(items, self._id_of)
        return ((None, item) for item in items)

    def _id_of(self, item: Any) -> SampleId:
        return take_apart(item, None, hashed=self._hashed).id

    def __len__(self) -> int:
        return len(self.dataset)


class Collate:
    """Runs the user's collate on the user's items, and gathers what is known of them.

    ``with_ids`` gives ``(x, id, y)`` to the collate for a data set that returns ``(x, y)``, so
    that the batch bears the ids. ``packing`` sends a worker's items along with their batch: those
    of a stream cannot be read again when one of them has to be left out of it.
    """

    def __init__(
        self,
        collate: Callable[[list[Any]], Any],
        *,
        with_ids: bool,
        hashed: bool,
        packing: bool = False,
    ) -> None:
        self.collate = collate
        self.with_ids = with_ids
        self.hashed = hashed
        self.packing = packing

    @property
    def is_default(self) -> bool:
        return self.collate is default_collate

    def __call__(self, pairs: list[tuple[int | None, Any]]) -> Collated:
        # Before the collate, which may change the items in place.
        packed = pack(pairs) if self.packing and get_worker_info() is not None else None
        items = [item for _, item in pairs]
        known = [take_apart(item, index, hashed=self.hashed) for index, item in pairs]
        if self.with_ids:
            items = [_with_id(item, one.id) for item, one in zip(items, known, strict=True)]
        batch = self.collate(items)
        return Collated(
            batch,
            [one.id for one in known],
            [index for index, _ in pairs],
            [plain_metadata(one) for one in known],
            self._counts(batch, items, known),
            packed,
        )

    def _counts(self, batch: Any, items: list[Any], known: list[Item]) -> list[int] | None:
        """How many instances each sample has after the collate, which may drop some."""
        collated = _target_of(batch, items[0])
        if lists_of_arrays(collated, len(items)):
            return [len(one) for one in collated]
        targets = [one.target for one in known]
        if self.is_default and lists_of_arrays(targets, len(items)):
            return [len(one) for one in targets]
        return None


def _with_id(item: Any, own: SampleId) -> Any:
    if isinstance(item, dict):
        return item if any(key in item for key in ID_KEYS) else {**item, "id": own}
    if isinstance(item, (tuple, list)):
        return (item[0], own, item[1]) if len(item) == 2 else item
    return (item, own)


def _target_of(batch: Any, item: Any) -> Any:
    """Where the collate of items like ``item`` has put the targets, if it kept their order."""
    if isinstance(batch, dict):
        return first_of(batch, TARGET_KEYS)
    if (
        isinstance(item, (tuple, list))
        and isinstance(batch, (tuple, list))
        and len(batch) == len(item)
    ):
        return batch[1 if len(item) == 2 else 2]
    return None


def lists_of_arrays(targets: Any, size: int) -> bool:
    if not isinstance(targets, (list, tuple)) or len(targets) != size:
        return False
    return all(
        isinstance(one, (list, tuple)) and all(getattr(a, "ndim", 0) >= 1 for a in one)
        for one in targets
    )


def plain_metadata(item: Item) -> dict[str, Any]:
    found = {str(name): plain(value) for name, value in item.metadata.items()}
    if "target" not in found and is_scalar(item.target):
        found["target"] = plain(item.target)
    return found
