"""ArrayStore: masks and predictions, stored once per content, loaded on first use.

An array's reference is a 128-bit hash (truncated SHA-256) of its dtype, shape and values. Masks
are mostly zeros, so an integer or bool array is cut to the box of its nonzero values before it is
hashed and stored; floats are kept whole, because a negative zero is not nothing. A record is

    b"\\x01" + msgpack [dtype, shape, box] + raw values of the box      as the tail holds it
    b"\\x02" + the same behind zlib                                     as the store holds it

Writing goes `pack_arrays` (caller's thread: cut and hash) -> tail -> `ArrayStore.put_raw` (commit
thread: compress and store). Which events name an array is `recorder`'s and the views' business.
"""

from __future__ import annotations

import hashlib
import itertools
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


def pack_arrays(
    arrays: Sequence[npt.NDArray[Any]] | npt.NDArray[Any],
) -> list[tuple[bytes, bytes]]:
    """(reference, raw record) of each array; a stack ``[N, …]`` of equal ones is the fast case.

    Raises:
        SignalShapeError: an array holds something other than numbers or bools.
    """
    if isinstance(arrays, np.ndarray):
        return _pack_stack(arrays)
    packed: list[tuple[bytes, bytes]] = []
    for (_, dtype), run in itertools.groupby(arrays, key=lambda array: (array.shape, array.dtype)):
        packed += _pack_stack(np.stack(list(run), dtype=dtype))  # or the byte order would be lost
    return packed


def _pack_stack(stack: npt.NDArray[Any]) -> list[tuple[bytes, bytes]]:
    if stack.dtype.kind not in "biufc":
        raise SignalShapeError(
            f"an array of dtype {stack.dtype} cannot be stored: give numbers or bools"
        )
    shape, dtype = stack.shape[1:], stack.dtype.str
    if stack.dtype.kind not in "biu" or len(shape) < 2 or not stack.size:
        header = _pack_header((dtype, shape, None))
        whole = (stack[number, ...] for number in range(len(stack)))  # scalars stay arrays
        return [_named(_RAW + header + array.tobytes()) for array in whole]
    packed = []
    for array, box in zip(stack, _boxes(stack), strict=True):
        part = array[..., box[0] : box[1], box[2] : box[3]]
        packed.append(_named(_RAW + _pack_header((dtype, shape, box)) + part.tobytes()))
    return packed


def _named(record: bytes) -> tuple[bytes, bytes]:
    return hashlib.sha256(record).digest()[:REFERENCE_BYTES], record


def _boxes(stack: npt.NDArray[Any]) -> list[tuple[int, ...]]:
    """(top, bottom, left, right) of the nonzero values in the last two axes of each array.

    Looked at by machine words, so left and right are multiples of a word, and all arrays at once:
    numpy's price per call and per short row is what counts here.
    """
    count, *_, height, width = stack.shape
    row_bytes = width * stack.itemsize
    word = next(size for size in (8, 4, 2, 1) if row_bytes % size == 0)
    words = (
        np.ascontiguousarray(stack).view(f"u{word}").reshape(count, -1, height, row_bytes // word)
    )
    some = words[:, 0] != 0
    for plane in range(1, words.shape[1]):
        some |= words[:, plane] != 0
    rows = _any_last(some)
    columns = np.logical_or.reduce(np.ascontiguousarray(some.transpose(1, 0, 2)), axis=0)
    found = np.empty((count, 4), np.intp)
    found[:, 0], found[:, 1] = rows.argmax(1), height - rows[:, ::-1].argmax(1)
    found[:, 2] = columns.argmax(1) * word // stack.itemsize
    found[:, 3] = width - columns[:, ::-1].argmax(1) * word // stack.itemsize
    found[~rows.any(1)] = 0  # nothing at all: an empty box
    return [tuple(box) for box in found.tolist()]


def _any_last(some: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """``some.any(-1)``, eight bools at a time where that divides: numpy is slow on short rows."""
    if some.shape[-1] % 8:
        return np.asarray(some.any(axis=-1))
    eights = some.view(np.uint64)
    found = np.asarray(eights[..., 0] != 0)
    for number in range(1, eights.shape[-1]):
        found |= eights[..., number] != 0
    return found


def unpack_record(record: bytes) -> npt.NDArray[Any]:
    """The array of a raw record, as `pack_arrays` made it."""
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
    array[..., top:bottom, left:right] = values.reshape((*shape[:-2], bottom - top, right - left))
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
        record = self._record(reference)
        if record is None:
            raise ArrayNotStoredError(
                f"the array {reference.hex()} is not in the store: it was collected, or the machine"
                " lost power before it was on disk"
            )
        try:
            raw = _RAW + zlib.decompressobj().decompress(record[1:], _MAX_ARRAY_BYTES)
            array = unpack_record(raw)
            [(found, _)] = pack_arrays([array])
        except (zlib.error, ValueError, TypeError, msgpack.UnpackException) as error:
            raise StorageError(f"the array {reference.hex()} is damaged: {error}") from error
        if found != reference:
            raise StorageError(f"the array {reference.hex()} is damaged: its hash does not match")
        return array

    def _record(self, reference: bytes) -> bytes | None:
        """Apart from `get`: an error that is kept keeps its frame, and that a transaction."""
        if self._arrays is None:
            return None
        with self._environment.reading() as txn:
            return txn.get(reference, db=self._arrays)

    def __contains__(self, reference: bytes) -> bool:
        return self._record(reference) is not None

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
