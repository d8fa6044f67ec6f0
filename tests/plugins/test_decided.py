"""Decisions in the views: undone wherever they stand, in whatever parts the log is folded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wl_core.batches import EventBatch
from wl_core.partitions import fold_frames, fold_partitions
from wl_core.testing import FrameWriter
from wl_plugins.instance_view import InstanceView
from wl_plugins.sample_view import SampleView


def folded(fill: Callable[[FrameWriter], None]) -> SampleView:
    """Everything in one frame, so that an event's position is its number."""
    log = FrameWriter()
    fill(log)
    log.step()
    return fold_frames(SampleView, log.frames)


def discarded(view: SampleView) -> list[Any]:
    return [one for _, one in view.discarded()]


def test_what_was_so_before_an_undone_decision_is_so_again() -> None:
    def fill(log: FrameWriter) -> None:
        log.discarded([1, 2])
        log.discarded([2], discarded=False)
        log.undone(1)

    assert discarded(folded(fill)) == [1, 2]


def test_what_was_decided_after_an_undone_decision_still_counts() -> None:
    def fill(log: FrameWriter) -> None:
        log.discarded([1, 2])
        log.discarded([1])
        log.undone(0)

    assert discarded(folded(fill)) == [1]


def test_a_decision_that_is_redone_takes_its_old_place() -> None:
    def fill(log: FrameWriter) -> None:
        log.discarded([1])
        log.discarded([1], discarded=False)
        log.undone(0, 1)
        log.undone(0, undone=False)
        log.undone(1, undone=False)

    assert discarded(folded(fill)) == []


def test_the_order_of_decisions_is_that_of_the_log_and_not_of_their_kinds() -> None:
    def fill(log: FrameWriter) -> None:
        log.registered("weather", ["rainy"])
        log.categorised("time", "night", [1])
        log.registered("time", ["night"])
        log.undone(0)
        log.registered("weather", ["rainy"])

    assert folded(fill).table().names[7:] == ("time", "weather")


def test_a_tag_whose_every_use_was_undone_is_gone() -> None:
    def fill(log: FrameWriter) -> None:
        log.tagged("odd", [1])
        log.tagged("hard", [1, 2])
        log.undone(0)

    view = folded(fill)
    assert view.tags == ("hard",)
    assert view.value("train_loader", 1, "tags") == "hard"
    assert view.tagged("hard") == [("train_loader", 1), ("train_loader", 2)]
    assert view.tagged("odd") == []


def test_an_undo_is_found_by_the_decision_whichever_part_of_the_log_is_folded_first() -> None:
    log = FrameWriter()
    log.discarded([1])
    log.step()
    log.tagged("odd", [1])
    log.step()
    log.undone(0)
    log.step()
    log.undone(1, 0)
    log.step()
    log.undone(1, undone=False)
    log.step()
    for cuts in ([], [1], [2], [1, 2, 3, 4], [3]):
        view = fold_partitions(SampleView, log.frames, cuts)
        assert (discarded(view), view.tags) == ([], ("odd",))


def test_a_decision_comes_back_after_a_checkpoint() -> None:
    log = FrameWriter()
    log.discarded([1, 2])
    log.tagged("odd", [2])
    log.undone(0)
    log.step()
    log.undone(0, undone=False)
    log.step()
    restored = SampleView()
    restored.restore(fold_frames(SampleView, log.frames[:1]).snapshot())
    assert (discarded(restored), restored.tags) == ([], ("odd",))
    restored.fold(EventBatch(log.frames[1:]))
    assert discarded(restored) == [1, 2]


def test_decisions_on_instances_and_on_samples_are_undone_apart() -> None:
    log = FrameWriter()
    log.found([1], [2])
    log.discarded([1])
    log.discarded([1, 1], [1, 2])
    log.undone(1)
    log.step()
    assert not fold_frames(SampleView, log.frames).is_discarded("train_loader", 1)
    view = fold_frames(InstanceView, log.frames)
    assert [view.is_discarded("train_loader", 1, number) for number in (1, 2)] == [True, True]


def test_categories_are_read_by_name_in_both_views() -> None:
    log = FrameWriter()
    log.categorised("weather", "rainy", [1, 2])
    log.categorised("weather", None, [2])
    log.categorised("weather", "dry", [1], [3])
    log.tagged("cut off", [1], [3])
    log.step()
    samples = fold_frames(SampleView, log.frames)
    instances = fold_frames(InstanceView, log.frames)
    assert [samples.value("train_loader", one, "weather") for one in (1, 2)] == ["rainy", None]
    assert samples.value("train_loader", 1, "tag/weather") == "rainy"
    assert instances.value("train_loader", 1, 3, "weather") == "dry"
    assert instances.value("train_loader", 1, 3, "tags") == "cut off"
    assert samples.table().column("weather").kind == "text"


def test_tags_of_unknown_samples_are_none() -> None:
    view = folded(lambda log: log.tagged("odd", [1, 2]))
    assert view.tags_on("train_loader", [3, 2, 1]) == {"odd": [1, 2]}
    assert view.tags_on("elsewhere", [1]) == {}
    assert folded(lambda log: log.tagged("odd", [])).tags_on("train_loader", [1]) == {}
