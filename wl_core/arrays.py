"""ArrayStore: masks and predictions, stored once per content, loaded on first use.

An array's reference is a 128-bit hash (truncated SHA-256) of its dtype, shape and values. Masks are mostly zeros, so an
integer or bool array is cut to the box of its nonzero values before it is hashed and stored; floats
are kept whole, because a negative zero is not nothing. A record is

    b"\\x01" + msgpack [dtype, shape, box] + raw values of the box      as the tail holds it
    b"\\x02" + the same behind zlib                                     as the store holds it

Writing goes `pack_arrays` (caller's thread: cut and hash) -> tail -> `ArrayStore.put_raw` (commit
thread: compress and store). Which events name an array is `recorder`'s and the views' business.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from wl_core.environment import Transaction, open_environment
from wl_core.errors import ArrayNotStoredError, SignalShapeError, StorageError

REFERENCE_BYTES = 16
_RAW, _ZLIB = b"\x01", b"\x02"
_MAX_ARRAY_BYTES = 1 << 30
_pack_header = msgpack.Packer().pack  # a packer of its own for each header would cost more than it


def pack_arrays(arrays: Sequence[npt.NDArray[Any]]) -> list[tuple[bytes, bytes]]:
    """(reference, raw record) of each array.

    Raises:
        SignalShapeError: an array holds something other than numbers or bools.
    """
    boxes = _boxes(arrays)
    return [_pack(array, box) for array, box in zip(arrays, boxes, strict=True)]


def _pack(array: npt.NDArray[Any], box: tuple[int, ...] | None) -> tuple[bytes, bytes]:
    if array.dtype.kind not in "biufc":
        raise SignalShapeError(
            f"an array of dtype {array.dtype} cannot be stored: give numbers or bools"
        )
    part = array if box is None else array[..., box[0] : box[1], box[2] : box[3]]
    record: bytes = _RAW + _pack_header((array.dtype.str, array.shape, box)) + part.tobytes()
    return hashlib.sha256(record).digest()[:REFERENCE_BYTES], record


def _boxes(arrays: Sequence[npt.NDArray[Any]]) -> list[tuple[int, ...] | None]:
    """(top, bottom, left, right) of the nonzero values in the last two axes, None for "whole".

    Equal-shaped arrays in a row (the instance masks of a batch) are looked at together, since
    numpy's price per call is what counts here.
    """
    boxes: list[tuple[int, ...] | None] = []
    at = 0
    while at < len(arrays):
        first = arrays[at]
        end = at + 1
        while end < len(arrays) and (arrays[end].shape, arrays[end].dtype) == (first.shape, first.dtype):
            end += 1
        if first.dtype.kind in "biu" and first.ndim >= 2 and first.size:
            boxes += _stacked_boxes(arrays[at:end])
        else:
            boxes += [None] * (end - at)
        at = end
    return boxes


def _stacked_boxes(arrays: Sequence[npt.NDArray[Any]]) -> list[tuple[int, ...] | None]:
    """The values are looked at by machine words, so left and right are multiples of a word.

    Rows lie outermost and arrays within them, which gives every reduction a long inner loop.
    """
    *_, height, width = arrays[0].shape
    row_bytes = width * arrays[0].itemsize
    word = next(size for size in (8, 4, 2, 1) if row_bytes % size == 0)
    words = np.dtype(f"u{word}")
    per_row = row_bytes // word
    some = np.zeros((height, len(arrays), per_row), np.bool_)
    for number, array in enumerate(arrays):
        planes = np.ascontiguousarray(array).view(words).reshape(-1, height, per_row)
        np.not_equal(planes[0], 0, out=some[:, number])
        for plane in planes[1:]:
            some[:, number] |= plane != 0
    rows, columns = _any_last(some).T, some.any(axis=0)
    found = np.empty((len(arrays), 4), np.intp)
    found[:, 0], found[:, 1] = rows.argmax(1), height - rows[:, ::-1].argmax(1)
    found[:, 2] = columns.argmax(1) * word // arrays[0].itemsize
    found[:, 3] = width - columns[:, ::-1].argmax(1) * word // arrays[0].itemsize
    found[~rows.any(1)] = 0  # nothing at all: an empty box
    return [tuple(box) for box in found.tolist()]


def _any_last(some: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """``some.any(-1)``, eight bools at a time where that divides: numpy is slow on short rows."""
    if some.shape[-1] % 8:
        return some.any(axis=-1)
    eights = some.view(np.uint64)
    found = eights[..., 0] != 0
    for number in range(1, eights.shape[-1]):
        found |= eights[..., number] != 0
    return found


def _unpack(record: bytes) -> npt.NDArray[Any]:
    unpacker = msgpack.Unpacker(use_list=False, max_buffer_size=len(record))
    unpacker.feed(record[1:])
    dtype_text, shape, box = unpacker.unpack()
    dtype = np.dtype(dtype_text)
    if dtype.kind not in "biufc" or dtype.itemsize * int(np.prod(shape)) > _MAX_ARRAY_BYTES:
        raise StorageError(f"a stored array claims to be {dtype_text} of shape {shape}")
    values = np.frombuffer(record, dtype, offset=1 + unpacker.tell())
    if box is None:
        return values.reshape(shape).copy()
    array = np.zeros(shape, dtype)
    top, bottom, left, right = box
    array[..., top:bottom, left:right] = values.reshape(
        (*shape[:-2], bottom - top, right - left)
    )
    return array


class ArrayStore:
    """The arrays of one run and rank, in their own LMDB at ``path``.

    Raises:
        RunNotFoundError: nothing there and ``create`` not asked for.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self._environment = open_environment(path, create=create, databases=2)
        self._arrays = self._environment.database(b"arrays")

    def put_raw(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Stores records from `pack_arrays`; content that is there already is passed over."""
        new = dict(pairs)
        with self._environment.reading() as txn:
            for reference in list(new):
                if txn.get(reference, db=self._arrays) is not None:
                    del new[reference]
        if not new:
            return
        packed = {r: _ZLIB + zlib.compress(record[1:], 1) for r, record in new.items()}

        def work(txn: Transaction) -> None:
            for reference, record in packed.items():
                txn.put(reference, record, db=self._arrays, overwrite=False)

        self._environment.write(work)

    def get(self, reference: bytes) -> npt.NDArray[Any]:
        """The array, bit for bit as it was stored.

        Raises:
            ArrayNotStoredError: the store has no such content.
            StorageError: its bytes are damaged.
        """
        record = None
        if self._arrays is not None:
            with self._environment.reading() as txn:
                record = txn.get(reference, db=self._arrays)
        if record is None:
            raise ArrayNotStoredError(
                f"the array {reference.hex()} is not in the store: it was collected, or the machine"
                " lost power before it was on disk"
            )
        try:
            raw = _RAW + zlib.decompressobj().decompress(record[1:], _MAX_ARRAY_BYTES)
            array = _unpack(raw)
            [(found, _)] = pack_arrays([array])
        except (zlib.error, ValueError, TypeError, msgpack.UnpackException) as error:
            raise StorageError(f"the array {reference.hex()} is damaged: {error}") from error
        if found != reference:
            raise StorageError(f"the array {reference.hex()} is damaged: its hash does not match")
        return array

    def __contains__(self, reference: bytes) -> bool:
        with self._environment.reading() as txn:
            return self._arrays is not None and txn.get(reference, db=self._arrays) is not None

    @property
    def bytes_used(self) -> int:
        return self._environment.bytes_used()

    def close(self) -> None:
        self._environment.close()


class ArrayProxy:
    """An array that is known by shape and dtype and read when its pixels are first asked for.

    ``numpy.asarray(proxy)`` and ``proxy.load()`` read it.
    """

    __slots__ = ("_array", "_store", "dtype", "reference", "shape")

    def __init__(
        self, store: ArrayStore, reference: bytes, dtype: str, shape: tuple[int, ...]
    ) -> None:
        self._store = store
        self._array: npt.NDArray[Any] | None = None
        self.reference = reference
        self.dtype = np.dtype(dtype)
        self.shape = shape

    def load(self) -> npt.NDArray[Any]:
        """The array; read once, then kept.

        Raises:
            ArrayNotStoredError, StorageError: see `ArrayStore.get`.
        """
        if self._array is None:
            self._array = self._store.get(self.reference)
            self._array.flags.writeable = False
        return self._array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.load(), dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"ArrayProxy({self.dtype}, {self.shape}, {self.reference.hex()[:12]})"
