"""TrackedLoader: a loader whose batches are known by sample.

What is gathered of a batch is `collate`'s; here the main process records it, and reads single items
for signals that ask for them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from wl_core.codec import SampleId
from wl_core.errors import UnknownNameError, UsageError
from wl_core.session import Session, current_session, session
from wl_core.values import BatchIds
from wl_core.watch.collate import Collated, lists_of_arrays, plain_metadata
from wl_core.watch.items import Item, take_apart

_SAMPLES_A_FRAME = 256


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
        self._told_to: bytes | None = None  # the session that knows what `_told` says
        self.dataset = dataset
        self.origin = origin
        self.is_training = is_training
        self.batch_ids: list[SampleId] | None = None

    def __getattr__(self, name: str) -> Any:
        """What else a DataLoader has: ``batch_size``, ``sampler``, ``generator``, …"""
        if name.startswith("_"):  # also while a copy is being made, which has no loader yet
            raise AttributeError(name)
        return getattr(self._loader, name)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        batch = None
        for collated in self._loader:
            batch = self._hand(collated)
            yield collated.batch
        running = current_session()
        if batch is not None and running is not None:
            running.handover.forget(batch)

    def __next__(self) -> Any:
        if self._endless is None:
            self._endless = iter(self._loader)
        collated = next(self._endless, None)
        if collated is None:
            self._endless = iter(self._loader)
            collated = next(self._endless, None)
            if collated is None:
                self._endless = None
                raise UsageError(
                    f"the loader {self.origin!r} has no batches: its data set is empty, or smaller"
                    " than a batch with drop_last=True"
                )
        self._hand(collated)
        return collated.batch

    def _hand(self, collated: Collated, *, counted: bool = True) -> BatchIds:
        """Records what came with a batch, and gives whose batch it is."""
        batch = BatchIds(self.origin, collated.ids, counted)
        self.batch_ids = list(collated.ids)
        for one, index in zip(collated.ids, collated.indices, strict=True):
            if index is not None:
                self._index[one] = index
        running = current_session()
        if running is not None:
            running.handover.hand(batch)
            self._tell(running, batch, collated.metadata, collated.counts)
        return batch

    def _tell(
        self,
        running: Session,
        batch: BatchIds,
        metadata: list[dict[str, Any]],
        counts: list[int] | None,
    ) -> None:
        """Records what is new about these samples."""
        if self._told_to != running.writer:
            self._told.clear()
            self._counted.clear()
            self._told_to = running.writer
            running.loaders.setdefault(self.origin, self)
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
            running.recorder.metadata(whose, columns)
        if counts is not None and any(
            self._counted.get(one) != count for one, count in zip(batch.ids, counts, strict=True)
        ):
            self._counted.update(zip(batch.ids, counts, strict=True))
            running.recorder.instances_found(batch, counts)

    def knows(self, ids: Iterable[SampleId]) -> bool:
        """Whether all of these samples have been met in this data set."""
        return all(one in self._index for one in ids)

    def instance_counts(self, ids: list[SampleId]) -> list[int] | None:
        """How many instances each of these samples had when it was last handed over, if known."""
        counts = [self._counted.get(one) for one in ids]
        return None if None in counts else [count for count in counts if count is not None]

    # -- a look at the data ----------------------------------------------------

    def pass_over(self, ids: Iterable[SampleId] | None = None) -> Iterator[Any]:
        """One pass over the data set in its order, or over these samples, for an evaluation.

        Batches are of the loader's ``batch_size``, by its own collate, made in this process. They
        are handed over like others, so that values find their samples, but are no exposures.
        Neither the batches of the training nor its random numbers change.

        Args:
            ids: only these samples, in this order, discarded ones too. When left out all samples,
                without the discarded ones where ``is_training``.

        Raises:
            UnknownNameError: the data set has no such sample.
        """
        pairs, before = self._pairs(ids), self.batch_ids
        try:
            while held := self._some_of(pairs):
                with _random_state_kept():
                    collated = self._loader.collate_fn(held)
                batch = self._hand(collated, counted=False)
                yield collated.batch
                running = current_session()
                if running is not None:
                    running.handover.forget(batch)
        finally:
            self.batch_ids = before

    def length_of_pass(self, ids: Iterable[SampleId] | None = None) -> int | None:
        """How many samples `pass_over` will give; None for a stream of unknown length."""
        if ids is not None:
            return len(set(ids))
        return len(self.dataset) if hasattr(self.dataset, "__len__") else None

    def _pairs(self, ids: Iterable[SampleId] | None) -> Iterator[tuple[int | None, Any]]:
        """The items and their indices."""
        wanted = None if ids is None else dict.fromkeys(ids)
        if isinstance(self.dataset, IterableDataset):
            for item in self.dataset:
                own = take_apart(item, None, hashed=self._hashed).id
                if wanted is None or own in wanted:
                    yield None, item
            return
        indices = range(len(self.dataset)) if wanted is None else map(self._index_of, wanted)
        for index in indices:
            yield index, self.dataset[index]

    def _some_of(self, pairs: Iterator[Any]) -> list[Any]:
        size = self.batch_size or getattr(self._loader.batch_sampler, "batch_size", 1)
        with _random_state_kept():
            return list(islice(pairs, size))

    # -- reading single items ------------------------------------------------

    def items(self) -> Iterator[Item]:
        """Every item of the data set, in its order; none counts as seen by the model."""
        if isinstance(self.dataset, IterableDataset):
            yield from self._streamed()
            return
        for index in range(len(self.dataset)):
            yield self._item_at(index)
        self._indexed_all = True

    def _streamed(self) -> Iterator[Item]:
        items, end = iter(self.dataset), object()
        while True:
            with _random_state_kept():
                item = next(items, end)
            if item is end:
                return
            yield take_apart(item, None, hashed=self._hashed)

    def item(self, sample_id: SampleId) -> Item:
        """One item by its id, read from the data set.

        Raises:
            UnknownNameError: the data set has no such item.
        """
        if isinstance(self.dataset, IterableDataset):
            for item in self._streamed():
                if item.id == sample_id:
                    return item
            raise UnknownNameError(f"{self.origin!r} has no sample {sample_id!r}")
        return self._item_at(self._index_of(sample_id))

    def _index_of(self, sample_id: SampleId) -> int:
        if sample_id not in self._index and not self._indexed_all:
            any(item.id == sample_id for item in self._labels())
        if sample_id not in self._index:
            raise UnknownNameError(f"{self.origin!r} has no sample {sample_id!r}")
        return self._index[sample_id]

    def _item_at(self, index: int) -> Item:
        with _random_state_kept():
            item = take_apart(self.dataset[index], index, hashed=self._hashed)
        self._index[item.id] = index
        return item

    def preload(self) -> None:
        """Tells the run of every sample before the first step: ids, metadata, instance counts.

        A data set that offers ``get_items(index, include_image=False)`` need not read its images.
        """
        running = session()
        held: list[Item] = []
        for item in self._labels():
            held.append(item)
            if len(held) == _SAMPLES_A_FRAME:
                self._register(running, held)
                held = []
        if held:
            self._register(running, held)

    def _labels(self) -> Iterator[Item]:
        """The items without their images, where the data set can leave those out."""
        partly = getattr(self.dataset, "get_items", None)
        if partly is None or self._hashed:
            yield from self.items()
            return
        for index in range(len(self.dataset)):
            with _random_state_kept():
                item = take_apart(partly(index, include_image=False), index)
            self._index[item.id] = index
            yield item
        self._indexed_all = True

    def _register(self, running: Session, held: list[Item]) -> None:
        batch = BatchIds(self.origin, [item.id for item in held])
        counts = None
        if lists_of_arrays([item.target for item in held], len(held)):
            # A collate may drop masks that are empty, and what it drops shall leave no row.
            drops = not getattr(self._loader.collate_fn, "is_default", False)
            counts = [sum(not drops or _some(a) for a in item.target) for item in held]
        with running.recorder.facts():
            self._tell(running, batch, [plain_metadata(item) for item in held], counts)


def _some(mask: Any) -> bool:
    return bool(np.asarray(mask).any())


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Reading an item that augments itself must not change what the training draws next."""
    own, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(own)
            np.random.set_state(numpy_state)
