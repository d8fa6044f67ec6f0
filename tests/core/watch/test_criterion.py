"""Watched criterions: what they record, and that nobody who uses them can tell."""

from __future__ import annotations

import copy
import functools
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import wl_core as wl
from tests.core.watched_runs import (
    Described,
    Finished,
    Masks,
    Named,
    PerInstance,
    Squares,
    annotation_ids,
    collate_masks,
    events,
    history,
    identity,
    instances,
    loss,
    mask,
    rows,
    same,
    sample,
)


def test_a_per_sample_criterion_writes_the_sample_row(finished: Finished) -> None:
    criterion = loss("ce", nn.CrossEntropyLoss(reduction="none"))
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
    with wl.guard_training_context:
        values = criterion(logits, labels, batch_ids=["a", "b"])
    run = finished()
    assert [sample(run, one)["ce"] for one in "ab"] == values.tolist()
    assert run.curves()["ce"].mean.tolist() == [pytest.approx(values.mean().item())]


def test_dimensions_beyond_the_first_are_averaged_and_returned_whole(finished: Finished) -> None:
    criterion = loss()
    with wl.guard_training_context:
        output = criterion(torch.arange(8.0).reshape(2, 2, 2), batch_ids=[0, 1])
    assert output.shape == (2, 2, 2)
    run = finished()
    assert [sample(run, one)["loss"] for one in (0, 1)] == [1.5, 5.5]


@pytest.mark.parametrize("nested", [True, False])
def test_a_batch_index_together_with_targets_stores_every_mask(
    finished: Finished, nested: bool
) -> None:
    criterion = loss("dice", PerInstance(), flag="metric", per_sample=False, per_instance=True)
    labels = [[mask(1), mask(2)], [], [mask(3)]]
    flat = [one for masks in labels for one in masks]
    with wl.guard_training_context:
        values = criterion(
            torch.zeros(3, 2),
            labels,
            batch_ids=list("abc"),
            batch_idx=torch.tensor([0, 0, 2]),
            targets=labels if nested else flat,
        )
    run = finished()
    assert values.tolist() == [1, 2, 3]
    assert [instances(run, one, "dice") for one in "abc"] == [[1, 2], [], [3]]
    for one, number, expected in (("a", 1, 1), ("a", 2, 2), ("c", 1, 3)):
        stored = run.instance_arrays("unnamed", one)[number]["target"]
        assert same(stored, mask(expected))


def test_per_instance_with_log_makes_a_curve(finished: Finished) -> None:
    criterion = loss("dice", per_sample=False, per_instance=True, log=True)
    for step in range(2):
        with wl.guard_training_context:
            criterion(torch.tensor([1.0, 3.0]) + step, batch_ids=["a"], batch_idx=[0, 0])
    run = finished()
    assert run.curves()["dice"].mean.tolist() == [2, 3]
    assert history(run, "dice", "unnamed", "a", 2) == ([0, 1], [3, 4])


def test_the_batch_index_may_be_left_out_for_the_loaders_batch(finished: Finished) -> None:
    loader = wl.watch_or_edit(
        Masks((2, 0, 1)), flag="data", loader_name="t", batch_size=3, collate_fn=collate_masks
    )
    criterion = loss("dice", PerInstance(), per_sample=False, per_instance=True)
    with wl.guard_training_context:
        images, _, labels, _ = next(loader)
        criterion(images, labels)
    run = finished()
    assert [instances(run, one, "dice") for one in ("m0", "m1", "m2")] == [[1, 2], [], [3]]


def test_masks_that_the_collate_drops_make_no_rows(finished: Finished) -> None:
    for preload in (True, False):
        loader = wl.watch_or_edit(
            Masks((2, 0), empty=3), flag="data", loader_name=f"preload {preload}", batch_size=2,
            collate_fn=collate_masks, preload_labels=preload,
        )  # fmt: skip
        next(loader)
    run = finished()
    assert {key: row.get("instances") for key, row in rows(run).items()} == {
        ("preload True", "m0"): 2,
        ("preload True", "m1"): 0,
        ("preload False", "m0"): 2,
        ("preload False", "m1"): 0,
    }
    assert annotation_ids(run, "m0", "preload True") == [1, 2]


def test_nested_targets_of_a_per_sample_criterion_make_instances(finished: Finished) -> None:
    with wl.guard_training_context:
        loss()(torch.zeros(2), batch_ids=["a", "b"], targets=[[mask(1)], []])
    run = finished()
    assert same(run.instance_arrays("unnamed", "a")[1]["target"], mask(1))
    assert annotation_ids(run, "b") == []


@pytest.mark.parametrize("level", ["per_sample", "step"])
def test_predictions_are_kept_with_the_samples(finished: Finished, level: str) -> None:
    criterion = loss(per_sample=level == "per_sample")
    preds = torch.randint(0, 4, (2, 5, 5))
    with wl.guard_training_context:
        criterion(torch.zeros(2), batch_ids=["a", "b"], preds=preds, preds_raw=preds / 2)
    run = finished()
    assert same(run.arrays("unnamed", "b")["prediction"], preds[1])
    assert same(run.arrays("unnamed", "b")["prediction_raw"], preds[1] / 2)


def test_predictions_of_instances_are_kept_with_them(finished: Finished) -> None:
    criterion = loss("dice", per_sample=False, per_instance=True)
    with wl.guard_training_context:
        criterion(
            torch.zeros(2), batch_ids=["a"], batch_idx=[0, 0], preds=torch.stack([mask(1), mask(2)])
        )
        with pytest.raises(wl.SignalShapeError, match="instance"):
            criterion(torch.zeros(2), batch_ids=["a"], batch_idx=[0, 0], preds=mask(1)[None])
    assert same(finished().instance_arrays("unnamed", "a")[2]["prediction"], mask(2))


def test_a_criterion_that_averages_is_one_value_of_the_step(finished: Finished) -> None:
    criterion = wl.watch_or_edit(nn.MSELoss(), flag="criterion", signal_name="mse")
    for _ in range(2):
        with wl.guard_training_context:
            criterion(torch.ones(4), torch.zeros(4))
    run = finished()
    assert run.curves()["mse"].mean.tolist() == [1, 1]
    assert run.curves()["mse"].steps.tolist() == [0, 1]


def test_an_output_with_names_gives_one_signal_for_each(finished: Finished) -> None:
    metric = wl.watch_or_edit(lambda: {"a": 1, "b": torch.tensor(2.0)}, flag="metric", name="m")
    metric()
    curves = finished().curves()
    assert (curves["m/a"].mean.tolist(), curves["m/b"].mean.tolist()) == ([1], [2])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "needs one name"),
        ({"name": "a", "signal_name": "b"}, "needs one name"),
        ({"name": "a", "per_sample": True, "per_instance": True}, "not both"),
    ],
)
def test_a_watched_signal_needs_one_name_and_one_level(
    finished: Finished, options: Any, complaint: str
) -> None:
    with pytest.raises(wl.WlError, match=complaint):
        wl.watch_or_edit(identity, flag="loss", **options)


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ({"flag": "losss"}, "loss"),
        ({"flag": "loss", "per_samples": True, "name": "x"}, "per_sample"),
    ],
)
def test_a_misspelt_flag_or_option_names_the_nearest(
    finished: Finished, given: Any, nearest: str
) -> None:
    with pytest.raises(TypeError, match=f"Did you mean '{nearest}'"):
        wl.watch_or_edit(identity, **given)


def test_a_wrong_call_is_refused_before_anything_is_recorded(finished: Finished) -> None:
    criterion = loss()
    with wl.guard_training_context:
        for arguments in (
            {"batch_ids": ["a"]},
            {"batch_ids": ["a", "b"], "preds": torch.zeros(3, 2)},
            {"batch_ids": ["a", "b"], "targets": [[mask(1)]]},
        ):
            with pytest.raises(wl.SignalShapeError):
                criterion(torch.zeros(2), **arguments)
    run = finished()
    assert not rows(run)
    assert not events(run, "values")
    assert not events(run, "arrays")


# -- the same object semantics ---------------------------------------------------------------------


def test_the_very_object_that_was_returned_is_returned(finished: Finished) -> None:
    given = torch.ones(2, requires_grad=True)
    with wl.guard_training_context:
        for options in ({"per_sample": True}, {"per_sample": False}):
            assert loss(f"x {options}", **options)(given, batch_ids=["a", "b"]) is given


def test_it_is_an_instance_of_what_it_was(finished: Finished) -> None:
    watched = loss("x", Squares())
    assert isinstance(watched, Squares)
    assert type(watched).__name__ == "Squares"
    assert repr(watched) == repr(Squares())


def test_parameters_and_buffers_are_shared(finished: Finished) -> None:
    original = Squares()
    watched = loss("x", original)
    assert watched.scale is original.scale
    with torch.no_grad():
        original.scale.fill_(3.0)
    watched.load_state_dict({"scale": torch.tensor(5.0), "calls": torch.tensor(2)})
    assert original.scale.item() == 5
    assert watched.to(torch.float64).scale.dtype == original.scale.dtype == torch.float64
    assert list(watched.state_dict()) == list(original.state_dict()) == ["scale", "calls"]
    assert not watched.eval().training
    assert watched.train().training


def test_the_gradient_is_equal_bit_for_bit(finished: Finished) -> None:
    plain = Squares(0.7)
    watched = loss("x", copy.deepcopy(plain))
    outputs, labels = torch.rand(5, 3), torch.rand(5)
    with wl.guard_training_context:
        watched(outputs, labels, batch_ids=list(range(5))).mean().backward()
    plain(outputs, labels).mean().backward()
    assert torch.equal(watched.scale.grad, plain.scale.grad)


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]
)
def test_a_copy_is_watched_as_well(finished: Finished, duplicate: Any) -> None:
    again = duplicate(loss("x", Squares(2.0)))
    assert isinstance(again, Squares)
    with wl.guard_training_context:
        again(torch.ones(1, 1), torch.zeros(1), batch_ids=["a"])
    assert sample(finished(), "a")["x"] == 4


def test_a_copy_of_a_copy_has_its_own_parameters(finished: Finished) -> None:
    one = loss("x", Squares())
    other = copy.deepcopy(copy.deepcopy(one))
    assert other.scale is not one.scale
    assert torch.equal(other.scale, one.scale)


def test_hooks_of_the_module_still_run(finished: Finished) -> None:
    original, seen = Squares(), []
    original.register_forward_hook(lambda *_: seen.append(1))
    loss("x", original)(torch.ones(1, 1), torch.zeros(1), batch_ids=["a"])
    assert seen == [1]


class Taking(nn.Module):
    """A criterion with arguments of its own of the names that wl takes."""

    def forward(self, preds: Tensor, targets: Tensor, batch_idx: Any = None) -> Tensor:
        assert batch_idx is not None
        return preds - targets


def test_a_keyword_that_the_criterion_names_stays_its_own(finished: Finished) -> None:
    criterion = loss("x", Taking(), per_sample=False, per_instance=True)
    with wl.guard_training_context:
        criterion(preds=torch.ones(2), targets=torch.zeros(2), batch_ids=["a"], batch_idx=[0, 0])
    run = finished()
    assert instances(run, "a", "x") == [1, 1]
    assert run.instance_arrays("unnamed", "a") == {1: {}, 2: {}}


def test_functions_partials_and_objects_can_be_watched(finished: Finished) -> None:
    class Callable:
        __slots__ = ()

        def __call__(self, values: Tensor) -> Tensor:
            return values * 2

    cases = {
        "function": nn.functional.relu,
        "partial": functools.partial(nn.functional.leaky_relu, negative_slope=0.5),
        "lambda": lambda values: values,
        "builtin": torch.relu,
        "object": Callable(),
        "method": Squares().register_buffer.__self__.scale.mul,
    }
    with wl.guard_training_context:
        for name, obj in cases.items():
            loss(name, obj)(torch.ones(1), batch_ids=["a"])
    assert {name: sample(finished.live(), "a")[name] for name in cases} == {
        name: 2 if name == "object" else 1 for name in cases
    }


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_it_works_under_autocast(finished: Finished, dtype: torch.dtype) -> None:
    model = nn.Linear(3, 1)
    criterion = loss("x", Squares())
    with wl.guard_training_context, torch.autocast("cpu", dtype):
        values = criterion(model(torch.ones(2, 3)), torch.zeros(2), batch_ids=["a", "b"])
    values.mean().backward()
    assert model.weight.grad is not None
    assert sample(finished(), "a")["x"] == pytest.approx(values[0].item())


def test_it_works_under_no_grad_and_inference_mode(finished: Finished) -> None:
    criterion = loss("x", Squares())
    for number, mode in enumerate((torch.no_grad(), torch.inference_mode())):
        with wl.guard_testing_context, mode:
            output = criterion(torch.ones(1, 1), torch.zeros(1), batch_ids=[number])
        assert not output.requires_grad
    assert len(rows(finished())) == 2


def test_a_compiled_models_output_is_recorded(finished: Finished) -> None:
    model = torch.compile(nn.Linear(3, 1), backend="eager")
    criterion = loss("x", Squares())
    with wl.guard_training_context:
        criterion(model(torch.ones(2, 3)), torch.zeros(2), batch_ids=["a", "b"]).sum().backward()
    assert len(rows(finished())) == 2


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own, and hidden by itself
def test_a_criterion_called_within_a_compiled_function_is_recorded(finished: Finished) -> None:
    model, criterion = nn.Linear(3, 1), loss("x", Squares())

    @torch.compile(backend="eager")
    def step(x: Tensor, y: Tensor) -> Tensor:
        return criterion(model(x), y, batch_ids=["a", "b"]).mean()

    for _ in range(2):
        with wl.guard_training_context:
            step(torch.ones(2, 3), torch.zeros(2)).backward()
    run = finished()
    assert history(run, "x", "unnamed", "a")[0] == [0, 1]
    assert model.weight.grad is not None


def test_a_compiled_criterion_is_recorded(finished: Finished) -> None:
    criterion = loss("x", torch.compile(Squares(), backend="eager"))
    with wl.guard_training_context:
        criterion(torch.ones(2, 1), torch.zeros(2), batch_ids=["a", "b"])
    assert sample(finished(), "b")["x"] == 1


def test_batches_carry_their_ids(finished: Finished) -> None:
    loader = wl.watch_or_edit(Described(4), flag="data", loader_name="t", batch_size=2)
    criterion = loss("x", Squares())
    for x, _, y, _ in loader:
        with wl.guard_training_context:
            criterion(x, y)
    run = finished()
    assert [sample(run, f"s{n}", "t")["x"] for n in range(4)] == [0, 0, 4, 4]
    assert [sample(run, f"s{n}", "t")["last_step"] for n in range(4)] == [0, 0, 1, 1]


def test_the_batch_of_a_guard_within_a_guard_is_its_own(finished: Finished) -> None:
    train = wl.watch_or_edit(Named(2), flag="data", loader_name="train", batch_size=2)
    test = wl.watch_or_edit(Named(2), flag="data", loader_name="test", batch_size=2)
    criterion, tested = loss("train_loss"), loss("test_loss")
    with wl.guard_training_context:
        _, ids, _ = next(train)
        with wl.guard_testing_context, torch.no_grad():
            for _, test_ids, _ in test:
                tested(torch.ones(2), batch_ids=test_ids)
                tested(torch.ones(2))
        criterion(torch.zeros(2))
        criterion(torch.zeros(2), batch_ids=ids)
    run = finished()
    assert "train_loss" in sample(run, "s0", "train")
    assert "test_loss" not in sample(run, "s0", "train")
    assert "train_loss" not in sample(run, "s0", "test")
    assert sample(run, "s0", "train")["times_seen"] == 1


def test_not_even_a_nan_is_changed(finished: Finished) -> None:
    given = torch.tensor([float("nan"), float("inf")])
    with wl.guard_training_context:
        output = loss()(given, batch_ids=["a", "b"])
    run = finished()
    np.testing.assert_equal(output.numpy(), given.numpy())
    np.testing.assert_equal(sample(run, "a")["loss"], np.nan)
    assert run.curves()["loss"].nonfinite.tolist() == [2]
