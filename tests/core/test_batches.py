from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from wl_core.batches import EventBatch, batches
from wl_core.codec import Frame, FrameBuilder, decode, encode
from wl_core.events import CATALOGUE, Catalogue, Kind


def framed(position: int, step: int, fill: Callable[[FrameBuilder], None]) -> Frame:
    builder = FrameBuilder()
    fill(builder)
    frame = Frame(step, 1.5, b"somebody", 1, "train", False, builder.blobs, builder.events)
    return decode(position, encode(frame))


def add_values(
    builder: FrameBuilder,
    signal: str,
    ids: list[int | str],
    values: list[float],
    dtype: str = "f4",
    origin: str = "train_loader",
) -> None:
    vector = builder.vector(np.asarray(values, dtype))
    builder.add("values", signal, origin, True, builder.ids(ids), vector)


def two_frames() -> list[Frame]:
    def first(builder: FrameBuilder) -> None:
        add_values(builder, "loss", [1, 2], [0.5, 0.25])
        add_values(builder, "dice", [1, 2], [0.1, 0.2])
        add_values(builder, "loss", [9], [7.0], origin="test_loader")

    def second(builder: FrameBuilder) -> None:
        add_values(builder, "loss", [3], [0.75])

    return [framed(0, 4, first), framed(3, 5, second)]


def test_events_of_one_key_come_together_in_the_order_of_the_log() -> None:
    batch = EventBatch(two_frames())
    loss, dice, elsewhere = batch.groups("values")
    assert loss.key == ("loss", "train_loader")
    assert loss.vector("values").tolist() == [0.5, 0.25, 0.75]
    assert loss.ids().tolist() == [1, 2, 3]
    assert loss.ids().lengths.tolist() == [2, 1]
    assert loss.ids().starts.tolist() == [0, 2]
    assert loss.positions.tolist() == [0, 3]
    assert loss.steps.tolist() == [4, 5]
    assert loss.phases == ["train", "train"]
    assert dice.key == ("dice", "train_loader")
    assert elsewhere.key == ("loss", "test_loader")


def test_a_batch_knows_what_it_spans() -> None:
    batch = EventBatch(two_frames())
    assert (batch.start, batch.stop, batch.count, batch.frame_count) == (0, 4, 4, 2)


def test_a_kind_that_did_not_happen_has_no_groups() -> None:
    assert list(EventBatch(two_frames()).groups("exposed")) == []


def test_equal_ids_of_several_signals_are_one_vector() -> None:
    builder_frames = [
        framed(0, 1, lambda b: [add_values(b, s, [4, 5], [1.0, 2.0]) for s in "xy"] and None)
    ]
    x, y = EventBatch(builder_frames).groups("values")
    assert x.ids() is y.ids()


def test_ids_are_integers_unless_one_of_them_is_text() -> None:
    whole = [framed(0, 1, lambda b: add_values(b, "x", [2**40, -3], [0, 0]))]
    mixed = [*whole, framed(1, 2, lambda b: add_values(b, "x", ["a", 7], [0, 0]))]
    integers = EventBatch(whole).groups("values")[0].ids().integers
    assert integers is not None
    assert integers.dtype == np.int64
    assert integers.tolist() == [2**40, -3]
    ids = EventBatch(mixed).groups("values")[0].ids()
    assert ids.integers is None
    assert ids.mixed == [2**40, -3, "a", 7]
    assert ids.lengths.tolist() == [2, 2]


def test_vectors_of_several_dtypes_lose_nothing() -> None:
    frames = [
        framed(0, 1, lambda b: add_values(b, "x", [1], [0.1], "f4")),
        framed(1, 2, lambda b: add_values(b, "x", [1], [0.1], "f8")),
    ]
    group = EventBatch(frames).groups("values")[0]
    assert group.vector("values").tolist() == [np.float32(0.1), 0.1]
    assert group.lengths("values").tolist() == [1, 1]


def test_empty_vectors_do_not_change_the_dtype() -> None:
    frames = [
        framed(0, 1, lambda b: add_values(b, "x", [], [], "f8")),
        framed(1, 2, lambda b: add_values(b, "x", [1], [0.1], "f4")),
    ]
    assert EventBatch(frames).groups("values")[0].vector("values").dtype == np.float32


def test_one_byte_is_read_in_the_dtype_of_its_own_vector() -> None:
    """CPython has one object for each bytes of length 1, so identity alone is no cache key."""

    def fill(builder: FrameBuilder) -> None:
        add_values(builder, "x", [1], [-1], "i1")
        add_values(builder, "y", [1], [255], "u1")

    x, y = EventBatch([framed(0, 1, fill)]).groups("values")
    assert (x.vector("values").tolist(), y.vector("values").tolist()) == ([-1], [255])


def test_an_absent_vector_has_length_nought() -> None:
    def fill(builder: FrameBuilder) -> None:
        builder.add("discarded", True, "train_loader", builder.ids([1]), None, "me", "")
        one = builder.vector(np.asarray([2], np.uint8))
        builder.add("discarded", True, "train_loader", builder.ids([1]), one, "me", "")

    group = EventBatch([framed(0, 1, fill)]).groups("discarded")[0]
    assert group.lengths("annotation_ids").tolist() == [0, 1]
    assert group.vector("annotation_ids").tolist() == [2]


def test_events_of_a_group_can_be_had_one_by_one() -> None:
    loss = EventBatch(two_frames()).groups("values")[0]
    ones = list(loss.singly())
    assert [one.ids().tolist() for one in ones] == [[1, 2], [3]]
    assert [one.first_position for one in ones] == [0, 3]
    assert ones[1].kind.name == "values"


def test_a_field_that_a_kind_has_not_is_named() -> None:
    with pytest.raises(KeyError, match="values has no field 'value'"):
        EventBatch(two_frames()).groups("values")[0].field("value")


def test_kinds_that_nobody_knows_are_grouped_all_the_same() -> None:
    frame = framed(0, 1, lambda b: add_values(b, "x", [1], [1.0]))
    batch = EventBatch([frame], Catalogue([Kind("other", "")]))
    assert len(batch.groups("values")[0]) == 1


def test_a_stream_is_cut_so_that_memory_is_bounded() -> None:
    frames = [
        framed(n, n, lambda b: add_values(b, "x", list(range(256)), [0.5] * 256)) for n in range(64)
    ]
    cut = list(batches(frames, CATALOGUE, max_bytes=8 << 10))
    assert [len(batch.groups("values")[0]) for batch in cut] == [4] * 16
    assert [(batch.start, batch.stop) for batch in cut] == [(n, n + 4) for n in range(0, 64, 4)]


def test_no_frames_make_no_batch() -> None:
    assert list(batches([])) == []
