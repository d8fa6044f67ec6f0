"""Signals that wait: for several inputs, for each other, in batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import wl_core as wl
from tests.core.watched_runs import Finished, events, history, loss, sample
from wl_core.dispatch import dispatch
from wl_core.session import session
from wl_core.values import BatchIds


def save(name: str, values: dict[str, float], origin: str = "t", **options: Any) -> None:
    wl.save_signals({name: list(values.values())}, list(values), origin=origin, **options)


@pytest.fixture
def seen(finished: Finished) -> list[Any]:
    """What a signal that waits for ``a`` and ``b`` was told, call by call."""
    told: list[Any] = []

    @wl.signal(name="sum", inputs=["a", "b"])
    def add(ctx: wl.SignalContext) -> float:
        assert (ctx.subscribed_value, ctx.is_dynamic) == (None, True)
        told.append((ctx.step, ctx.sample_id, dict(ctx.inputs)))
        return ctx.inputs["a"] + ctx.inputs["b"]

    return told


# -- inputs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_it_is_called_when_the_last_input_has_come(
    finished: Finished, seen: list[Any], order: tuple[str, str]
) -> None:
    with wl.guard_training_context:
        save(order[0], {"x": 1.0, "y": 2.0})
        assert seen == []
        save(order[1], {"x": 10.0, "y": 20.0})
    assert [one[:2] for one in seen] == [(0, "x"), (0, "y")]
    assert seen[0][2] == dict(zip(order, (1.0, 10.0), strict=True))
    run = finished()
    assert [sample(run, one)["sum"] for one in ("x", "y")] == [11, 22]


def test_one_call_may_bring_all_inputs(finished: Finished, seen: list[Any]) -> None:
    wl.save_signals({"a": [1.0], "b": [2.0]}, ["x"])
    assert seen == [(0, "x", {"a": 1, "b": 2})]


def test_inputs_come_in_batches_of_their_own(finished: Finished, seen: list[Any]) -> None:
    with wl.guard_training_context:
        save("a", {"x": 1.0, "y": 2.0, "z": 3.0})
        save("b", {"z": 30.0, "w": 40.0})
        save("b", {"y": 20.0})
        save("a", {"w": 4.0})
    assert [one[1] for one in seen] == ["z", "y", "w"]
    run = finished()
    assert [sample(run, one).get("sum") for one in "wxyz"] == [44, None, 22, 33]


def test_inputs_of_another_step_or_origin_do_not_count(finished: Finished, seen: list[Any]) -> None:
    with wl.guard_training_context:
        save("a", {"x": 1.0})
    with wl.guard_training_context:
        save("b", {"x": 2.0})
        save("a", {"x": 3.0}, origin="other")
    assert seen == []


def test_frames_of_one_step_count_together(finished: Finished, seen: list[Any]) -> None:
    with wl.guard_testing_context:
        save("a", {"x": 1.0})
    with wl.guard_testing_context:
        save("b", {"x": 2.0})
    assert len(seen) == 1


def test_what_was_used_is_used_up_and_of_two_values_the_later_counts(
    finished: Finished, seen: list[Any]
) -> None:
    for name, value in (("a", 1.0), ("a", 2.0), ("b", 3.0), ("b", 4.0), ("b", 5.0), ("a", 6.0)):
        save(name, {"x": value})
    assert [one[2] for one in seen] == [{"a": 2, "b": 3}, {"b": 5, "a": 6}]


def test_where_a_sample_comes_twice_in_a_batch_the_last_values_count(
    finished: Finished, seen: list[Any]
) -> None:
    for name, values in (("a", [1.0, 2.0, 3.0]), ("b", [4.0, 5.0, 6.0])):
        wl.save_signals({name: values}, ["x", "y", "x"], origin="t")
    assert sorted(one[1:] for one in seen) == [("x", {"a": 3, "b": 6}), ("y", {"a": 2, "b": 5})]


def test_inputs_that_stay_alone_are_forgotten_some_steps_later(
    finished: Finished, seen: list[Any]
) -> None:
    for step in range(5):
        save("a", {"x": 1.0}, step=step)
    for step in range(5):
        save("b", {"x": 1.0}, step=step)
    assert [one[0] for one in seen] == [1, 2, 3, 4]


def test_an_input_may_be_a_signal_that_is_computed(finished: Finished, seen: list[Any]) -> None:
    wl.signal(name="b", subscribe_to="a")(lambda ctx: ctx.subscribed_value * 10)
    save("a", {"x": 2.0})
    run = finished()
    assert sample(run, "x")["sum"] == 22
    assert seen == [(0, "x", {"a": 2, "b": 20})]


def test_it_is_due_by_its_own_steps(finished: Finished) -> None:
    wl.signal(name="rare", inputs=["a", "b"], compute_every_n_steps=2, min_step=1)(lambda ctx: 1)
    for _ in range(5):
        with wl.guard_training_context:
            save("a", {"x": 1.0})
            save("b", {"x": 1.0})
    assert history(finished(), "rare", "t", "x")[0] == [2, 4]


def test_values_that_come_late_are_recorded_at_their_own_step(finished: Finished) -> None:
    wl.signal(name="late", subscribe_to="loss")(lambda ctx: ctx.step)
    wl.signal(name="chained", subscribe_to="late")(lambda ctx: ctx.step)
    for _ in range(5):
        with wl.guard_training_context:
            save("other", {"x": 1.0})
            if session().step == 4:
                dispatch(session(), "loss", BatchIds("t", ["x"]), np.ones(1), step=3)
    run = finished()
    for name in ("late", "chained"):
        assert history(run, name, "t", "x") == ([3], [3])


# -- what cannot be registered ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"inputs": ["a"], "subscribe_to": "b"}, "not both"),
        ({"inputs": "a"}, "must be a list"),
        ({"inputs": [1]}, "must be a list"),
        ({"inputs": []}, "at least one"),
        ({"inputs": ["a", "signals_a"]}, "each once"),
        ({"batched": True}, "batched=True needs subscribe_to= or inputs="),
        ({"include_history": True}, "include_history=True needs"),
        ({"level": "instances"}, "Did you mean 'instance'"),
    ],
)
def test_arguments_that_exclude_each_other(
    finished: Finished, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(wl.WlError, match=said):
        wl.signal(name="x", **options)(lambda ctx: 1)


WAITS = {
    "a": {"inputs": ["free", "c"]},
    "b": {"subscribe_to": "a"},
    "c": {"inputs": ["b", "free"]},
}


@pytest.mark.parametrize("order", ["abc", "bca", "cab", "cba"])
def test_a_cycle_is_found_in_any_order_and_named_whole(finished: Finished, order: str) -> None:
    for name in order[:2]:
        wl.signal(name=name, **WAITS[name])(lambda ctx: 1)
    last = order[2]
    ring = {"a": "a -> c -> b -> a", "b": "b -> a -> c -> b", "c": "c -> b -> a -> c"}[last]
    with pytest.raises(wl.WlError, match=ring):
        wl.signal(name=last, **WAITS[last])(lambda ctx: 1)
    save("free", {"x": 1.0})  # what was refused waits for nothing


def test_a_signal_cannot_wait_for_itself(finished: Finished) -> None:
    with pytest.raises(wl.WlError, match="a -> a"):
        wl.signal(name="a", inputs=["b", "signals_a"])(lambda ctx: 1)


def test_many_ways_to_one_signal_are_no_cycle(finished: Finished) -> None:
    wl.signal(name="left", subscribe_to="a")(lambda ctx: 1)
    wl.signal(name="right", subscribe_to="a")(lambda ctx: 2)
    wl.signal(name="both", inputs=["left", "right"])(lambda ctx: sum(ctx.inputs.values()))
    save("a", {"x": 1.0})
    assert sample(finished(), "x")["both"] == 3


def test_a_function_that_is_defined_again_may_wait_for_something_else(finished: Finished) -> None:
    def make(source: str) -> Callable[..., Any]:
        @wl.signal(name="made", subscribe_to=source)
        def function(ctx: wl.SignalContext) -> float:
            return ctx.subscribed_value

        return function

    make("a")
    make("b")
    save("a", {"x": 1.0})
    save("b", {"x": 2.0})
    assert history(finished(), "made", "t", "x")[1] == [2]


# -- batches ---------------------------------------------------------------------------------------


def test_a_batched_signal_is_called_once_a_batch(finished: Finished) -> None:
    criterion = loss("loss", lambda outputs: outputs.mean(1))
    told: list[Any] = []

    @wl.signal(name="double", subscribe_to="loss", batched=True)
    def double(ctx: wl.BatchSignalContext) -> Any:
        told.append((ctx.origin, ctx.sample_ids, ctx.annotation_ids, ctx.step, len(ctx)))
        assert (ctx.subscribed_values.dtype, ctx.subscribed_values.shape) == (np.float64, (2,))
        assert torch.equal(ctx.logits[ctx.batch_idx], ctx.logits)
        assert ctx.inputs == {}
        return ctx.subscribed_values * 2

    with wl.guard_training_context:
        criterion(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), batch_ids=["x", "y"], origin="t")
    assert told == [("t", ["x", "y"], None, 0, 2)]
    run = finished()
    assert [sample(run, one)["double"] for one in ("x", "y")] == [3, 7]


def test_a_batched_signal_gets_those_whose_inputs_are_complete(finished: Finished) -> None:
    criterion = loss("b", lambda outputs: outputs.sum(1))
    told: list[Any] = []

    @wl.signal(name="sum", inputs=["a", "b"], batched=True)
    def add(ctx: wl.BatchSignalContext) -> Any:
        assert ctx.subscribed_values is None
        told.append((ctx.sample_ids, ctx.logits[ctx.batch_idx].tolist()))
        return ctx.inputs["a"] + ctx.inputs["b"]

    with wl.guard_training_context:
        save("a", {"y": 1.0})
        criterion(torch.tensor([[1.0], [2.0]]), batch_ids=["x", "y"], origin="t")
    assert told == [(["y"], [[2.0]])]
    run = finished()
    assert (sample(run, "y")["sum"], sample(run, "x").get("sum")) == (3, None)


def test_a_function_that_counts_in_place_changes_nobody_elses_values(finished: Finished) -> None:
    def double(ctx: wl.BatchSignalContext) -> Any:
        ctx.subscribed_values *= 2
        return ctx.subscribed_values

    for name in ("one", "other"):
        wl.signal(name=name, subscribe_to="a", batched=True)(double)
    values = torch.tensor([1.0, 2.0], dtype=torch.float64)
    wl.save_signals({"a": values}, ["x", "y"])
    assert values.tolist() == [1, 2]
    run = finished()
    assert [sample(run, "y")[name] for name in ("a", "one", "other")] == [2, 4, 4]


@pytest.mark.parametrize(
    "made", [lambda values: values, torch.as_tensor, np.ndarray.tolist, lambda v: v.astype("f2")]
)
def test_it_may_return_any_array_with_nan_in_it(
    finished: Finished, made: Callable[[Any], Any]
) -> None:
    wl.signal(name="y", subscribe_to="a", batched=True)(lambda c: made(c.subscribed_values))
    save("a", {"x": math.nan, "z": 2.0})
    run = finished()
    assert math.isnan(sample(run, "x")["y"])
    assert sample(run, "z")["y"] == 2


def test_a_batch_may_have_no_values_at_all(finished: Finished) -> None:
    wl.signal(name="y", subscribe_to="a", batched=True)(lambda ctx: None)
    save("a", {"x": 1.0})
    assert events(finished(), "values")[-1]["signal"] == "a"


@pytest.mark.parametrize(
    "returned", [1.0, [1.0], [[1.0], [2.0]], ["p", "q"], [None, 1.0], torch.ones(3)]
)
def test_a_batched_signal_must_return_one_number_for_each(
    finished: Finished, returned: Any
) -> None:
    wl.signal(name="y", subscribe_to="a", batched=True)(lambda ctx: returned)
    with pytest.warns(wl.SignalFailedWarning, match=r"\[2\]|numbers"):
        save("a", {"x": 1.0, "z": 2.0})
    [event] = events(finished(), "signal_failed")
    assert "Traceback" in event["traceback"]


def test_a_strict_batched_signal_ends_the_training(finished: Finished) -> None:
    wl.signal(name="y", subscribe_to="a", batched=True, strict=True)(lambda ctx: [1, 2, 3])
    with pytest.raises(wl.SignalShapeError, match="expected its function to return 1 numbers"):
        save("a", {"x": 1.0})


def test_discarded_samples_have_their_signals_computed(finished: Finished) -> None:
    wl.signal(name="y", subscribe_to="a")(lambda ctx: ctx.subscribed_value)
    wl.discard_samples(["x"], origin="t")
    save("a", {"x": 3.0})
    assert sample(finished(), "x")["y"] == 3


def test_what_a_signal_waits_for_is_in_its_declaration(finished: Finished, seen: list[Any]) -> None:
    wl.signal(name="one", subscribe_to="a")(lambda ctx: 1)
    wl.serve()
    found = {one["signal"]: one["detail"] for one in events(finished(), "signal_declared")}
    assert found["sum"] == {"computed": "dynamic", "from": ["a", "b"]}
    assert found["one"] == {"computed": "dynamic", "from": "a"}
