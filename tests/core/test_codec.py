"""Frames as bytes: what goes in comes out, and what is damaged is named and never half-read."""

from __future__ import annotations

import enum
import time
import tracemalloc
import zlib
from pathlib import PurePosixPath
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.frames import WRITER, frame
from wl_core import codec
from wl_core.codec import Frame, FrameBuilder, decode, encode, frame_events, pack_index, plain
from wl_core.errors import DamagedFrameError, FrameTooLargeError, UnsupportedFormatError

IDS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9),
    st.lists(st.text(max_size=6), max_size=9),
    st.lists(st.one_of(st.integers(-5, 5), st.sampled_from(["1", "-1", "x"])), max_size=9),
)
DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"]
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


def signed(body: bytes) -> bytes:
    """Any bytes behind a checksum that is right."""
    return zlib.crc32(body).to_bytes(4, "little") + body


def built(add: Any, **header: Any) -> Frame:
    builder = FrameBuilder()
    add(builder)
    fields = {"step": 3, "time": 9.25, "number": 4, "phase": "train", "failed": False} | header
    return Frame(writer=WRITER, blobs=builder.blobs, events=builder.events, **fields)


# -- what goes in comes out ------------------------------------------------------


@given(
    ids=IDS,
    code=st.sampled_from(DTYPES),
    raw=st.binary(max_size=64),
    step=st.integers(0, 2**40),
    when=st.floats(0, 4e9),
    phase=st.sampled_from(codec.PHASES),
    failed=st.booleans(),
    detail=JSON,
)
def test_a_frame_comes_back_as_it_was(
    ids: list[Any],
    code: str,
    raw: bytes,
    step: int,
    when: float,
    phase: str,
    failed: bool,
    detail: Any,
) -> None:
    dtype = codec.DTYPES[code]
    values = np.frombuffer(raw[: len(raw) // dtype.itemsize * dtype.itemsize], dtype)

    def add(builder: FrameBuilder) -> None:
        builder.add("values", "a/b", "tränen", True, builder.ids(ids), builder.vector(values))
        builder.add("object_described", "model", "net", detail)

    put = built(add, step=step, time=when, phase=phase, failed=failed)
    got = decode(11, encode(put))
    assert (got.step, got.time, got.phase, got.failed) == (step, when, phase, failed)
    assert (got.writer, got.number, got.position, got.count) == (WRITER, 4, 11, 2)
    first = got.events[0]
    assert first[:5] == ("values", 1, "a/b", "tränen", True)
    assert got.ids(first[5]) == ids
    assert [type(one) for one in got.ids(first[5])] == [type(one) for one in ids]
    vector = got.vector(first[6])
    assert vector.dtype == dtype
    assert vector.tobytes() == values.tobytes()
    assert repr(list(frame_events(got))[1].data["detail"]) == repr(tuples(plain(detail)))


def tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: tuples(one) for key, one in value.items()}
    return tuple(tuples(one) for one in value) if isinstance(value, list) else value


def test_equal_vectors_are_stored_once() -> None:
    builder = FrameBuilder()
    first = builder.vector(np.arange(4))
    assert builder.vector(np.arange(4)) == first
    assert builder.vector(np.arange(4, dtype=np.int32)) != first
    assert builder.ids(["a", 1]) == builder.ids(["a", 1])
    assert len(builder.blobs) == 6


def test_a_big_endian_or_strided_vector_is_stored_little_endian_and_whole() -> None:
    values = np.arange(10, dtype=">f8")[::3]
    got = decode(0, encode(built(lambda b: b.add("step_values", ["a"], b.vector(values)))))
    assert got.vector(0).dtype == np.dtype("<f8")
    assert got.vector(0).tolist() == [0.0, 3.0, 6.0, 9.0]


def test_indexes_take_the_narrowest_integers() -> None:
    for top, dtype in ((255, np.uint8), (256, np.uint16), (65535, np.uint16), (65536, np.uint32)):
        assert pack_index(np.array([0, top])).dtype == dtype
    assert pack_index(np.array([], np.int64)).dtype == np.uint8


def test_the_ids_1_and_the_text_1_differ() -> None:
    builder = FrameBuilder()
    number, text, both = builder.ids([1]), builder.ids(["1"]), builder.ids([1, "1"])
    got = decode(0, encode(built(lambda b: b.add("exposed", "o", b.ids([1, "1"])))))
    assert len({number, text, both}) == 3
    assert got.ids(0) == [1, "1"]


def test_what_a_script_gives_becomes_what_json_can_hold() -> None:
    class Level(enum.IntEnum):
        HIGH = 2

    given_ = {
        10: np.float32(0.5),
        "path": PurePosixPath("a/b"),
        "big": 2**70,
        "deep": {"x": (1, np.int8(2), np.bool_(True), None)},
        "level": Level.HIGH,
        "nan": float("nan"),
    }
    got = decode(0, encode(built(lambda b: b.add("hyperparameters", given_, "script", ""))))
    assert repr(got.events[0][2]) == repr(
        {
            "10": 0.5,
            "path": "a/b",
            "big": str(2**70),
            "deep": {"x": (1, 2, True, None)},
            "level": 2,
            "nan": float("nan"),
        }
    )


def test_a_file_name_that_is_no_utf_8_does_not_stop_recording() -> None:
    name = b"image-\xff.png".decode("utf-8", "surrogateescape")
    got = decode(0, encode(built(lambda b: b.add("exposed", name, b.ids([name])))))
    assert got.ids(0) == [name]


def test_too_few_fields_are_refused_at_the_call() -> None:
    with pytest.raises(TypeError, match="'exposed' has 2 fields, got 1"):
        FrameBuilder().add("exposed", "train")


def test_a_frame_that_is_too_large_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codec, "MAX_FRAME_BYTES", 100)
    with pytest.raises(FrameTooLargeError, match="leave the guard more often"):
        encode(frame(size=100))


# -- damage ------------------------------------------------------------------------

DATA = encode(frame(number=3, count=2))


@given(at=st.integers(0, len(DATA) - 1), mask=st.integers(1, 255))
def test_any_flipped_byte_is_found_and_named(at: int, mask: int) -> None:
    damaged = bytearray(DATA)
    damaged[at] ^= mask
    with pytest.raises(DamagedFrameError, match="position 42") as caught:
        decode(42, bytes(damaged))
    assert caught.value.position == 42
    assert "checksum" in caught.value.reason


@pytest.mark.parametrize("length", range(len(DATA)))
def test_a_frame_that_was_cut_off_is_damage(length: int) -> None:
    with pytest.raises(DamagedFrameError):
        decode(0, DATA[:length])


@given(st.binary(max_size=300))
def test_random_bytes_are_damage(data: bytes) -> None:
    """Or say of themselves that they are of a newer format, which takes two bytes."""
    with pytest.raises((DamagedFrameError, UnsupportedFormatError)):
        decode(0, signed(data))
    with pytest.raises(DamagedFrameError):
        decode(0, b"\0\0\0\0" + data + b"!")


@given(st.data())
def test_a_frame_with_any_part_replaced_is_damage_or_can_be_read(data: st.DataObject) -> None:
    """With a checksum that is right: a writer with a bug, or with bad intentions."""
    parts: Any = list(msgpack.unpackb(DATA[4:], use_list=True))
    where = parts
    while True:
        at = data.draw(st.integers(0, len(where) - 1))
        if not (isinstance(where[at], list) and where[at] and data.draw(st.booleans())):
            break
        where = where[at]
    where[at] = data.draw(JSON.filter(_fits) | st.binary(max_size=9))
    try:
        found = decode(0, signed(msgpack.packb(parts)))
    except (DamagedFrameError, UnsupportedFormatError):
        return
    assert sum(1 for _ in frame_events(found)) == found.count


def _fits(value: Any) -> bool:
    try:
        msgpack.packb(value)
    except OverflowError:
        return False
    return True


@pytest.mark.parametrize(
    "body",
    [
        b"\x91" * 100_000,
        b"\x81\xa1a" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xdd\x00\x0f\xff\xff" * 200 + b"\0" * (1 << 20),
        b"\xc9\xff\xff\xff\xff\x01",
        b"\xd4\x01a",
        b"\x9a" + b"\xc0" * 10,
        b"",
        b"\xc1",
    ],
    ids=lambda body: f"{body[:6].hex()}-{len(body)}",
)  # fmt: skip
def test_depth_and_lengths_that_lie_are_named_at_once_in_bounded_memory(body: bytes) -> None:
    data = signed(body)
    tracemalloc.start()
    began = time.perf_counter()
    try:
        with pytest.raises(DamagedFrameError):
            decode(0, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - began < 5
    assert peak < 100 * len(data) + (1 << 20)
