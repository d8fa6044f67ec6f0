"""TrackedLoader: a loader whose batches are known by sample.

What is gathered of a batch is `collate`'s; here the main process hands it over and records it.
Which samples a pass gives is `sampling`'s and `remake`'s, reading single items `reading`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from wl_core.codec import SampleId
from wl_core.errors import UsageError
from wl_core.session import Session, current_session, session
from wl_core.values import BatchIds
from wl_core.watch.collate import Collated, IndexedIterable, lists_of_arrays, plain_metadata
from wl_core.watch.items import Item
from wl_core.watch.reading import Reader, random_state_kept
from wl_core.watch.remake import training_pass
from wl_core.watch.sampling import PassSampler

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
        self._endless: Iterator[Collated] | None = None
        self._reader = Reader(dataset, origin, hashed=hashed)
        self._discarded = self._reader.discarded
        self._loader = loader
        self._told: dict[SampleId, int] = {}
        self._counted: dict[SampleId, int] = {}
        self._told_to: bytes | None = None  # the session that knows what `_told` says
        self.dataset = dataset
        self.origin = origin
        self.is_training = is_training
        self.batch_ids: list[SampleId] | None = None
        self._sampler = self._prepare(loader, hashed=hashed)

    def _prepare(self, loader: DataLoader[Any], *, hashed: bool) -> PassSampler:
        """Puts in what can leave out discarded samples and change the batch size."""
        stream = loader.dataset if isinstance(loader.dataset, IndexedIterable) else None
        if stream is not None and self.is_training:
            stream.leave_out(self._discarded, hashed=hashed)
            collate: Any = loader.collate_fn
            collate.packing = True
        leaves_out = self.is_training and stream is None
        sampler = PassSampler(
            loader.batch_sampler, self._discarded if leaves_out else None, loader.batch_size
        )
        object.__setattr__(loader, "batch_sampler", sampler)  # DataLoader forbids plain assignment
        return sampler

    def __getattr__(self, name: str) -> Any:
        """What else a DataLoader has: ``batch_size``, ``sampler``, ``generator``, …"""
        if name.startswith("_"):  # also while a copy is being made, which has no loader yet
            raise AttributeError(name)
        return getattr(self._loader, name)

    @property
    def batch_sampler(self) -> Any:
        """The DataLoader's own, as the script made it."""
        return self._sampler.own

    def set_batch_size(self, size: int) -> None:
        """Batches have that size from the next pass on, also of ``next(loader)``.

        Raises:
            RefusedError: no positive integer, or the script's own batch sampler makes the batches.
        """
        self._sampler.resize(size)
        object.__setattr__(self._loader, "batch_size", size)

    def __len__(self) -> int:
        """How many batches a pass has; fewer when samples are discarded."""
        return len(self._loader)

    def _pass(self) -> Iterator[Collated]:
        if self.is_training:
            return training_pass(self._loader, self._discarded)
        return iter(self._loader)

    def __iter__(self) -> Iterator[Any]:
        batch = None
        for collated in self._pass():
            batch = self._hand(collated)
            yield collated.batch
        running = current_session()
        if batch is not None and running is not None:
            running.handover.forget(batch)

    def __next__(self) -> Any:
        if self._endless is None:
            self._endless = self._pass()
        collated = next(self._endless, None)
        if collated is None:
            self._endless = self._pass()
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
                self._discarded.learn(one, index)
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
        return all(one in self._reader.index_of for one in ids)

    def instance_counts(self, ids: list[SampleId]) -> list[int] | None:
        """How many instances each of these samples had when it was last handed over, if known."""
        counts = [self._counted.get(one) for one in ids]
        return None if None in counts else [count for count in counts if count is not None]

    # -- reading without training ----------------------------------------------

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
            while held := list(islice(pairs, self.pass_batch_size)):
                with random_state_kept():
                    collated = self._loader.collate_fn(held)
                batch = self._hand(collated, counted=False)
                yield collated.batch
                running = current_session()
                if running is not None:
                    running.handover.forget(batch)
        finally:
            self.batch_ids = before

    def _pairs(self, ids: Iterable[SampleId] | None) -> Iterator[tuple[int | None, Any]]:
        pairs = self._reader.pairs(ids)
        if ids is not None or not self.is_training:
            return pairs
        self._discarded.follow()
        gone = self._discarded.ids
        return (pair for pair in pairs if self._reader.id_of(*pair) not in gone)

    @property
    def pass_batch_size(self) -> int:
        """How many samples a batch of `pass_over` has; the last may have fewer."""
        size: int = self.batch_size or getattr(self.batch_sampler, "batch_size", 1)
        return size

    def length_of_pass(self, ids: Iterable[SampleId] | None = None) -> int | None:
        """How many samples `pass_over` will give; None for a stream of unknown length."""
        if ids is not None:
            return len(set(ids))
        if not hasattr(self.dataset, "__len__"):
            return None
        if not self.is_training:
            return len(self.dataset)
        self._discarded.follow()
        return max(0, len(self.dataset) - len(self._discarded.ids))

    def items(self) -> Iterator[Item]:
        """Every item of the data set, in its order; none counts as seen by the model."""
        return self._reader.items()

    def item(self, sample_id: SampleId) -> Item:
        """One item by its id, read from the data set.

        Raises:
            UnknownNameError: the data set has no such item.
        """
        return self._reader.item(sample_id)

    def preload(self) -> None:
        """Tells the run of every sample before the first step: ids, metadata, instance counts.

        A data set that offers ``get_items(index, include_image=False)`` need not read its images.
        """
        running = session()
        held: list[Item] = []
        for item in self._reader.labels():
            held.append(item)
            if len(held) == _SAMPLES_A_FRAME:
                self._register(running, held)
                held = []
        if held:
            self._register(running, held)

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
