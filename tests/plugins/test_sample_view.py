from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from wl_core.partitions import fold_frames
from wl_core.testing import FrameWriter, ProjectionConformance
from wl_plugins.instance_view import InstanceView
from wl_plugins.sample_view import SampleView


class TestConformance(ProjectionConformance):
    projection = SampleView


def folded(fill: Callable[[FrameWriter], None]) -> SampleView:
    log = FrameWriter()
    fill(log)
    log.step()
    return fold_frames(SampleView, log.frames)


def displayed(fill: Callable[[FrameWriter], None]) -> list[dict[str, Any]]:
    log = FrameWriter()
    fill(log)
    log.step()
    views = fold_frames(SampleView, log.frames), fold_frames(InstanceView, log.frames)
    samples, instances = views
    table = samples.display(instances)
    return [table.row(row) for row in range(len(table))]


def test_the_last_value_of_a_signal_is_shown() -> None:
    log = FrameWriter()
    log.values("loss", [1, 2, 1], [1.0, 2.0, 3.0])
    log.step()
    log.values("loss", [2], [4.0])
    log.step()
    view = fold_frames(SampleView, log.frames)
    assert view.value("train_loader", 1, "loss") == 3.0
    assert view.value("train_loader", 2, "loss") == 4.0


def test_a_signal_is_found_by_each_of_its_names() -> None:
    view = folded(lambda log: log.values("blue_pixels", ["a"], [7.0]))
    for name in ("blue_pixels", "signals_blue_pixels", "signals//blue_pixels"):
        assert view.value("train_loader", "a", name) == 7.0


def test_what_is_not_there_is_none() -> None:
    view = folded(lambda log: log.values("loss", [1], [1.0]))
    assert view.value("train_loader", 2, "loss") is None
    assert view.value("test_loader", 1, "loss") is None
    assert view.value("train_loader", 1, "dice") is None
    assert view.value("train_loader", "1", "loss") is None


def test_the_same_id_in_two_origins_is_two_samples() -> None:
    def fill(log: FrameWriter) -> None:
        log.values("loss", [1], [1.0])
        log.values("loss", [1], [2.0], origin="test_loader")

    table = folded(fill).table()
    assert table.column("origin").cell(0) == "train_loader"
    assert [table.column("loss").cell(row) for row in (0, 1)] == [1.0, 2.0]


def test_times_seen_counts_exposures_and_not_values() -> None:
    log = FrameWriter()
    for _ in range(3):
        log.exposed([1, 2])
        log.values("loss", [1, 2], [0.0, 0.0])
        log.values("dice", [1, 2], [0.0, 0.0])
        log.step()
    log.values("late", [1, 3], [0.0, 0.0])
    log.step()
    view = fold_frames(SampleView, log.frames)
    rows = {row["sample_id"]: row for row in map(view.table().row, range(3))}
    assert [rows[n]["times_seen"] for n in (1, 2, 3)] == [3, 3, 0]
    assert [rows[n].get("last_step") for n in (1, 2, 3)] == [2, 2, None]


def test_columns_come_in_the_order_of_the_contract() -> None:
    def fill(log: FrameWriter) -> None:
        log.values("loss", [1], [1.0])
        log.metadata([1], {"weather": ["rainy"], "density": [3]})
        log.values("dice", [1], [1.0])

    own = ("origin", "sample_id", "times_seen", "last_step", "instances", "discarded", "tags")
    assert folded(fill).table().names == (*own, "weather", "density", "loss", "dice")


def test_names_that_are_taken_are_told_apart() -> None:
    def fill(log: FrameWriter) -> None:
        log.metadata([1], {"tags": ["theirs"], "loss": ["low"]})
        log.values("loss", [1], [1.0])
        log.values("instances", [1], [5.0])

    view = folded(fill)
    row = view.table().row(0)
    assert (row["metadata/tags"], row["metadata/loss"], row["loss"]) == ("theirs", "low", 1.0)
    assert row["signals/instances"] == 5.0
    assert view.value("train_loader", 1, "metadata/tags") == "theirs"
    assert view.value("train_loader", 1, "signals_instances") == 5.0
    assert view.value("train_loader", 1, "instances") is None


def test_every_cell_of_the_table_is_what_value_says() -> None:
    def fill(log: FrameWriter) -> None:
        log.exposed([1, "a"])
        log.values("loss", ["a"], [0.5])
        log.metadata([1], {"weather": ["dry"], "night": [True]})
        log.tagged("hard", [1])
        log.tagged("a tag", [1])
        log.discarded(["a"])
        log.found([1], [2])

    view = folded(fill)
    table = view.table()
    for row, sample_id in enumerate((1, "a")):
        for column in table.names[2:]:
            cell = table.column(column).cell(row)
            assert view.value("train_loader", sample_id, column) == cell, column
    assert view.value("train_loader", 1, "origin") == "train_loader"
    assert view.value("train_loader", 1, "sample_id") == 1


def test_tags_are_shown_sorted_and_taken_off_again() -> None:
    log = FrameWriter()
    log.tagged("wrong", [1, 2])
    log.tagged("hard", [1, 3])
    log.tagged("wrong", [2], add=False)
    log.tagged("of an instance", [1], [1])
    log.step()
    view = fold_frames(SampleView, log.frames)
    tags = view.table().column("tags")
    assert [tags.cell(row) for row in range(3)] == ["hard,wrong", None, "hard"]
    assert view.tags == ("hard", "wrong")


def test_a_discard_can_be_undone() -> None:
    log = FrameWriter()
    log.discarded([1, 2])
    log.discarded([3], [1])
    log.step()
    log.discarded([1], discarded=False)
    log.step()
    view = fold_frames(SampleView, log.frames)
    assert [view.is_discarded("train_loader", n) for n in (1, 2, 3, 4)] == [
        False,
        True,
        False,
        False,
    ]


def test_nan_and_inf_are_kept_and_counted() -> None:
    def fill(log: FrameWriter) -> None:
        log.values("loss", [1, 2, 3], [math.nan, math.inf, 1.0])
        log.values("count", [1], [1], dtype=np.int64)

    view = folded(fill)
    assert view.nan_counts == {"loss": 2, "count": 0}
    cell = view.value("train_loader", 1, "loss")
    assert isinstance(cell, float)
    assert math.isnan(cell)


def test_the_latest_array_of_each_field_is_named() -> None:
    log = FrameWriter()
    log.arrays("prediction", [1, 2], [b"a" * 16, b"b" * 16])
    log.arrays("target", [1], [b"t" * 16], batch_idx=[0], annotation_ids=[2])
    log.step()
    log.arrays("prediction", [2], [b"c" * 16])
    log.step()
    view = fold_frames(SampleView, log.frames)
    assert view.get_ref("train_loader", 1, "prediction") == (b"a" * 16, "u1", (4, 4))
    assert view.get_ref("train_loader", 2, "prediction") == (b"c" * 16, "u1", (4, 4))
    assert view.get_ref("train_loader", 1, "target") is None
    assert view.get_ref("train_loader", 9, "prediction") is None
    assert view.array_fields == ("prediction",)
    assert view.live_refs() == {b"a" * 16, b"c" * 16}


def test_a_sample_that_only_its_instances_name_is_a_sample() -> None:
    def fill(log: FrameWriter) -> None:
        log.instance_values("bce", [5], [0], [1], [1.0])
        log.arrays("target", [6], [b"t" * 16], batch_idx=[0], annotation_ids=[1])
        log.discarded([7], [1])

    assert folded(fill).table().column("sample_id").values.tolist() == [5, 6, 7]


def test_wrong_lengths_are_refused() -> None:
    log = FrameWriter()
    log.values("loss", [1, 2], [1.0, 2.0, 3.0])
    log.step()
    with pytest.raises(ValueError, match="3 values cannot belong to 2 rows"):
        fold_frames(SampleView, log.frames)


# -- the display rows --------------------------------------------------------------


def test_an_empty_cell_shows_the_mean_of_the_instances_and_says_so() -> None:
    log = FrameWriter()
    log.values("bce", [1], [9.0])
    log.instance_values("bce", [1, 2], [0, 1, 1], [1, 1, 2], [1.0, 2.0, 4.0])
    log.step()
    samples = fold_frames(SampleView, log.frames)
    table = samples.display(fold_frames(InstanceView, log.frames))
    bce = table.column("bce")
    assert [bce.cell(0), bce.cell(1)] == [9.0, 3.0]
    assert [bce.is_aggregated(0), bce.is_aggregated(1)] == [False, True]


def test_a_recorded_nan_makes_the_mean_nan_and_an_absent_cell_does_not() -> None:
    def fill(log: FrameWriter) -> None:
        log.found([1, 2], [2, 2])
        log.instance_values("bce", [1, 2], [0, 1, 1], [1, 1, 2], [1.0, math.nan, 4.0])

    rows = displayed(fill)
    assert rows[0]["bce"] == 1.0
    assert math.isnan(rows[1]["bce"])


def test_the_display_counts_instance_rows() -> None:
    def fill(log: FrameWriter) -> None:
        log.found([1, 2], [3, 0])
        log.instance_values("bce", [3, 1], [0, 1], [2, 4], [1.0, 1.0])
        log.values("loss", [4], [1.0])

    assert [row.get("instances") for row in displayed(fill)] == [4, 0, 1, None]


def test_a_log_without_instances_is_displayed_as_it_is() -> None:
    rows = displayed(lambda log: log.values("loss", [2, 1], [2.0, 1.0]))
    assert [(row["sample_id"], row["loss"]) for row in rows] == [(1, 1.0), (2, 2.0)]


def test_an_empty_log_makes_an_empty_table() -> None:
    table = SampleView().display(InstanceView())
    assert len(table) == 0
    assert table.names[:2] == ("origin", "sample_id")


def test_labels_and_values_of_groups_have_cells() -> None:
    def fill(log: FrameWriter) -> None:
        log.labels("predicted", [1, "a"], ["cat", "dog"])
        log.labels("classes", ["a"], [[1, 3]])
        log.values("ok", [1], [True], dtype=np.bool_)
        log.group_values("distance", [[1, "a"], ["a"]], [0.5, 2.0])

    view = folded(fill)
    table = view.table()
    assert [table.column(name).kind for name in ("predicted", "classes", "ok", "distance")] == [
        "text",
        "list",
        "flag",
        "number",
    ]
    for row, sample_id in enumerate((1, "a")):
        for column in table.names[2:]:
            assert view.value("train_loader", sample_id, column) == table.column(column).cell(row)
    assert table.row(1)["classes"] == [1, 3]
    assert [table.row(row)["distance"] for row in (0, 1)] == [0.5, 2.0]
    assert set(view.signals) == {"predicted", "classes", "ok", "distance"}


def test_values_of_several_kinds_with_one_name_are_told_apart() -> None:
    def fill(log: FrameWriter) -> None:
        log.labels("x", [1], ["cat"])
        log.group_values("x", [[1]], [2.0])
        log.values("x", [1], [1.0])
        log.metadata([1], {"x": ["theirs"]})
        log.labels("tags", [1], ["of the model"])

    view = folded(fill)
    row = view.table().row(0)
    names = ("x", "groups/x", "labels/x", "metadata/x", "labels/tags")
    assert [row[name] for name in names] == [1.0, 2.0, "cat", "theirs", "of the model"]
    assert [view.value("train_loader", 1, name) for name in names] == [row[name] for name in names]
    assert view.value("train_loader", 1, "signals_tags") == "of the model"
    assert view.value("train_loader", 1, "tags") is None


def test_the_mean_of_instances_stands_in_for_no_label_and_no_metadata() -> None:
    def fill(log: FrameWriter) -> None:
        log.labels("x", [1], ["cat"])
        log.group_values("y", [[1]], [7.0])
        log.metadata([1], {"z": ["theirs"]})
        for signal in ("x", "y", "z"):
            log.instance_values(signal, [1], [0, 0], [1, 2], [1.0, 2.0])

    (row,) = displayed(fill)
    assert [row[name] for name in ("x", "y", "z")] == [1.5, 1.5, 1.5]
    assert (row["labels/x"], row["groups/y"], row["metadata/z"]) == ("cat", 7.0, "theirs")


def test_labels_stand_among_the_signals_in_the_order_in_which_they_were_declared() -> None:
    def fill(log: FrameWriter) -> None:
        for signal in ("predicted", "loss", "distance"):
            log.builder.add("signal_declared", signal, "sample", "signal", False, {})
        log.group_values("distance", [[1]], [7.0])
        log.values("loss", [1], [1.0])
        log.labels("predicted", [1], ["cat"])

    (row,) = displayed(fill)
    assert list(row)[-3:] == ["predicted", "loss", "distance"]


def test_not_finite_values_of_groups_are_counted_once_a_group() -> None:
    view = folded(lambda log: log.group_values("distance", [[1, 2, 3], [4]], [math.nan, 1.0]))
    assert view.nan_counts == {"distance": 1}


def test_members_of_a_group_that_is_not_there_are_refused() -> None:
    log = FrameWriter()
    blobs = [log.builder.ids([0]), log.vector([1.0]), log.builder.ids([1]), log.vector([3])]
    log.builder.add("group_values", "distance", "train_loader", True, *blobs)
    log.step()
    with pytest.raises(ValueError, match="'distance' are in groups that are not there"):
        fold_frames(SampleView, log.frames)
