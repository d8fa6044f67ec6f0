"""What a signal's function reads of other signals: their latest values, and histories."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import wl_core as wl
from tests.core.fake_device import FakeDevice, fake_device
from tests.core.watched_runs import Finished, events, history, sample
from wl_core.dispatch import dispatch
from wl_core.session import session
from wl_core.values import BatchIds


def save(name: str, values: dict[str, float], origin: str = "t", **options: Any) -> None:
    wl.save_signals({name: list(values.values())}, list(values), origin=origin, **options)


def step(**values: float) -> None:
    """A training step in which sample ``x`` gets these values, one after the other."""
    with wl.guard_training_context:
        for name, value in values.items():
            save(name, {"x": value})


def reads(name: str = "other", **options: Any) -> list[float]:
    """What a signal that waits for ``loss`` finds as the latest value of another one."""
    found: list[float] = []
    wl.signal(name="reader", subscribe_to="loss")(
        lambda ctx: found.append(ctx.latest(name, **options))
    )
    return found


# -- the latest value ------------------------------------------------------------------------------


def test_the_latest_value_is_that_of_this_step_or_of_one_before(finished: Finished) -> None:
    found = reads()
    step(other=1.0, loss=0.0)
    step(loss=0.0)
    step(loss=0.0, other=3.0)
    step(other=4.0, loss=0.0)
    assert found == [1, 1, 1, 4]


@pytest.mark.parametrize("name", ["other", "signals_other", "signals//other"])
def test_it_is_found_by_all_its_names_and_what_was_recorded_before_anybody_asked_too(
    finished: Finished, name: str
) -> None:
    step(other=1.0)
    found = reads(name)
    with wl.guard_training_context:
        save("other", {"y": 9.0})
        save("loss", {"x": 0.0, "y": 0.0})
    assert found == [1, 9]


def test_where_there_is_none_the_default_is_given(finished: Finished) -> None:
    found = reads()
    with_default = wl.signal(name="with default", subscribe_to="loss")
    with_default(lambda ctx: found.append(ctx.latest("other", -1)))
    step(loss=0.0)
    save("other", {"x": 5.0}, origin="another data set")
    step(loss=0.0)
    assert math.isnan(found[0])
    assert math.isnan(found[2])
    assert (found[1], found[3]) == (-1, -1)


def test_a_value_that_is_nan_is_a_value(finished: Finished) -> None:
    found = reads(default=-1.0, require_fresh=True)
    step(other=math.nan, loss=0.0)
    assert math.isnan(found[0])


def test_all_values_of_a_call_are_there_before_anything_is_computed(finished: Finished) -> None:
    found = reads(require_fresh=True)
    wl.save_signals({"loss": [0.0], "other": [7.0]}, ["x"], origin="t")
    assert found == [7]


def test_a_fresh_value_is_one_of_this_very_step(finished: Finished) -> None:
    found = reads(require_fresh=True)
    with wl.guard_testing_context:
        save("other", {"x": 1.0})
    step(loss=0.0)  # an earlier frame of the same step
    with pytest.warns(wl.SignalFailedWarning, match="StaleSignalError.*'x' at step 1"):
        step(loss=0.0)
    step(other=2.0, loss=0.0)
    assert found == [1, 2]
    [event] = events(finished(), "signal_failed")
    assert "its last value is of step 0" in event["error"]


def test_a_stale_value_says_what_to_do_and_is_both_kinds_of_error(finished: Finished) -> None:
    @wl.signal(name="reader", subscribe_to="loss", strict=True)
    def reader(ctx: wl.SignalContext) -> float:
        with pytest.raises(LookupError):
            ctx.latest("other", require_fresh=True)
        return ctx.latest("other", require_fresh=True)

    with pytest.raises(wl.StaleSignalError, match=r"never had one.*inputs="):
        step(loss=0.0)


def test_values_of_the_runs_past_are_there_when_it_is_continued(finished: Finished) -> None:
    step(other=1.0)
    step(other=2.0)
    wl.finish()
    wl.start_run(finished.path)
    found = reads()
    trails: list[Any] = []
    wl.signal(name="trail", subscribe_to="other", include_history=True)(
        lambda ctx: trails.append([one.tolist() for one in ctx.history])
    )
    step(loss=0.0, other=3.0)
    assert found == [2]
    assert trails == [[[0, 1, 2], [1, 2, 3]]]


def test_a_batch_reads_the_latest_values_of_all_at_once(finished: Finished) -> None:
    found: list[Any] = []

    @wl.signal(name="reader", subscribe_to="loss", batched=True)
    def reader(ctx: wl.BatchSignalContext) -> Any:
        found.append(ctx.latest("other", default=-1).tolist())
        return ctx.latest("other", require_fresh=True)

    with wl.guard_training_context:
        save("other", {"x": 1.0, "y": 2.0})
        save("loss", {"y": 0.0, "x": 0.0})
    with wl.guard_training_context:
        save("other", {"y": 3.0})
        with pytest.warns(wl.SignalFailedWarning, match="StaleSignalError.*'x'.* of step 0"):
            save("loss", {"y": 0.0, "x": 0.0})
        save("loss", {"z": 0.0})
    assert found == [[2, 1], [3, 1], [-1]]
    assert [sample(finished(), one)["reader"] for one in "xy"] == [1, 2]


def test_it_reads_a_static_signal_in_a_static_one(finished: Finished) -> None:
    wl.watch_or_edit([(np.ones(2), "x", 0)], flag="data", loader_name="t")
    wl.signal(name="size")(lambda ctx: ctx.data.sum())
    wl.compute_signals()
    wl.signal(name="twice")(lambda ctx: 2 * ctx.latest("size", require_fresh=True))
    wl.compute_signals(signals=["twice"])
    assert sample(finished(), "x")["twice"] == 4


@pytest.fixture
def device() -> Iterator[FakeDevice]:
    with fake_device() as made:
        yield made


def test_values_that_are_on_their_way_from_a_device_are_waited_for(
    finished: Finished, device: FakeDevice
) -> None:
    found = reads(require_fresh=True)
    for value in (1.0, 2.0):
        with wl.guard_training_context:
            wl.save_signals({"other": device.tensor([value])}, ["x"], origin="t")
            save("loss", {"x": 0.0})
    assert found == [1, 2]


def test_a_value_that_comes_late_meets_those_of_its_own_step(
    finished: Finished, device: FakeDevice
) -> None:
    found = reads(require_fresh=True)
    wl.signal(name="sum", inputs=["other", "loss"])(lambda ctx: sum(ctx.inputs.values()))
    for value in (1.0, 2.0, 3.0):
        with wl.guard_training_context:
            wl.save_signals({"loss": device.tensor([10 * value])}, ["x"], origin="t")
            save("other", {"x": value})
    run = finished()
    assert found == [1, 2, 3]
    assert history(run, "sum", "t", "x") == ([0, 1, 2], [11, 22, 33])


# -- histories -------------------------------------------------------------------------------------


def test_a_history_ends_with_this_step(finished: Finished) -> None:
    step(loss=1.0)
    told: list[Any] = []

    @wl.signal(name="gain", subscribe_to="loss", include_history=True)
    def gain(ctx: wl.SignalContext) -> float:
        steps, values = ctx.history
        assert (steps.dtype, values.dtype) == (np.int64, np.float64)
        told.append((steps.tolist(), values.tolist()))
        return values[-1] - values[0]

    step(loss=4.0)
    with wl.guard_training_context:
        save("loss", {"y": 0.0})
        save("loss", {"x": 9.0})
    assert told == [([0, 1], [1, 4]), ([2], [0]), ([0, 1, 2], [1, 4, 9])]
    assert sample(finished(), "x")["gain"] == 8


def test_a_history_knows_nothing_of_later_steps(finished: Finished) -> None:
    told: list[Any] = []
    wl.signal(name="trail", subscribe_to="loss", include_history=True)(
        lambda ctx: told.append(ctx.history[0].tolist())
    )
    step(loss=1.0)
    step(other=1.0)
    step(loss=1.0)
    save("loss", {"x": 1.0}, step=1)
    dispatch(session(), "loss", BatchIds("t", ["x"]), np.ones(1), step=1)
    step(loss=1.0)
    assert told == [[0], [0, 2], [0, 1], [0, 1], [0, 2, 1, 3]]


def test_a_sample_that_comes_twice_in_a_batch_has_both_values(finished: Finished) -> None:
    told: list[Any] = []
    wl.signal(name="trail", subscribe_to="loss", include_history=True)(
        lambda ctx: told.append(ctx.history[1].tolist())
    )
    with wl.guard_training_context:
        wl.save_signals({"loss": [1.0, 2.0, 3.0]}, ["x", "y", "x"], origin="t")
    assert told == [[1, 3], [2], [1, 3]]


def test_with_inputs_there_is_a_history_of_each(finished: Finished) -> None:
    told: list[Any] = []
    wl.signal(name="both", inputs=["a", "b"], include_history=True)(
        lambda ctx: told.append({name: pair[1].tolist() for name, pair in ctx.history.items()})
    )
    step(a=1.0, b=2.0)
    step(b=3.0, a=4.0)
    assert told[-1] == {"a": [1, 4], "b": [2, 3]}


def test_a_batch_has_the_history_of_each(finished: Finished) -> None:
    told: list[Any] = []

    @wl.signal(name="trail", subscribe_to="loss", batched=True)
    def trail(ctx: wl.BatchSignalContext) -> None:
        told.append([values.tolist() for _, values in ctx.history()])
        told.append([values.tolist() for _, values in ctx.history("other")])

    save("other", {"x": 5.0})
    save("loss", {"x": 1.0})
    save("loss", {"y": 2.0, "x": 3.0})
    assert told == [[[1]], [[5]], [[2], [1, 3]], [[], [5]]]


@pytest.mark.parametrize(
    ("options", "ask", "said"),
    [
        ({"subscribe_to": "a"}, lambda ctx: ctx.history, "include_history=True"),
        (
            {"inputs": ["a"], "batched": True},
            lambda ctx: ctx.history(),
            "Name one of the inputs: 'a'",
        ),
    ],
)
def test_a_history_must_be_asked_for(
    finished: Finished, options: dict[str, Any], ask: Any, said: str
) -> None:
    wl.signal(name="made", strict=True, **options)(ask)
    with pytest.raises(wl.WlError, match=said):
        step(a=1.0)


def test_a_run_whose_signals_ask_for_nothing_keeps_nothing(finished: Finished) -> None:
    wl.signal(name="twice", subscribe_to="loss")(lambda ctx: 2 * ctx.subscribed_value)
    step(loss=1.0)
    memory = session().memory
    assert not memory._kept
    assert not memory._rows
