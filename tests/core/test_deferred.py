"""Values that lie on a device: nobody waits for them, and none is lost."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import wl_core as wl
from tests.core.fake_device import FakeDevice, fake_device
from tests.core.watched_runs import Finished, events, frames, history, loss, sample
from wl_core.codec import Frame, frame_events
from wl_core.deferred import is_away
from wl_core.session import session

IDS = ["a", "b", "c"]
BATCH_IDX = [0, 0, 1, 2]


@pytest.fixture
def device() -> Iterator[FakeDevice]:
    with fake_device() as made:
        yield made


def instance_loss(name: str) -> Any:
    return loss(name, per_sample=False, per_instance=True)


def train_step(to: Any, step: int) -> None:
    """Four watched criterions, predictions and instance signals; ``to`` puts a tensor somewhere."""
    weight = to(torch.tensor(1.0 + step)).requires_grad_()
    rows = to(torch.tensor([0.5, 1.5, math.nan]))
    flat = to(torch.arange(4.0))
    with wl.guard_training_context:
        made = loss("dice")(weight * rows, batch_ids=IDS, preds=to(torch.ones(3, 4, 4)))
        loss("map")(to(torch.arange(24.0).reshape(3, 2, 4)) + step, batch_ids=IDS)
        each = instance_loss("each")
        each(flat * step, batch_ids=IDS, batch_idx=BATCH_IDX)
        loss("mean", per_sample=False)(made.sum())
        wl.save_signals(
            {
                "count": to(torch.tensor([1, 2, 1 << 25])),
                "hit": to(torch.tensor([True, False, True])),
            },
            IDS,
            targets=to(torch.tensor([0, 1, 2])),
        )
        wl.save_instance_signals({"area": flat + step}, IDS, batch_idx=BATCH_IDX)
        made[:2].sum().backward()


def test_a_training_waits_for_nothing(finished: Finished, device: FakeDevice) -> None:
    for step in range(4):
        device.catch_up()  # the step before is over, this one's values come when it has ended
        train_step(device.tensor, step)
    assert device.copies == 4 * 9
    assert device.waits == []
    assert len(events(finished(), "values")) == 4 * 4


def test_a_device_that_is_further_behind_is_waited_for_only_a_step_later(
    finished: Finished, device: FakeDevice
) -> None:
    train_step(device.tensor, 0)
    assert device.waits == []
    train_step(device.tensor, 1)
    assert set(device.waits) == {"event"}


def test_what_is_recorded_is_what_the_cpu_would_record(tmp_path: Path) -> None:
    def run(path: Path, to: Any) -> list[Any]:
        wl.start_run(path)
        for step in range(3):
            train_step(to, step)
        wl.finish()
        with wl.open_run(path) as done:
            return [contents(frame) for frame in frames(done) if frame.phase == "train"]

    on_cpu = run(tmp_path / "cpu", lambda one: one)
    with fake_device() as device:
        on_device = run(tmp_path / "device", device.tensor)
    for here, there in zip(on_cpu, on_device, strict=True):
        assert there == here


def contents(frame: Frame) -> Any:
    """All that a frame says, but for the order of its events."""
    said = sorted(repr((event.kind, event.data)) for event in frame_events(frame))
    return frame.number, frame.step, said, sorted(frame.blobs[0::2])


def test_values_come_with_the_next_step(finished: Finished, device: FakeDevice) -> None:
    def recorded() -> list[int]:
        session()._commit.flush()  # what is on its way stays there
        run = wl.open_run(finished.path)
        with run:
            return [frame.step for frame in frames(run) if frame.phase == "train"]

    for step in range(3):
        with wl.guard_training_context:
            loss()(device.tensor([1.0 + step, 2.0]), batch_ids=["a", "b"])
        assert recorded() == list(range(step))
    session().flush()
    assert recorded() == [0, 1, 2]
    assert history(finished(), "loss", "unnamed", "a") == ([0, 1, 2], [1.0, 2.0, 3.0])


def test_a_frame_without_such_values_waits_behind_one_with_them(
    finished: Finished, device: FakeDevice
) -> None:
    for step in range(4):
        with wl.guard_training_context:
            to = device.tensor if step == 1 else torch.tensor
            loss()(to([1.0]), batch_ids=["a"])
            with wl.guard_testing_context:
                wl.save_signals({"test": to([2.0])}, ["a"])
    found = [(frame.step, frame.phase) for frame in frames(finished()) if frame.phase != "outside"]
    assert found == [(step, phase) for step in range(4) for phase in ("test", "train")]


def test_what_lasts_is_recorded_at_once_and_brings_with_it_what_waits(
    finished: Finished, device: FakeDevice
) -> None:
    with wl.guard_training_context:
        loss()(device.tensor([1.0, 2.0]), batch_ids=["a", "b"])
    wl.discard_samples(["a"], origin="unnamed")
    session()._commit.flush()
    with wl.open_run(finished.path) as run:
        kinds = [event[0] for frame in frames(run) for event in frame.events]
    assert kinds.index("values") < kinds.index("discarded")
    assert device.waits == ["event"]


def test_metadata_between_two_steps_makes_nobody_wait(
    finished: Finished, device: FakeDevice
) -> None:
    with wl.guard_training_context:
        loss()(device.tensor([1.0, 2.0]), batch_ids=["a", "b"])
    wl.save_signals({"size": [3.0]}, ["a"])
    assert device.waits == []
    assert sample(finished(), "a")["size"] == 3.0


def test_a_killed_process_has_lost_one_step_at_most(tmp_path: Path) -> None:
    code = """
import os, sys, torch, wl_core as wl
from tests.core.fake_device import fake_device
wl.start_run(sys.argv[1])
with fake_device() as device:
    loss = wl.watch_or_edit(lambda x: x, flag="loss", name="loss", per_sample=True)
    for step in range(5):
        with wl.guard_training_context:
            loss(device.tensor([float(step)]), batch_ids=["a"])
    os.kill(os.getpid(), 9)
"""
    path = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=Path(__file__).parents[2], check=False
    )
    assert done.returncode == -9
    with wl.open_run(path) as run:
        assert history(run, "loss", "unnamed", "a")[1] == [0.0, 1.0, 2.0, 3.0]


def test_a_dynamic_signal_is_computed_when_its_values_are_here(
    finished: Finished, device: FakeDevice
) -> None:
    asked: list[Any] = []

    @wl.signal(subscribe_to="loss", name="twice")
    def twice(ctx: wl.SignalContext) -> float:
        asked.append((ctx.sample_id, ctx.step, session().step, is_away(ctx.logits)))
        assert not ctx.logits.requires_grad
        seen = ctx.dataframe.get_value(ctx.origin, ctx.sample_id, "loss")
        assert seen == ctx.subscribed_value
        return 2 * float(seen)

    criterion = loss("loss", obj=lambda outputs: outputs * 1)
    for step in range(3):
        outputs = device.tensor([1.0 + step, 2.0]).requires_grad_()
        with wl.guard_training_context:
            criterion(outputs, batch_ids=["a", "b"])
        assert len(asked) == 2 * step
    run = finished()
    assert asked[:3] == [("a", 0, 2, True), ("b", 0, 2, True), ("a", 1, 3, True)]
    assert history(run, "twice", "unnamed", "a") == ([0, 1, 2], [2.0, 4.0, 6.0])
    kept = [[event[2] for event in f.events if event[0] == "values"] for f in frames(run)]
    assert [one for one in kept if one] == [["loss", "twice"]] * 3


def test_signals_of_several_inputs_batches_chains_and_instances_come_as_well(
    finished: Finished, device: FakeDevice
) -> None:
    wl.signal(inputs=["loss", "host"], name="sum")(lambda ctx: sum(ctx.inputs.values()))
    wl.signal(subscribe_to="sum", name="chained")(lambda ctx: ctx.subscribed_value + 1000)
    wl.signal(subscribe_to="loss", batched=True, name="batched")(
        lambda ctx: 10 * ctx.subscribed_values
    )
    wl.signal(subscribe_to="each", level="instance", name="numbered")(
        lambda ctx: ctx.subscribed_value * ctx.annotation_id
    )
    for step in range(3):
        device.catch_up()
        with wl.guard_training_context:
            loss()(device.tensor([1.0 + step, 2.0]), batch_ids=["a", "b"])
            wl.save_signals({"host": [10.0 * step, 1.0]}, ["a", "b"])
            each = device.tensor([1.0, 2.0, 3.0])
            instance_loss("each")(each, batch_ids=["a", "b"], batch_idx=[0, 0, 1])
    assert device.waits == []
    run = finished()
    assert history(run, "sum", "unnamed", "a") == ([0, 1, 2], [1.0, 12.0, 23.0])
    assert history(run, "chained", "unnamed", "a")[1] == [1001.0, 1012.0, 1023.0]
    assert history(run, "batched", "unnamed", "a")[1] == [10.0, 20.0, 30.0]
    assert history(run, "numbered", "unnamed", "a", 2) == ([0, 1, 2], [4.0, 4.0, 4.0])


def test_a_strict_signal_ends_the_training_a_step_later_and_nothing_is_lost(
    finished: Finished, device: FakeDevice
) -> None:
    @wl.signal(subscribe_to="loss", strict=True)
    def fails(ctx: wl.SignalContext) -> float:
        raise ValueError("boom")

    with wl.guard_training_context:
        loss()(device.tensor([1.0]), batch_ids=["a"])
    with pytest.raises(ValueError, match="boom"), wl.guard_training_context:
        wl.save_signals({"other": [2.0]}, ["a"])
    run = finished()
    assert history(run, "loss", "unnamed", "a") == ([0], [1.0])
    assert history(run, "other", "unnamed", "a") == ([1], [2.0])
    assert [(one["step"], one["failed"]) for one in events(run, "step_failed")] == [(0, True)]


def test_a_signal_that_reads_values_waits_for_them(finished: Finished, device: FakeDevice) -> None:
    found: list[Any] = []

    @wl.signal(subscribe_to="host")
    def reads(ctx: wl.SignalContext) -> None:
        found.append(ctx.dataframe.get_value(ctx.origin, ctx.sample_id, "loss"))

    for step in range(2):
        with wl.guard_training_context:
            loss()(device.tensor([1.0 + step]), batch_ids=["a"])
            wl.save_signals({"host": [0.0]}, ["a"])
    finished()
    assert found == [1.0, 2.0]


def test_what_was_given_may_be_changed_while_it_is_on_its_way(
    finished: Finished, device: FakeDevice
) -> None:
    here, there = torch.zeros(2), device.tensor([1.0, 1.0])
    picture = np.ones((2, 3, 3), np.uint8)
    with wl.guard_training_context:
        wl.save_signals({"there": there, "here": here}, ["a", "b"], preds=picture)
        here += 5
        there += 5
        picture[:] = 9
    run = finished()
    row = sample(run, "a")
    assert (row["there"], row["here"]) == (1.0, 0.0)
    assert run.arrays("unnamed", "a")["prediction"].load().max() == 1


def test_arrays_come_as_they_would_from_the_host(finished: Finished, device: FakeDevice) -> None:
    masks = [[torch.ones(2, 2)], [torch.zeros(2, 2), torch.eye(2)]]
    with wl.guard_training_context:
        wl.save_signals(
            {"x": [0.0, 0.0]},
            ["a", "b"],
            preds=[device.tensor(torch.full((2, 2), 3)), device.tensor(torch.full((2, 3), 4))],
            preds_raw=device.tensor(torch.ones(2, 5, dtype=torch.bfloat16)),
            targets=[[device.tensor(one) for one in of_sample] for of_sample in masks],
        )
    assert device.waits == []
    run = finished()
    found = run.arrays("unnamed", "b")
    assert found["prediction"].load().tolist() == [[4, 4, 4], [4, 4, 4]]
    assert found["prediction_raw"].dtype == np.float32
    assert run.instance_arrays("unnamed", "b")[2]["target"].load().tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.tensor(1.0), "a single number"),
        (torch.ones(3), "expected 2 values"),
        (torch.ones(2, dtype=torch.complex64), "expected numbers"),
    ],
)
def test_what_does_not_fit_is_refused_where_it_is_given(
    finished: Finished, device: FakeDevice, values: torch.Tensor, message: str
) -> None:
    with pytest.raises(wl.SignalShapeError, match=message):
        wl.save_signals({"x": device.tensor(values)}, ["a", "b"])
    with pytest.raises(wl.SignalShapeError):
        wl.save_signals({"x": [1.0, 2.0]}, ["a", "b"], preds=device.tensor(torch.ones(3, 2)))
    assert device.waits == []
    assert events(finished(), "values") == []


def test_a_discarded_sample_is_masked_without_waiting(
    finished: Finished, device: FakeDevice
) -> None:
    wl.discard_samples(["b"], origin="unnamed")
    rows = device.tensor([1.0, 2.0]).requires_grad_()
    with wl.guard_training_context:
        loss()(rows * 3, batch_ids=["a", "b"]).sum().backward()
    assert device.waits == []
    assert rows.grad.host.tolist() == [3.0, 0.0]
    assert sample(finished(), "b")["loss"] == 6.0


def test_a_device_without_events_is_waited_for_at_once(finished: Finished) -> None:
    with fake_device() as device, pytest.MonkeyPatch.context() as patch:
        patch.delattr(torch.meta, "Event")
        with wl.guard_training_context:
            loss()(device.tensor([1.0]), batch_ids=["a"])
        assert device.waits == ["copy to the host"]
    assert sample(finished(), "a")["loss"] == 1.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_not_waited_for(finished: Finished) -> None:
    values = torch.ones(3, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(3):
            train_step(lambda one: one.to("cuda", non_blocking=True), step)
            with wl.guard_training_context:
                loss()(values * step, batch_ids=IDS)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert history(finished(), "loss", "unnamed", "a")[1] == [0.0, 1.0, 2.0]


def test_values_on_the_host_are_safe_when_the_guard_is_left(finished: Finished) -> None:
    train_step(lambda one: one, 0)
    session()._commit.flush()
    with wl.open_run(finished.path) as run:
        assert [frame.step for frame in frames(run) if frame.phase == "train"] == [0]
