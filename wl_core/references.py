"""Array references in views: which stored array belongs to a row, field by field.

A view keeps the content hash, dtype and shape of the latest array of each row; the pixels are the
array store's business (`wl_core.arrays`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from wl_core.batches import EventGroup
from wl_core.columns import Digest, Rows, State, array_of, grown, pack, unpack
from wl_core.instance_index import ranges

Reference: TypeAlias = tuple[bytes, str, tuple[int, ...]]
_Spec: TypeAlias = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class ArrayEvents:
    """What a group of ``arrays`` events says, one entry for each array ``[A]``.

    ``id_index`` says which of the group's ids the array belongs to. ``annotation_ids`` is 0 for
    an array of the sample itself. ``specs[spec_index[i]]`` is ``(dtype, shape)`` of array ``i``.
    """

    id_index: npt.NDArray[np.int64]
    annotation_ids: npt.NDArray[np.int64]
    refs: npt.NDArray[np.void]
    spec_index: npt.NDArray[np.int64]
    specs: list[_Spec]


def read_array_events(group: EventGroup) -> ArrayEvents:
    """The arrays that the events of the group name.

    Raises:
        ValueError: an event has more or fewer references than samples or instances.
    """
    ids = group.ids()
    counts = group.lengths("refs")
    of_instances = np.asarray([index is not None for index in group.field("batch_idx")], np.bool_)
    expected = np.where(of_instances, group.lengths("batch_idx"), ids.lengths)
    if not np.array_equal(counts, expected):
        raise ValueError(f"arrays events bring {counts} references for {expected} rows")
    per_array = np.repeat(of_instances, counts)
    index = ranges(counts)
    index[per_array] = group.vector("batch_idx")
    annotation_ids = np.zeros(len(index), np.int64)
    annotation_ids[per_array] = group.vector("annotation_ids")
    specs_of_events = group.field("specs")
    spec_lengths = np.asarray([len(specs) for specs in specs_of_events], np.int64)
    spec_starts = np.cumsum(spec_lengths) - spec_lengths
    return ArrayEvents(
        index + np.repeat(ids.starts, counts),
        annotation_ids,
        group.vector("refs"),
        group.vector("spec_idx").astype(np.int64) + np.repeat(spec_starts, counts),
        [(dtype, tuple(shape)) for specs in specs_of_events for dtype, shape in specs],
    )


class ReferenceColumn:
    """The latest array of each row, or nothing."""

    __slots__ = ("_codes", "_numbers", "_refs", "_specs")

    def __init__(self) -> None:
        self._refs = np.zeros(0, "V16")
        self._codes = np.zeros(0, np.int32)  # 1 + where the spec stands in _specs; 0 is empty
        self._specs: list[_Spec] = []
        self._numbers: dict[_Spec, int] = {}

    def put(
        self,
        rows: Rows,
        refs: npt.NDArray[np.void],
        spec_index: npt.NDArray[np.int64],
        specs: list[_Spec],
        size: int,
    ) -> None:
        """Sets cells, the last one winning where a row comes twice."""
        self._reserve(size)
        codes = np.asarray([self._code(spec) for spec in specs], np.int32)
        self._refs[rows] = refs
        self._codes[rows] = codes[spec_index]

    def _reserve(self, size: int) -> None:
        self._refs = grown(self._refs, size, b"\0" * 16)
        self._codes = grown(self._codes, size)

    def _code(self, spec: _Spec) -> int:
        code = self._numbers.get(spec)
        if code is None:
            self._specs.append(spec)
            code = self._numbers[spec] = len(self._specs)
        return code

    def cell(self, row: int) -> Reference | None:
        """``(16-byte content hash, dtype, shape)`` of the row's array, None when it has none."""
        code = int(self._codes[row]) if 0 <= row < len(self._codes) else 0
        if code == 0:
            return None
        return self._refs[row].tobytes(), *self._specs[code - 1]

    def live(self) -> set[bytes]:
        """The hashes of all arrays that a row names."""
        return {ref.tobytes() for ref in self._refs[self._codes != 0]}

    def merge(self, later: ReferenceColumn, rows: Rows, size: int) -> None:
        """Puts the cells of a later column, whose row ``i`` is this one's row ``rows[i]``."""
        later._reserve(len(rows))
        there = np.flatnonzero(later._codes[: len(rows)])
        index = later._codes[there].astype(np.int64) - 1
        self.put(rows[there], later._refs[there], index, later._specs, size)

    def snapshot(self, prefix: str, size: int, state: State) -> None:
        self._reserve(size)
        state[f"{prefix}/refs"], state[f"{prefix}/codes"] = self._refs[:size], self._codes[:size]
        state[f"{prefix}/specs"] = pack(self._specs)

    def restore(self, prefix: str, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        self._refs = array_of(state, f"{prefix}/refs")
        self._codes = array_of(state, f"{prefix}/codes")
        for spec in unpack(state, f"{prefix}/specs"):
            self._code(spec)

    def update(self, digest: Digest, order: Rows) -> None:
        """Adds the content to a digest, rows in the given order."""
        self._reserve(len(order))
        codes, refs = self._codes[order], self._refs[order]
        used = sorted({self._specs[code - 1] for code in np.unique(codes[codes > 0]).tolist()})
        ranks = np.zeros(len(self._specs) + 1, np.int64)
        ranks[[self._numbers[spec] for spec in used]] = np.arange(1, len(used) + 1)
        digest.add(used, ranks[codes], refs[codes > 0])
