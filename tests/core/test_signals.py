"""`@wl.signal`: static and dynamic, and what happens when one raises."""

from __future__ import annotations

import os
import signal as signals
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import wl_core as wl
from tests import warm
from tests.core.watched_runs import (
    Described,
    Finished,
    Masks,
    Named,
    Pairs,
    collate_masks,
    events,
    history,
    loss,
    rows,
    sample,
)


def watch(dataset: Any, name: str = "t", **options: Any) -> Any:
    return wl.watch_or_edit(dataset, flag="data", loader_name=name, **options)


def step(value: float = 1.0, ids: Any = ("a", "b"), name: str = "loss") -> None:
    with wl.guard_training_context:
        wl.save_signals({name: [value] * len(ids)}, list(ids), origin="t")


# -- static ----------------------------------------------------------------------------------------


def test_a_static_signal_is_computed_from_the_data(finished: Finished) -> None:
    watch(Masks((1, 1)), collate_fn=collate_masks)
    seen: list[Any] = []

    @wl.signal(name="brightness")
    def brightness(ctx: wl.SignalContext) -> float:
        assert (ctx.is_static, ctx.is_dynamic, ctx.subscribed_value) == (True, False, None)
        assert (ctx.image.shape, ctx.data.shape, len(ctx.target)) == ((4, 4), (1, 4, 4), 1)
        seen.append((ctx.origin, ctx.sample_id, ctx.step, ctx.metadata, ctx.logits))
        return float(ctx.image.mean())

    assert wl.compute_signals() == {"brightness": 2}
    run = finished()
    assert [sample(run, one)["brightness"] for one in ("m0", "m1")] == [0, 1]
    assert seen[1] == ("t", "m1", 0, {"index": 1}, None)
    assert sample(run, "m0")["times_seen"] == 0


def test_compute_signals_never_runs_a_dynamic_one(finished: Finished) -> None:
    watch(Named(2))
    called: list[Any] = []
    wl.signal(name="still")(lambda ctx: 1)
    wl.signal(name="moving", subscribe_to="loss")(called.append)
    assert wl.compute_signals() == {"still": 2}
    assert called == []
    with pytest.raises(wl.WlError, match=r"'moving' is not a static signal.*still"):
        wl.compute_signals(signals=["moving"])


def test_signals_and_data_can_be_chosen(finished: Finished) -> None:
    one, _ = watch(Named(2), "one"), watch(Pairs(3), "other")
    wl.signal(name="a")(lambda ctx: 1)
    wl.signal(name="b")(lambda ctx: 2)
    assert wl.compute_signals(one, signals=["signals_a"]) == {"a": 2}
    assert list(rows(finished())) == [("one", "s0"), ("one", "s1")]


@pytest.mark.parametrize("given", [Named(2), "one"])
def test_only_what_was_watched_can_be_computed_on(finished: Finished, given: Any) -> None:
    wl.signal(name="a")(lambda ctx: 1)
    with pytest.raises(wl.WlError, match="flag='data'"):
        wl.compute_signals(given)
    with pytest.raises(wl.WlError, match="watch a data set"):
        wl.compute_signals()


def test_none_leaves_the_sample_without_a_value(finished: Finished) -> None:
    watch(Named(3))
    wl.signal(name="odd")(lambda ctx: 1 if ctx.target else None)
    assert wl.compute_signals() == {"odd": 1}
    run = finished()
    assert "odd" not in sample(run, "s1") or sample(run, "s1")["odd"] == 1
    assert list(rows(run)) == [("t", "s1")]


def test_ctrl_c_stops_all_and_keeps_what_is_done(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(Named):
        def __getitem__(self, index: int) -> Any:
            if index == 70:
                raise KeyboardInterrupt
            return super().__getitem__(index)

    watch(Interrupted(100), "first")
    watch(Named(5), "second")
    wl.signal(name="size")(lambda ctx: 1)
    assert wl.compute_signals() == {"size": 70}
    assert "size: 70" in capsys.readouterr().err
    assert {key[0] for key in rows(finished())} == {"first"}


def test_a_data_set_that_raises_is_the_callers_and_keeps_what_is_done(finished: Finished) -> None:
    class Broken(Named):
        def __getitem__(self, index: int) -> Any:
            if index == 3:
                raise OSError("a broken file")
            return super().__getitem__(index)

    watch(Broken(5))
    wl.signal(name="size")(lambda ctx: 1)
    with pytest.raises(OSError, match="a broken file"):
        wl.compute_signals()
    assert len(rows(finished())) == 3


_INTERRUPTED = """
import sys, time
import wl_core as wl

class Slow:
    def __len__(self):
        return 1000
    def __getitem__(self, index):
        if index == 10:
            print("ready", flush=True)
        time.sleep(0.001 if index < 10 else 0.05)
        return index, 0

wl.start_run(sys.argv[1])
wl.watch_or_edit(Slow(), flag="data", loader_name="t")
wl.signal(name="size")(lambda ctx: 1)
wl.compute_signals()
print("went on")
"""


def test_a_real_ctrl_c_stops_it_and_the_script_goes_on(tmp_path: Path) -> None:
    process = warm.Process(["-c", _INTERRUPTED, tmp_path / "run"], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signals.SIGINT)
        assert process.stdout.read() == "went on\n"
    assert process.returncode == 0
    with wl.open_run(tmp_path / "run") as run:
        assert run.status().state == "finished"
        assert 10 <= len(rows(run)) < 1000


def test_progress_is_shown_on_a_terminal(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    watch(Named(3))
    wl.signal(name="size")(lambda ctx: 1)
    wl.compute_signals()
    assert "signals of t" in capsys.readouterr().err


# -- dynamic ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", [("a", "b"), (1, 2)])
def test_a_dynamic_signal_follows_a_value_with_ids_of_any_kind(
    finished: Finished, ids: Any
) -> None:
    @wl.signal(name="double", subscribe_to="loss")
    def double(ctx: wl.SignalContext) -> float:
        assert (ctx.is_static, ctx.is_dynamic) == (False, True)
        assert ctx.sample_id in ids
        return ctx.subscribed_value * 2

    step(1.5, ids)
    run = finished()
    assert [sample(run, one)["double"] for one in ids] == [3, 3]
    assert history(run, "double", "t", ids[0]) == ([0], [3])


def test_it_reads_a_static_signal_of_its_sample(finished: Finished) -> None:
    loader = watch(Described(2), batch_size=2)
    criterion = loss("train_mlt_loss/CE")
    wl.signal(name="blue_pixels")(lambda ctx: int(ctx.data[0]) + 5)

    @wl.signal(name="blue_weighted_loss", subscribe_to="train_mlt_loss/CE")
    def weighted(ctx: wl.SignalContext) -> float:
        blue = ctx.dataframe.get_value(ctx.origin, ctx.sample_id, "signals_blue_pixels")
        return ctx.subscribed_value * float(blue or 0)

    wl.compute_signals()
    with wl.guard_training_context:
        next(loader)
        criterion(torch.tensor([2.0, 3.0]))
    run = finished()
    assert [sample(run, one)["blue_weighted_loss"] for one in ("s0", "s1")] == [10, 18]


@pytest.mark.parametrize("name", ["first", "signals_first", "signals//first"])
@pytest.mark.parametrize("guard", [True, False])
def test_a_value_of_this_step_is_there_at_once_by_all_its_names(
    finished: Finished, name: str, guard: bool
) -> None:
    first, second = loss("first"), loss("second")
    found: list[Any] = []

    @wl.signal(name="reader", subscribe_to="second")
    def reader(ctx: wl.SignalContext) -> None:
        found.append(ctx.dataframe.get_value(ctx.origin, ctx.sample_id, name))

    for value in (1.0, 2.0):
        with wl.guard_training_context if guard else torch.enable_grad():
            first(torch.tensor([value]), batch_ids=["a"])
            second(torch.tensor([0.0]), batch_ids=["a"])
    assert found == [1, 2]


def test_get_value_knows_metadata_and_says_none_for_what_is_not_there(finished: Finished) -> None:
    next(watch(Described(1)))
    found = [
        wl.SignalContext.dataframe.get_value("t", "s0", "place"),
        wl.SignalContext.dataframe.get_value("t", "s0", "no such column"),
        wl.SignalContext.dataframe.get_value("t", "no such sample", "place"),
    ]
    assert found == ["right", None, None]


def test_logits_are_the_samples_own(finished: Finished) -> None:
    criterion = loss("loss", lambda outputs: outputs.mean(1))
    seen: list[Any] = []
    wl.signal(name="x", subscribe_to="loss")(lambda ctx: seen.append(ctx.logits.tolist()))
    criterion(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), batch_ids=["a", "b"])
    assert seen == [[1, 2], [3, 4]]


def test_chains_are_followed_within_the_step(finished: Finished) -> None:
    for name, before in (("b", "a"), ("c", "b"), ("d", "c")):
        wl.signal(name=name, subscribe_to=before)(lambda ctx: ctx.subscribed_value + 1)
    step(1.0, ["x"], "a")
    run = finished()
    assert [sample(run, "x")[name] for name in "abcd"] == [1, 2, 3, 4]


def test_two_functions_cannot_share_a_name_but_one_may_be_defined_again(finished: Finished) -> None:
    def made(factor: int) -> None:
        @wl.signal(name="x", subscribe_to="loss")
        def function(ctx: wl.SignalContext) -> float:
            return factor

    made(1)
    made(2)  # a cell of a notebook that is run again
    with pytest.raises(wl.WlError, match="exists already"):
        wl.signal(name="x")(step)
    step()
    assert sample(finished(), "a")["x"] == 2


def test_it_is_computed_every_n_steps_from_a_step_on(finished: Finished) -> None:
    wl.signal(name="x", subscribe_to="loss", compute_every_n_steps=2, min_step=3)(lambda ctx: 1)
    for _ in range(9):
        step()
    assert history(finished(), "x", "t", "a")[0] == [4, 6, 8]


def test_a_named_step_decides_whether_a_signal_is_due(finished: Finished) -> None:
    seen: list[int] = []
    wl.signal(name="x", subscribe_to="loss", compute_every_n_steps=10)(
        lambda ctx: seen.append(ctx.step)
    )
    for at in (19, 20, 21):
        wl.save_signals({"loss": [1.0]}, ["a"], step=at)
    assert seen == [20]


def test_log_draws_a_curve(finished: Finished) -> None:
    wl.signal(name="drawn", subscribe_to="loss", log=True)(lambda ctx: 3)
    wl.signal(name="quiet", subscribe_to="loss")(lambda ctx: 3)
    step()
    run = finished()
    assert run.curves()["drawn"].mean.tolist() == [3]
    assert "quiet" not in run.curves()


def test_the_function_is_returned_as_it_is(finished: Finished) -> None:
    def function(ctx: wl.SignalContext) -> int:
        return 1

    assert wl.signal(function) is function
    assert wl.signal(name="other")(function) is function
    assert wl.signal(subscribe_to="loss", name="third")(function) is function


# -- when it raises --------------------------------------------------------------------------------


def test_a_raising_signal_is_recorded_and_warned_of_once_and_training_goes_on(
    finished: Finished,
) -> None:
    @wl.signal(name="bad", subscribe_to="loss")
    def bad(ctx: wl.SignalContext) -> float:
        if ctx.sample_id == "a":
            raise ZeroDivisionError("no")
        return 1.0

    with pytest.warns(wl.SignalFailedWarning, match="'bad' raised ZeroDivisionError: no"):
        step()
    for _ in range(2):
        step()
    run = finished()
    [event] = events(run, "signal_failed")
    assert (event["signal"], event["error"]) == ("bad", "ZeroDivisionError: no")
    assert "in bad" in event["traceback"]
    assert run.status().step == 3
    assert history(run, "bad", "t", "b")[0] == [0, 1, 2]  # the others have their values
    assert "bad" not in sample(run, "a")


def test_it_is_warned_of_again_in_the_next_run(finished: Finished, tmp_path: Path) -> None:
    wl.signal(name="bad", subscribe_to="loss")(lambda ctx: 1 / 0)
    with pytest.warns(wl.SignalFailedWarning):
        step()
    wl.finish()
    wl.start_run(tmp_path / "second")
    with pytest.warns(wl.SignalFailedWarning):
        step()


@pytest.mark.parametrize("value", [object(), {}, torch.ones(2, 2)])
def test_something_other_than_a_number_is_a_failure(finished: Finished, value: Any) -> None:
    wl.signal(name="bad", subscribe_to="loss")(lambda ctx: value)
    with pytest.warns(wl.SignalFailedWarning):
        step()


def test_a_strict_signal_ends_the_training(finished: Finished) -> None:
    wl.signal(name="bad", subscribe_to="loss", strict=True)(lambda ctx: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        step()
    run = finished()
    assert sample(run, "a")["loss"] == 1
    assert [event["error"] for event in events(run, "step_failed")] == [
        "ZeroDivisionError: division by zero"
    ]


def test_a_signal_that_waits_for_instances_or_steps_is_told_so(finished: Finished) -> None:
    wl.signal(name="a", subscribe_to="of instances")(lambda ctx: 1)
    wl.signal(name="b", subscribe_to="of steps")(lambda ctx: 1)
    with pytest.warns(wl.SignalFailedWarning, match="one value per instance"):
        loss("of instances", per_sample=False, per_instance=True)(
            torch.ones(1), batch_ids=["a"], batch_idx=[0]
        )
    with pytest.warns(wl.SignalFailedWarning, match="one value per step"):
        loss("of steps", per_sample=False)(torch.ones(1))


def test_asking_for_data_that_nobody_watches_says_so(finished: Finished) -> None:
    wl.signal(name="x", subscribe_to="loss")(lambda ctx: ctx.image.mean())
    with pytest.warns(wl.SignalFailedWarning, match="flag='data'"):
        step()


@pytest.mark.parametrize(
    ("shape", "image"),
    [((4, 5), (4, 5)), ((1, 4, 5), (4, 5)), ((3, 4, 5), (4, 5, 3)), ((3, 3, 3), (3, 3, 3))],
)
def test_an_image_is_given_channels_last(
    finished: Finished, shape: tuple[int, ...], image: tuple[int, ...]
) -> None:
    watch([(np.zeros(shape), "a", 0)])
    seen: list[Any] = []
    wl.signal(name="x")(lambda ctx: seen.append(ctx.image.shape))
    wl.compute_signals()
    assert seen == [image]


@pytest.mark.parametrize("options", [{"compute_every_n_steps": 0}])
def test_a_signal_that_could_never_be_due_is_refused(finished: Finished, options: Any) -> None:
    with pytest.raises(wl.WlError, match="at least 1"):
        wl.signal(name="x", **options)(lambda ctx: 1)
