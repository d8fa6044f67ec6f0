"""The view ``history``: every value that a sample or instance ever had, in the order of the log.

A sample's value is that of itself or that of a group that it was in. Labels have no history here.
The newest values of each series are in memory, in the order of the log. Those before are in chunks
(`value_chunks`), which are sorted by row and lie in files beside the checkpoints: so the view takes
little memory however long the log is, and one row's values are found without a scan. Where a chunk
begins and ends depends on how a fold went; what is read does not. What a value is now is
`sample_view`'s and `instance_view`'s business.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from wl_core.batches import EventBatch, EventGroup
from wl_core.codec import SampleId
from wl_core.columns import Digest, GrowingArray, Rows, State, array_of, pack, unpack
from wl_core.hookspecs import hookimpl
from wl_core.instance_index import checked_annotation_ids
from wl_core.projection import Projection
from wl_core.row_index import SampleIndex
from wl_core.table import normalise_name
from wl_core.trajectories import Trajectories
from wl_core.view_files import ViewFiles
from wl_plugins.other_signals import values_of_members
from wl_plugins.value_chunks import (
    OPEN_BITS,
    Chunk,
    Trajectory,
    narrow_values,
    opened,
    sealed,
    sorted_stably,
)
from wl_plugins.value_merge import RANGE, in_ranges, whole

# A chunk of a series has about so many values, and all series together have no more than so many
# in memory: 24 bytes each.
CHUNK = 1 << 20
OPEN_LIMIT = 4 * CHUNK

# What a series is of. The three have no common order within a fold.
SAMPLES, GROUPS, INSTANCES = "samples", "groups", "instances"


@hookimpl
def wl_projections() -> Sequence[type[Projection]]:
    return [History]


class _Series:
    """All values of one signal: sealed chunks, and open columns in the order of the log."""

    __slots__ = ("_keys", "_steps", "_values", "chunks")

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self._begin()

    def _begin(self) -> None:
        self._keys, self._steps = GrowingArray(np.int64), GrowingArray(np.int64)
        self._values = GrowingArray(np.float64)

    @property
    def open_count(self) -> int:
        return len(self._keys)

    def __len__(self) -> int:
        return self.open_count + sum(map(len, self.chunks))

    def extend(self, keys: Rows, steps: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
        self._keys.extend(keys)
        self._steps.extend(steps)
        self._values.extend(values)

    def _open(self) -> Chunk:
        return sealed(self._keys.array, self._steps.array, self._values.array)

    def seal(self, files: ViewFiles | None) -> None:
        chunk = self._open()
        self.chunks.append(chunk if files is None else chunk.written(files))
        self._begin()

    def parts(self) -> list[Chunk]:
        """All chunks in the order of the log, the open one sorted."""
        return [*self.chunks, self._open()] if self.open_count else self.chunks

    def find(self, sample_row: int, annotation_id: int) -> Trajectory:
        found = [chunk.find(sample_row, annotation_id) for chunk in self.chunks]
        last = np.flatnonzero(self._keys.array == (sample_row << OPEN_BITS | annotation_id))
        found.append((self._steps.array[last], self._values.array[last]))
        steps, values = zip(*found, strict=True)
        return np.concatenate(steps, dtype=np.int64), np.concatenate(values, dtype=np.float64)

    # -- checkpoints -------------------------------------------------------

    def snapshot(self, prefix: str, state: State) -> list[list[Any]]:
        """Puts what is in no file into ``state``; gives the manifests of the chunks."""
        for number, chunk in enumerate(self.chunks):
            for name, array in chunk.arrays().items():
                state[f"{prefix}/{number}/{name}"] = array
        state[f"{prefix}/keys"], state[f"{prefix}/steps"] = self._keys.array, self._steps.array
        state[f"{prefix}/values"] = narrow_values(self._values.array)
        return [chunk.manifest() for chunk in self.chunks]

    def restore(
        self,
        prefix: str,
        state: Mapping[str, npt.NDArray[Any] | bytes],
        manifests: Sequence[tuple[Any, ...]],
        files: ViewFiles | None,
    ) -> None:
        for number, manifest in enumerate(manifests):
            inside = f"{prefix}/{number}/"
            arrays = {
                key.removeprefix(inside): array_of(state, key)
                for key in state
                if key.startswith(inside)
            }
            self.chunks.append(opened(manifest, arrays, files))
        self.extend(*(array_of(state, f"{prefix}/{name}") for name in ("keys", "steps", "values")))


class History(Projection):
    """Per signal: the rows, steps and values of everything that was measured.

    Where it is attached to files, memory holds at most about `OPEN_LIMIT` values; else all of them.
    """

    name: ClassVar[str] = "history"
    version: ClassVar[int] = 3
    on_demand: ClassVar[bool] = True
    kinds: ClassVar[frozenset[str]] = frozenset({"values", "instance_values", "group_values"})

    def __init__(self) -> None:
        self.index = SampleIndex()
        self._series: dict[tuple[str, str], _Series] = {}  # by signal, and what it is of
        self._files: ViewFiles | None = None
        self._open_count = 0

    def attach(self, files: ViewFiles) -> None:
        self._files = files

    def files(self) -> Collection[str]:
        return {chunk.name for one in self._series.values() for chunk in one.chunks if chunk.name}

    def fold(self, batch: EventBatch) -> None:
        for group in batch.groups("values"):
            rows, lengths = self._rows(batch, group) << OPEN_BITS, group.ids().lengths
            self._append(SAMPLES, group, rows, lengths, group.vector("values"))
        for group in batch.groups("group_values"):
            rows, lengths = self._rows(batch, group) << OPEN_BITS, group.ids().lengths
            self._append(GROUPS, group, rows, lengths, values_of_members(group))
        for group in batch.groups("instance_values"):
            lengths = group.lengths("values")
            at = np.repeat(group.ids().starts, lengths) + group.vector("batch_idx")
            rows = self._rows(batch, group)[at] << OPEN_BITS
            ids = checked_annotation_ids(group.vector("annotation_ids"))
            self._append(INSTANCES, group, rows + ids, lengths, group.vector("values"))

    def _rows(self, batch: EventBatch, group: EventGroup) -> Rows:
        return self.index.rows_of(batch, group, group.key[1])

    def _append(
        self,
        of: str,
        group: EventGroup,
        keys: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        values: npt.NDArray[Any],
    ) -> None:
        signal = group.key[0]
        if len(values) != len(keys):
            raise ValueError(
                f"{len(values)} values of {signal!r} cannot belong to {len(keys)} rows"
            )
        self._extend((signal, of), keys, np.repeat(group.steps, lengths), values)

    def _extend(
        self,
        key: tuple[str, str],
        keys: npt.NDArray[np.int64],
        steps: npt.NDArray[Any],
        values: npt.NDArray[Any],
    ) -> None:
        series = self._series.setdefault(key, _Series())
        for low in range(0, len(keys), CHUNK):  # one event may be larger than a chunk
            part = slice(low, low + CHUNK)
            series.extend(keys[part], steps[part], values[part])
            self._open_count += len(keys[part])
            if series.open_count >= CHUNK:
                self._seal(series)
        while self._open_count > OPEN_LIMIT:
            self._seal(max(self._series.values(), key=lambda one: one.open_count))

    def _seal(self, series: _Series) -> None:
        self._open_count -= series.open_count
        may_write = self._files is not None and self._files.writable
        series.seal(self._files if may_write else None)

    def merge(self, later: Self) -> None:
        mapped = later.index.mapped_into(self.index)
        for key, series in later._series.items():
            self._series.setdefault(key, _Series())
            for part in series.parts():
                keys = mapped[part.sample_rows] << OPEN_BITS | part.annotation_ids
                self._extend(key, keys, part.steps, part.values)

    # -- checkpoints -------------------------------------------------------

    def snapshot(self) -> State:
        state: State = {}
        self.index.snapshot("index", state)
        state["series"] = pack(
            [
                (*key, series.snapshot(str(number), state))
                for number, (key, series) in enumerate(self._series.items())
            ]
        )
        return state

    def restore(self, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        self.index.restore("index", state)
        for number, (signal, of, manifests) in enumerate(unpack(state, "series")):
            series = self._series[signal, of] = _Series()
            series.restore(str(number), state, manifests, self._files)
            self._open_count += series.open_count

    def digest(self) -> str:
        digest, order = Digest(), self.index.order()
        digest.add(self.name, self.version, *self.index.identities(order))
        ranks = self.index.ranks()
        for key in sorted(self._series):
            digest.add(key)
            for columns in self._by_rank(self._series[key], ranks):
                digest.add(*columns)
        return digest.hexdigest()

    def _by_rank(
        self, series: _Series, ranks: npt.NDArray[np.intp]
    ) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        """Keys, steps and values by rank, so many ranks at a time that they fit into memory."""
        if not len(series):
            return
        parts, rounds = series.parts(), -(-len(series) // OPEN_LIMIT)
        width = -(-len(ranks) // rounds)
        for low in range(0, len(ranks), width):
            found = [_ranked(part, ranks, low, low + width) for part in parts]
            keys, steps, values = map(np.concatenate, zip(*found, strict=True))
            keys, order = sorted_stably(keys)
            yield keys, steps[order], values[order]

    # -- reading -----------------------------------------------------------

    def names(self) -> list[str]:
        """The signals that have a history, sorted."""
        return sorted({signal for signal, _ in self._series})

    def trajectories(self, signal: str, *, instances: bool = False) -> Trajectories:
        """All values of a signal, of samples or of instances, by row.

        Takes 16 bytes a value; `ranges` gives them piece by piece.
        """
        return whole(self._find(signal, instances).parts())

    def ranges(
        self, signal: str, *, instances: bool = False, size: int = RANGE
    ) -> Iterator[Trajectories]:
        """What `trajectories` gives, in pieces of whole rows with about ``size`` values."""
        return in_ranges(self._find(signal, instances).parts(), size)

    def history(
        self, signal: str, origin: str, sample_id: SampleId, annotation_id: int = 0
    ) -> Trajectory:
        """``(steps int64 [N], values float64 [N])`` in the order of the log.

        ``annotation_id`` 0 is the sample itself. Both are empty when nothing was measured.
        ``groups/NAME`` are the values of its groups alone, where samples have a ``NAME`` too.
        """
        row = self.index.find(origin, sample_id)
        if row < 0:
            return np.empty(0, np.int64), np.empty(0, np.float64)
        return self._find(signal, annotation_id > 0).find(row, annotation_id)

    def _find(self, signal: str, instances: bool) -> _Series:
        """The series of that name; groups stand in where samples have none."""
        name = normalise_name(signal)
        wanted = [(name, INSTANCES)]
        if not instances:
            wanted = [(name, SAMPLES), (name, GROUPS), (name.removeprefix("groups/"), GROUPS)]
        return next((self._series[key] for key in wanted if key in self._series), _Series())


def _ranked(
    part: Chunk, ranks: npt.NDArray[np.intp], low: int, high: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Keys by rank, steps and values of a chunk's values whose rank is in that range."""
    mine = ranks[part.sample_rows]
    at = np.flatnonzero((mine >= low) & (mine < high))
    keys: npt.NDArray[np.int64] = mine[at] << OPEN_BITS | part.annotation_ids[at]
    return keys, part.steps[at].astype(np.int64), part.values[at].astype(np.float64)
