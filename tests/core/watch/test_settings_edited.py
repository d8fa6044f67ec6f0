"""Settings while a training runs: edits by others, by the file and by the script itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

import wl_core as wl
from tests.core.watched_runs import Finished, Pairs, events
from wl_core.errors import RefusedError, SettingRefusedWarning
from wl_core.session import session


def step() -> None:
    with wl.guard_training_context:
        pass


def sgd(*rates: float, **settings: Any) -> Any:
    """Watched as ``optimizer``, with one parameter group for each rate."""
    groups = [{"params": [nn.Parameter(torch.ones(1))], "lr": rate} for rate in rates]
    return wl.watch_or_edit(torch.optim.SGD(groups, **settings), flag="optimizer")


def rates(optimizer: Any) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def asked(run: wl.Run, **values: Any) -> str:
    """What the training answers to an edit by another process: empty where it obeyed."""
    named = {name.replace("__", "."): value for name, value in values.items()}
    position = run.append("hyperparameters", values=named, who="a test")
    step()
    session().flush()
    answers = [e for e in events(run, "obeyed") if e["request"] == position]
    assert len(answers) == 1
    return str(answers[0]["refused"])


# --- by another process ---------------------------------------------------------------------------


def test_an_edit_by_another_process_is_obeyed_at_the_next_guard(finished: Finished) -> None:
    hp = wl.watch_or_edit({"a": {"b": 1}, "name": "x"}, flag="hp")
    assert asked(finished.live(), a__b=2, name="y") == ""
    assert hp == {"a": {"b": 2}, "name": "y"}
    run = finished()
    assert run.hyperparameters() == {"a.b": 2, "name": "y"}
    assert [event["who"] for event in events(run, "hyperparameters")] == ["script", "a test"]


def test_of_an_edit_that_does_not_fit_nothing_is_obeyed(finished: Finished) -> None:
    hp = wl.watch_or_edit({"lr": 0.001, "on": True}, flag="hp")
    other = finished.live()
    assert asked(other, on=False, lr="fast") == "lr is a number (0.001), got the text 'fast'"
    assert asked(other, on=False, rate=1) == "there is no hyperparameter 'rate'."
    assert asked(other, on=False, l=1) == "there is no hyperparameter 'l'. Did you mean 'lr'?"
    assert hp == {"lr": 0.001, "on": True}
    assert finished().hyperparameters() == {"lr": 0.001, "on": True}


def test_an_edit_that_is_no_mapping_does_no_harm(finished: Finished) -> None:
    hp = wl.watch_or_edit({"a": {"b": 1}}, flag="hp")
    other = finished.live()
    other.append("hyperparameters", values=[1], who="a test")
    other.append("hyperparameters", values={"a": {"b": 2}}, who="a test")
    step()
    assert hp == {"a": {"b": 2}}
    assert finished().hyperparameters() == {"a.b": 2}
    wl.start_run(finished.path)
    assert wl.watch_or_edit({"a": {"b": 1}}, flag="hp") == {"a": {"b": 2}}


def test_lists_stay_lists(finished: Finished) -> None:
    hp = wl.watch_or_edit({"betas": [0.9, 0.99]}, flag="hp")
    assert asked(finished.live(), betas=[0.8, 0.9]) == ""
    assert hp["betas"] == [0.8, 0.9]


# --- the optimizer --------------------------------------------------------------------------------


def test_the_optimizer_follows_and_its_curve_tells(finished: Finished) -> None:
    optimizer = sgd(0.1, weight_decay=0, nesterov=False)
    step()
    other = finished.live()
    assert asked(other, optimizer__lr=0.01, optimizer__weight_decay=0.5) == ""
    assert rates(optimizer) == [0.01]
    assert optimizer.param_groups[0]["weight_decay"] == 0.5
    assert "got the text" in asked(other, optimizer__lr="fast")
    assert asked(other, optimizer__lr=-1.0) == "optimizer.lr must not be negative, got -1.0"
    assert "finite" in asked(other, optimizer__lr=float("inf"))
    assert "true or false" in asked(other, optimizer__nesterov=1.0)
    run = finished()
    assert run.curves()["optimizer/lr"].mean.tolist() == [0.1, 0.01]
    assert run.hyperparameters()["optimizer.lr"] == 0.01


def test_all_groups_are_set_or_one_of_them(finished: Finished) -> None:
    optimizer = sgd(0.1, 0.2)
    other = finished.live()
    assert asked(other, **{"optimizer.1.lr": 0.3}) == ""
    assert rates(optimizer) == [0.1, 0.3]
    assert asked(other, optimizer__lr=0.4) == ""
    assert rates(optimizer) == [0.4, 0.4]
    found = finished().hyperparameters()
    assert [found[f"optimizer{group}.lr"] for group in ("", ".0", ".1")] == [0.4, 0.4, 0.4]


def test_a_name_without_dots_is_that_of_the_only_optimizer(finished: Finished) -> None:
    hp = wl.watch_or_edit({"lr": 0.5}, flag="hp")
    optimizer = sgd(0.1)
    assert rates(optimizer) == [0.1]  # watching sets nothing
    other = finished.live()
    assert asked(other, lr=0.2) == ""
    assert (hp["lr"], rates(optimizer)) == (0.2, [0.2])
    assert asked(other, optimizer__lr=0.3) == ""
    assert (hp["lr"], rates(optimizer)) == (0.3, [0.3])
    wl.watch_or_edit(torch.optim.SGD([nn.Parameter(torch.ones(1))]), flag="optimizer", name="two")
    assert asked(other, lr=0.4) == ""
    assert rates(optimizer) == [0.3]
    found = finished().hyperparameters()
    assert (found["lr"], found["optimizer.lr"], found["two.lr"]) == (0.4, 0.3, 0.001)


def test_what_the_mapping_holds_is_not_recorded_twice(finished: Finished) -> None:
    hp = wl.watch_or_edit({"optimizer": {"lr": 0.5}}, flag="hp")
    optimizer = sgd(0.1)
    assert asked(finished.live(), optimizer__lr=0.2) == ""
    assert (hp["optimizer"]["lr"], rates(optimizer)) == (0.2, [0.2])
    told = [event["values"] for event in events(finished(), "hyperparameters")]
    assert sum("optimizer.lr" in values for values in told) == 2


def test_what_a_schedule_does_is_seen(finished: Finished) -> None:
    optimizer = sgd(0.1)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    with wl.guard_training_context:
        optimizer.step()
        schedule.step()
    assert session().settings.values()["optimizer.lr"] == 0.05
    assert finished.live().hyperparameters()["optimizer.lr"] == 0.05
    assert asked(finished.live(), optimizer__lr=1.0) == ""
    with wl.guard_training_context:
        schedule.step()
    assert rates(optimizer) == [0.5]


def test_a_rate_that_is_a_tensor_stays_one(finished: Finished) -> None:
    rate = torch.tensor(0.1)
    optimizer = torch.optim.Adam([nn.Parameter(torch.ones(1))], lr=rate)
    wl.watch_or_edit(optimizer, flag="optimizer")
    assert asked(finished.live(), optimizer__lr=0.25) == ""
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.25


# --- loaders --------------------------------------------------------------------------------------


def batches(loader: Any) -> list[int]:
    return [len(ids) for _, ids, _ in loader]


def test_the_batch_size_of_a_loader_follows_at_its_next_epoch(finished: Finished) -> None:
    hp = wl.watch_or_edit({"batch_size": 2}, flag="hp")
    data, options = Pairs(6), {"flag": "data", "batch_size": hp["batch_size"]}
    first = wl.watch_or_edit(data, loader_name="first", is_training=True, **options)
    second = wl.watch_or_edit(data, loader_name="second", is_training=True, **options)
    test = wl.watch_or_edit(data, loader_name="test", **options)
    epoch = iter(first)
    sizes = [len(next(epoch)[1])]
    assert asked(finished.live(), batch_size=3) == ""
    sizes += [len(ids) for _, ids, _ in epoch]
    assert sizes == [2, 2, 2]
    assert (batches(first), batches(second), batches(test)) == ([3, 3], [3, 3], [2, 2, 2])
    assert asked(finished.live(), test__batch_size=6) == ""
    assert (batches(test), hp["batch_size"]) == ([6], 3)
    found = finished().hyperparameters()
    assert [found[f"{name}.batch_size"] for name in ("first", "second", "test")] == [3, 3, 6]


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_size_that_is_none_is_refused_and_nothing_is_set(
    finished: Finished, size: int
) -> None:
    hp = wl.watch_or_edit({"batch_size": 2, "lr": 0.1}, flag="hp")
    loader = wl.watch_or_edit(Pairs(), flag="data", batch_size=2, is_training=True)
    assert "at least 1" in asked(finished.live(), lr=0.2, batch_size=size)
    assert hp == {"batch_size": 2, "lr": 0.1}
    assert loader.batch_size == 2


def test_a_loader_whose_sampler_makes_the_batches_has_no_batch_size(finished: Finished) -> None:
    sampler = BatchSampler(SequentialSampler(range(6)), 2, drop_last=False)
    loader = DataLoader(Pairs(), batch_sampler=sampler)
    wl.watch_or_edit(loader, flag="data", is_training=True)
    assert "no hyperparameter" in asked(finished.live(), data__batch_size=3)


# --- the pace -------------------------------------------------------------------------------------


def test_a_run_that_is_not_to_train_begins_paused(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    hp = wl.watch_or_edit({"is_training": False}, flag="hp")
    session().flush()
    assert events(finished.live(), "paused") == []
    wl.start_training(timeout=0.01)
    step()
    assert hp["is_training"] is True
    run = finished()
    assert len(events(run, "paused")) == 1
    assert run.hyperparameters() == {"is_training": True}
    assert "paused at step 0" in capsys.readouterr().err


def test_is_training_pauses_and_resumes_and_says_what_is_so(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hp = wl.watch_or_edit({"is_training": True}, flag="hp")
    other, seen = finished.live(), []

    def look_and_resume(seconds: float) -> None:
        seen.append(hp["is_training"])
        if len(seen) == 1:
            other.append("hyperparameters", values={"is_training": True}, who="a test")

    monkeypatch.setattr("wl_core.pace.time.sleep", look_and_resume)
    other.append("pause_requested", who="a test")
    step()
    assert False in seen
    seen.clear()
    hp["is_training"] = False
    step()
    assert seen[0] is False
    assert hp["is_training"] is True
    assert len(events(finished(), "paused")) == 2


# --- the script itself ----------------------------------------------------------------------------


def test_what_the_script_assigns_is_followed(finished: Finished) -> None:
    hp = wl.watch_or_edit({"lr": 0.5, "optimizer": {"weight_decay": 0.0}}, flag="hp")
    optimizer = sgd(0.1)
    hp["lr"] = 0.2
    hp["optimizer"]["weight_decay"] = 0.25
    assert rates(optimizer) == [0.2]
    assert optimizer.param_groups[0]["weight_decay"] == 0.25
    told = events(finished(), "hyperparameters")
    assert told[-2]["values"] == {"lr": 0.2, "optimizer.lr": 0.2}
    assert told[-1]["values"] == {"optimizer.weight_decay": 0.25}


def test_noting_the_rate_that_is_sets_no_other_group(finished: Finished) -> None:
    hp = wl.watch_or_edit({"lr": 0.5}, flag="hp")
    optimizer = sgd(0.1, 0.2)
    hp["lr"] = optimizer.param_groups[0]["lr"]
    assert rates(optimizer) == [0.1, 0.2]


def test_a_script_may_assign_anything_but_the_optimizer_does_not(finished: Finished) -> None:
    hp = wl.watch_or_edit({"lr": 0.5}, flag="hp")
    optimizer = sgd(0.1)
    with pytest.warns(SettingRefusedWarning, match="does not follow lr: .* got the text 'cosine'"):
        hp["lr"] = "cosine"
    assert (hp["lr"], rates(optimizer)) == ("cosine", [0.1])
    assert finished().hyperparameters()["lr"] == "cosine"


def test_setting_by_the_function_is_checked(finished: Finished) -> None:
    hp = wl.watch_or_edit({"a": {"b": 1}}, flag="hp")
    optimizer = sgd(0.1)
    wl.set_hyperparameters({"a": {"b": 2}, "optimizer.lr": 1}, why="to see")
    with pytest.raises(RefusedError, match="whole number"):
        wl.set_hyperparameters({"optimizer.lr": 0.5, "a.b": "x"})
    with pytest.raises(RefusedError, match=r"Did you mean 'a\.b'"):
        wl.set_hyperparameters({"a.c": 1})
    assert (hp["a.b"], rates(optimizer)) == (2, [1.0])
    last = events(finished(), "hyperparameters")[-1]
    assert last["values"] == {"a.b": 2, "optimizer.lr": 1.0}
    assert (last["who"], last["why"]) == ("script", "to see")


def test_nothing_is_looked_at_where_there_is_nothing_to_look_at(finished: Finished) -> None:
    wl.watch_or_edit({"lr": 0.5}, flag="hp")
    sgd(0.1)
    assert session().at_obey == []


# --- the file -------------------------------------------------------------------------------------


class Edited:
    """A file of hyperparameters whose every edit has a time of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._times = 0

    def write(self, text: str) -> None:
        self._times += 1
        self.path.write_text(text)
        os.utime(self.path, ns=(self._times, self._times))


@pytest.fixture
def file(tmp_path: Path) -> Edited:
    edited = Edited(tmp_path / "hp.yaml")
    edited.write("lr: 0.1\nn: 1\nmodel: {depth: 3}\n")
    return edited


def test_an_edit_of_the_file_is_obeyed_as_one_event(finished: Finished, file: Edited) -> None:
    hp = wl.watch_or_edit(file.path, flag="hp", defaults={"late": 1}, poll_interval=0)
    optimizer = sgd(0.5)
    finished.live()
    step()
    file.write("model:\n  depth: 4\nlr: 1e-2\n")
    step()
    assert hp == {"lr": 0.01, "n": 1, "model": {"depth": 4}, "late": 1}
    assert rates(optimizer) == [0.01]
    [told] = events(finished(), "hyperparameters")[2:]
    assert told["values"] == {"lr": 0.01, "model.depth": 4, "optimizer.lr": 0.01}
    assert told["who"] == "file"


def test_an_edit_of_the_file_keeps_what_others_have_set(finished: Finished, file: Edited) -> None:
    hp = wl.watch_or_edit(file.path, flag="hp", poll_interval=0)
    hp["n"] = 7
    file.write("lr: 0.2\nn: 1\nmodel: {depth: 3}\n")
    step()
    assert (hp["lr"], hp["n"]) == (0.2, 7)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("lr: [1\n", "cannot be read as YAML"),
        ("", "must hold a mapping"),
        ("lr: fast\nn: 2\n", "got the text 'fast'"),
        ("lr: 0.2\nnn: 2\n", "Did you mean 'n'"),
        ("lr: 0.1\nn: {m: 1}\n", "no hyperparameter 'n.m'"),
    ],
)
def test_an_edit_that_cannot_be_obeyed_is_warned_of_once(
    finished: Finished, file: Edited, text: str, problem: str
) -> None:
    hp = wl.watch_or_edit(file.path, flag="hp", poll_interval=0)
    file.write(text)
    with pytest.warns(SettingRefusedWarning, match=problem):
        step()
    step()  # a second warning would fail
    assert hp == {"lr": 0.1, "n": 1, "model": {"depth": 3}}
    file.write("lr: 0.3\nn: 2\n")
    step()
    assert (hp["lr"], hp["n"]) == (0.3, 2)


def test_a_file_that_is_gone_leaves_all_as_it_was(finished: Finished, file: Edited) -> None:
    hp = wl.watch_or_edit(file.path, flag="hp", poll_interval=0)
    file.path.unlink()
    step()
    file.write("lr: 0.4\n")
    step()
    assert (hp["lr"], hp["n"]) == (0.4, 1)


@pytest.mark.parametrize("interval", [None, 3600])
def test_the_file_is_looked_at_as_often_as_was_asked(
    finished: Finished, file: Edited, interval: float | None
) -> None:
    hp = wl.watch_or_edit(str(file.path), flag="hp", poll_interval=interval)
    file.write("lr: 0.2\n")
    step()
    assert hp["lr"] == 0.1


def test_an_interval_below_zero_is_refused(finished: Finished, file: Edited) -> None:
    with pytest.raises(wl.WlError, match="poll_interval"):
        wl.watch_or_edit(file.path, flag="hp", poll_interval=-1)
