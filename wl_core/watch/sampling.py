"""Which indices a pass draws: those of the user's own samplers, without discarded samples.

Indices are left out as they are drawn, one by one, so that no sampler draws more, earlier or other
random numbers than unwatched. Samples whose index is not known yet, and batches that workers have
made ahead, are `remake`'s.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import BatchSampler, Sampler

from wl_core.codec import SampleId
from wl_core.errors import RefusedError, UsageError
from wl_core.session import current_session

_SAMPLES_IN_A_ROW = 10_000  # read from a stream, and ten times as many as are discarded
_INDICES_IN_A_ROW = 1_000_000  # of discarded samples, after which a sampler is given up


class Discarded:
    """The samples of one origin that are discarded now.

    ``ids`` are all of them; ``indices`` are where they lie in the data set, as far as ``index_of``
    knows, which is the loader's map of the samples that it has met.
    """

    def __init__(self, origin: str, index_of: dict[SampleId, int]) -> None:
        self.origin = origin
        self.ids: frozenset[SampleId] = frozenset()
        self.indices: set[int] = set()
        self._index_of = index_of
        self._keys: object = None

    def obey(self) -> None:
        """Takes in what other processes have appended."""
        running = current_session()
        if running is not None:
            running.obey()
            self.follow()

    def follow(self) -> None:
        """Takes in what the session has; costs one comparison when nothing has changed."""
        running = current_session()
        if running is None or running.discards.keys is self._keys:
            return
        self._keys = keys = running.discards.keys
        self.ids = frozenset(
            one for origin, one, instance in keys if origin == self.origin and not instance
        )
        self.indices = set()
        for one in self.ids & self._index_of.keys():
            self._add(self._index_of[one])

    def learn(self, sample_id: SampleId, index: int) -> None:
        """A sample was met at that index."""
        self._index_of[sample_id] = index
        if sample_id in self.ids:
            self._add(index)

    def _add(self, index: Any) -> None:
        number = _number(index)
        if number is not None:
            self.indices.add(number)

    def holds(self, index: Any) -> bool:
        return _number(index) in self.indices

    def touch(self, ids: list[SampleId]) -> bool:
        """Whether any of these is discarded."""
        return bool(self.ids) and not self.ids.isdisjoint(ids)

    def kept(self, indices: Iterator[Any]) -> Iterator[Any]:
        """The indices without those of discarded samples.

        Raises:
            UsageError: a sampler without an end gives nothing else any more.
        """
        in_a_row = 0
        for index in indices:
            if not self.indices or not self.holds(index):  # mostly there are none
                in_a_row = 0
                yield index
                continue
            in_a_row += 1
            if in_a_row > _INDICES_IN_A_ROW:
                raise self.nothing_remains()

    def streamed(self, items: Iterator[Any], id_of: Callable[[Any], SampleId]) -> Iterator[Any]:
        """The items without discarded samples.

        Raises:
            UsageError: a stream without an end gives nothing else any more.
        """
        in_a_row = 0
        for item in items:
            if not self.ids or id_of(item) not in self.ids:
                in_a_row = 0
                yield item
                continue
            in_a_row += 1
            self.refuse_endless(in_a_row)

    def refuse_endless(self, in_a_row: int) -> None:
        """A stream that gave that many discarded samples in a row goes round among them."""
        if in_a_row > _SAMPLES_IN_A_ROW + 10 * len(self.ids):
            raise self.nothing_remains()

    def nothing_remains(self) -> UsageError:
        """The error of a pass that has no batch, or goes on for ever without one."""
        one = min(self.ids, key=str)
        return UsageError(
            f"the loader {self.origin!r} has no batch left: {len(self.ids)} of its samples are"
            f" discarded. Restore some: `wl restore {one}`, `wl undo`, or"
            " wl.discard_samples(ids, discarded=False)"
        )


def _number(index: Any) -> int | None:
    """An index as a plain integer; None for what a data set of another kind is asked by."""
    try:
        return operator.index(index)
    except TypeError:
        return None


class _Kept:
    """A sampler without discarded samples."""

    def __init__(self, sampler: Any, discarded: Discarded) -> None:
        self._sampler = sampler
        self._discarded = discarded

    def __iter__(self) -> Iterator[Any]:
        return self._discarded.kept(iter(self._sampler))


class PassSampler(Sampler[list[Any]]):
    """The batches of indices that a pass draws, instead of the loader's own ``batch_sampler``.

    Args:
        own: the loader's batch sampler. A plain ``BatchSampler`` fills its batches up with the
            samples that come next; any other is the user's own, and its batches become smaller.
        discarded: what is left out; None to leave out nothing.
        size: the loader's ``batch_size``; None where a batch sampler was given.
    """

    def __init__(self, own: Any, discarded: Discarded | None, size: int | None) -> None:
        self.own = own
        self._discarded = discarded
        self._resizable = size is not None and type(own) is BatchSampler
        self._size: int | None = None  # until somebody sets it, the size is the own sampler's

    def resize(self, size: Any) -> None:
        """The batch size from the next pass on.

        Raises:
            RefusedError: it is no positive integer, or the batches are made by the user's sampler.
        """
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise RefusedError(f"batch_size must be an integer of 1 or more, not {size!r}")
        if not self._resizable:
            raise RefusedError(
                "the batch size cannot be set: a batch_sampler of the script makes the batches"
            )
        self._size = size

    def __iter__(self) -> Iterator[list[Any]]:
        # No generator: the size is that of the moment at which the pass begins.
        sampler = self._sized()
        if self._discarded is None:
            return iter(sampler)
        if type(sampler) is BatchSampler:
            sampler = copy.copy(sampler)
            sampler.sampler = _Kept(sampler.sampler, self._discarded)
            return iter(sampler)
        return self._thinned(iter(sampler), self._discarded)

    def _sized(self) -> Any:
        if self._size is None:
            return self.own
        sampler = copy.copy(self.own)
        sampler.batch_size = self._size
        return sampler

    @staticmethod
    def _thinned(batches: Iterator[Any], discarded: Discarded) -> Iterator[list[Any]]:
        left_out = 0
        for batch in batches:
            if not discarded.indices:
                yield batch
                continue
            kept = [index for index in batch if not discarded.holds(index)]
            left_out = 0 if kept else left_out + len(batch)
            if left_out > _INDICES_IN_A_ROW:
                raise discarded.nothing_remains()
            if kept:
                yield batch if len(kept) == len(batch) else kept

    def __len__(self) -> int:
        return len(self._sized())
