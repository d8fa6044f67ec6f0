"""Signals on instances: called for which, with which mask and prediction, and what is recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import wl_core as wl
from tests.core.watched_runs import (
    Finished,
    Masks,
    PerInstance,
    annotation_ids,
    collate_masks,
    events,
    history,
    instances,
    loss,
    mask,
    sample,
)

OUTPUTS = torch.arange(3.0)[:, None, None].expand(3, 4, 4)  # of m0, m1, m2: 0, 1, 2


def watch(dataset: Any = None, **options: Any) -> Any:
    options = {"loader_name": "t", "batch_size": 3, "collate_fn": collate_masks} | options
    return wl.watch_or_edit(Masks() if dataset is None else dataset, flag="data", **options)


def criterion(name: str = "loss") -> Any:
    """Gives 1 and 2 for the instances of m0 and 3 for that of m2."""
    return loss(name, PerInstance(), per_sample=False, per_instance=True)


def save(values: list[float], name: str = "loss", batch_idx: Any = (0, 0, 2), **more: Any) -> None:
    wl.save_instance_signals(
        {name: values}, ["m0", "m1", "m2"], batch_idx=list(batch_idx), origin="t", **more
    )


def signal(told: list[Any] | None = None, tell: Any = None, **options: Any) -> None:
    """Registers ``made`` on ``loss``; it returns twice the value, or nothing if it has to tell."""
    options = {"name": "made", "subscribe_to": "loss", "level": "instance"} | options

    def function(ctx: wl.SignalContext) -> float | None:
        if told is None:
            return 2 * ctx.subscribed_value
        told.append(tell(ctx))
        return None

    wl.signal(**options)(function)


def test_a_signal_of_instances_has_a_value_for_each(finished: Finished) -> None:
    loader, per_instance = watch(), criterion()
    signal()
    told: list[Any] = []
    signal(told, lambda c: (c.sample_id, c.annotation_id, c.subscribed_value), name="seen")
    with wl.guard_training_context:
        _, _, labels, _ = next(loader)
        per_instance(OUTPUTS, labels, targets=labels)
    assert told == [("m0", 1, 1), ("m0", 2, 2), ("m2", 1, 3)]
    run = finished()
    assert instances(run, "m0", "made", "t") == [2, 4]
    assert history(run, "made", "t", "m2", 1) == ([0], [6])
    assert sample(run, "m0")["made"] == 3  # the mean of its instances, as of any such signal
    [declared] = [one for one in events(run, "signal_declared") if one["signal"] == "made"]
    assert declared["level"] == "instance"


def test_instances_that_get_none_keep_their_numbers(finished: Finished) -> None:
    wl.signal(name="made", subscribe_to="loss", level="instance")(
        lambda ctx: ctx.subscribed_value if ctx.annotation_id == 2 else None
    )
    save([1.0, 2.0, 3.0, 4.0], batch_idx=(2, 0, 2, 0))
    run = finished()
    assert annotation_ids(run, "m0", "t") == [1, 2]
    assert instances(run, "m0", "made", "t")[1] == 4
    assert history(run, "made", "t", "m2", 2)[1] == [3]
    assert history(run, "made", "t", "m2", 1)[1] == []


def test_logits_are_those_of_the_instances_sample(finished: Finished) -> None:
    told: list[Any] = []
    signal(told, lambda ctx: float(ctx.logits.mean()))
    criterion()(OUTPUTS, [[mask(1), mask(2)], [], [mask(1)]], batch_ids=["m0", "m1", "m2"],
        batch_idx=[0, 0, 2])  # fmt: skip
    assert told == [0, 0, 2]


# -- targets and predictions -----------------------------------------------------------------------

GIVEN = [[7 * mask(1), 7 * mask(2)], [], [7 * mask(3)]]


@pytest.mark.parametrize("targets", [GIVEN, [one for some in GIVEN for one in some]])
def test_the_target_is_the_mask_that_was_given_with_the_value(
    finished: Finished, targets: Any
) -> None:
    watch()
    told: list[Any] = []
    signal(told, lambda ctx: int(ctx.target.max()))
    save([1.0, 2.0, 3.0], targets=targets)
    assert told == [7, 14, 21]


def test_what_was_given_can_be_looked_at_and_not_changed(finished: Finished) -> None:
    def spoil(ctx: wl.SignalContext) -> None:
        with pytest.raises(ValueError, match="read-only"):
            ctx.target[:] = 0
        with pytest.raises(ValueError, match="read-only"):
            ctx.prediction[:] = 0

    wl.signal(name="made", subscribe_to="loss", level="instance", strict=True)(spoil)
    masks = torch.ones(3, 2, 2)
    save([1.0, 2.0, 3.0], targets=masks, preds=list(masks))
    assert masks.all()


@pytest.mark.parametrize("empty", [0, 2])
def test_otherwise_it_is_the_data_sets_mask_of_that_number(finished: Finished, empty: int) -> None:
    class EmptyFirst(Masks):
        def get_items(self, index: int, include_image: bool = True) -> Any:
            image, name, masks, metadata = super().get_items(index, include_image)
            return image, name, masks[::-1], metadata

    loader = watch(EmptyFirst((2, 0, 1), empty))
    told: list[Any] = []
    signal(told, lambda ctx: (int(ctx.target.max()), ctx.image.mean()))
    with wl.guard_training_context:
        next(loader)
        save([1.0, 2.0, 3.0])
    assert told == [(2, 0), (1, 0), (1, 2)]  # the collate drops the empty ones that come first


def test_a_collate_of_your_own_may_keep_the_empty_masks(finished: Finished) -> None:
    loader = watch(
        [(np.ones((1, 2, 2)), "m0", [np.zeros((2, 2)), np.ones((2, 2))])],
        batch_size=1,
        collate_fn=lambda items: [list(part) for part in zip(*items, strict=True)],
    )
    told: list[Any] = []
    signal(told, lambda ctx: float(ctx.target.max()))
    with wl.guard_training_context:
        next(loader)
        wl.save_instance_signals({"loss": [1.0, 2.0]})
    assert told == [0, 1]


def test_a_default_collate_numbers_empty_masks_too(finished: Finished) -> None:
    dataset = [(np.ones((2, 2)), "m0", [np.zeros((2, 2)), np.ones((2, 2))])]
    loader = watch(dataset, batch_size=1, collate_fn=None)
    told: list[Any] = []
    signal(told, lambda ctx: float(ctx.target.max()))
    with wl.guard_training_context:
        next(loader)
        wl.save_instance_signals({"loss": [1.0, 2.0]})
    assert told == [0, 1]


def test_a_number_that_the_data_set_does_not_list_is_said(finished: Finished) -> None:
    watch()
    signal([], lambda ctx: ctx.target, strict=True)
    with pytest.raises(wl.WlError, match=r"lists 2 instances of sample 'm0'.*no number 3"):
        save([1.0, 2.0, 3.0], batch_idx=(0, 0, 0))


def test_the_target_of_a_sample_is_what_was_given_or_the_data_sets(finished: Finished) -> None:
    watch()
    told: list[Any] = []
    wl.signal(name="made", subscribe_to="loss")(
        lambda ctx: told.append([int(one.max()) for one in ctx.target])
    )
    wl.save_signals({"loss": [1.0, 2.0]}, ["m0", "m2"], targets=[GIVEN[0], GIVEN[2]])
    wl.save_signals({"loss": [1.0]}, ["m0"])
    assert told == [[7, 14], [21], [1, 2]]


def test_the_prediction_is_that_of_this_call_of_this_step_or_the_last_one(
    finished: Finished,
) -> None:
    told: list[Any] = []
    signal(told, lambda ctx: ctx.prediction.tolist())
    with wl.guard_training_context:
        save([1.0, 2.0, 3.0], preds=np.eye(3))
        save([0.0, 0.0, 0.0], name="other", preds=2 * np.eye(3))
        save([1.0, 2.0, 3.0])  # in the open frame
    with wl.guard_training_context:
        save([3.0], batch_idx=[2])  # from the store, whose thread may not have it yet
    eye = np.eye(3)
    assert told == [*eye.tolist(), *(2 * eye).tolist(), [0, 0, 2]]


def test_a_prediction_of_the_runs_past_is_read_from_the_store(finished: Finished) -> None:
    wl.save_signals({"x": [1.0]}, ["m0"], origin="t", preds=np.full((1, 2), 5))
    wl.finish()
    wl.start_run(finished.path)
    told: list[Any] = []
    wl.signal(name="made", subscribe_to="loss")(
        lambda ctx: told.append(None if ctx.prediction is None else ctx.prediction.tolist())
    )
    wl.save_signals({"loss": [1.0, 1.0]}, ["m0", "m1"], origin="t")
    assert told == [[5, 5], None]


# -- what they read --------------------------------------------------------------------------------


def test_it_reads_its_instance_and_where_that_has_nothing_its_sample(finished: Finished) -> None:
    told: list[Any] = []
    signal(told, lambda c: (c.latest("depth"), c.latest("size", require_fresh=True)))
    wl.save_signals({"size": [10.0, 12.0]}, ["m0", "m2"], origin="t")
    save([1.0, 2.0, 3.0], name="depth")
    save([0.0, 0.0, 0.0])
    assert told == [(1, 10), (2, 10), (3, 12)]


def test_it_has_a_history_of_its_own(finished: Finished) -> None:
    told: list[Any] = []
    signal(told, lambda c: c.history[1].tolist(), include_history=True)
    save([1.0, 2.0, 3.0])
    save([4.0, 5.0], batch_idx=(0, 0))
    assert told == [[1], [2], [3], [1, 4], [2, 5]]


def test_a_cell_of_an_instance_can_be_read(finished: Finished) -> None:
    told: list[Any] = []
    signal(told, lambda c: c.dataframe.get_value("t", c.sample_id, "depth", c.annotation_id))
    save([1.0, 2.0, 3.0], name="depth")
    save([0.0, 0.0, 0.0])
    assert told == [1, 2, 3]


def test_inputs_chains_and_batches_work_by_instance(finished: Finished) -> None:
    wl.signal(name="ratio", inputs=["loss", "area"], level="instance")(
        lambda ctx: ctx.inputs["loss"] / ctx.inputs["area"]
    )
    told: list[Any] = []

    @wl.signal(name="half", subscribe_to="ratio", level="instance", batched=True)
    def half(ctx: wl.BatchSignalContext) -> Any:
        told.append((ctx.sample_ids, ctx.annotation_ids, ctx.batch_idx.tolist()))
        return ctx.subscribed_values / 2

    save([4.0, 8.0, 16.0])
    save([2.0, 2.0], name="area", batch_idx=(0, 2))
    assert told == [(["m0", "m2"], [1, 1], [0, 2])]
    run = finished()
    assert history(run, "half", "t", "m0", 1)[1] == [1]
    assert history(run, "half", "t", "m2", 1)[1] == [4]


def test_discarded_instances_have_their_signals_computed(finished: Finished) -> None:
    signal()
    wl.discard_samples(["m0"], origin="t", annotation_id=2)
    save([1.0, 2.0, 3.0])
    assert history(finished(), "made", "t", "m0", 2)[1] == [4]


# -- the wrong level -------------------------------------------------------------------------------


def test_waiting_for_the_other_level_is_said_once_with_what_to_do(finished: Finished) -> None:
    wl.signal(name="a", subscribe_to="loss")(lambda ctx: 1)
    wl.signal(name="b", subscribe_to="dice", level="instance")(lambda ctx: 1)
    with pytest.warns(wl.SignalFailedWarning, match="'a' waits for 'loss'.*level='instance'"):
        save([1.0, 2.0, 3.0])
    with pytest.warns(wl.SignalFailedWarning, match="'b' waits for 'dice'.*ctx.latest"):
        wl.save_signals({"dice": [1.0]}, ["m0"])
    save([1.0, 2.0, 3.0])
    assert [one["signal"] for one in events(finished(), "signal_failed")] == ["a", "b"]


@pytest.mark.parametrize("first", ["sample", "instance"])
def test_a_chain_across_levels_is_refused_in_either_order(finished: Finished, first: Any) -> None:
    second = "instance" if first == "sample" else "sample"
    wl.signal(name="source", subscribe_to="loss", level=first)(lambda ctx: 1)
    with pytest.raises(wl.WlError, match=f"one value per {first}.*needs one per {second}"):
        wl.signal(name="waiting", subscribe_to="source", level=second)(lambda ctx: 1)
    wl.signal(name="early", inputs=["later", "loss"], level=second)(lambda ctx: 1)
    with pytest.raises(wl.WlError, match="'early' waits for 'later'"):
        wl.signal(name="later", level=first)(lambda ctx: 1)


# -- static ----------------------------------------------------------------------------------------


def test_a_static_signal_of_instances_is_computed_of_every_mask(finished: Finished) -> None:
    watch(Masks((2, 0, 1), empty=1))

    @wl.signal(name="area", level="instance")
    def area(ctx: wl.SignalContext) -> float | None:
        assert (ctx.is_static, ctx.subscribed_value, ctx.image.shape) == (True, None, (4, 4))
        return None if ctx.annotation_id == 1 and ctx.sample_id == "m0" else int(ctx.target.sum())

    wl.signal(name="twice", subscribe_to="area", level="instance")(
        lambda ctx: 2 * ctx.subscribed_value
    )
    assert wl.compute_signals() == {"area": 2}
    run = finished()
    assert history(run, "area", "t", "m0", 2)[1] == [8]
    assert history(run, "twice", "t", "m2", 1)[1] == [8]
    assert history(run, "area", "t", "m0", 1)[1] == []


def test_items_without_lists_of_masks_have_no_instances(finished: Finished) -> None:
    watch([(np.ones((2, 2)), "a", 0)], collate_fn=None)
    wl.signal(name="area", level="instance")(lambda ctx: 1)
    assert wl.compute_signals() == {"area": 0}
