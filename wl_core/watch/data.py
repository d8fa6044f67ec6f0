"""``flag="data"``: a data set or a DataLoader becomes a loader whose batches are known by sample.

What a batch tells (ids, metadata, instance counts) is gathered by the collate, in the worker if
there are workers, and travels with the batch; the main process takes it off again and records it,
so that no worker ever touches the log (G6). What the user's collate gets and gives is not changed.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from wl_core.codec import SampleId
from wl_core.errors import UnknownNameError, UsageError, nearest
from wl_core.session import current_session, session
from wl_core.values import BatchIds, as_ids

_ID_KEYS = ("id", "uid", "sample_id", "image_id", "idx")
_DATA_KEYS = ("image", "data", "x", "input", "inputs", "img")
_TARGET_KEYS = ("target", "targets", "label", "labels", "instances", "mask", "masks", "y")
_METADATA_KEYS = ("metadata", "meta")
_LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a data set, taken apart. ``id`` is its index where it brings none of its own."""

    id: SampleId
    data: Any
    target: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Collated:
    """A batch as the user's collate made it, with what is known of its samples."""

    batch: Any
    ids: list[SampleId]
    indices: list[int | None]
    metadata: list[dict[str, Any]]
    counts: list[int] | None

    def pin_memory(self) -> Collated:
        from torch.utils.data._utils.pin_memory import pin_memory

        self.batch = pin_memory(self.batch)
        return self


def take_apart(item: Any, index: int | None, *, hashed: bool = False) -> Item:
    """Reads ``(x, y)``, ``(x, id, y)``, ``(x, id, y, metadata)``, a dict, or the data alone.

    Raises:
        UsageError: it is none of these, or nothing in it can be an id.
    """
    if isinstance(item, dict):
        data = _first(item, _DATA_KEYS)
        own = _first(item, _ID_KEYS)
        metadata = _first(item, _METADATA_KEYS) or {}
        found = Item(0, data, _first(item, _TARGET_KEYS), metadata)
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
    return Item(_id_of(own, found.data, index, hashed), found.data, found.target, dict(found.metadata))


def _first(item: dict[Any, Any], keys: Sequence[str]) -> Any:
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

    def __iter__(self) -> Iterator[tuple[None, Any]]:
        return ((None, item) for item in self.dataset)


class Collate:
    """Runs the user's collate on the user's items, and gathers what is known of them.

    ``with_ids`` gives ``(x, id, y)`` to the collate for a data set that returns ``(x, y)``, so
    that the batch bears the ids.
    """

    def __init__(self, collate: Callable[[list[Any]], Any], *, with_ids: bool, hashed: bool) -> None:
        self.collate = collate
        self.with_ids = with_ids
        self.hashed = hashed

    def __call__(self, pairs: list[tuple[int | None, Any]]) -> Collated:
        items = [item for _, item in pairs]
        known = [take_apart(item, index, hashed=self.hashed) for index, item in pairs]
        if self.with_ids:
            items = [_with_id(item, one.id) for item, one in zip(items, known, strict=True)]
        batch = self.collate(items)
        return Collated(
            batch,
            [one.id for one in known],
            [index for index, _ in pairs],
            [_plain_metadata(one) for one in known],
            self._counts(batch, items, known),
        )

    def _counts(self, batch: Any, items: list[Any], known: list[Item]) -> list[int] | None:
        """How many instances each sample has after the collate, which may drop some."""
        collated = _target_of(batch, items[0])
        if _lists_of_arrays(collated, len(items)):
            return [len(one) for one in collated]
        targets = [one.target for one in known]
        if self.collate is default_collate and _lists_of_arrays(targets, len(items)):
            return [len(one) for one in targets]
        return None


def _with_id(item: Any, own: SampleId) -> Any:
    if isinstance(item, dict):
        return item if any(key in item for key in _ID_KEYS) else {**item, "id": own}
    if isinstance(item, (tuple, list)):
        return (item[0], own, item[1]) if len(item) == 2 else item
    return (item, own)


def _target_of(batch: Any, item: Any) -> Any:
    """Where the collate of items like ``item`` has put the targets, if it kept their order."""
    if isinstance(batch, dict):
        return _first(batch, _TARGET_KEYS)
    if isinstance(item, (tuple, list)) and isinstance(batch, (tuple, list)) and len(batch) == len(item):
        return batch[1 if len(item) == 2 else 2]
    return None


def _lists_of_arrays(targets: Any, size: int) -> bool:
    if not isinstance(targets, (list, tuple)) or len(targets) != size:
        return False
    return all(
        isinstance(one, (list, tuple)) and all(getattr(a, "ndim", 0) >= 1 for a in one)
        for one in targets
    )


def _plain_metadata(item: Item) -> dict[str, Any]:
    found = {str(name): _plain(value) for name, value in item.metadata.items()}
    if "target" not in found and _is_scalar(item.target):
        found["target"] = _plain(item.target)
    return found


def _is_scalar(value: Any) -> bool:
    if isinstance(value, (bool, int, float, str)):
        return True
    return hasattr(value, "item") and getattr(value, "ndim", 1) == 0


def _plain(value: Any) -> Any:
    """What a column of metadata can hold: numbers, bools, text; anything else as its text."""
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    return str(value)[:_LONGEST_TEXT]


class TrackedLoader:
    """What ``watch_or_edit(data, flag="data")`` returns.

    ``next(loader)`` gives batches for ever; ``for batch in loader`` makes one pass. Batches are
    what the collate makes of the data set's items. The default collate makes ``(x, ids, y)`` of a
    data set that returns ``(x, y)``, and puts a dict's ids under ``"id"``; a collate of your own
    gets the items as they are. A DataLoader that was given as it is gives the batches that it
    always gave. Either way `batch_ids` are those of the last batch, and
    a watched criterion or `save_signals` that is called without ids takes them from there.
    """

    def __init__(
        self, loader: DataLoader[Any], dataset: Any, origin: str, *, is_training: bool, hashed: bool
    ) -> None:
        self._loader = loader
        self._endless: Iterator[Any] | None = None
        self._hashed = hashed
        self._index: dict[SampleId, int] = {}
        self._indexed_all = False
        self._told: dict[SampleId, int] = {}
        self._counted: dict[SampleId, int] = {}
        self.dataset = dataset
        self.origin = origin
        self.is_training = is_training
        self.batch_ids: list[SampleId] | None = None

    @property
    def batch_size(self) -> int | None:
        return self._loader.batch_size

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        for collated in self._loader:
            yield self._hand(collated)

    def __next__(self) -> Any:
        if self._endless is None:
            self._endless = iter(self._loader)
        collated = next(self._endless, None)
        if collated is None:
            self._endless = iter(self._loader)
            collated = next(self._endless, None)
            if collated is None:
                raise UsageError(f"the loader {self.origin!r} has no batches: its data set is empty")
        return self._hand(collated)

    def _hand(self, collated: Collated) -> Any:
        batch = BatchIds(self.origin, collated.ids)
        self.batch_ids = collated.ids
        for one, index in zip(collated.ids, collated.indices, strict=True):
            if index is not None:
                self._index[one] = index
        running = current_session()
        if running is not None:
            running.hand(batch, self._facts(batch, collated.metadata, collated.counts))
        return collated.batch

    def _facts(
        self, batch: BatchIds, metadata: list[dict[str, Any]], counts: list[int] | None
    ) -> list[tuple[str, tuple[Any, ...]]]:
        """What is new about these samples, as calls of the recorder."""
        facts: list[tuple[str, tuple[Any, ...]]] = []
        fresh = []
        for place, (one, found) in enumerate(zip(batch.ids, metadata, strict=True)):
            mark = hash(tuple(found.items()))
            if found and self._told.get(one) != mark:
                self._told[one] = mark
                fresh.append(place)
        if fresh:
            some = [metadata[place] for place in fresh]
            names = dict.fromkeys(name for one in some for name in one)
            columns = {name: [one.get(name) for one in some] for name in names}
            whose = BatchIds(self.origin, [batch.ids[place] for place in fresh])
            facts.append(("metadata", (whose, columns)))
        if counts is not None and any(
            self._counted.get(one) != count for one, count in zip(batch.ids, counts, strict=True)
        ):
            self._counted.update(zip(batch.ids, counts, strict=True))
            facts.append(("instances_found", (batch, counts)))
        return facts

    def instance_counts(self, ids: list[SampleId]) -> list[int] | None:
        """How many instances each of these samples had when it was last handed over, if known."""
        counts = [self._counted.get(one) for one in ids]
        return None if None in counts else [count for count in counts if count is not None]

    # -- reading single items ------------------------------------------------

    def items(self) -> Iterator[Item]:
        """Every item of the data set, in its order; none counts as seen by the model."""
        source = self.dataset if isinstance(self.dataset, IterableDataset) else None
        if source is not None:
            for item in source:
                yield take_apart(item, None, hashed=self._hashed)
            return
        for index in range(len(self.dataset)):
            item = take_apart(self.dataset[index], index, hashed=self._hashed)
            self._index[item.id] = index
            yield item
        self._indexed_all = True

    def item(self, sample_id: SampleId) -> Item:
        """One item by its id, read from the data set.

        Raises:
            UnknownNameError: the data set has no such item.
        """
        if sample_id not in self._index and not self._indexed_all:
            for item in self.items():
                if item.id == sample_id:
                    return item
        if sample_id not in self._index:
            raise UnknownNameError(f"{self.origin!r} has no sample {sample_id!r}")
        index = self._index[sample_id]
        return take_apart(self.dataset[index], index, hashed=self._hashed)

    def preload(self) -> None:
        """Tells the run of every sample before the first step: ids, metadata, instance counts.

        A data set that offers ``get_items(index, include_image=False)`` need not read its images.
        """
        running = session()
        partly = getattr(self.dataset, "get_items", None)
        held: list[Item] = []
        for index in range(len(self.dataset)):
            raw = partly(index, include_image=False) if partly else self.dataset[index]
            held.append(take_apart(raw, index, hashed=self._hashed))
            if len(held) == 256 or index == len(self.dataset) - 1:
                self._register(running, held)
                held = []
        self._indexed_all = True

    def _register(self, running: Any, held: list[Item]) -> None:
        batch = BatchIds(self.origin, [item.id for item in held])
        counts = None
        if _lists_of_arrays([item.target for item in held], len(held)):
            # What a collate may drop (empty masks) is not there to be told yet.
            counts = [sum(bool(np.asarray(a).any()) for a in item.target) for item in held]
        for method, arguments in self._facts(batch, [_plain_metadata(i) for i in held], counts):
            getattr(running.recorder, method)(*arguments)


_LOADER_OPTIONS = (
    "sampler", "batch_sampler", "pin_memory", "drop_last", "timeout", "worker_init_fn",
    "multiprocessing_context", "generator", "prefetch_factor", "persistent_workers",
)  # fmt: skip


def watch_data(
    obj: Any,
    *,
    name: str | None = None,
    loader_name: str | None = None,
    batch_size: int = 1,
    shuffle: bool = False,
    num_workers: int = 0,
    collate_fn: Callable[[list[Any]], Any] | None = None,
    is_training: bool = False,
    preload_labels: bool = False,
    compute_hash: bool = False,
    **options: Any,
) -> TrackedLoader:
    """A data set, or a DataLoader as it is, as a `TrackedLoader`.

    Args:
        obj: a ``torch.utils.data.Dataset`` or anything with ``__len__`` and ``__getitem__``, an
            ``IterableDataset``, or a ``DataLoader``, which keeps all its own settings.
        name, loader_name: the origin of its samples; ``"data"`` when left out.
        batch_size, shuffle, num_workers, collate_fn: as for ``DataLoader``; so are ``sampler``,
            ``batch_sampler``, ``pin_memory``, ``drop_last``, ``timeout``, ``worker_init_fn``,
            ``multiprocessing_context``, ``generator``, ``prefetch_factor``,
            ``persistent_workers``. Not for a DataLoader.
        is_training: the model learns from it.
        preload_labels: read ids, metadata and instance counts of all samples now.
        compute_hash: know the samples of a data set that has no ids by a hash of their data, not
            by their index.

    Raises:
        UsageError: two data sets under one name, or options for a DataLoader that has its own.
        TypeError: an unknown option.
    """
    for option in options:
        if option not in _LOADER_OPTIONS:
            hint = nearest(option, (*_LOADER_OPTIONS, "batch_size", "shuffle", "num_workers", "collate_fn", "loader_name", "is_training"))
            raise TypeError(f"watch_or_edit(flag='data') has no option {option!r}.{hint}")
    origin = loader_name or name or "data"
    if isinstance(obj, DataLoader):
        given = {"shuffle": shuffle, "num_workers": num_workers, "collate_fn": collate_fn, **options}
        if batch_size != 1 or any(given.values()):
            raise UsageError("a DataLoader is taken as it is: set its options where it is built")
        loader, dataset = _track(obj, compute_hash), obj.dataset
    else:
        dataset = obj
        loader = _build(obj, compute_hash, collate_fn, batch_size, shuffle, num_workers, options)
    tracked = TrackedLoader(
        loader, dataset, origin, is_training=is_training, hashed=compute_hash
    )
    running = session()
    other = running.loaders.get(origin)
    if other is not None and other.dataset is not dataset:
        raise UsageError(f"another data set is watched as {origin!r}: give this one its loader_name")
    running.loaders[origin] = tracked
    running.recorder.add("object_described", "data", origin, _detail(tracked))
    if preload_labels:
        tracked.preload()
    return tracked


def _track(loader: DataLoader[Any], hashed: bool) -> DataLoader[Any]:
    if loader.batch_size is None and loader.batch_sampler is None:
        raise UsageError(
            "a DataLoader with batch_size=None hands over what the data set made, so wl cannot tell"
            " samples apart: give it a batch_size, or pass batch_ids= yourself"
        )
    tracked = copy.copy(loader)
    iterable = isinstance(loader.dataset, IterableDataset)
    wrapped = IndexedIterable(loader.dataset) if iterable else IndexedDataset(loader.dataset)
    object.__setattr__(tracked, "dataset", wrapped)  # DataLoader forbids it to plain assignment
    tracked.collate_fn = Collate(loader.collate_fn, with_ids=False, hashed=hashed)
    tracked._iterator = None
    return tracked


def _build(
    dataset: Any,
    hashed: bool,
    collate: Callable[[list[Any]], Any] | None,
    batch_size: int,
    shuffle: bool,
    num_workers: int,
    options: dict[str, Any],
) -> DataLoader[Any]:
    iterable = isinstance(dataset, IterableDataset)
    if "batch_sampler" in options:
        sizes: dict[str, Any] = {}
    elif iterable:
        sizes = {"batch_size": batch_size}
    else:
        sizes = {"batch_size": batch_size, "shuffle": shuffle}
    return DataLoader(
        IndexedIterable(dataset) if iterable else IndexedDataset(dataset),
        num_workers=num_workers,
        collate_fn=Collate(collate or default_collate, with_ids=collate is None, hashed=hashed),
        **sizes,
        **options,
    )


def _detail(tracked: TrackedLoader) -> dict[str, Any]:
    sized = hasattr(tracked.dataset, "__len__")
    return {
        "dataset": type(tracked.dataset).__qualname__,
        "samples": len(tracked.dataset) if sized else None,
        "batch_size": tracked.batch_size,
        "is_training": tracked.is_training,
    }
