"""Signals that are written after the run: as if they had been there from the start."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal as signals
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import wl_core as wl
from tests.core.watched_runs import Masks, Squares, collate_masks, events
from wl_core.backfill import Backfilled, backfill, choose_signals
from wl_core.cli import group
from wl_core.codec import Frame
from wl_core.errors import LogWriteError, RunLockedError, SignalFailedWarning, UsageError
from wl_core.past_frames import source_of
from wl_core.plugins import Plugins
from wl_core.signal_sources import SignalSource, find_signals, registered_apart
from wl_core.signals import registry

COUNTS = (2, 0, 1, 3, 1, 2)
STEPS = 12
Define = Callable[[], None]


def train(path: Path, define: Define | None = None, *, static: bool = False) -> None:
    """The same training each time: losses, metrics, instances, predictions, tests, late values."""
    with registered_apart():
        torch.manual_seed(0)
        wl.start_run(path)
        if define is not None:
            define()
        try:
            _train(static=static)
        finally:
            wl.finish()


def _train(*, static: bool) -> None:
    options: dict[str, Any] = {"flag": "data", "batch_size": 3, "collate_fn": collate_masks}
    loader = wl.watch_or_edit(
        Masks(COUNTS), loader_name="train", shuffle=True, is_training=True, **options
    )
    test = wl.watch_or_edit(Masks(COUNTS), loader_name="test", **options)
    if static:
        wl.compute_signals()
    loss = wl.watch_or_edit(Squares(), flag="loss", name="loss", per_sample=True)
    error = wl.watch_or_edit(Squares(2.0), flag="metric", name="error", per_sample=True)
    for step in range(STEPS):
        images, ids, masks, _ = next(loader)
        with wl.guard_training_context:
            outputs = images.flatten(1) * 0.1 * step + torch.rand(len(ids), 16)
            loss(outputs, torch.ones(len(ids)), preds=outputs[:, :4], batch_ids=ids)
            guess, wanted = outputs.argmax(1), outputs[:, :2]
            error(outputs, torch.zeros(len(ids)), preds=guess, targets=wanted, batch_ids=ids)
            wl.save_signals({"first": outputs[:, 0], "last": outputs[:, -1]}, ids)
            numbers = torch.rand(sum(len(one) for one in masks))
            wl.save_instance_signals({"dice": numbers}, ids, targets=masks)
            wl.save_instance_signals({"area": numbers * 4 + step}, ids, targets=masks)
        if step % 4 == 3:
            with wl.guard_testing_context:
                for images, ids, _, _ in test.pass_over():
                    loss(images.flatten(1) + step, torch.ones(len(ids)))
            wl.save_signals(
                {"late": [0.5, float(step)]}, ["m0", "m3"], step=step - 2, origin="train"
            )
    wl.save_signals({"first": [0.25]}, ["m1"], origin="train")


@pytest.fixture(scope="module")
def untold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that knew no signal of a user's."""
    path = tmp_path_factory.mktemp("untold") / "run"
    train(path)
    return path


@pytest.fixture
def past(untold: Path, tmp_path: Path) -> Path:
    """A copy of it, for one test."""
    path = tmp_path / "past"
    shutil.copytree(untold, path)
    return path


@contextmanager
def opened(path: Path) -> Iterator[wl.Run]:
    run = wl.open_run(path)
    try:
        yield run
    finally:
        run.close()


def source(define: Define) -> SignalSource:
    with registered_apart():
        define()
        return SignalSource("test", "", dict(registry.by_name))


def compute(path: Path, define: Define, **options: Any) -> Backfilled:
    found = source(define)
    with opened(path) as run:
        return backfill(run, found, choose_signals(run, found)[0], who="a test", **options)


def known(path: Path, name: str) -> dict[str, Any]:
    """All that the views say of a signal: every history, cell and curve."""
    with opened(path) as run:
        index = run.view("samples").index
        found: dict[str, Any] = {}
        for row in index.order().tolist():
            origin, sample_id = index.origin(row), index.sample_id(row)
            numbers = run.view("instances").annotation_ids(origin, sample_id)
            for number in (0, *numbers):
                steps, values = run.signal_history(name, origin, sample_id, number)
                found[f"{origin} {sample_id} {number}"] = (
                    steps.tolist(),
                    np.array(values).tobytes(),
                )
            found[f"{origin} {sample_id}"] = run.view("samples").value(origin, sample_id, name)
            for number in numbers:
                cell = run.view("instances").value(origin, sample_id, number, name)
                found[f"{origin} {sample_id}/{number}"] = cell
        curve = run.curves().get(name)
        if curve is not None:
            found["curve"] = [np.asarray(one).tolist() for one in dataclasses.astuple(curve)]
        found["declared"] = run.view("samples").declared.get(name)
    return {key: repr(value) for key, value in found.items()}


def per_sample() -> None:
    @wl.signal(name="per_sample", subscribe_to="loss", log=True)
    def made(ctx: Any) -> Any:
        assert (ctx.is_dynamic, ctx.logits, ctx.annotation_id) == (True, None, 0) or registering()
        if ctx.sample_id == "m2" and ctx.step % 2:
            return None
        return ctx.subscribed_value * 1.1 + ctx.step + (ctx.origin == "test")


def registering() -> bool:
    """Whether this is the training, which has the model's outputs at hand."""
    from wl_core.session import current_session

    return current_session() is not None


def batched() -> None:
    @wl.signal(name="batched", subscribe_to="loss", batched=True)
    def made(ctx: Any) -> Any:
        earlier = [len(steps) + values[-1] for steps, values in ctx.history()]
        return (
            ctx.subscribed_values - ctx.subscribed_values.mean() + earlier + ctx.latest("error", 9)
        )


def throttled() -> None:
    @wl.signal(name="throttled", subscribe_to="loss", compute_every_n_steps=3, min_step=4)
    def made(ctx: Any) -> Any:
        return ctx.subscribed_value


def of_inputs() -> None:
    @wl.signal(name="of_inputs", inputs=["loss", "error", "first"])
    def made(ctx: Any) -> Any:
        assert ctx.subscribed_value is None
        return ctx.inputs["loss"] + 2 * ctx.inputs["error"] - ctx.inputs["first"]


def of_batches_of_inputs() -> None:
    @wl.signal(name="of_batches_of_inputs", inputs=["error", "loss"], batched=True)
    def made(ctx: Any) -> Any:
        return ctx.inputs["loss"] / ctx.inputs["error"]


def of_instances() -> None:
    @wl.signal(name="of_instances", subscribe_to="dice", level="instance", log=True)
    def made(ctx: Any) -> Any:
        mask = np.asarray(ctx.target)
        earlier = ctx.latest("area", default=-1.0) + ctx.latest("loss", require_fresh=True)
        return ctx.subscribed_value + 10 * ctx.annotation_id + float(mask.sum()) + earlier


def of_batches_of_instances() -> None:
    @wl.signal(name="of_batches_of_instances", subscribe_to="area", level="instance", batched=True)
    def made(ctx: Any) -> Any:
        return ctx.latest("dice") + ctx.batch_idx * 0 + np.asarray(ctx.annotation_ids)


def of_history() -> None:
    @wl.signal(name="of_history", subscribe_to="first", include_history=True)
    def made(ctx: Any) -> Any:
        steps, values = ctx.history
        assert steps[-1] == ctx.step
        return float(values.sum() + steps.sum())


def of_the_latest() -> None:
    """What was saved with it is there, and of the later call what there was the step before."""

    @wl.signal(name="of_the_latest", subscribe_to="first")
    def made(ctx: Any) -> Any:
        return ctx.latest("last", default=5.0) + ctx.latest("error", default=7.0)

    @wl.signal(name="stale", subscribe_to="loss")
    def stale(ctx: Any) -> Any:
        return ctx.latest("error", default=7.0) + ctx.latest("first", default=9.0)


def of_cells() -> None:
    @wl.signal(name="of_cells", subscribe_to="loss")
    def made(ctx: Any) -> Any:
        cells = [
            ctx.dataframe.get_value(ctx.origin, "m0", "error") or 0.0,
            ctx.dataframe.get_value(ctx.origin, ctx.sample_id, "times_seen") or 0.0,
            ctx.dataframe.get_value(ctx.origin, "m0", "area", 1) or 0.0,
            ctx.dataframe.get_value("train", "m3", "late") or 0.0,
        ]
        return float(np.dot(cells, [1, 10, 100, 1000]) + ctx.metadata["index"])


def of_arrays() -> None:
    @wl.signal(name="of_arrays", subscribe_to="loss")
    def made(ctx: Any) -> Any:
        given = ctx.prediction  # of the call, else the one before
        return None if given is None else float(given.sum())

    @wl.signal(name="later", subscribe_to="first")
    def later(ctx: Any) -> Any:
        return None if ctx.prediction is None else float(ctx.prediction[0]) + ctx.step

    @wl.signal(name="of_numbers", subscribe_to="error")
    def of_numbers(ctx: Any) -> Any:
        return float(ctx.prediction) + float(ctx.target[0])


def of_one_another() -> None:
    @wl.signal(name="of_one_another", subscribe_to="loss")
    def made(ctx: Any) -> Any:
        return ctx.subscribed_value + ctx.latest("second", default=3.0)

    @wl.signal(name="second", subscribe_to="of_one_another", include_history=True, log=True)
    def second(ctx: Any) -> Any:
        return float(ctx.history[1].mean())

    @wl.signal(name="third", inputs=["second", "error"], min_step=6)
    def third(ctx: Any) -> Any:
        cell = ctx.dataframe.get_value(ctx.origin, ctx.sample_id, "of_one_another")
        return ctx.inputs["second"] * ctx.inputs["error"] + cell


def of_texts() -> None:
    @wl.signal(name="of_texts", subscribe_to="loss")
    def made(ctx: Any) -> Any:
        return ["low", "high"][ctx.subscribed_value > 1]

    @wl.signal(name="flag", subscribe_to="loss")
    def flag(ctx: Any) -> Any:
        return ctx.subscribed_value > 1


def of_what_comes_late() -> None:
    @wl.signal(name="of_what_comes_late", subscribe_to="late", include_history=True)
    def made(ctx: Any) -> Any:
        return ctx.step + len(ctx.history[0]) + ctx.latest("loss", default=0.5)


CASES = [
    per_sample, batched, throttled, of_inputs, of_batches_of_inputs, of_instances,
    of_batches_of_instances, of_history, of_the_latest, of_cells, of_arrays, of_one_another,
    of_texts, of_what_comes_late,
]  # fmt: skip


def all_of_them() -> None:
    for define in CASES:
        define()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run in which all of them were there from the start."""
    path = tmp_path_factory.mktemp("told") / "run"
    train(path, all_of_them)
    return path


@pytest.mark.parametrize("define", CASES, ids=lambda define: define.__name__)
def test_it_is_as_if_it_had_been_there(define: Define, past: Path, told: Path) -> None:
    done = compute(past, define)
    names = list(source(define).signals)
    assert all(done.values[name] for name in names), "a test of nothing"
    for name in names:
        assert known(past, name) == known(told, name)
    with opened(past) as run:
        assert events(run, "signal_failed") == []


# -- static signals --------------------------------------------------------------------------------


def static_ones() -> None:
    @wl.signal(name="odd")
    def odd(ctx: Any) -> Any:
        assert (ctx.is_static, ctx.step, ctx.subscribed_value) == (True, 0, None)
        return None if ctx.sample_id == "m4" else float(ctx.metadata["index"] % 2)

    @wl.signal(name="odder", subscribe_to="odd")
    def odder(ctx: Any) -> Any:
        return ctx.subscribed_value + 0.5

    @wl.signal(name="with_odd", subscribe_to="loss")
    def with_odd(ctx: Any) -> Any:
        return ctx.subscribed_value + ctx.latest("odd", default=2.0)


def of_the_data() -> None:
    @wl.signal(name="brightness")
    def brightness(ctx: Any) -> Any:
        return float(ctx.image.mean()) + len(ctx.target) + ctx.data.ndim

    @wl.signal(name="greatest", level="instance")
    def greatest(ctx: Any) -> Any:
        return float(np.asarray(ctx.target).max())


def test_static_signals_need_nothing_but_what_the_log_holds(past: Path, tmp_path: Path) -> None:
    train(tmp_path / "live", static_ones, static=True)
    done = compute(past, static_ones)
    assert (done.values["odd"], done.values["odder"]) == (10, 10)
    for name in ("odd", "odder", "with_odd"):
        assert known(past, name) == known(tmp_path / "live", name)


def test_a_data_set_that_is_given_is_read_like_the_training_read_it(
    past: Path, tmp_path: Path
) -> None:
    train(tmp_path / "live", of_the_data, static=True)
    given = {"train": Masks(COUNTS), "test": Masks(COUNTS)}
    assert compute(past, of_the_data, data_sets=given).values["greatest"] == 2 * sum(COUNTS)
    for name in ("brightness", "greatest"):
        assert known(past, name) == known(tmp_path / "live", name)


def test_masks_are_in_the_log_and_data_is_not(past: Path) -> None:
    with (
        pytest.warns(SignalFailedWarning, match="--data train=MODULE:NAME"),
        pytest.warns(SignalFailedWarning, match="--data test=MODULE:NAME"),
    ):
        done = compute(past, of_the_data)
    assert done.values == {"brightness": 0, "greatest": sum(COUNTS)}, "those of the training's"
    with opened(past) as run:
        failed = {one["signal"]: one["error"] for one in events(run, "signal_failed")}
    assert "the log does not hold the image of sample 'm0'" in failed["brightness"]
    assert "the target of sample 'm0': give the data set, by --data test=" in failed["greatest"]


# -- what is appended ------------------------------------------------------------------------------


def doubled() -> None:
    @wl.signal(name="doubled", subscribe_to="loss")
    def made(ctx: Any) -> Any:
        return ctx.subscribed_value * 2


def after_doubled() -> None:
    @wl.signal(name="seen_doubled", subscribe_to="doubled", include_history=True)
    def made(ctx: Any) -> Any:
        error = ctx.latest("error", default=0.0)
        return float(ctx.history[1].sum()) + error + ctx.latest("doubled")


def test_the_values_say_how_they_came(past: Path) -> None:
    with opened(past) as run:
        before, age = run.log.next_position, run.log.model_age
    done = compute(past, doubled, why="curious")
    with opened(past) as run:
        (head,) = events(run, "backfilled")
        assert (head["signals"], head["module"], head["stop"]) == (["doubled"], "test", before)
        assert (head["who"], head["why"]) == ("a test", "curious")
        frames = [one for one in run.log.frames(before) if isinstance(one, Frame)]
        assert len(frames) == head["frames"] + 1
        assert done.position == before == frames[0].position
        for frame in frames[1:]:
            at = source_of(frame)
            assert at is not None
            (origin,) = run.log.frames(at, at + 1)
            assert isinstance(origin, Frame)
            assert (frame.step, frame.phase) == (origin.step, origin.phase)
            call = [event[2] for event in origin.events[: at - origin.position + 1]]
            assert "loss" in call
            assert "error" not in call
        declared = next(d for d in events(run, "signal_declared") if d["signal"] == "doubled")
        assert declared["detail"]["after_the_fact"] is True
        assert run.log.model_age == age
        assert run.status().state == "finished"
        assert list(run.log.verify())[-1] == run.log.next_position
        assert run.at(step=5).view("samples").signals.count("doubled") == 0, "as it was then"


def test_what_was_computed_later_is_there_for_what_comes_after(past: Path, tmp_path: Path) -> None:
    def both() -> None:
        doubled()
        after_doubled()

    train(tmp_path / "live", both)
    compute(past, doubled)
    compute(past, after_doubled)
    assert known(past, "seen_doubled") == known(tmp_path / "live", "seen_doubled")


def test_a_training_goes_on_from_what_was_computed_later(past: Path) -> None:
    compute(past, doubled)
    with registered_apart():
        doubled()
        after_doubled()
        wl.start_run(past)
        with wl.guard_training_context:
            wl.save_signals({"loss": [8.0]}, ["m0"], origin="train")
        wl.finish()
    with opened(past) as run:
        steps, values = run.signal_history("doubled", "train", "m0")
        assert (steps[-1], values[-1]) == (STEPS, 16)
        (found,) = run.signal_history("seen_doubled", "train", "m0")[1]
        error = run.signal_history("error", "train", "m0")[1][-1]
        assert found == pytest.approx(values.sum() + error + 16)


def test_nothing_is_appended_where_nothing_was_found(past: Path) -> None:
    def waits() -> None:
        wl.signal(name="waits", subscribe_to="nobody")(lambda ctx: 1.0)

    with opened(past) as run:
        before = run.log.next_position
    done = compute(past, waits)
    assert (done.values, done.steps, done.position) == ({"waits": 0}, 0, None)
    with opened(past) as run:
        assert run.log.next_position == before


# -- failures --------------------------------------------------------------------------------------


def fails() -> None:
    @wl.signal(name="fails", subscribe_to="loss")
    def made(ctx: Any) -> Any:
        if ctx.sample_id == "m3":
            raise RuntimeError("out of luck")
        return 1.0


def left(path: Path) -> list[str]:
    """What lies beside the log, which a backfill must clear away."""
    names = {one.name for one in (path / "rank-0000").iterdir()}
    return sorted(names - {"log", "arrays", "writer.lock"})


def test_a_function_that_raises_is_recorded_once_and_the_others_count(past: Path) -> None:
    with pytest.warns(SignalFailedWarning, match="out of luck") as warned:
        assert compute(past, fails).values["fails"] > 0
    assert len(warned) == 1
    with opened(past) as run:
        (failed,) = events(run, "signal_failed")
        assert "RuntimeError: out of luck" in failed["traceback"]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, RuntimeError], ids=lambda error: error.__name__
)
def test_what_ends_it_leaves_nothing(past: Path, error: type[BaseException]) -> None:
    def ends() -> None:
        @wl.signal(name="ends", subscribe_to="loss", strict=True)
        def made(ctx: Any) -> Any:
            if ctx.step == 6:
                raise error
            return 1.0

    with opened(past) as run:
        before = run.log.next_position
    with pytest.raises(error):
        compute(past, ends)
    assert left(past) == []
    with opened(past) as run:
        assert run.log.next_position == before


def test_what_was_recorded_is_not_computed_again(past: Path) -> None:
    compute(past, doubled)

    def both() -> None:
        doubled()
        after_doubled()

    with opened(past) as run:
        with pytest.raises(UsageError, match=r"the run holds \d+ values of 'doubled'"):
            choose_signals(run, source(doubled))
        with pytest.raises(UsageError, match=r"the run holds \d+ values of 'doubled'"):
            choose_signals(run, source(both), ["doubled"])
        chosen, left_out = choose_signals(run, source(both))
        assert (list(chosen), list(left_out)) == (["seen_doubled"], ["doubled"])
        with pytest.raises(UsageError, match=r"no signal 'dubled'.*Did you mean 'doubled'"):
            choose_signals(run, source(both), ["dubled"])


def test_a_run_that_is_written_is_refused(tmp_path: Path, past: Path) -> None:
    with registered_apart():
        wl.start_run(past)
        try:
            with pytest.raises(RunLockedError, match=r"is being trained by process \d+.*wl stop"):
                compute(past, doubled)
        finally:
            wl.finish()
    found = source(doubled)
    with opened(past) as run, pytest.raises(UsageError, match="the past cannot be changed"):
        backfill(run.at(step=3), found, found.signals, who="a test")


def test_a_training_that_goes_on_meanwhile_wins(past: Path) -> None:
    trained: list[bool] = []

    def goes_on() -> None:
        @wl.signal(name="slow", subscribe_to="loss")
        def made(ctx: Any) -> Any:
            if not trained:
                trained.append(True)
                wl.start_run(past)
                wl.finish()
            return 1.0

    with pytest.raises(UsageError, match="trained further meanwhile"):
        compute(past, goes_on)
    with opened(past) as run:
        assert events(run, "backfilled") == []
    assert left(past) == []


def test_two_at_once_are_one_too_many(past: Path) -> None:
    def within() -> None:
        @wl.signal(name="within", subscribe_to="loss", strict=True)
        def made(ctx: Any) -> Any:
            compute(past, doubled)
            return 1.0

    with pytest.raises(RunLockedError, match="another process computes signals"):
        compute(past, within)


# -- death -----------------------------------------------------------------------------------------

DYING = """
import os, pathlib, signal, sys
import wl_core as wl, wl_core.backfill as b
from wl_core.signal_sources import find_signals

def die(*_): os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "computing":
    os.environ["DIE_AT"] = "9"
elif sys.argv[2] == "renaming":
    rename, renamed = pathlib.Path.rename, []
    pathlib.Path.rename = lambda one, to: die() if renamed else renamed.append(rename(one, to))
else:
    b.recover = die
run, found = wl.open_run(sys.argv[1]), find_signals("dying.py")
b.backfill(run, found, found.signals, who="a test")
"""

MODULE = """
import os, signal
import wl_core as wl

print("imported")

@wl.signal(name="tripled", subscribe_to="loss")
def tripled(ctx):
    if os.environ.get("DIE_AT") == str(ctx.step):
        os.kill(os.getpid(), signal.SIGKILL)
    return 3 * ctx.subscribed_value

@wl.signal(name="nine", subscribe_to="tripled")
def nine(ctx):
    return 3 * ctx.subscribed_value
"""


@pytest.mark.parametrize("when", ["computing", "renaming", "committing"])
def test_killed_it_is_there_whole_or_not_at_all(past: Path, tmp_path: Path, when: str) -> None:
    (tmp_path / "dying.py").write_text(MODULE)
    with opened(past) as run:
        before = run.log.next_position
    command = [sys.executable, "-c", DYING, str(past), when]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    died = subprocess.run(command, cwd=tmp_path, env=environment, timeout=60, check=False)
    assert died.returncode == -signals.SIGKILL
    assert left(past), "killed too late"
    with opened(past) as run:
        if when == "committing":
            (head,) = events(run, "backfilled")
            frames = [one for one in run.log.frames(head["stop"]) if isinstance(one, Frame)]
            assert len(frames) == head["frames"] + 1
        else:
            assert run.log.next_position == before
            found = find_signals(str(tmp_path / "dying.py"))
            backfill(run, found, choose_signals(run, found)[0], who="a test")
        losses = run.signal_history("loss", "train", "m0")[1]
        assert run.signal_history("nine", "train", "m0")[1] == pytest.approx(9 * losses)
    assert left(past) == []


def test_a_disk_that_refuses_leaves_the_log_as_it_was(past: Path) -> None:
    def fills() -> None:
        @wl.signal(name="fills", subscribe_to="loss")
        def made(ctx: Any) -> Any:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
            return 1.0

    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signals.signal(signals.SIGXFSZ, signals.SIG_IGN)
    try:
        with pytest.raises(LogWriteError, match="nothing was appended to the log"):
            compute(past, fills)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signals.signal(signals.SIGXFSZ, ignored)
    assert left(past) == []


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the user is, with modules of signals."""
    monkeypatch.chdir(tmp_path)
    path, modules = list(sys.path), set(sys.modules)
    (tmp_path / "late_signals.py").write_text(MODULE)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", "") and name.startswith("late_"):
            del sys.modules[name]


def command(*arguments: str) -> Any:
    return CliRunner().invoke(group, ["backfill", *arguments])


@pytest.mark.parametrize("module", ["late_signals.py", "late_signals"])
def test_the_command_takes_a_file_or_a_module(past: Path, folder: Path, module: str) -> None:
    done = command(module, "--signal", "tripled", "--run", str(past), "--why", "because")
    assert done.exit_code == 0, done.output
    assert "values over 13 steps in" in done.stdout
    assert "imported" not in done.stdout
    assert "imported" in done.stderr
    with opened(past) as run:
        (head,) = events(run, "backfilled")
        assert (head["module"], head["why"], len(head["digest"])) == (module, "because", 64)
        assert "nine" not in run.signals()


def test_the_command_goes_on_with_what_is_new_in_a_module(past: Path, folder: Path) -> None:
    assert command("late_signals.py", "--signal", "tripled", "--run", str(past)).exit_code == 0
    done = command("late_signals.py", "--run", str(past))
    assert "tripled is left out: the run holds" in done.stderr
    assert "nine" in done.stdout
    refused = command("late_signals.py", "--run", str(past))
    assert "the run holds" in str(refused.exception)


def test_the_command_takes_data_sets(past: Path, folder: Path) -> None:
    (folder / "late_data.py").write_text(
        "import wl_core as wl\n"
        "def made(): return [([[n, n], [n, n]], f'm{n}', 0) for n in range(6)]\n"
        "wl.signal(name='corner')(lambda ctx: ctx.data[0][0] if ctx.origin == 'train' else None)\n"
    )
    done = command("late_data.py", "--data", "train=late_data.py:made", "--run", str(past))
    assert "corner: 6" in done.stdout
    wrong = CliRunner().invoke(
        group, ["backfill", "late_data.py", "--data", "x", "--run", str(past)]
    )
    assert "expected ORIGIN=MODULE:NAME" in wrong.output


def test_a_script_that_trains_when_it_is_imported_is_refused(past: Path, folder: Path) -> None:
    (folder / "late_script.py").write_text(
        "import wl_core as wl\nwl.start_run('other')\nwl.signal(name='x')(lambda ctx: 1)\n"
    )
    with pytest.raises(UsageError, match="began to record a run"):
        find_signals("late_script.py")
    assert "x" not in registry.by_name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such.py", "there is no Python file"),
        ("no_such_module", "there is no module and no plugin 'no_such_module'"),
        ("json", "json registers no signal"),
        ("curves", "curves registers no signal"),
    ],
)
def test_what_is_no_source_of_signals_is_named(folder: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_signals(name)


def test_a_plugin_s_signals_are_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Weather:
        @wl.hookimpl
        def wl_signals(self) -> list[Any]:
            return [wl.signal(name="rain", subscribe_to="loss")(lambda ctx: 1.0)]

    class Other:
        @wl.hookimpl
        def wl_signals(self) -> list[Any]:
            return [wl.signal(name="sun", subscribe_to="loss")(lambda ctx: 2.0)]

    plugins = Plugins(builtins=(), installed=False)
    plugins.register(Other(), "other")
    plugins.register(Weather(), "weather")
    monkeypatch.setattr("wl_core.signal_sources.load_plugins", lambda: plugins)
    found = find_signals("weather")
    assert (list(found.signals), len(found.digest)) == (["rain"], 64)
    assert "rain" not in registry.by_name
