"""Hyperparameters, models and optimizers: what the run remembers of them."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import wl_core as wl
from tests.core.watched_runs import Finished, events


def recorded(run: wl.Run) -> list[dict[str, Any]]:
    return [event["values"] for event in events(run, "hyperparameters")]


@pytest.mark.parametrize("flag", ["hp", "hyperparameters"])
def test_hyperparameters_are_recorded_and_read_as_a_dict(finished: Finished, flag: str) -> None:
    hp = wl.watch_or_edit({"lr": 0.1, "layers": (1, 2)}, flag=flag)
    assert isinstance(hp, dict)
    assert hp["lr"] == 0.1
    assert json.loads(json.dumps(hp)) == {"lr": 0.1, "layers": [1, 2]}
    assert recorded(finished()) == [{"lr": 0.1, "layers": [1, 2]}]


def test_they_may_come_from_a_yaml_file(finished: Finished, tmp_path: Path) -> None:
    path = tmp_path / "hp.yaml"
    path.write_text("lr: 0.1\noptimizer:\n  momentum: 0.9\n")
    for given in (path, str(path)):
        assert wl.watch_or_edit(given, flag="hp")["optimizer"]["momentum"] == 0.9
    assert recorded(finished())[0] == {"lr": 0.1, "optimizer.momentum": 0.9}


@pytest.mark.parametrize("flag", ["model", "optimizer", "hyperparameters", "data", "loss"])
def test_something_of_another_kind_is_refused(finished: Finished, flag: str) -> None:
    options = {"name": "x"} if flag == "loss" else {}
    with pytest.raises(wl.WlError, match=r"expected .* got"):
        wl.watch_or_edit(3, flag=flag, **options)


def test_a_yaml_file_without_names_is_refused(finished: Finished, tmp_path: Path) -> None:
    path = tmp_path / "hp.yaml"
    path.write_text("- 1\n")
    with pytest.raises(wl.WlError, match="must hold a mapping"):
        wl.watch_or_edit(path, flag="hp")


def test_every_way_to_edit_them_is_recorded(finished: Finished) -> None:
    hp = wl.watch_or_edit({"a": 1, "b": {"c": 2, "d": {"e": 3}}}, flag="hp", name="all")
    hp["a"] = 10
    hp["b"]["c"] = 20
    hp["b"]["d"]["e"] = 30
    hp.update(a=11, new={"x": 1})
    hp["new"]["x"] = 2
    hp |= {"a": 12}
    assert hp.setdefault("a", 99) == 12
    assert hp.setdefault("late", 5) == 5
    del hp["late"]
    assert hp.pop("new") == {"x": 2}
    assert hp.pop("nothing", None) is None
    hp["b"].clear()
    assert hp == {"a": 12, "b": {}}
    assert recorded(finished())[1:] == [
        {"all.a": 10},
        {"all.b.c": 20},
        {"all.b.d.e": 30},
        {"all.a": 11, "all.new.x": 1},
        {"all.new.x": 2},
        {"all.a": 12},
        {"all.late": 5},
        {"all.late": None},
        {"all.new.x": None},
        {"all.b.c": None, "all.b.d.e": None},
    ]


def test_a_copy_is_a_plain_dict_that_records_nothing(finished: Finished) -> None:
    hp = wl.watch_or_edit({"a": {"b": 1}}, flag="hp")
    for made in (copy.copy(hp), copy.deepcopy(hp), pickle.loads(pickle.dumps(hp)), hp.copy()):
        assert type(made) is dict
        assert made == hp
    copy.deepcopy(hp)["a"]["b"] = 2
    assert hp["a"]["b"] == 1
    assert len(recorded(finished())) == 1


def test_an_edit_after_the_run_begins_no_other(finished: Finished, tmp_path: Path) -> None:
    hp = wl.watch_or_edit({"a": 1}, flag="hp")
    wl.finish()
    hp["a"] = 2
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_defaults_stand_in_for_what_is_missing(finished: Finished) -> None:
    hp = wl.watch_or_edit({"a": 1}, flag="hp", defaults={"a": 0, "b": 2})
    assert hp == {"a": 1, "b": 2}


def test_defaults_stand_in_within_dicts_too(finished: Finished) -> None:
    defaults = {"optimizer": {"lr": 0.1, "eps": 1e-8}, "b": {"c": 1}}
    hp = wl.watch_or_edit({"optimizer": {"lr": 0.2}, "b": 3}, flag="hp", defaults=defaults)
    assert hp == {"optimizer": {"lr": 0.2, "eps": 1e-8}, "b": 3}


def test_names_within_names_may_be_written_with_dots(finished: Finished) -> None:
    hp = wl.watch_or_edit({"a": {"b": {"c": 1}}, "x.y": {"z": 2}, "n": {0: 8}}, flag="hp")
    assert hp["a.b.c"] == hp.get("a.b.c") == 1
    assert hp["x.y.z"] == 2
    assert hp["n.0"] == 8
    assert "a.b" in hp
    assert "a.b.d" not in hp
    assert hp.get("a.b.d") is None
    with pytest.raises(KeyError, match=r"a\.d"):
        hp["a.d"]
    hp["a.b.c"] = 10
    hp.update({"x.y.z": 20})
    assert hp.pop("n.0") == 8
    hp["new.name"] = 3
    hp["a.e"] = 4
    assert hp == {"a": {"b": {"c": 10}, "e": 4}, "x.y": {"z": 20}, "n": {}, "new.name": 3}
    assert recorded(finished())[1:] == [
        {"a.b.c": 10},
        {"x.y.z": 20},
        {"n.0": None},
        {"new.name": 3},
        {"a.e": 4},
    ]


def test_a_number_in_scientific_notation_is_a_number_in_yaml_too(
    finished: Finished, tmp_path: Path
) -> None:
    path = tmp_path / "hp.yaml"
    path.write_text("lr: 1e-4\nname: '1e-4'\nversion: 1e4x\n")
    hp = wl.watch_or_edit(path, flag="hp")
    assert hp == {"lr": 0.0001, "name": "1e-4", "version": "1e4x"}


def test_a_file_that_is_no_yaml_is_refused_with_its_line(
    finished: Finished, tmp_path: Path
) -> None:
    path = tmp_path / "hp.yaml"
    path.write_text("lr: 0.1\nlayers: [1\n")
    with pytest.raises(wl.WlError, match=r"hp\.yaml cannot be read as YAML: .* line 3"):
        wl.watch_or_edit(path, flag="hp")


def test_yaml_executes_nothing(finished: Finished, tmp_path: Path) -> None:
    path = tmp_path / "hp.yaml"
    path.write_text(f"lr: !!python/object/apply:os.mkdir ['{tmp_path}/made']\n")
    with pytest.raises(wl.WlError, match="cannot be read"):
        wl.watch_or_edit(path, flag="hp")
    assert not (tmp_path / "made").exists()


def test_the_runs_go_where_root_log_dir_says(tmp_path: Path) -> None:
    hp = wl.watch_or_edit({"root_log_dir": str(tmp_path / "mine")}, flag="hyperparameters")
    wl.finish()
    assert len(wl.list_runs(tmp_path / "mine")) == 1
    assert hp["root_log_dir"] == str(tmp_path / "mine")


def test_model_and_optimizer_are_the_very_same_objects(finished: Finished) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1, bias=False))
    model[0].weight.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert wl.watch_or_edit(model, flag="model", name="net") is model
    assert wl.watch_or_edit(optimizer, flag="optimizer") is optimizer
    described = {event["name"]: event for event in events(finished(), "object_described")}
    assert described["net"]["detail"] == {
        "class": "Sequential",
        "parameters": 12,
        "trainable": 6,
        "devices": ["cpu"],
    }
    assert described["optimizer"]["detail"]["groups"][0]["lr"] == 0.1


def test_a_model_whose_sizes_are_not_known_yet_can_be_watched(finished: Finished) -> None:
    model = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 1))
    assert wl.watch_or_edit(model, flag="model") is model
    [event] = events(finished(), "object_described")
    assert event["detail"]["parameters"] == 4


def test_the_learning_rate_is_a_curve_with_a_point_at_each_change(finished: Finished) -> None:
    groups = [{"params": [nn.Parameter(torch.ones(1))]} for _ in range(2)]
    optimizer = wl.watch_or_edit(torch.optim.SGD(groups, lr=0.1), flag="optimizer", name="sgd")
    for step in range(5):
        with wl.guard_training_context:
            if step == 3:
                optimizer.param_groups[0]["lr"] = 0.01
        with wl.guard_testing_context:
            pass
    curves = finished().curves()
    assert curves["sgd/lr"].steps.tolist() == [0, 3]
    assert curves["sgd/lr"].mean.tolist() == [0.1, 0.01]
    assert curves["sgd/lr/1"].steps.tolist() == [0]
