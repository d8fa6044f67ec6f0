"""A pass of a training loader without the samples that are discarded, also while it runs.

The indices that a pass draws are `sampling`'s. Here is what comes too late for that: batches that
workers made ahead, and samples whose index nobody knew. They are made again in the main process of
what is left of them, whole batches of it where the loader has a batch size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from wl_core.codec import SampleId
from wl_core.watch.collate import Collated, IndexedDataset, IndexedIterable
from wl_core.watch.packing import unpack
from wl_core.watch.reading import random_state_kept
from wl_core.watch.sampling import Discarded


def training_pass(loader: DataLoader[Any], discarded: Discarded) -> Iterator[Collated]:
    """One pass of the loader; what others discard or restore is obeyed before each batch.

    A batch without discarded samples is the very one that the loader gave. This is a function and
    not a method, so that no cycle holds the loader's workers longer than their pass.

    Raises:
        UsageError: everything that would have made a batch is discarded.
    """
    discarded.obey()
    given = False
    for collated in _arriving(loader, discarded):
        given = True
        yield collated
        discarded.obey()
    if not given and discarded.ids:
        raise discarded.nothing_remains()


def _arriving(loader: DataLoader[Any], discarded: Discarded) -> Iterator[Collated]:
    rest = _Rest(loader, discarded)
    # A stream that is read in this process leaves them out itself.
    is_late = loader.num_workers > 0 or not isinstance(loader.dataset, IndexedIterable)
    for collated in loader:
        made = rest.of(collated) if is_late and discarded.touch(collated.ids) else collated
        if made is not None:
            yield made
    made = rest.last()
    if made is not None:
        yield made


class _Rest:
    """What is left of batches that held discarded samples, until it makes a batch."""

    def __init__(self, loader: DataLoader[Any], discarded: Discarded) -> None:
        self._loader = loader
        self._discarded = discarded
        self._size = loader.batch_size  # None: the script's own sampler made the batches
        self._held: list[tuple[SampleId, Any]] = []  # a stream's pair, else an index
        self._in_a_row = 0

    def of(self, collated: Collated) -> Collated | None:
        """The batch that can be made, if one can, now that one came with discarded samples.

        Raises:
            UsageError: a stream without an end gives nothing else any more.
        """
        for one, index in zip(collated.ids, collated.indices, strict=True):
            if index is not None:
                self._discarded.learn(one, index)  # so that the next pass does not draw it
        parts = collated.indices if collated.packed is None else unpack(collated.packed)
        self._held.extend(zip(collated.ids, parts, strict=True))
        before = len(self._held)
        self._drop()
        self._give_up(before - len(self._held))
        size = self._size or max(1, len(self._held))
        return self._take(size) if len(self._held) >= size else None

    def last(self) -> Collated | None:
        """The batch at the end of the pass, if the loader gives such."""
        self._drop()
        if not self._held or self._loader.drop_last:
            return None
        return self._take(len(self._held))

    def _drop(self) -> None:
        gone = self._discarded.ids
        self._held = [(one, part) for one, part in self._held if one not in gone]

    def _give_up(self, dropped: int) -> None:
        self._in_a_row = 0 if self._held else self._in_a_row + dropped
        self._discarded.refuse_endless(self._in_a_row)

    def _take(self, size: int) -> Collated:
        parts = [part for _, part in self._held[:size]]
        del self._held[:size]
        return _made(self._loader, parts)


def _made(loader: DataLoader[Any], parts: list[Any]) -> Collated:
    """A batch of a stream's pairs, or of the samples at these indices."""
    with random_state_kept():
        dataset = loader.dataset
        pairs = dataset.__getitems__(parts) if isinstance(dataset, IndexedDataset) else parts
        collated: Collated = loader.collate_fn(pairs)
    return collated.pin_memory() if _pins(loader) else collated


def _pins(loader: DataLoader[Any]) -> bool:
    """Whether the loader's own batches come in pinned memory."""
    device = torch.accelerator.current_accelerator() if loader.pin_memory else None
    return device is not None and torch.accelerator.is_available() and device.type != "mps"
