"""LabelColumn: one value per row that is no number: a text, or a short list.

What a script may hand over as such is `wl_core.labels`' business; what the column looks like from
outside is `wl_core.table`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from wl_core.columns import Digest, Rows, State, array_of, grown, pack, unpack
from wl_core.table import Cell, Scalar, TableColumn, list_key

Entry: TypeAlias = str | tuple[Scalar, ...]


class LabelColumn:
    """One text or list per row, or nothing; each different one is stored once.

    Once a list was put, the column is one of lists, and a text in it is a list of that text alone:
    which it is depends only on what was ever put.
    """

    __slots__ = ("_codes", "_entries", "_has_lists", "_numbers", "state")

    def __init__(self) -> None:
        self.state = object()  # another one after every change
        self._codes = np.full(0, -1, np.int32)
        self._entries: list[Entry] = []
        self._numbers: dict[bytes, int] = {}  # by what is packed: 1, 1.0 and True are three
        self._has_lists = False

    def put(self, rows: Rows, values: Sequence[Any], size: int) -> None:
        """Sets cells in order, the last one winning where a row comes twice."""
        self.state = object()
        self._reserve(size)
        for row, value in zip(rows.tolist(), values, strict=True):
            self._codes[row] = self._number(_entry(value))

    def _reserve(self, size: int) -> None:
        self._codes = grown(self._codes, size, -1)

    def _number(self, entry: Entry) -> int:
        key = pack(entry)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._entries)
            self._entries.append(entry)
            self._has_lists |= isinstance(entry, tuple)
        return number

    def cell(self, row: int) -> Cell:
        """One cell as a text or a list, None when it is empty."""
        code = int(self._codes[row]) if row < len(self._codes) else -1
        if code < 0:
            return None
        entry = self._shown(self._entries[code])
        return list(entry) if isinstance(entry, tuple) else entry

    def _shown(self, entry: Entry) -> Entry:
        return (entry,) if self._has_lists and isinstance(entry, str) else entry

    def merge(self, later: LabelColumn, rows: Rows, size: int) -> None:
        """Puts the cells of a later column, whose row ``i`` is this one's row ``rows[i]``."""
        self.state = object()
        self._reserve(size)
        later._reserve(len(rows))
        codes = later._codes[: len(rows)]
        numbers = np.asarray([self._number(entry) for entry in later._entries], np.int32)
        there = codes >= 0
        self._codes[rows[there]] = numbers[codes[there]]

    def snapshot(self, prefix: str, size: int, state: State) -> None:
        self._reserve(size)
        state[f"{prefix}/codes"] = self._codes[:size]
        state[f"{prefix}/entries"] = pack(self._entries)

    def restore(self, prefix: str, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        self._codes = array_of(state, f"{prefix}/codes")
        for entry in unpack(state, f"{prefix}/entries"):
            self._number(entry)

    def update(self, digest: Digest, order: Rows) -> None:
        """Adds the content to a digest, rows in the given order."""
        self._reserve(len(order))
        codes = self._codes[order]
        # Entries are numbered as they came; their rank among those in use is the same in any order.
        keys = {pack(self._entries[code]): code for code in np.unique(codes[codes >= 0]).tolist()}
        ranks = np.full(len(self._entries) + 1, -1, np.int64)  # the last one is -1's
        ranks[[keys[key] for key in sorted(keys)]] = np.arange(len(keys))
        digest.add(self._has_lists, sorted(keys), ranks[codes])

    def table_column(self, name: str, order: Rows, size: int) -> TableColumn:
        """Some of the view's ``size`` rows as a table shows them, in the given order."""
        self._reserve(size)
        codes = self._codes[order]
        if not self._has_lists:
            return TableColumn(name, "text", codes, codes >= 0, tuple(self._entries))
        shown = [tuple(self._shown(entry)) for entry in self._entries]
        first = {list_key(entry): number for number, entry in reversed(list(enumerate(shown)))}
        alike = np.asarray([first[list_key(entry)] for entry in shown], np.int32)
        codes = np.where(codes >= 0, alike[codes], -1).astype(np.int32)
        return TableColumn(name, "list", codes, codes >= 0, tuple(shown))


def _entry(value: Any) -> Entry:
    """What an event holds; anything but texts and lists of scalars was written by somebody else."""
    if isinstance(value, (list, tuple)):
        return tuple(one if isinstance(one, (bool, int, float)) else str(one) for one in value)
    return str(value)
