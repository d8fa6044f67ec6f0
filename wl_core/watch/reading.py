"""Reading a data set's items in the main process: for signals, evaluations and remade batches.

Nothing that is read here counts as seen by the model, and no random number of the training is
drawn. What becomes of the items is the callers' business.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

from wl_core.codec import SampleId
from wl_core.errors import UnknownNameError
from wl_core.watch.items import Item, take_apart
from wl_core.watch.sampling import Discarded


class Reader:
    """The items of one data set, by index or id.

    ``index_of`` is where the samples lie that have been met or read so far.
    """

    def __init__(self, dataset: Any, origin: str, *, hashed: bool) -> None:
        self.dataset = dataset
        self.is_stream = isinstance(dataset, IterableDataset)
        self.index_of: dict[SampleId, int] = {}
        self.discarded = Discarded(origin, self.index_of)
        self._origin = origin
        self._hashed = hashed
        self._read_all = False

    def items(self) -> Iterator[Item]:
        """Every item of the data set, in its order."""
        if self.is_stream:
            yield from (take_apart(one, None, hashed=self._hashed) for one in self._streamed())
            return
        for index in range(len(self.dataset)):
            yield self._item_at(index)
        self._read_all = True

    def labels(self) -> Iterator[Item]:
        """The items without their images, where the data set can leave those out."""
        partly = getattr(self.dataset, "get_items", None)
        if partly is None or self._hashed:
            yield from self.items()
            return
        for index in range(len(self.dataset)):
            with random_state_kept():
                item = take_apart(partly(index, include_image=False), index)
            self.discarded.learn(item.id, index)
            yield item
        self._read_all = True

    def item(self, sample_id: SampleId) -> Item:
        """One item by its id.

        Raises:
            UnknownNameError: the data set has no such item.
        """
        if not self.is_stream:
            return self._item_at(self._index(sample_id))
        for item in self.items():
            if item.id == sample_id:
                return item
        raise self._unknown([sample_id])

    def pairs(self, ids: Iterable[SampleId] | None) -> Iterator[tuple[int | None, Any]]:
        """The items as the data set gives them, each with its index (None in a stream).

        Args:
            ids: only these, in this order (a stream: in its own); all when left out.

        Raises:
            UnknownNameError: the data set does not have one of them.
        """
        wanted = None if ids is None else dict.fromkeys(ids)
        if self.is_stream:
            yield from self._streamed_pairs(wanted)
            return
        indices = range(len(self.dataset)) if wanted is None else map(self._index, wanted)
        for index in indices:
            with random_state_kept():
                item = self.dataset[index]
            yield index, item

    def _streamed_pairs(self, wanted: dict[SampleId, None] | None) -> Iterator[tuple[None, Any]]:
        missing = dict(wanted or {})
        for item in self._streamed():
            if wanted is not None:
                own = self.id_of(None, item)
                if own not in wanted:
                    continue
                missing.pop(own, None)
            yield None, item
            if wanted is not None and not missing:
                return
        if missing:
            raise self._unknown(list(missing))

    def id_of(self, index: int | None, item: Any) -> SampleId:
        """The id of an item as the data set gives it."""
        return take_apart(item, index, hashed=self._hashed).id

    def _streamed(self) -> Iterator[Any]:
        with random_state_kept():
            items, end = iter(self.dataset), object()
        while True:
            with random_state_kept():
                item = next(items, end)
            if item is end:
                return
            yield item

    def _index(self, sample_id: SampleId) -> int:
        if sample_id not in self.index_of and not self._read_all:
            any(item.id == sample_id for item in self.labels())
        if sample_id not in self.index_of:
            raise self._unknown([sample_id])
        return self.index_of[sample_id]

    def _unknown(self, ids: list[SampleId]) -> UnknownNameError:
        return UnknownNameError(f"{self._origin!r} has no sample {', '.join(map(repr, ids))}")

    def _item_at(self, index: int) -> Item:
        with random_state_kept():
            item = take_apart(self.dataset[index], index, hashed=self._hashed)
        self.discarded.learn(item.id, index)
        return item


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Reading an item that augments itself must not change what the training draws next."""
    own, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(own)
            np.random.set_state(numpy_state)
