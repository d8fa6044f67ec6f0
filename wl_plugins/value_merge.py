"""A signal's chunks put together: all values by row, in ranges of rows or at once.

The chunks are sorted already, but numpy has no merge. So the rows are cut into ranges whose values
fit into the CPU's cache, and each range is gathered from all chunks and sorted there.
`tests/benchmarks/bench_history.py` measures this file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.trajectories import Trajectories
from wl_plugins.value_chunks import STRIDE, Chunk, sorted_stably

# About so many values at a time; a single row may have more.
RANGE = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """All values of some rows: row ``r`` begins at ``starts[r]``; dtypes are of the chunks."""

    keys: npt.NDArray[np.int64]
    starts: npt.NDArray[np.intp]
    steps: npt.NDArray[Any]
    values: npt.NDArray[Any]


def in_ranges(chunks: Sequence[Chunk], size: int) -> Iterator[Trajectories]:
    """All values by row, in ranges of rows of about ``size`` values.

    Values of one row stand in the order of the chunks, and within a chunk as they stand there.
    """
    bits = _bits(chunks)
    for piece in _pieces(chunks, bits, size):
        yield Trajectories(
            piece.keys >> bits,
            piece.keys & ((1 << bits) - 1),
            np.append(piece.starts, len(piece.values)),
            piece.steps.astype(np.int64, copy=False),
            piece.values.astype(np.float64, copy=False),
        )


def whole(chunks: Sequence[Chunk]) -> Trajectories:
    """All values by row; see `in_ranges`."""
    bits, count, at = _bits(chunks), sum(map(len, chunks)), 0
    steps, values = np.empty(count, np.int64), np.empty(count, np.float64)
    keys, starts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for piece in _pieces(chunks, bits, RANGE):
        stop = at + len(piece.values)
        steps[at:stop], values[at:stop] = piece.steps, piece.values
        keys.append(piece.keys)
        starts.append(piece.starts + at)
        at = stop
    rows = np.concatenate(keys)
    offsets = np.concatenate([*starts, [count]], dtype=np.int64)
    return Trajectories(rows >> bits, rows & ((1 << bits) - 1), offsets, steps, values)


def _bits(chunks: Sequence[Chunk]) -> int:
    return max((chunk.bits for chunk in chunks), default=0)


def _pieces(chunks: Sequence[Chunk], bits: int, size: int) -> Iterator[_Piece]:
    if not chunks:
        return
    edges = _edges(chunks, size)
    places = [_places(chunk, edges) for chunk in chunks]
    for number in range(len(edges)):
        parts = [
            (chunk, slice(at[number], at[number + 1]))
            for chunk, at in zip(chunks, places, strict=True)
            if at[number] < at[number + 1]
        ]
        yield _piece(parts, bits)


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
