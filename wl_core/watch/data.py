"""``flag="data"``: a data set or a DataLoader becomes a loader whose batches are known by sample.

This file chooses and checks; `loader` is what it builds.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch.utils.data import DataLoader, IterableDataset, default_collate

from wl_core.errors import UsageError, nearest
from wl_core.session import session
from wl_core.watch.batch_size import LoaderSettings
from wl_core.watch.collate import Collate, IndexedDataset, IndexedIterable
from wl_core.watch.loader import TrackedLoader

_LOADER_OPTIONS = (
    "sampler", "batch_sampler", "pin_memory", "drop_last", "timeout", "worker_init_fn",
    "multiprocessing_context", "generator", "prefetch_factor", "persistent_workers",
)  # fmt: skip
_NO_BATCHES = (
    "batch_size=None hands over what the data set made, so wl cannot tell samples apart: give it a"
    " batch_size, or pass batch_ids= yourself"
)


def watch_data(
    obj: Any,
    *,
    name: str | None = None,
    loader_name: str | None = None,
    batch_size: int | None = 1,
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
        is_training: the model learns from it, so that its batches leave out what is discarded, at
            once: batches that workers made ahead are made again of what is left. ``len`` stays
            that of the whole data.
        preload_labels: read ids, metadata and instance counts of all samples now.
        compute_hash: know the samples of a data set that has no ids by a hash of their data, not
            by their index.

    Raises:
        UsageError: no data set, two data sets under one name, or options for a DataLoader, which
            has its own.
        TypeError: an unknown option.
    """
    for option in options:
        if option not in _LOADER_OPTIONS:
            hint = nearest(
                option,
                (
                    *_LOADER_OPTIONS,
                    "batch_size",
                    "shuffle",
                    "num_workers",
                    "collate_fn",
                    "loader_name",
                    "is_training",
                ),
            )
            raise TypeError(f"watch_or_edit(flag='data') has no option {option!r}.{hint}")
    if not isinstance(obj, (DataLoader, IterableDataset)) and not hasattr(obj, "__getitem__"):
        raise UsageError(
            f"flag='data': expected a data set or DataLoader, got {type(obj).__name__}"
        )
    origin = loader_name or name or "data"
    if isinstance(obj, DataLoader):
        given = {
            "shuffle": shuffle,
            "num_workers": num_workers,
            "collate_fn": collate_fn,
            **options,
        }
        if batch_size != 1 or any(given.values()):
            raise UsageError("a DataLoader is taken as it is: set its options where it is built")
        loader, dataset = _track(obj, compute_hash), obj.dataset
    else:
        dataset = obj
        loader = _build(obj, compute_hash, collate_fn, batch_size, shuffle, num_workers, options)
    tracked = TrackedLoader(loader, dataset, origin, is_training=is_training, hashed=compute_hash)
    running = session()
    other = running.loaders.get(origin)
    if other is not None and other.dataset is not dataset:
        raise UsageError(
            f"another data set is watched as {origin!r}: give this one its loader_name"
        )
    running.loaders[origin] = tracked
    running.settings.include(LoaderSettings(running.loaders, origin), _detail(tracked))
    if preload_labels:
        tracked.preload()
    return tracked


def _track(loader: DataLoader[Any], hashed: bool) -> DataLoader[Any]:
    if loader.batch_size is None and loader.batch_sampler is None:
        raise UsageError(f"a DataLoader with {_NO_BATCHES}")
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
    batch_size: int | None,
    shuffle: bool,
    num_workers: int,
    options: dict[str, Any],
) -> DataLoader[Any]:
    if batch_size is None:
        raise UsageError(f"a loader with {_NO_BATCHES}")
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
