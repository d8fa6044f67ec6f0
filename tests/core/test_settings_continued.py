"""Settings of a run that is continued: edits hold until the script says something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import wl_core as wl
from tests.core.watched_runs import Finished, Pairs, events
from wl_core.errors import SettingRefusedWarning
from wl_core.session import session


def step() -> None:
    with wl.guard_training_context:
        pass


def sgd(*rates: float) -> Any:
    groups = [{"params": [nn.Parameter(torch.ones(1))], "lr": rate} for rate in rates]
    return wl.watch_or_edit(torch.optim.SGD(groups), flag="optimizer")


def rate(optimizer: Any) -> float:
    return float(optimizer.param_groups[0]["lr"])


def ask(finished: Finished, **values: Any) -> None:
    named = {name.replace("__", "."): value for name, value in values.items()}
    finished.live().append("hyperparameters", values=named, who="a test")


def asked(finished: Finished, **values: Any) -> None:
    """By another process, and a step in which it is obeyed."""
    ask(finished, **values)
    step()


def again(finished: Finished) -> None:
    """The script ends and begins anew on its run."""
    wl.finish()
    wl.start_run(finished.path)


def hyper(**values: Any) -> Any:
    return wl.watch_or_edit(values, flag="hp")


def test_an_edit_holds_while_the_script_says_what_it_said(finished: Finished) -> None:
    hyper(lr=0.1, n=1, betas=[1, 2], model={"depth": 3})
    asked(finished, lr=0.2, model__depth=4)
    for _ in range(2):
        again(finished)
        assert hyper(lr=0.1, n=1, betas=[1, 2], model={"depth": 3}) == {
            "lr": 0.2, "n": 1, "betas": [1, 2], "model": {"depth": 4},
        }  # fmt: skip
    run = finished()
    assert run.hyperparameters() == {"lr": 0.2, "n": 1, "betas": [1, 2], "model.depth": 4}
    assert len(events(run, "hyperparameters")) == 2  # what is as it was is not said again


def test_what_the_script_says_anew_wins(finished: Finished) -> None:
    hyper(lr=0.1, n=1, late=2)
    asked(finished, lr=0.2, n=3)
    again(finished)
    assert hyper(lr=0.5, n=1, new=5) == {"lr": 0.5, "n": 3, "new": 5}
    again(finished)
    assert hyper(lr=0.5, n=1, new=5) == {"lr": 0.5, "n": 3, "new": 5}
    again(finished)
    assert hyper(lr=0.1, n=1, new=5) == {"lr": 0.1, "n": 3, "new": 5}
    assert finished().hyperparameters() == {"lr": 0.1, "n": 3, "late": None, "new": 5}


def test_an_edit_by_the_script_holds_as_well(finished: Finished) -> None:
    hp = hyper(lr=0.1, a={"b": 1})
    hp["lr"] = 0.2
    hp["best"] = 7
    hp["a"]["c"] = {"d": 8}
    again(finished)
    assert hyper(lr=0.1, a={"b": 1}) == {"lr": 0.2, "a": {"b": 1, "c": {"d": 8}}, "best": 7}
    again(finished)
    assert hyper(lr=0.1, a={"b": 1})["best"] == 7


def test_of_several_mappings_each_gets_its_own(finished: Finished) -> None:
    def watch() -> tuple[Any, Any]:
        one = wl.watch_or_edit({"n": 1}, flag="hp")
        return one, wl.watch_or_edit({"n": 2}, flag="hp", name="other")

    _, other = watch()
    asked(finished, n=3, other__n=4)
    other["added"] = 5
    again(finished)
    assert watch() == ({"n": 3}, {"n": 4, "added": 5})


@pytest.mark.parametrize("given", [{}, {"lr": 0.1}, {"optimizer": {"lr": 0.1}}])
def test_an_edit_of_the_optimizer_holds_once_it_is_watched(
    finished: Finished, given: dict[str, Any]
) -> None:
    wl.watch_or_edit(given, flag="hp")
    sgd(0.1, 0.3)
    asked(finished, optimizer__lr=0.2)
    asked(finished, **{"optimizer.1.lr": 0.4})
    for _ in range(2):
        again(finished)
        hp = wl.watch_or_edit(given, flag="hp")
        optimizer = sgd(0.1, 0.3)
        step()
        assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.4]
        assert hp.get("optimizer.lr", hp.get("lr", 0.2)) == 0.2
    again(finished)
    wl.watch_or_edit({}, flag="hp")
    assert rate(sgd(0.9, 0.3)) == 0.9


def test_an_optimizer_that_differs_from_the_mapping_is_left_alone(finished: Finished) -> None:
    for _ in range(2):
        hyper(optimizer={"lr": 0.5})
        assert rate(sgd(0.1)) == 0.1
        step()
        again(finished)


def test_a_batch_size_holds(finished: Finished) -> None:
    def watch(size: int) -> Any:
        return wl.watch_or_edit(Pairs(6), flag="data", batch_size=size, is_training=True)

    watch(2)
    asked(finished, data__batch_size=3)
    again(finished)
    assert [len(ids) for _, ids, _ in watch(2)] == [3, 3]
    again(finished)
    assert [len(ids) for _, ids, _ in watch(6)] == [6]


def test_what_was_refused_is_not_obeyed_later(finished: Finished) -> None:
    sgd(0.1)
    asked(finished, optimizer__lr=0.2)
    asked(finished, optimizer__lr=-1.0)
    again(finished)
    assert rate(sgd(0.1)) == 0.2


def test_what_is_asked_while_nobody_trains_holds_if_it_fits(finished: Finished) -> None:
    hyper(n=1, s="x")
    sgd(0.1)
    wl.finish()
    ask(finished, n=2, optimizer__lr=0.3)
    ask(finished, n="two")
    ask(finished, nothing=1)
    wl.start_run(finished.path)
    assert hyper(n=1, s="x") == {"n": 2, "s": "x"}
    assert rate(sgd(0.1)) == 0.3
    wl.finish()
    ask(finished, optimizer__lr=-1.0)
    wl.start_run(finished.path)
    with pytest.warns(SettingRefusedWarning, match="must not be negative"):
        assert rate(sgd(0.1)) == 0.1
    assert "negative" in events(finished(), "obeyed")[-1]["refused"]


def test_a_pause_by_is_training_has_ended(finished: Finished) -> None:
    hyper(is_training=True)
    ask(finished, is_training=False)
    wl.finish()
    wl.start_run(finished.path)
    assert hyper(is_training=True) == {"is_training": True}
    step()
    assert finished().hyperparameters() == {"is_training": True}


def test_what_the_file_says_is_what_the_script_says(finished: Finished, tmp_path: Path) -> None:
    path = tmp_path / "hp.yaml"

    def watch() -> Any:
        return wl.watch_or_edit(path, flag="hp", poll_interval=0)

    path.write_text("lr: 0.1\nn: 1\n")
    watch()
    path.write_text("lr: 0.25\nn: 1\n")
    step()
    asked(finished, lr=0.5)
    again(finished)
    assert watch() == {"lr": 0.5, "n": 1}
    wl.finish()
    path.write_text("lr: 0.75\nn: 1\n")
    wl.start_run(finished.path)
    assert watch() == {"lr": 0.75, "n": 1}


def test_watching_again_in_the_same_run_says_it_anew(finished: Finished) -> None:
    hyper(lr=0.1)
    asked(finished, lr=0.2)
    assert hyper(lr=0.1) == {"lr": 0.1}
    assert finished().hyperparameters() == {"lr": 0.1}


def test_edits_hold_on_an_optimizer_that_gets_an_older_state(finished: Finished) -> None:
    optimizer = sgd(0.1, 0.1)
    older = optimizer.state_dict()
    asked(finished, optimizer__lr=0.2)
    asked(finished, **{"optimizer.1.lr": 0.3})
    asked(finished, optimizer__momentum=0.5)
    again(finished)
    optimizer = sgd(0.1, 0.1)
    asked(finished, optimizer__momentum=0.75)
    session().flush()

    def after(position: int) -> list[float]:
        optimizer.load_state_dict(older)
        session().settings.hold_since(position, session().log.decisions())
        groups = optimizer.param_groups
        return [groups[0]["lr"], groups[1]["lr"], groups[0]["momentum"]]

    changes = finished.live().view("hyperparameters").changes("optimizer.momentum")
    assert after(0) == [0.2, 0.3, 0.75]
    assert after(changes[-1].position - 1) == [0.1, 0.1, 0.75]
    assert after(session().log.next_position) == [0.1, 0.1, 0]
