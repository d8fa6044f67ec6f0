from __future__ import annotations

import pytest

import wl_core as wl
from tests.core.watched_runs import Described, Finished, events, sample


def test_functions_may_return_labels_and_bools(finished: Finished) -> None:
    wl.watch_or_edit(Described(4), flag="data", loader_name="train")

    @wl.signal
    def place(ctx: wl.SignalContext) -> str:
        return f"{ctx.metadata['place']}!"

    @wl.signal(subscribe_to="loss")
    def bad(ctx: wl.SignalContext) -> bool:
        return ctx.subscribed_value > 1

    @wl.signal(subscribe_to="loss")
    def classes(ctx: wl.SignalContext) -> list[int]:
        return [1] * int(ctx.subscribed_value)

    wl.compute_signals()
    wl.save_signals({"loss": [0.5, 2.0]}, ["s0", "s1"])
    run = finished()
    assert [sample(run, one)["place"] for one in ("s0", "s1")] == ["right!", "left!"]
    assert [sample(run, one)["bad"] for one in ("s0", "s1")] == [False, True]
    assert [sample(run, one)["classes"] for one in ("s0", "s1")] == [[], [1, 1]]


def test_a_function_that_mixes_them_is_reported(finished: Finished) -> None:
    @wl.signal(subscribe_to="loss")
    def mixed(ctx: wl.SignalContext) -> object:
        return "low" if ctx.subscribed_value < 1 else 3.0

    with pytest.warns(wl.SignalFailedWarning, match="'mixed'.*expected text for each sample"):
        wl.save_signals({"loss": [0.5, 2.0]}, ["s0", "s1"])
    run = finished()
    assert "mixed" not in sample(run, "s0")
    assert len(events(run, "signal_failed")) == 1
