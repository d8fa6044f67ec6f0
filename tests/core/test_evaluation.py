"""Evaluation on demand: what is run, what is recorded, and that the training does not notice."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import wl_core as wl
from tests.core.frames import until
from tests.core.watched_runs import Finished, Masks, PerInstance, collate_masks, events, recorded
from wl_core import evaluation
from wl_core.curve import Evaluation
from wl_core.errors import RefusedError, UsageError
from wl_core.evaluation import EvaluationBatches
from wl_core.session import session
from wl_core.watch import known


@pytest.fixture(autouse=True)
def _nothing_of_other_tests() -> Iterator[None]:
    """Criterions live on in cycles until they are collected, and eval functions for ever."""
    known._known.clear()
    evaluation._registered.clear()
    yield
    evaluation._registered.clear()


class Noisy(Dataset[Any]):
    """``(x [3], y)``: noise around the sample's parity, drawn anew each time by all generators."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        noise = torch.rand(3) + random.random() + np.random.rand()
        return noise.float() + index % 2, index % 2


class Trainer:
    """A small training with all that an evaluation could disturb: noise, dropout, BatchNorm."""

    def __init__(self, workers: int = 0, criterions: tuple[str, ...] = ("train", "test")) -> None:
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        options: dict[str, Any] = {"flag": "data", "batch_size": 4, "num_workers": workers}
        self.train = wl.watch_or_edit(
            Noisy(12), loader_name="train", shuffle=True, is_training=True, **options
        )
        self.test = wl.watch_or_edit(Noisy(10), loader_name="test", **options)
        self.batches: Iterator[Any] = iter(self.train)
        self.model = wl.watch_or_edit(
            nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)),
            flag="model",
        )
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.losses = {
            name: wl.watch_or_edit(
                nn.CrossEntropyLoss(reduction="none"), flag="loss", name=name, per_sample=True
            )
            for name in criterions
        }

    def step(self) -> None:
        with wl.guard_training_context:
            x, ids, y = next(self.train)
            loss = self.losses["train"](self.model(x), y, batch_ids=ids).mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def state(self) -> list[Any]:
        """All that a training is made of, as bytes."""
        tensors = [one.detach().numpy().tobytes() for one in self.model.state_dict().values()]
        drawn = [random.random(), np.random.rand(), torch.rand(2).tolist()]
        return [*tensors, *drawn]


def means_of_the_last(run: wl.Run) -> dict[str, float]:
    return dict(run.evaluations()[-1].means)


def ask(finished: Finished, origin: str = "test", tag: str = "") -> int:
    """As another process asks."""
    return finished.live().append("evaluation_requested", origin=origin, tag=tag, who="a test")


# -- the training does not notice ------------------------------------------------------------------


def trained(path: Path, look: Callable[[Trainer], object], workers: int) -> list[Any]:
    for _ in recorded(path):
        trainer = Trainer(workers)
        for number in range(6):
            if number == 3:
                look(trainer)
            trainer.step()
        state = trainer.state()
    return state


@pytest.mark.parametrize("workers", [0, 1])
def test_a_training_is_the_same_bit_for_bit_with_an_evaluation_in_its_middle(
    tmp_path: Path, workers: int
) -> None:
    def careless(loader: EvaluationBatches) -> None:
        for x, _, _ in loader:
            trainer_model[0].train()
            trainer_model[0](x + torch.rand(3))
            torch.set_grad_enabled(True)
            random.random()
            np.random.rand()

    trainer_model: list[nn.Module] = []

    def look(trainer: Trainer) -> None:
        wl.evaluate("test")
        wl.evaluate("train")
        trainer_model[:] = [trainer.model]
        wl.eval_fn(careless)
        wl.evaluate("test")

    undisturbed = trained(tmp_path / "one", lambda _: None, workers)
    assert trained(tmp_path / "other", look, workers) == undisturbed


def test_modes_gradients_and_batches_are_as_before(finished: Finished) -> None:
    trainer = Trainer()
    trainer.step()
    trainer.model[1].eval()  # as one who freezes the statistics does
    x, ids, _ = next(trainer.train)  # for the guard that comes next

    def look(loader: EvaluationBatches) -> None:
        for _ in loader:
            assert not torch.is_grad_enabled()
            assert not any(one.training for one in trainer.model.modules())

    wl.eval_fn(look)
    wl.evaluate("train")
    assert [one.training for one in trainer.model] == [True, False, True, True]
    assert torch.is_grad_enabled()
    assert trainer.train.batch_ids == ids.tolist()
    with wl.guard_training_context:
        wl.save_signals({"x": x.mean(1)})
    run = finished()
    assert [one["ids"] for one in events(run, "exposed")][1:] == [ids.tolist()]


def test_a_criterion_that_counts_and_a_metric_that_remembers_are_as_before(
    finished: Finished,
) -> None:
    class Counting(nn.Module):
        calls: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
            self.calls += 1
            return outputs.mean(1) + targets

    class Right:
        """As a metric of torchmetrics is used."""

        def __init__(self) -> None:
            self.reset()

        def reset(self) -> None:
            self.seen: list[float] = []

        def update(self, outputs: Tensor, targets: Tensor) -> None:
            self.seen += (outputs.argmax(1) == targets).float().tolist()

        def compute(self) -> float:
            return sum(self.seen) / len(self.seen)

        def __call__(self, outputs: Tensor, targets: Tensor) -> float:
            self.update(outputs, targets)
            return float((outputs.argmax(1) == targets).float().mean())

    trainer = Trainer(criterions=("train",))
    counting = wl.watch_or_edit(Counting(), flag="metric", name="counting", per_sample=True)
    right = wl.watch_or_edit(Right(), flag="metric", name="right")
    with wl.guard_testing_context, torch.no_grad():
        x, _, y = next(trainer.test)
        counting(trainer.model(x), y)
        right(trainer.model(x), y)
    means = wl.evaluate("test")
    assert counting.calls == 1
    assert len(right.seen) == 4
    assert set(means) == {"counting", "right", "right/batch"}
    assert means["right"] == pytest.approx(means["right/batch"])  # weighed by 4, 4 and 2 samples


# -- what is run -----------------------------------------------------------------------------------


def test_the_default_is_what_the_script_measures_on_such_data(finished: Finished) -> None:
    trainer = Trainer(criterions=("train", "test", "other"))
    trainer.step()
    with wl.guard_testing_context, torch.no_grad():
        x, ids, y = next(trainer.test)
        trainer.losses["test"](trainer.model(x), y, batch_ids=ids)
    assert set(wl.evaluate("test")) == {"test"}
    assert set(wl.evaluate("train")) == {"train"}


def test_criterions_that_were_not_used_yet_are_those_of_new_data(finished: Finished) -> None:
    trainer = Trainer()
    trainer.step()
    assert set(wl.evaluate("test")) == {"test"}
    assert set(wl.evaluate("test")) == {"test"}  # and its own use settles nothing


def test_means_are_over_all_samples_as_numpy_has_them(finished: Finished) -> None:
    wl.watch_or_edit(Noisy(10), flag="data", loader_name="test", batch_size=4)
    seen: list[float] = []
    of_batches = wl.watch_or_edit(Tensor.mean, flag="metric", name="of_batches")

    @wl.eval_fn
    def evaluate(loader: EvaluationBatches) -> None:
        assert (len(loader), loader.origin, loader.batch_size) == (3, "test", 4)
        for x, ids, y in loader:
            seen.extend(x.mean(1).tolist())
            of_batches(ids.float())  # 1.5, 5.5, 8.5 of 4, 4 and 2 samples
            hole = torch.where(y == 1, math.nan, 1.0)
            wl.save_signals({"mean": x.mean(1), "hole": hole})

    means = wl.evaluate("test")
    assert means["mean"] == pytest.approx(np.mean(seen))
    assert means["of_batches"] == 4.5
    assert math.isnan(means["hole"])
    run = finished()
    [done] = run.evaluations()
    assert (done.step, done.origin, done.samples, done.cancelled, done.error) == (
        0, "test", 10, False, "",
    )  # fmt: skip
    assert done.means["mean"] == means["mean"]
    assert run.curves()["evaluation/test/mean"].mean.tolist() == [means["mean"]]


def test_each_batch_is_a_frame_of_a_testing_guard_at_this_step(finished: Finished) -> None:
    trainer = Trainer()
    trainer.step()
    trainer.step()
    wl.evaluate("test")
    run = finished()
    values = [one for one in events(run, "values") if one["signal"] == "test"]
    assert [len(one["ids"]) for one in values] == [4, 4, 2]
    assert {(one["phase"], one["step"], one["failed"]) for one in values} == {("test", 2, False)}
    assert run.status().step == 2


def test_samples_with_a_tag_are_evaluated_alone(finished: Finished) -> None:
    trainer = Trainer()
    trainer.step()
    wl.tag_samples([1, 3, 5], "hard", origin="test")
    wl.tag_samples([3], "hard", mode="remove", origin="test")
    wl.tag_samples([2], "hard", origin="train")
    wl.evaluate("test", tag="hard")
    run = finished()
    values = [one for one in events(run, "values") if one["signal"] == "test"]
    assert [one["ids"] for one in values] == [[1, 5]]
    assert next(iter(run.curves())) == "evaluation/test[hard]/test"


def test_instances_and_batches_of_a_loader_of_ones_own(finished: Finished) -> None:
    data = DataLoader(Masks((2, 0, 1)), batch_size=2, collate_fn=collate_masks)
    wl.watch_or_edit(data, flag="data", loader_name="masks")
    wl.watch_or_edit(nn.Conv2d(1, 1, 1), flag="model")
    dice = wl.watch_or_edit(PerInstance(), flag="metric", name="dice", per_instance=True)
    means = wl.evaluate("masks")
    run = finished()
    assert [run.view("instances").annotation_ids("masks", f"m{n}") for n in (0, 2)] == [[1, 2], [1]]
    assert set(means) == {"dice"}
    del dice


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (lambda: wl.evaluate("tset"), r"no loader is watched as 'tset'.*'test'"),
        (lambda: wl.evaluate("test"), "expected one watched model"),
        (lambda: wl.evaluate("test", tag="hard"), "no sample of 'test' has the tag 'hard'"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(
    finished: Finished, script: Callable[[], object], said: str
) -> None:
    wl.watch_or_edit(Noisy(10), flag="data", loader_name="test")
    with pytest.raises(RefusedError, match=said):
        script()


def test_without_a_criterion_for_the_data_an_eval_fn_is_asked_for(finished: Finished) -> None:
    trainer = Trainer(criterions=("train",))
    trainer.step()
    with pytest.raises(RefusedError, match=r"@wl\.eval_fn"):
        wl.evaluate("test")


def test_it_is_refused_within_guards_and_within_itself(finished: Finished) -> None:
    wl.watch_or_edit(Noisy(10), flag="data", loader_name="test")
    with wl.guard_training_context, pytest.raises(UsageError, match="outside of guards"):
        wl.evaluate("test")
    with wl.guard_testing_context, pytest.raises(UsageError, match="outside of guards"):
        wl.run_pending_evaluation()
    wl.eval_fn(lambda loader: wl.evaluate("test"))
    with pytest.raises(UsageError, match="within it"):
        wl.evaluate("test")

    @wl.eval_fn
    def train(loader: EvaluationBatches) -> None:
        with wl.guard_training_context:
            pass

    with pytest.raises(UsageError, match="no step of the training"):
        wl.evaluate("test")
    assert finished().status().step == 1


# -- asked for by somebody else --------------------------------------------------------------------


def test_what_somebody_asks_for_is_run_before_the_next_step(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = Trainer()
    trainer.step()
    with wl.guard_training_context:
        position = ask(finished)
        with wl.guard_training_context:
            pass
        assert not events(finished.live(), "evaluation_started")
    with wl.guard_testing_context:
        pass
    trainer.step()
    run = finished()
    [started], [done] = events(run, "evaluation_started"), events(run, "evaluation_finished")
    assert (started["samples"], started["step"], started["request"]) == (10, 2, position)
    assert (done["samples"], done["request"]) == (10, position)
    assert [one["refused"] for one in events(run, "obeyed")] == [""]
    assert "evaluated test at step 2: 10 samples" in capsys.readouterr().err


def test_a_loop_may_ask_itself_whether_somebody_asked(finished: Finished) -> None:
    trainer = Trainer()
    trainer.step()
    assert wl.run_pending_evaluation() is False
    ask(finished)
    assert wl.run_pending_evaluation() is True
    assert wl.run_pending_evaluation() is False
    ask(finished)
    wl.keep_serving(timeout=0.01)
    assert len(finished().evaluations()) == 2


def test_what_cannot_be_done_is_refused_at_once(finished: Finished) -> None:
    trainer = Trainer()
    ask(finished, "tset")
    trainer.step()
    run = finished()
    [said] = [one["refused"] for one in events(run, "obeyed")]
    assert "'tset'" in said
    assert run.evaluations() == []


def test_an_evaluation_that_fails_is_told_once_and_training_goes_on(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = Trainer()

    @wl.eval_fn
    def evaluate(loader: EvaluationBatches) -> None:
        for _ in loader:
            wl.save_signals({"x": [1.0] * 4})
            raise ValueError("no such weights")

    ask(finished)
    trainer.step()
    trainer.step()
    assert all(one.training for one in trainer.model.modules())
    with pytest.raises(ValueError, match="no such weights"):
        wl.evaluate("test")
    run = finished()
    assert run.status().step == 2
    failed, again = run.evaluations()
    assert failed.error.startswith("Traceback")
    assert failed.error.strip().endswith("ValueError: no such weights")
    assert (failed.means, again.error) == ({"x": 1.0}, again.error)
    told = capsys.readouterr().err
    assert told.count("the evaluation of test failed") == 1


def test_one_that_is_given_up_keeps_what_it_has(finished: Finished) -> None:
    trainer = Trainer()
    other = finished.live()

    @wl.eval_fn
    def evaluate(loader: EvaluationBatches) -> None:
        try:
            for number, _ in enumerate(loader):
                wl.save_signals({"number": [float(number)] * 4})
                if number == 1:
                    other.append("evaluation_cancel_requested", who="a test")
                    until(lambda: session().obey() or session().evaluations.given_up)
        except Exception:  # noqa: BLE001  # even such a script is ended
            raise AssertionError from None
        raise AssertionError("it went on")

    waits = [ask(finished), ask(finished)]
    trainer.step()
    finished.live().append("evaluation_cancel_requested", who="a test")
    trainer.step()
    run = finished()
    assert run.evaluations() == [
        Evaluation(0, "test", "", 0, {}, True, ""),
        Evaluation(0, "test", "", 8, {"number": 0.5}, True, ""),
    ]
    assert [one["request"] for one in events(run, "evaluation_finished")] == waits[::-1]
    assert [bool(one["refused"]) for one in events(run, "obeyed")] == [False, False, False, True]
    assert run.status().step == 2
    assert not any(one["failed"] for one in events(run, "values"))


def test_stopping_gives_up_the_evaluation(finished: Finished) -> None:
    trainer = Trainer()
    trainer.step()
    wl.eval_fn(lambda loader: [wl.stop() for _ in loader])
    ask(finished)
    with pytest.raises(SystemExit):
        trainer.step()
    run = finished()
    assert [(one.samples, one.cancelled) for one in run.evaluations()] == [(4, True)]
    assert run.status().detail == "stopped on request (by script)"


def test_how_far_it_is_is_seen_from_outside(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_TELL_SECONDS", 0.0)
    trainer = Trainer()
    trainer.step()
    seen: list[tuple[str, str]] = []

    @wl.eval_fn
    def evaluate(loader: EvaluationBatches) -> None:
        for _ in loader:
            status = finished.live().status()
            seen.append((status.state, status.detail))

    wl.tag_samples(range(10), "all", origin="test")
    wl.evaluate("test", tag="all")
    assert seen == [("evaluating", f"test (all): {done} of 10 samples") for done in (0, 4, 8)]
    assert finished.live().status().state == "training"


def test_what_was_recorded_before_is_no_part_of_it(finished: Finished) -> None:
    trainer = Trainer()
    trainer.step()
    wl.save_signals({"before": [1.0]}, [1], origin="test")
    assert set(wl.evaluate("test")) == {"test"}
    assert session().listeners == []
