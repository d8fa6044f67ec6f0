"""Chunks of one signal's values: sorted by row, never changed, in memory or mapped from a file.

A key is a sample's row and, below it in ``bits`` bits, an annotation_id; keys, steps and values are
as narrow as the chunk allows. Which chunk a value comes into is `history`'s business; putting the
chunks of a signal together, `value_merge`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from wl_core.columns import Rows
from wl_core.instance_index import MAX_ANNOTATION_ID
from wl_core.view_files import ViewFiles

# Keys that are in no chunk yet leave room for any annotation_id.
OPEN_BITS = MAX_ANNOTATION_ID.bit_length()
# One key in so many is kept in memory: a lookup touches a page or two of a file, not twenty.
STRIDE = 512
_NAMES = ("values", "steps", "keys", "marks")

Trajectory: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """``N`` values, sorted by key; those of one key in the order of the log.

    ``keys`` ``[N]`` are uint32 or int64, ``steps`` ``[N]`` int32 or int64, ``values`` ``[N]``
    float32 where that is exact, else float64. ``marks`` are every `STRIDE`-th key, in memory.
    ``name`` is that of the file that the arrays are mapped from, "" in memory.
    """

    bits: int
    keys: npt.NDArray[Any]
    steps: npt.NDArray[Any]
    values: npt.NDArray[Any]
    marks: npt.NDArray[Any]
    name: str = ""

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def sample_rows(self) -> npt.NDArray[np.int64]:
        """The sample's row of each value ``[N]``."""
        rows: npt.NDArray[np.int64] = self.keys.astype(np.int64) >> self.bits
        return rows

    @property
    def annotation_ids(self) -> npt.NDArray[np.int64]:
        """The annotation_id of each value ``[N]``, 0 for a sample's own."""
        ids: npt.NDArray[np.int64] = self.keys.astype(np.int64) & ((1 << self.bits) - 1)
        return ids

    def find(self, sample_row: int, annotation_id: int) -> tuple[Any, Any]:
        """The steps and values of one row; its pages alone are touched."""
        number = sample_row << self.bits | annotation_id
        if annotation_id >> self.bits or number > np.iinfo(self.keys.dtype).max:
            return self.steps[:0], self.values[:0]
        key = self.keys.dtype.type(number)  # of another type, numpy would convert the whole array
        low = max(0, int(self.marks.searchsorted(key, "left")) - 1) * STRIDE
        high = int(self.marks.searchsorted(key, "right")) * STRIDE
        near = self.keys[low:high]
        found = slice(
            low + int(near.searchsorted(key, "left")), low + int(near.searchsorted(key, "right"))
        )
        return self.steps[found], self.values[found]

    # -- files and checkpoints ---------------------------------------------

    def written(self, files: ViewFiles) -> Chunk:
        """The same chunk, mapped from a new file."""
        arrays = [getattr(self, name) for name in _NAMES]
        return _mapped(files, files.write(arrays), self.manifest())

    def manifest(self) -> list[Any]:
        """What `opened` needs beside the file."""
        dtypes = [getattr(self, name).dtype.str for name in _NAMES]
        return [self.name, len(self), self.bits, dtypes]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What `opened` needs of a chunk in memory; of one in a file, nothing."""
        return {} if self.name else {name: getattr(self, name) for name in _NAMES}


def opened(
    manifest: tuple[Any, ...], arrays: Mapping[str, npt.NDArray[Any]], files: ViewFiles | None
) -> Chunk:
    """The chunk of that manifest.

    Raises:
        FileNotFoundError: its file is not there.
    """
    name, _, bits, _ = manifest
    if not name:
        return Chunk(bits, arrays["keys"], arrays["steps"], arrays["values"], arrays["marks"])
    if files is None:
        raise FileNotFoundError(f"no place is known where the file {name} could be")
    return _mapped(files, name, manifest)


def _mapped(files: ViewFiles, name: str, manifest: Any) -> Chunk:
    _, count, bits, dtypes = manifest
    buffer, at, found = files.map(name), 0, {}
    for part, dtype in zip(_NAMES, dtypes, strict=True):
        size = -(-count // STRIDE) if part == "marks" else count
        found[part] = np.frombuffer(buffer, dtype, size, at)
        at += found[part].nbytes
    return Chunk(bits, found["keys"], found["steps"], found["values"], found["marks"].copy(), name)


def sealed(
    keys: npt.NDArray[np.int64], steps: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> Chunk:
    """A chunk in memory of values in the order of the log, whose keys have `OPEN_BITS`."""
    in_order, order = sorted_stably(keys)
    bits, narrow = _narrow_keys(in_order)
    return Chunk(
        bits,
        narrow,
        _narrow_steps(steps)[order],
        narrow_values(values)[order],
        narrow[::STRIDE].copy(),
    )


def _narrow_keys(keys: npt.NDArray[np.int64]) -> tuple[int, npt.NDArray[Any]]:
    """How many bits of them hold an annotation_id, and the keys with so many, sorted as before."""
    if not len(keys):
        return 0, keys.astype(np.uint32)
    ids = keys & ((1 << OPEN_BITS) - 1)
    bits = int(ids.max()).bit_length()
    narrow = (keys >> OPEN_BITS << bits) | ids
    return bits, narrow.astype(np.uint32) if narrow[-1] < 1 << 32 else narrow


def _narrow_steps(steps: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    if len(steps) and (steps.max() >= 1 << 31 or steps.min() < -(1 << 31)):
        return steps
    return steps.astype(np.int32)


def narrow_values(values: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """As float32 if that loses no bit of any (a NaN has many), else as they are."""
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = values.astype(np.float32)
        same = np.array_equal(narrow.astype(np.float64).view(np.int64), values.view(np.int64))
    return narrow if same else values


def sorted_stably(keys: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Rows]:
    """The integers sorted, and what ``np.argsort(keys, kind="stable")`` gives, in a fraction of it.

    numpy sorts plain integers much faster than it sorts indexes by them, so key and place are
    sorted as one integer: of 32 bits where both fit into that, which is twice as fast again.
    """
    place_bits = len(keys).bit_length()
    low = int(keys.min()) if len(keys) else 0
    key_bits = (int(keys.max()) - low if len(keys) else 0).bit_length()
    if key_bits + place_bits > 63:
        order = np.argsort(keys, kind="stable")
        return keys[order], order
    narrow: type[Any] = np.uint32 if key_bits + place_bits <= 32 else np.int64
    both = (keys - keys.dtype.type(low)).astype(narrow, copy=False)
    np.left_shift(both, narrow(place_bits), out=both)
    np.bitwise_or(both, np.arange(len(keys), dtype=narrow), out=both)
    both.sort()
    order = np.bitwise_and(both, narrow((1 << place_bits) - 1)).astype(np.intp)
    np.right_shift(both, narrow(place_bits), out=both)
    return both.astype(keys.dtype, copy=False) + keys.dtype.type(low), order
