from __future__ import annotations

import math

import pytest

from wl_core.partitions import fold_frames
from wl_core.testing import FrameWriter, ProjectionConformance
from wl_plugins.instance_view import InstanceView


class TestConformance(ProjectionConformance):
    projection = InstanceView


def two_origins() -> InstanceView:
    log = FrameWriter()
    log.found(["b", "a"], [2, 1])
    log.instance_values("bce", ["b"], [0, 0], [2, 1], [0.25, 0.5])
    log.found(["b"], [1], origin="test_loader")
    log.step()
    return fold_frames(InstanceView, log.frames)


def test_rows_exist_as_soon_as_instances_were_found() -> None:
    log = FrameWriter()
    log.found([7, 8], [3, 0])
    log.step()
    view = fold_frames(InstanceView, log.frames)
    assert view.annotation_ids("train_loader", 7) == [1, 2, 3]
    assert view.annotation_ids("train_loader", 8) == []
    assert view.value("train_loader", 7, 3, "bce") is None
    assert len(view) == 3


def test_fewer_instances_found_later_take_no_row_away() -> None:
    log = FrameWriter()
    log.found([1], [3])
    log.step()
    log.found([1], [1])
    log.step()
    assert fold_frames(InstanceView, log.frames).annotation_ids("train_loader", 1) == [1, 2, 3]


def test_values_go_to_their_instance_in_whatever_order_they_come() -> None:
    log = FrameWriter()
    log.instance_values("bce", [10, 20], [1, 0, 1, 0], [2, 1, 1, 2], [22.0, 11.0, 21.0, 12.0])
    log.step()
    log.instance_values("bce", [20], [0], [2], [99.0])
    log.step()
    view = fold_frames(InstanceView, log.frames)
    found = {
        (sample, annotation): view.value("train_loader", sample, annotation, "signals_bce")
        for sample in (10, 20)
        for annotation in (1, 2)
    }
    assert found == {(10, 1): 11.0, (10, 2): 12.0, (20, 1): 21.0, (20, 2): 99.0}


def test_the_table_is_of_all_of_one_origin_or_of_one_sample() -> None:
    view = two_origins()
    shown = [
        [(row["origin"], row["sample_id"], row["annotation_id"]) for row in rows]
        for rows in (
            [table.row(n) for n in range(len(table))]
            for table in (view.table(), view.table("test_loader"), view.table("train_loader", "b"))
        )
    ]
    train = [("train_loader", "a", 1), ("train_loader", "b", 1), ("train_loader", "b", 2)]
    assert shown == [
        [*train, ("test_loader", "b", 1)],
        [("test_loader", "b", 1)],
        train[1:],
    ]


def test_unknown_samples_have_no_rows() -> None:
    view = two_origins()
    assert len(view.table("train_loader", "nobody")) == 0
    assert len(view.table("nowhere")) == 0
    assert view.annotation_ids("nowhere", "b") == []


def test_columns_come_in_order() -> None:
    own = ("origin", "sample_id", "annotation_id", "discarded", "tags")
    assert two_origins().table().names == (*own, "bce")


def test_an_empty_view_has_an_empty_table() -> None:
    assert len(InstanceView().table()) == 0
    assert InstanceView().means() == {}


def test_decisions_on_samples_are_not_those_on_instances() -> None:
    log = FrameWriter()
    log.found([1], [2])
    log.discarded([1])
    log.discarded([1], [2])
    log.tagged("whole", [1])
    log.tagged("part", [1, 1], [1, 2])
    log.step()
    view = fold_frames(InstanceView, log.frames)
    assert [view.is_discarded("train_loader", 1, n) for n in (1, 2, 3)] == [False, True, False]
    assert view.tags == ("part",)
    assert view.table().column("tags").cell(0) == "part"
    assert view.value("train_loader", 1, 2, "discarded") is True


def test_arrays_of_instances_are_named() -> None:
    log = FrameWriter()
    refs = [b"1" * 16, b"2" * 16]
    log.arrays("target", [4, 5], refs, batch_idx=[1, 1], annotation_ids=[1, 2])
    log.arrays("prediction", [4, 5], refs)
    log.step()
    view = fold_frames(InstanceView, log.frames)
    assert view.get_ref("train_loader", 5, 2, "target") == (b"2" * 16, "u1", (4, 4))
    assert view.get_ref("train_loader", 4, 1, "target") is None
    assert view.array_fields == ("target",)


def test_references_and_instances_must_be_as_many() -> None:
    log = FrameWriter()
    log.arrays("target", [4], [b"1" * 16] * 2, batch_idx=[0], annotation_ids=[1])
    log.step()
    with pytest.raises(ValueError, match=r"bring \[2\] references for \[1\] rows"):
        fold_frames(InstanceView, log.frames)


def test_means_are_per_sample_over_the_instances_with_a_value() -> None:
    log = FrameWriter()
    log.found([1, 2], [3, 1])
    log.instance_values("bce", [1, 3], [0, 0, 1], [1, 3, 1], [1.0, 2.0, math.nan])
    log.step()
    view = fold_frames(InstanceView, log.frames)
    found = view.means()["bce"]
    samples = [view.samples.sample_id(row) for row in found.sample_rows.tolist()]
    by_sample = dict(zip(samples, zip(found.means, found.counts, strict=True), strict=True))
    assert by_sample[1] == (1.5, 2)
    assert math.isnan(by_sample[3][0])
    assert 2 not in by_sample
    assert view.counts().sum() == 5


def test_a_mean_is_the_same_to_the_bit_however_its_log_was_folded() -> None:
    log = FrameWriter()
    values = [0.1, 1e8, -1e8, 0.3, 7e-9]
    for annotation_id in (4, 2, 5, 1, 3):
        log.instance_values("bce", [1], [0], [annotation_id], [values[annotation_id - 1]])
        log.step()
    whole = fold_frames(InstanceView, log.frames)
    late = fold_frames(InstanceView, log.frames[3:])
    early = fold_frames(InstanceView, log.frames[:3])
    early.merge(late)
    assert whole.means()["bce"].means.tobytes() == early.means()["bce"].means.tobytes()
