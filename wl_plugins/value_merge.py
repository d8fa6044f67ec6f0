"""A signal's chunks put together: all values by row, in ranges of rows or at once.

The chunks are sorted already, but numpy has no merge. So the rows are cut into ranges whose values
fit into the CPU's cache, and each range is gathered from all chunks and sorted there.
`tests/benchmarks/bench_history.py` measures this file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.trajectories import Trajectories
from wl_plugins.value_chunks import STRIDE, Chunk, sorted_stably

# About so many values at a time; a single row may have more.
RANGE = 1 << 16
# Each takes some megabytes, and memory is not faster for more of them.
_THREADS = 4


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """All values of some rows: row ``r`` begins at ``starts[r]``; dtypes are of the chunks."""

    keys: npt.NDArray[np.int64]
    starts: npt.NDArray[np.intp]
    steps: npt.NDArray[Any]
    values: npt.NDArray[Any]


class _Merge:
    """Chunks, the ranges that their rows are cut into, and where each range is in each chunk."""

    def __init__(self, chunks: Sequence[Chunk], size: int) -> None:
        self.bits = max((chunk.bits for chunk in chunks), default=0)
        self._chunks = chunks
        edges = _edges(chunks, size) if chunks else np.empty(0, np.int64)
        places = np.asarray([_places(chunk, edges) for chunk in chunks], np.int64)
        self._places = places.reshape(len(chunks), len(edges) + 1).T.tolist()
        # How many values come before each range, and all in the end.
        self.offsets: list[int] = [sum(at) for at in self._places] if chunks else [0]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def piece(self, number: int) -> _Piece:
        at = zip(self._chunks, self._places[number], self._places[number + 1], strict=True)
        return _piece(
            [(chunk, slice(low, high)) for chunk, low, high in at if low < high], self.bits
        )


def in_ranges(chunks: Sequence[Chunk], size: int) -> Iterator[Trajectories]:
    """All values by row, in ranges of rows of about ``size`` values.

    Values of one row stand in the order of the chunks, and within a chunk as they stand there.
    """
    merge = _Merge(chunks, size)
    for piece in map(merge.piece, range(len(merge))):
        yield Trajectories(
            piece.keys >> merge.bits,
            piece.keys & ((1 << merge.bits) - 1),
            np.append(piece.starts, len(piece.values)),
            piece.steps.astype(np.int64, copy=False),
            piece.values.astype(np.float64, copy=False),
        )


def whole(chunks: Sequence[Chunk]) -> Trajectories:
    """All values by row, put together by several threads; see `in_ranges`."""
    merge = _Merge(chunks, RANGE)
    count = merge.offsets[-1]
    steps, values = np.empty(count, np.int64), np.empty(count, np.float64)

    def put(number: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        piece, first = merge.piece(number), merge.offsets[number]
        part = slice(first, first + len(piece.values))
        steps[part], values[part] = piece.steps, piece.values
        return piece.keys, piece.starts + first

    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as threads:
        found = list(threads.map(put, range(len(merge))))
    keys = np.concatenate([np.empty(0, np.int64), *(keys for keys, _ in found)])
    offsets = np.concatenate([*(starts for _, starts in found), [count]], dtype=np.int64)
    ids = keys & ((1 << merge.bits) - 1)
    return Trajectories(keys >> merge.bits, ids, offsets, steps, values)


def _edges(chunks: Sequence[Chunk], size: int) -> npt.NDArray[np.int64]:
    """The first sample row of each range, chosen so that ranges are about as long as each other."""
    marks = np.sort(np.concatenate([c.marks.astype(np.int64) >> c.bits for c in chunks]))
    edges: npt.NDArray[np.int64] = np.unique(marks[:: max(1, size // STRIDE)])
    return edges


def _places(chunk: Chunk, edges: npt.NDArray[np.int64]) -> list[int]:
    """Where each range begins in a chunk, and where the last one ends ``[ranges + 1]``."""
    keys = edges << chunk.bits
    limit = int(np.iinfo(chunk.keys.dtype).max)
    at = chunk.keys.searchsorted(np.minimum(keys, limit).astype(chunk.keys.dtype))
    at[keys > limit] = len(chunk)
    return [*at.tolist(), len(chunk)]


def _piece(parts: Sequence[tuple[Chunk, slice]], bits: int) -> _Piece:
    keys = np.concatenate([_keys(chunk, part, bits) for chunk, part in parts])
    steps = np.concatenate([chunk.steps[part] for chunk, part in parts])
    values = np.concatenate([chunk.values[part] for chunk, part in parts])
    keys, order = sorted_stably(keys)
    is_first = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=is_first[1:])
    starts = np.flatnonzero(is_first)
    return _Piece(keys[starts].astype(np.int64), starts, steps[order], values[order])


def _keys(chunk: Chunk, part: slice, bits: int) -> npt.NDArray[Any]:
    """The keys of a part of a chunk as they are with more bits."""
    keys = chunk.keys[part]
    if chunk.bits == bits:
        return keys
    wide = keys.astype(np.int64)
    rows, ids = wide >> chunk.bits, wide & ((1 << chunk.bits) - 1)
    return (rows << bits) | ids
