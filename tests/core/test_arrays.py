"""The array store: bit for bit, once per content, damage named, pixels read when they are used."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.core.frames import raw
from wl_core.arrays import ArrayProxy, ArrayStore, pack_arrays
from wl_core.errors import ArrayNotStoredError, SignalShapeError, StorageError

DTYPES = ["?", "i1", "<i8", ">i4", "u2", "<f2", "<f4", ">f8", "<c8"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArrayStore]:
    found = ArrayStore(tmp_path_factory.mktemp("store") / "arrays", create=True)
    yield found
    found.close()


def stored(store: ArrayStore, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    packed = pack_arrays([array])
    store.put_raw(packed)
    return store.get(packed[0][0])


def assert_same_bits(got: npt.NDArray[Any], put: npt.NDArray[Any]) -> None:
    assert (got.dtype, got.shape) == (put.dtype, put.shape)
    assert got.tobytes() == put.tobytes()


NAN = np.array([0x7FC0_0001, 0xFFC1_2345, 0x7F80_0001, 0x8000_0000], np.uint32).view(np.float32)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(64).reshape(8, 8) % 4,
        np.pad(np.full((3, 2), 7, np.int64), ((5, 0), (1, 9))),
        np.eye(17, dtype=bool),
        np.zeros((128, 128), bool),
        np.ones((128, 128), bool),
        np.array([0.0, -0.0, np.inf, -np.inf, 1e-45], np.float32),
        NAN,
        NAN.reshape(2, 2),
        np.array([1.5, -0.0], np.float16),
        np.array([[1e300, -0.0]]),
        np.zeros((0, 4), np.uint8),
        np.zeros((3, 0), np.float64),
        np.array(5, np.uint8),
        np.array(-0.0),
        np.array(7, ">i4"),
        np.pad(np.ones((3, 2, 2), np.int16), 2),
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4)[:, ::2, ::-1],
        np.asfortranarray(np.arange(12, dtype=np.int32).reshape(3, 4)),
        np.arange(12, dtype=">i8").reshape(3, 4),
        np.array([[1.5, -0.0]], ">f4"),
        np.array([[True]]),
        np.full((2, 3), 1 + 2j, np.complex64),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_an_array_is_read_back_bit_for_bit(store: ArrayStore, array: npt.NDArray[Any]) -> None:
    assert_same_bits(stored(store, array), array)


@given(
    data=st.data(),
    dtype=st.sampled_from(DTYPES),
    shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9),
    frames=st.integers(1, 3),
)
@settings(max_examples=80)
def test_any_arrays_are_read_back_bit_for_bit(
    store: ArrayStore, data: st.DataObject, dtype: str, shape: tuple[int, ...], frames: int
) -> None:
    """Several at once, sparse ones among them: equal shapes are cut to their boxes together."""
    fill = st.just(np.zeros((), dtype).item())
    arrays = [data.draw(hnp.arrays(dtype, shape, fill=fill)) for _ in range(frames)]
    packed = pack_arrays(arrays)
    store.put_raw(packed)
    for (reference, _), array in zip(packed, arrays, strict=True):
        assert_same_bits(store.get(reference), array)


def test_what_differs_in_dtype_shape_or_bits_is_another_array() -> None:
    one = np.zeros((4, 4), np.uint8)
    others = [one, one.astype(np.int8), one.astype(bool), one.reshape(2, 8), one.reshape(1, 4, 4)]
    floats = [np.array([0.0]), np.array([-0.0]), np.array([[0.0]])]
    references = [reference for reference, _ in pack_arrays(others) + pack_arrays(floats)]
    assert len(set(references)) == len(references)


def test_a_mask_is_known_however_it_lies_in_memory() -> None:
    mask = np.pad(np.ones((3, 5), np.int64), 4)
    ways = [mask, np.asfortranarray(mask), np.pad(mask, 1)[1:-1, 1:-1]]
    assert len({pack_arrays([way])[0] for way in ways}) == 1
    assert {pair[0] for pair in pack_arrays(ways)} == {pack_arrays([mask])[0][0]}


def test_content_is_stored_once(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path / "arrays", create=True)
    noise = np.random.default_rng(1).random((64, 64))
    store.put_raw(pack_arrays([noise, noise]))
    used = store.bytes_used
    for _ in range(20):
        store.put_raw(pack_arrays([noise.copy()]))
    assert store.bytes_used == used
    store.close()
    with raw(tmp_path / "arrays") as environment, environment.begin() as txn:
        assert txn.stat(environment.open_db(b"arrays", txn))["entries"] == 1


def test_a_mask_of_mostly_nothing_takes_next_to_no_room() -> None:
    mask = np.zeros((1024, 1024), bool)
    mask[500:520, 300:330] = True
    [(_, record)] = pack_arrays([mask])
    assert len(record) < 1000


@pytest.mark.parametrize(
    "array", [np.array(["text"]), np.array([object()]), np.array(["2026"], "M8[s]")]
)
def test_what_is_not_numbers_is_refused(array: npt.NDArray[Any]) -> None:
    with pytest.raises(SignalShapeError, match="give numbers or bools"):
        pack_arrays([array])


def test_errors_that_are_kept_keep_no_place_among_the_readers(store: ArrayStore) -> None:
    """LMDB has 126 places, and a transaction holds its own as long as anything refers to it."""
    kept = []
    for number in range(300):
        with pytest.raises(ArrayNotStoredError) as caught:
            store.get(number.to_bytes(16, "big"))
        kept.append(caught)
    assert_same_bits(stored(store, np.eye(3)), np.eye(3))


def test_an_array_that_is_not_there_is_named(store: ArrayStore) -> None:
    with pytest.raises(ArrayNotStoredError, match="00" * 16):
        store.get(bytes(16))
    assert bytes(16) not in store


def replaced(path: Path, reference: bytes, record: bytes) -> None:
    with raw(path) as environment:
        arrays = environment.open_db(b"arrays")
        with environment.begin(write=True) as txn:
            txn.put(reference, record, db=arrays)


@given(data=st.data())
@settings(max_examples=60)
def test_a_damaged_record_is_named_and_never_another_array(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "arrays"
    mask = np.pad(np.arange(1, 13).reshape(3, 4), 3)
    [(reference, record)] = pack_arrays([mask])
    kind, body = data.draw(
        st.sampled_from([(b"\x02", zlib.compress(record[1:], 1)), (b"", record[1:])])
    )
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    if not kind:  # damage beneath the compression, which then says nothing
        damaged = bytearray(zlib.compress(bytes(damaged)))
    ArrayStore(path, create=True).close()
    replaced(path, reference, b"\x02" + bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    store = ArrayStore(path)
    try:
        assert_same_bits(store.get(reference), mask)  # an unused bit of the compression
    except StorageError as error:
        told = str(error)
    else:
        told = reference.hex()
    assert reference.hex() in told or "claims to be" in told
    store.close()


def test_a_record_that_claims_to_be_huge_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    import msgpack

    path = tmp_path / "arrays"
    ArrayStore(path, create=True).close()
    claims = {
        b"a" * 16: msgpack.packb(["<f8", [1 << 40], None]),
        b"b" * 16: msgpack.packb(["|b1", [1 << 20, 1 << 20], [0, 0, 0, 0]]),
        b"c" * 16: msgpack.packb(["|O", [1], None]) + bytes(8),
        b"d" * 16: msgpack.packb(["<f8", [-1], None]),
        b"e" * 16: msgpack.packb(["|b1", [2**62, 4, 4], [0, 0, 0, 0]]),
    }
    for reference, record in claims.items():
        replaced(path, reference, b"\x02" + zlib.compress(record))
    store = ArrayStore(path)
    for reference in claims:
        with pytest.raises(StorageError):
            store.get(reference)
    store.close()


def test_pixels_are_read_when_they_are_first_used_and_cannot_be_changed(
    tmp_path: Path,
) -> None:
    store = ArrayStore(tmp_path / "arrays", create=True)
    mask = np.eye(5, dtype=np.int64) * 3
    [(reference, record)] = pack_arrays([mask])
    proxy = ArrayProxy(store, reference, "<i8", (5, 5))
    assert (proxy.shape, proxy.dtype) == ((5, 5), np.int64)
    assert reference.hex()[:12] in repr(proxy)
    with pytest.raises(ArrayNotStoredError):
        proxy.load()
    store.put_raw([(reference, record)])
    assert np.asarray(proxy).tolist() == mask.tolist()
    assert np.asarray(proxy, dtype=np.float32).dtype == np.float32
    assert proxy.load() is proxy.load()
    with pytest.raises(ValueError, match="read-only"):
        proxy.load()[0, 0] = 1
    store.close()
    assert proxy.load()[0, 0] == 3
