"""What views are made of: arrays that grow, columns of numbers, columns of anything.

A column is indexed by a dense row number; which row belongs to which sample or instance is
`wl_core.row_index`'s business. Columns are as long as they were last told to be and are padded
with empty cells when somebody asks for more. What a column holds, its dtype included, depends
only on what was put into it, never on how the puts were grouped (G9).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgpack
import numpy as np
import numpy.typing as npt

from wl_core.stored_column import StoredColumn
from wl_core.table import Scalar, TableColumn

Rows: TypeAlias = npt.NDArray[np.intp]
State: TypeAlias = dict[str, npt.NDArray[Any] | bytes]

# float32 holds every value of these; of the others, each value is looked at.
_EXACT_IN_FLOAT32 = frozenset(np.dtype(code) for code in ("f2", "f4", "i1", "u1", "i2", "u2", "?"))
_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)


def pack(value: Any) -> bytes:
    """Small structured state (names, counts) as bytes of a snapshot."""
    packed: bytes = msgpack.packb(value, unicode_errors="surrogatepass")  # as frames are
    return packed


def unpack(state: Mapping[str, npt.NDArray[Any] | bytes], key: str) -> Any:
    """What `pack` packed under that key of a snapshot."""
    return msgpack.unpackb(
        state[key], use_list=False, strict_map_key=False, unicode_errors="surrogatepass"
    )


def array_of(state: Mapping[str, npt.NDArray[Any] | bytes], key: str) -> npt.NDArray[Any]:
    """The array under that key of a snapshot, as one that may be written to."""
    return np.array(state[key])


def shared_of(state: Mapping[str, npt.NDArray[Any] | bytes], key: str) -> npt.NDArray[Any]:
    """The array under that key of a snapshot, for who copies it before writing to it.

    Nobody else will ever write to one that is read-only, as those of checkpoints are.
    """
    array = state[key]
    assert isinstance(array, np.ndarray)
    return array.copy() if array.flags.writeable else array


def grown(array: npt.NDArray[Any], size: int, fill: Any = 0) -> npt.NDArray[Any]:
    """The array itself if it holds ``size`` elements, else a copy with room for more than that."""
    if len(array) >= size:
        return array
    larger = np.full(max(size, len(array) * 3 // 2, 16), fill, array.dtype)
    larger[: len(array)] = array
    return larger


class GrowingArray:
    """A one-dimensional array that is appended to in amortised constant time."""

    __slots__ = ("_data", "size")

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._data: npt.NDArray[Any] = np.empty(0, dtype)
        self.size = 0

    def __len__(self) -> int:
        return self.size

    def extend(self, values: npt.NDArray[Any]) -> None:
        stop = self.size + len(values)
        self._data = grown(self._data, stop)
        self._data[self.size : stop] = values
        self.size = stop

    @property
    def array(self) -> npt.NDArray[Any]:
        """What was appended so far ``[size]``, without a copy."""
        return self._data[: self.size]


# What was ever put into a Column.
_NOTHING, _BOOLS, _NUMBERS = 0, 1, 2


class Column:
    """One number per row, or nothing.

    Cells are float32 as long as every number that was ever put is one exactly, float64 from the
    first that is not (integers beyond 2**53 are rounded to float64). As long as bools alone were
    put, the column is one of flags. ``state`` is another object after every change. Arrays that a
    table got are copied before they are written to: it may be read in another thread.
    """

    __slots__ = ("_holds", "_present", "_shares_present", "_shares_values", "_values", "state")

    def __init__(self) -> None:
        self._values: npt.NDArray[Any] = np.zeros(0, _FLOAT32)
        self._present = np.zeros(0, np.bool_)
        self._shares_values = self._shares_present = False
        self._holds = _NOTHING
        self.state = object()

    @property
    def is_flags(self) -> bool:
        """Whether bools were put, and nothing else."""
        return self._holds == _BOOLS

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._values.dtype

    def put(self, rows: Rows, values: npt.NDArray[Any], size: int) -> None:
        """Sets cells, the last one winning where a row comes twice; ``size`` is the view's."""
        if len(values) != len(rows):
            raise ValueError(f"{len(values)} values cannot belong to {len(rows)} rows")
        if len(self._values) < size:
            self._reserve(size)
        if self._holds != _NUMBERS and len(values):
            self._holds = max(self._holds, _BOOLS if values.dtype == np.bool_ else _NUMBERS)
        if values.dtype != self._values.dtype:
            values = self._fit(values)
        self.state = object()
        if self._shares_values:
            self._values, self._shares_values = self._values.copy(), False
        self._values[rows] = values
        if self._shares_present and not self._present[rows].all():
            self._present, self._shares_present = self._present.copy(), False
        if not self._shares_present:
            self._present[rows] = True

    def _reserve(self, size: int) -> None:
        """Makes room; what was shared stays so, unless there is more room than before."""
        if len(self._values) < size:
            self._values, self._shares_values = grown(self._values, size), False
            self._present, self._shares_present = grown(self._present, size, False), False
            self.state = object()

    def _fit(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The values in this column's dtype, which is widened first if they need it."""
        if self._values.dtype == _FLOAT32 and values.dtype not in _EXACT_IN_FLOAT32:
            with np.errstate(over="ignore", invalid="ignore"):
                narrow = values.astype(_FLOAT32)
                same = (narrow.astype(_FLOAT64) == values) | np.isnan(values)
            if same.all():
                return narrow
            self._values, self._shares_values = self._values.astype(_FLOAT64), False
        return values.astype(self._values.dtype)

    def arrays(self, size: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """``(values, present)``, each ``[size]``, sharing this column's memory."""
        if len(self._values) < size:
            self._reserve(size)
        return self._values[:size], self._present[:size]

    def cell(self, row: int) -> float | bool | None:
        """One cell as a plain float, or bool among flags; None when it is empty."""
        if row >= len(self._present) or not self._present[row]:
            return None
        return bool(self._values[row]) if self.is_flags else float(self._values[row])

    def merge(self, later: Column, rows: Rows, size: int) -> None:
        """Puts the cells of a later column, whose row ``i`` is this one's row ``rows[i]``."""
        if later.dtype == _FLOAT64 and self.dtype == _FLOAT32:
            self._values, self._shares_values = self._values.astype(_FLOAT64), False
        values, present = later.arrays(len(rows))
        holds = max(self._holds, later._holds)
        self.put(rows[present], values[present], size)
        self._holds, self.state = holds, object()

    def snapshot(self, prefix: str, size: int, state: State) -> None:
        values, present = self.arrays(size)
        state[f"{prefix}/values"], state[f"{prefix}/present"] = values, present
        state[f"{prefix}/holds"] = pack(self._holds)

    def restore(self, prefix: str, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        self._values = shared_of(state, f"{prefix}/values")
        self._present = shared_of(state, f"{prefix}/present")
        self._shares_values = self._shares_present = True
        self._holds = unpack(state, f"{prefix}/holds")

    def table_column(self, name: str, order: Rows, size: int) -> TableColumn:
        """Some of the view's ``size`` rows as a table shows them, in the given order."""
        values, present = self.arrays(size)
        column = StoredColumn(name, "flag" if self.is_flags else "number", values, present, order)
        if not column.is_whole:  # a few rows are copied at once, rather than everything later
            return column.take(np.arange(len(order)))
        self._shares_values = self._shares_present = True
        return column


# What kind of scalar a cell of a CodedColumn holds; 0 is an empty cell.
_INT, _FLOAT, _BOOL, _TEXT = 1, 2, 3, 4
_INT64_LIMIT = 1 << 63


class CodedColumn:
    """One scalar of any kind per row (int, float, bool, text), or nothing.

    A cell is 64 bits and a tag that says how to read them: an integer, the bits of a float, a
    bool, or the number of a text; each text is stored once. Integers that 64 bits do not hold
    are kept as floats, and anything that is no scalar as its text.
    """

    __slots__ = ("_bits", "_numbers", "_seen", "_tags", "_texts", "state")

    def __init__(self) -> None:
        self.state = object()  # another one after every change
        self._bits = np.zeros(0, np.int64)
        self._tags = np.zeros(0, np.int8)
        self._texts: list[str] = []
        self._numbers: dict[str, int] = {}
        self._seen = 0  # bit t: a scalar with tag t was put, ever

    def put(self, rows: Rows, scalars: Sequence[Any], size: int) -> None:
        """Sets cells in order, None leaving its cell as it is."""
        self.state = object()
        self._reserve(size)
        for row, scalar in zip(rows.tolist(), scalars, strict=True):
            if scalar is not None:
                self._tags[row], self._bits[row] = self._code(scalar)

    def _reserve(self, size: int) -> None:
        self._bits = grown(self._bits, size)
        self._tags = grown(self._tags, size)

    def _code(self, scalar: Any) -> tuple[int, int]:
        kind = type(scalar)
        if kind is int and -_INT64_LIMIT <= scalar < _INT64_LIMIT:
            tag, bits = _INT, scalar
        elif kind is bool:
            tag, bits = _BOOL, int(scalar)
        elif kind is int or kind is float:
            tag, bits = _FLOAT, int(np.float64(scalar).view(np.int64))
        else:
            tag, bits = _TEXT, self._number(str(scalar))
        self._seen |= 1 << tag
        return tag, bits

    def _number(self, text: str) -> int:
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self._texts)
            self._texts.append(text)
        return number

    def cell(self, row: int) -> Scalar:
        """One cell as it was put, None when it is empty."""
        tag = int(self._tags[row]) if row < len(self._tags) else 0
        if tag == _TEXT:
            return self._texts[int(self._bits[row])]
        if tag == _FLOAT:
            return float(self._bits[row : row + 1].view(np.float64)[0])
        if tag == _BOOL:
            return bool(self._bits[row])
        return int(self._bits[row]) if tag == _INT else None

    def merge(self, later: CodedColumn, rows: Rows, size: int) -> None:
        """Puts the cells of a later column, whose row ``i`` is this one's row ``rows[i]``."""
        self.state = object()
        self._reserve(size)
        later._reserve(len(rows))
        tags, bits = later._tags[: len(rows)], later._bits[: len(rows)].copy()
        numbers = np.asarray([self._number(text) for text in later._texts], np.int64)
        texts = tags == _TEXT
        bits[texts] = numbers[bits[texts]]
        there = tags != 0
        self._tags[rows[there]], self._bits[rows[there]] = tags[there], bits[there]
        self._seen |= later._seen

    def snapshot(self, prefix: str, size: int, state: State) -> None:
        self._reserve(size)
        state[f"{prefix}/tags"], state[f"{prefix}/bits"] = self._tags[:size], self._bits[:size]
        state[f"{prefix}/texts"] = pack((self._seen, self._texts))

    def restore(self, prefix: str, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        self._tags = array_of(state, f"{prefix}/tags")
        self._bits = array_of(state, f"{prefix}/bits")
        self._seen, texts = unpack(state, f"{prefix}/texts")
        self._texts = list(texts)
        self._numbers = {text: number for number, text in enumerate(texts)}

    def table_column(self, name: str, order: Rows, size: int) -> TableColumn:
        """Some of the view's ``size`` rows as a table shows them, in the given order.

        Numbers alone make a ``number`` column (int64 when all are integers), bools alone a
        ``flag`` column, texts or a mixture a ``text`` column.
        """
        self._reserve(size)
        tags, bits = self._tags[order], self._bits[order]
        present = tags != 0
        if self._seen == 1 << _BOOL:
            return TableColumn(name, "flag", bits != 0, present)
        if self._seen == 1 << _INT:
            return TableColumn(name, "number", bits, present)
        if self._seen and not self._seen & (1 << _BOOL | 1 << _TEXT):
            return TableColumn(
                name, "number", np.where(tags == _INT, bits, bits.view(np.float64)), present
            )
        if self._seen == 1 << _TEXT:
            return TableColumn(name, "text", bits.astype(np.int32), present, tuple(self._texts))
        return self._mixed(name, order, present)

    def _mixed(self, name: str, order: Rows, present: npt.NDArray[np.bool_]) -> TableColumn:
        categories: dict[str, int] = {}
        codes = np.zeros(len(order), np.int32)
        for at in np.flatnonzero(present).tolist():
            codes[at] = categories.setdefault(str(self.cell(int(order[at]))), len(categories))
        return TableColumn(name, "text", codes, present, tuple(categories))

    def update(self, digest: Digest, order: Rows) -> None:
        """Adds the content to a digest, rows in the given order."""
        self._reserve(len(order))
        tags, bits = self._tags[order], self._bits[order]
        # Numbers of texts are given in the order of arrival; their rank among the sorted is not.
        used = sorted({self._texts[n] for n in np.unique(bits[tags == _TEXT]).tolist()})
        ranks = np.zeros(max(1, len(self._texts)), np.int64)
        ranks[[self._numbers[text] for text in used]] = np.arange(len(used))
        texts = tags == _TEXT
        bits[texts] = ranks[bits[texts]]
        floats = tags == _FLOAT
        bits[floats] = canonical_floats(bits[floats].view(np.float64)).view(np.int64)
        bits[tags == 0] = 0
        digest.add(self._seen, used, tags, bits)


class TriState:
    """Per row: on, off, or never said. Decisions of people: tags, discards."""

    __slots__ = ("_said",)
    ON, OFF = 1, 2

    def __init__(self) -> None:
        self._said = np.zeros(0, np.int8)

    def put(self, rows: Rows, on: bool, size: int) -> None:
        self._said = grown(self._said, size)
        self._said[rows] = self.ON if on else self.OFF

    def on(self, size: int) -> npt.NDArray[np.bool_]:
        """Where it is on ``[size]``."""
        self._said = grown(self._said, size)
        on: npt.NDArray[np.bool_] = self._said[:size] == self.ON
        return on

    def cell(self, row: int) -> bool:
        return 0 <= row < len(self._said) and bool(self._said[row] == self.ON)

    def merge(self, later: TriState, rows: Rows, size: int) -> None:
        """Takes over what a later one said; its row ``i`` is this one's row ``rows[i]``."""
        self._said = grown(self._said, size)
        later._said = grown(later._said, len(rows))
        said = later._said[: len(rows)]
        self._said[rows[said != 0]] = said[said != 0]

    def snapshot(self, size: int) -> npt.NDArray[np.int8]:
        self._said = grown(self._said, size)
        return self._said[:size]

    def restore(self, said: npt.NDArray[Any]) -> None:
        self._said = said


def canonical_floats(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """float64 with one bit pattern for NaN, so that equal content has equal bytes."""
    wide = values.astype(np.float64)
    wide[np.isnan(wide)] = np.nan
    return wide


def _canonical(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Numbers in their widest type, because equal content may be kept in any that holds it."""
    if array.dtype.kind == "f":
        return canonical_floats(array)
    return array.astype(np.int64) if array.dtype.kind in "iu" else array


class Digest:
    """blake2b over canonical content; every item is delimited, so no two contents share bytes."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, *items: Any) -> None:
        """Adds arrays (floats canonicalised) and anything that msgpack packs."""
        for item in items:
            if isinstance(item, np.ndarray):
                array = _canonical(item)
                data, label = np.ascontiguousarray(array).tobytes(), array.dtype.str
            else:
                data, label = pack(item), "msgpack"
            self._hash.update(f"{label} {len(data)}\n".encode())
            self._hash.update(data)

    def column(self, column: Column, order: Rows) -> None:
        """Adds a column of numbers, its rows in the given order; empty cells count as empty."""
        values, present = column.arrays(len(order))
        if column.is_flags:
            self.add("flags")
        self.add(present[order], np.where(present[order], values[order].astype(np.float64), 0.0))

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
