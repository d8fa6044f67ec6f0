"""A signal's chunks put together: all values by row, some hundred thousand at a time.

The chunks are sorted already, but numpy has no merge. So the rows are cut into ranges whose values
fit into the CPU's cache, and each range is gathered from all chunks and sorted there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.trajectories import Trajectories
from wl_plugins.value_chunks import STRIDE, Chunk, stable_order

# About so many values at a time; a single row may have more.
RANGE = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """Where each range of rows begins in a chunk ``[ranges + 1]``."""

    chunk: Chunk
    at: list[int]


def merged(chunks: Sequence[Chunk], size: int = RANGE) -> Iterator[Trajectories]:
    """All values by row, in ranges of rows of about ``size`` values.

    Values of one row stand in the order of the chunks, and within a chunk as they stand there.
    """
    chunks = [chunk for chunk in chunks if len(chunk)]
    if not chunks:
        return
    bits = max(chunk.bits for chunk in chunks)
    edges = _edges(chunks, size)
    cuts = [_Cut(chunk, _places(chunk, edges)) for chunk in chunks]
    for number in range(len(edges)):
        yield _range(cuts, number, bits)


def _edges(chunks: Sequence[Chunk], size: int) -> npt.NDArray[np.int64]:
    """The first sample row of each range, chosen so that ranges are about as long as each other."""
    marks = np.sort(np.concatenate([c.marks.astype(np.int64) >> c.bits for c in chunks]))
    edges: npt.NDArray[np.int64] = np.unique(marks[:: max(1, size // STRIDE)])
    return edges


def _places(chunk: Chunk, edges: npt.NDArray[np.int64]) -> list[int]:
    keys = edges << chunk.bits
    limit = int(np.iinfo(chunk.keys.dtype).max)
    at = chunk.keys.searchsorted(np.minimum(keys, limit).astype(chunk.keys.dtype))
    at[keys > limit] = len(chunk)
    return [*at.tolist(), len(chunk)]


def _range(cuts: Sequence[_Cut], number: int, bits: int) -> Trajectories:
    parts = [
        (cut.chunk, slice(cut.at[number], cut.at[number + 1]))
        for cut in cuts
        if cut.at[number] < cut.at[number + 1]
    ]
    keys = np.concatenate([_keys(chunk, part, bits) for chunk, part in parts]).astype(np.int64)
    steps = np.concatenate([chunk.steps[part] for chunk, part in parts])
    values = np.concatenate([chunk.values[part] for chunk, part in parts])
    order = stable_order(keys)
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    rows = keys[starts]
    return Trajectories(
        rows >> bits,
        rows & ((1 << bits) - 1),
        np.append(starts, len(keys)),
        steps[order].astype(np.int64, copy=False),
        values[order].astype(np.float64, copy=False),
    )


def _keys(chunk: Chunk, part: slice, bits: int) -> npt.NDArray[Any]:
    """The keys of a part of a chunk as they are with more bits."""
    keys = chunk.keys[part]
    if chunk.bits == bits:
        return keys
    wide = keys.astype(np.int64)
    rows, ids = wide >> chunk.bits, wide & ((1 << chunk.bits) - 1)
    return (rows << bits) | ids


def joined(ranges: Iterator[Trajectories], values: int) -> Trajectories:
    """Ranges that follow each other as one; they hold that many values."""
    steps, numbers = np.empty(values, np.int64), np.empty(values, np.float64)
    rows, ids, counts = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.zeros(1, np.int64)]
    at = 0
    for one in ranges:
        stop = at + len(one.values)
        steps[at:stop], numbers[at:stop] = one.steps, one.values
        rows.append(one.sample_rows)
        ids.append(one.annotation_ids)
        counts.append(one.counts)
        at = stop
    offsets = np.cumsum(np.concatenate(counts))
    return Trajectories(np.concatenate(rows), np.concatenate(ids), offsets, steps, numbers)
