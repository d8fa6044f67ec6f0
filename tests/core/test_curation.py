"""Tags, categories, discards and undo: by the script or another process, and what they do."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, cast

import pytest
import torch

import wl_core as wl
from tests.core.watched_runs import (
    Finished,
    Named,
    events,
    frames,
    history,
    loss,
    rows,
    sample,
)
from wl_core.decide import Chosen, Decider

IDS = ["a", "b"]


def weights(values: torch.Tensor | None = None) -> torch.Tensor:
    return torch.ones(2, requires_grad=True) if values is None else values


def test_a_discarded_sample_teaches_nothing_with_nothing_extra_to_pass(finished: Finished) -> None:
    criterion, given = loss(), weights()
    wl.discard_samples(["b"])
    with wl.guard_training_context:
        output = criterion(given * 3, batch_ids=IDS)
    output.mean().backward()
    assert output.tolist() == [3, 0]
    assert given.grad is not None
    assert given.grad.tolist() == [1.5, 0]


def test_its_value_is_recorded_and_it_stays_in_the_views_marked(finished: Finished) -> None:
    wl.discard_samples(["b"])
    with wl.guard_training_context:
        loss()(weights(), batch_ids=IDS)
    run = finished()
    assert sample(run, "b")["loss"] == 1
    assert (sample(run, "a")["discarded"], sample(run, "b")["discarded"]) == (False, True)
    assert history(run, "loss", "unnamed", "b") == ([0], [1])


def test_a_restored_sample_teaches_again(finished: Finished) -> None:
    criterion = loss()
    wl.discard_samples(IDS)
    wl.discard_samples(["b"], discarded=False)
    with wl.guard_training_context:
        assert criterion(weights(), batch_ids=IDS).tolist() == [0, 1]
    assert not sample(finished(), "b")["discarded"]


def test_a_discarded_instance_teaches_nothing_alone(finished: Finished) -> None:
    criterion, given = loss(per_sample=False, per_instance=True), torch.ones(4, requires_grad=True)
    wl.discard_samples(["a"], annotation_id=2)
    with wl.guard_training_context:
        output = criterion(given * 1, batch_ids=IDS, batch_idx=[0, 1, 0, 1])
    assert output.tolist() == [1, 1, 0, 1]
    run = finished()
    assert run.instances("a").column("discarded").values.tolist() == [False, True]
    assert not sample(run, "a")["discarded"]


def test_a_discarded_sample_takes_its_instances_with_it(finished: Finished) -> None:
    wl.discard_samples(["a"])
    with wl.guard_training_context:
        criterion = loss(per_sample=False, per_instance=True)
        output = criterion(torch.ones(3), batch_ids=IDS, batch_idx=[0, 1, 0])
    assert output.tolist() == [0, 1, 0]


def test_more_dimensions_are_masked_whole(finished: Finished) -> None:
    wl.discard_samples(["a"])
    with wl.guard_training_context:
        output = loss()(torch.ones(2, 2, 2), batch_ids=IDS)
    assert output.sum(dim=(1, 2)).tolist() == [0, 4]


def test_without_a_discard_in_the_batch_the_object_itself_is_returned(finished: Finished) -> None:
    wl.discard_samples(["somebody else"])
    given = weights()
    with wl.guard_training_context:
        assert loss()(given, batch_ids=IDS) is given


def test_a_metric_that_nothing_learns_from_keeps_its_value(finished: Finished) -> None:
    wl.discard_samples(["a"])
    metric = loss("dice", flag="metric")
    with wl.guard_training_context:
        assert metric(torch.ones(2), batch_ids=IDS).tolist() == [1, 1]
        assert metric(weights(), batch_ids=IDS).tolist() == [0, 1]


def test_a_discard_holds_in_its_own_origin_only(finished: Finished) -> None:
    wl.discard_samples(["a"], origin="train")
    with wl.guard_training_context:
        assert loss()(torch.ones(1), batch_ids=["a"], origin="train").tolist() == [0]
        assert loss()(torch.ones(1), batch_ids=["a"], origin="test").tolist() == [1]


def test_a_discard_by_another_process_is_obeyed_at_the_next_guard(finished: Finished) -> None:
    criterion = loss()
    other = finished.live()
    for discarded, expected in ((True, [1, 0]), (False, [1, 1])):
        with wl.guard_training_context:
            before = criterion(weights(), batch_ids=IDS).tolist()
            other.append(
                "discarded", discarded=discarded, origin="unnamed", ids=["b"],
                annotation_ids=None, who="a test",
            )  # fmt: skip
            assert criterion(weights(), batch_ids=IDS).tolist() == before
        with wl.guard_training_context:
            assert criterion(weights(), batch_ids=IDS).tolist() == expected


_OTHER_PROCESS = """
import sys, wl_core as wl
with wl.open_run(sys.argv[1]) as run:
    who = dict(origin="unnamed", ids=["b"], annotation_ids=None, who="another")
    run.append("discarded", discarded=True, **who)
"""


def test_a_discard_by_a_real_other_process_is_obeyed(finished: Finished) -> None:
    command = [sys.executable, "-c", _OTHER_PROCESS, str(finished.path)]
    subprocess.run(command, check=True, timeout=60)
    with wl.guard_training_context:
        assert loss()(weights(), batch_ids=IDS).tolist() == [1, 0]
    assert sample(finished(), "b")["discarded"]


def test_an_instance_discarded_by_another_process_is_masked(finished: Finished) -> None:
    criterion = loss(per_sample=False, per_instance=True)
    finished.live().append(
        "discarded", discarded=True, origin="unnamed", ids=["a", "b"], annotation_ids=[1, 2],
        who="a test",
    )  # fmt: skip
    with wl.guard_training_context:
        output = criterion(torch.ones(4), batch_ids=IDS, batch_idx=[0, 0, 1, 1])
    assert output.tolist() == [0, 1, 1, 0]


def test_discards_hold_when_a_run_is_continued(finished: Finished) -> None:
    wl.discard_samples(["b"])
    wl.finish()
    wl.start_run(finished.path)
    with wl.guard_training_context:
        assert loss()(weights(), batch_ids=IDS).tolist() == [1, 0]


def test_tags_are_put_on_and_taken_off(finished: Finished) -> None:
    wl.tag_samples(IDS, "odd")
    wl.tag_samples(["a"], "blurred")
    wl.tag_samples(["a"], "odd", mode="remove")
    run = finished()
    assert (sample(run, "a")["tags"], sample(run, "b")["tags"]) == ("blurred", "odd")


def test_ids_are_those_of_the_only_data_that_is_watched(finished: Finished) -> None:
    wl.watch_or_edit(Named(2), flag="data", loader_name="train")
    wl.discard_samples(["s1"])
    assert rows(finished())["train", "s1"]["discarded"]


def test_with_several_data_sets_the_origin_must_be_named(finished: Finished) -> None:
    for name in ("train", "test"):
        wl.watch_or_edit(Named(2), flag="data", loader_name=name)
    with pytest.raises(wl.WlError, match=r"origin=.*train, test"):
        wl.discard_samples(["s1"])


def test_instances_count_from_1(finished: Finished) -> None:
    with pytest.raises(wl.WlError, match="1 or more"):
        wl.discard_samples(["a"], annotation_id=0)


# -- tags ---------------------------------------------------------------------------------------


def test_setting_a_tag_takes_the_others_off_in_the_same_frame(finished: Finished) -> None:
    wl.tag_samples(IDS, "odd")
    wl.tag_samples(["a"], "blurred", why="out of focus")
    wl.tag_samples(["a", "c"], "hard", mode="set", why="only this")
    run = finished()
    assert [sample(run, one)["tags"] for one in "abc"] == ["hard", "odd", "hard"]
    last = [frame for frame in frames(run) if frame.events[0][0] == "tagged"][-1]
    assert [(event[2], event[3]) for event in last.events] == [
        ("blurred", False),
        ("odd", False),
        ("hard", True),
    ]
    assert {one["why"] for one in events(run, "tagged")[-3:]} == {"only this"}


def test_instances_are_tagged_alone(finished: Finished) -> None:
    for number in (1, 2):
        wl.tag_samples(["a"], "odd", annotation_id=number)
    wl.tag_samples(["a"], "cut off", mode="set", annotation_id=2)
    run = finished()
    tags = run.instances("a").column("tags")
    assert [tags.cell(row) for row in range(2)] == ["odd", "cut off"]
    assert "tags" not in sample(run, "a")


def test_samples_are_found_by_their_tag_and_by_being_discarded(finished: Finished) -> None:
    wl.tag_samples(["b", 10, 9, "a"], "odd")
    wl.tag_samples(["b"], "odd", mode="remove")
    wl.tag_samples(["elsewhere"], "odd", origin="other")
    wl.discard_samples(["b", 10, 9])
    wl.discard_samples(["a"], annotation_id=1)
    assert wl.get_samples_by_tag("odd") == [9, 10, "a"]
    assert wl.get_samples_by_tag("odd", origin="other") == ["elsewhere"]
    assert wl.get_samples_by_tag("nobody gave it") == []
    assert wl.get_discarded_samples() == [9, 10, "b"]
    assert wl.get_discarded_samples(origin="other") == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wl.tag_samples(["a"], ""), "not empty"),
        (
            lambda: wl.tag_samples(["a"], "x", mode=cast("Any", "toggle")),
            "'add', 'remove' or 'set'",
        ),
        (lambda: wl.register_categorical_tag("", ["x"]), "a name"),
        (lambda: wl.register_categorical_tag("weather", []), "different texts"),
        (lambda: wl.register_categorical_tag("weather", "rainy"), "different texts"),
        (lambda: wl.register_categorical_tag("weather", ["dry", "dry"]), "different texts"),
        (lambda: wl.undo(0), "at least 1"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_records_nothing(
    finished: Finished, call: Any, message: str
) -> None:
    with pytest.raises(wl.WlError, match=message):
        call()
    assert not list(finished.live().log.decisions())


def test_a_decision_about_no_sample_is_none(finished: Finished) -> None:
    wl.discard_samples(["a"])
    wl.discard_samples([])
    wl.tag_samples([], "odd", mode="set")
    assert wl.undo()[0].what == "discard a (unnamed)"


# -- categorical tags ---------------------------------------------------------------------------


def test_a_categorical_tag_is_a_column_to_filter_by(finished: Finished) -> None:
    wl.register_categorical_tag("weather", ["rainy", "dry"])
    wl.set_categorical_tag(["a", "b", "c"], "weather", "rainy")
    wl.set_categorical_tag(["b"], "weather", "dry")
    wl.set_categorical_tag(["c"], "weather", None)
    wl.set_categorical_tag(["a"], "weather", "dry", annotation_id=2)
    run = finished()
    assert [sample(run, one).get("weather") for one in "abc"] == ["rainy", "dry", None]
    assert wl.Filter.parse("weather == 'rainy'").mask(run.samples()).tolist() == [1, 0, 0]
    found = run.instances("a").column("weather")
    assert [found.cell(row) for row in range(len(found))] == ["dry"]


def test_a_column_of_a_name_that_is_taken_is_told_apart(finished: Finished) -> None:
    for name in ("tags", "loss", "dice"):
        wl.register_categorical_tag(name, ["low", "high"])
        wl.set_categorical_tag(["a"], name, "low")
    wl.save_signals({"loss": [1.0]}, ["a"])
    wl.save_instance_signals({"dice": [0.5]}, ["a"], batch_idx=[0])
    row = sample(finished(), "a")
    assert [row[f"tag/{name}"] for name in ("tags", "loss", "dice")] == ["low"] * 3
    assert (row["loss"], row["dice"]) == (1, 0.5)


def test_an_unknown_category_is_refused_with_the_nearest(finished: Finished) -> None:
    wl.register_categorical_tag("weather", ["rainy", "dry"])
    with pytest.raises(wl.WlError, match=r"'rain' is not one of .*rainy, dry.*mean 'rainy'"):
        wl.set_categorical_tag(["a"], "weather", "rain")
    with pytest.raises(wl.WlError, match=r"no categorical tag 'wether'.*register.*'weather'"):
        wl.set_categorical_tag(["a"], "wether", "rainy")


def test_registering_again_replaces_the_categories_and_leaves_what_was_given(
    finished: Finished,
) -> None:
    for _ in range(2):
        wl.register_categorical_tag("weather", ["rainy", "dry"])
    wl.set_categorical_tag(["a"], "weather", "rainy")
    wl.register_categorical_tag("weather", ["dry", "snow"])
    wl.set_categorical_tag(["b"], "weather", "snow")
    with pytest.raises(wl.WlError, match="dry, snow"):
        wl.set_categorical_tag(["b"], "weather", "rainy")
    run = finished()
    assert [sample(run, one)["weather"] for one in "ab"] == ["rainy", "snow"]
    assert len(events(run, "category_registered")) == 2


def test_a_categorical_tag_of_another_process_is_known_at_the_next_guard(
    finished: Finished,
) -> None:
    Decider.of_run(finished.live(), "me").register("weather", ["rainy"])
    with wl.guard_training_context:
        wl.set_categorical_tag(["a"], "weather", "rainy")
    assert sample(finished(), "a")["weather"] == "rainy"


# -- undo ---------------------------------------------------------------------------------------


def discarded(run: wl.Run) -> list[Any]:
    return [one for _, one in run.view("samples").discarded()]


def test_undo_takes_back_the_last_decisions_and_redo_brings_them_again(finished: Finished) -> None:
    for one in "abc":
        wl.discard_samples([one])
    assert [one.what for one in wl.undo(2, why="too strict")] == [
        "discard c (unnamed)",
        "discard b (unnamed)",
    ]
    assert wl.get_discarded_samples() == ["a"]
    assert [one.what for one in wl.redo()] == ["discard b (unnamed)"]
    assert wl.get_discarded_samples() == ["a", "b"]
    assert discarded(finished.live()) == ["a", "b"]
    assert [len(wl.redo(5)), len(wl.redo()), len(wl.undo(5)), len(wl.undo())] == [1, 0, 3, 0]
    run = finished()
    assert discarded(run) == []
    assert [one["why"] for one in events(run, "undone")][:3] == ["too strict", "too strict", ""]


def test_what_one_call_decided_is_taken_back_whole(finished: Finished) -> None:
    wl.tag_samples(["a"], "odd")
    wl.tag_samples(["b"], "blurred")
    wl.tag_samples(IDS, "hard", mode="set")
    [undone] = wl.undo()
    assert len(undone.positions) == 3
    run = finished.live()
    assert [sample(run, one)["tags"] for one in IDS] == ["odd", "blurred"]
    wl.redo(event=undone.positions[1])
    assert wl.get_samples_by_tag("hard") == IDS
    assert wl.get_samples_by_tag("odd") == []


def test_decisions_of_one_step_are_undone_one_by_one(finished: Finished) -> None:
    with wl.guard_training_context:
        wl.discard_samples(["a"])
        wl.discard_samples(["b"])
        wl.undo()
        assert wl.get_discarded_samples() == ["a"]
        wl.save_signals({"x": [1.0]}, ["a"])
    assert discarded(finished()) == ["a"]


def test_an_older_decision_is_undone_and_later_ones_still_count(finished: Finished) -> None:
    wl.discard_samples(IDS)
    wl.discard_samples(["b"], discarded=False)
    wl.discard_samples(["b"])
    first = wl.undo(3)[-1]
    wl.redo(2)  # the discard of both, then b restored
    assert wl.get_discarded_samples() == ["a"]
    wl.undo(event=first.position)
    assert wl.get_discarded_samples() == []
    wl.redo(event=first.position)
    wl.redo()  # b discarded again
    assert wl.get_discarded_samples() == IDS
    with pytest.raises(wl.WlError, match="was not undone"):
        wl.redo(event=first.position)
    wl.undo(event=first.position)
    with pytest.raises(wl.WlError, match="is undone already"):
        wl.undo(event=first.position)
    with pytest.raises(wl.WlError, match="no decision about data"):
        wl.undo(event=0)
    assert discarded(finished()) == ["b"]


def test_tags_and_categories_are_undone_in_the_training_and_in_the_views(
    finished: Finished,
) -> None:
    wl.register_categorical_tag("weather", ["rainy"])
    wl.set_categorical_tag(["a"], "weather", "rainy")
    wl.tag_samples(["a"], "odd")
    assert wl.get_samples_by_tag("odd") == ["a"]
    wl.undo(3)
    assert wl.get_samples_by_tag("odd") == []
    with pytest.raises(wl.WlError, match="no categorical tag"):
        wl.set_categorical_tag(["a"], "weather", "rainy")
    assert not {"tags", "weather"} & set(sample(finished.live(), "a"))
    wl.redo(3)
    wl.tag_samples(["b"], "odd")
    assert wl.get_samples_by_tag("odd") == IDS
    run = finished()
    assert (sample(run, "a")["tags"], sample(run, "a")["weather"]) == ("odd", "rainy")


def test_the_past_shows_what_counted_then(finished: Finished) -> None:
    for one in ("a", "b", "a"):
        with wl.guard_training_context:
            wl.save_signals({"x": [1.0]}, [one])
            if one == "b":
                wl.undo()
            else:
                wl.discard_samples([one])
    run = finished()
    past = [run.at(step=step) for step in (0, 1)]
    assert [discarded(one) for one in (*past, run)] == [["a"], [], ["a"]]
    for view in past:
        view.close()


def test_a_signal_sees_that_a_tag_was_undone_amid_its_step(finished: Finished) -> None:
    seen = []

    @wl.signal(name="watcher", subscribe_to="x")
    def watcher(ctx: wl.SignalContext) -> float:
        cells = [ctx.dataframe.get_value("unnamed", "a", name) for name in ("tags", "y")]
        seen.append(tuple(cells))
        return 0.0

    wl.tag_samples(["a"], "odd")
    with wl.guard_training_context:
        wl.save_signals({"y": [5.0]}, ["a"])
        wl.save_signals({"x": [1.0]}, ["a"])
        wl.undo()
        wl.save_signals({"x": [2.0]}, ["a"])
    assert seen == [("odd", 5), (None, 5)]
    assert history(finished(), "x", "unnamed", "a")[1] == [1, 2]


def test_an_undo_by_another_process_is_obeyed_at_the_next_guard(finished: Finished) -> None:
    wl.discard_samples(IDS)
    criterion = loss()
    other = Decider.of_run(finished.live(), "me")
    other.discard([Chosen("unnamed", ["c"])])
    other.undo(2)
    with wl.guard_training_context:
        assert criterion(weights(), batch_ids=IDS).tolist() == [1, 1]
    other.redo(1)
    with wl.guard_training_context:
        assert criterion(weights(), batch_ids=IDS).tolist() == [0, 0]
    assert wl.get_discarded_samples() == IDS
    assert len(events(finished(), "obeyed")) == 4


def test_of_an_own_decision_and_one_of_another_process_the_log_says_which_is_the_last(
    finished: Finished,
) -> None:
    other = Decider.of_run(finished.live(), "me")
    other.discard([Chosen("unnamed", ["b"])], discarded=False)
    wl.discard_samples(["b"])  # later, though the training has not read the other one yet
    with wl.guard_training_context:
        pass
    assert wl.get_discarded_samples() == ["b"]
    assert discarded(finished()) == ["b"]


def test_an_undo_finds_the_own_decision_behind_one_of_another_process_that_was_not_read_yet(
    finished: Finished,
) -> None:
    wl.tag_samples(["a"], "odd")
    assert wl.get_samples_by_tag("odd") == ["a"]  # from here on the process folds its own facts
    Decider.of_run(finished.live(), "me").tag([Chosen("unnamed", ["b"])], "odd")
    wl.tag_samples(["c"], "odd")
    assert wl.undo()[0].what == "tag odd on c (unnamed)"
    assert wl.get_samples_by_tag("odd") == IDS


def test_undos_hold_when_a_run_is_continued(finished: Finished) -> None:
    wl.register_categorical_tag("weather", ["rainy"])
    for one in IDS:
        wl.discard_samples([one])
    wl.undo(event=wl.undo()[0].position - 1)
    wl.redo()
    before = wl.get_discarded_samples()
    wl.finish()
    wl.start_run(finished.path)
    assert wl.get_discarded_samples() == before == ["a"]
    wl.set_categorical_tag(["a"], "weather", "rainy")
    assert len(wl.redo()) == 1
    assert wl.get_discarded_samples() == IDS
