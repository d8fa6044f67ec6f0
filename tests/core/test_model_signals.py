"""Numbers of the model: what a script saves, and what its layers are watched for."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import wl_core as wl
from tests.core.fake_device import fake_device
from tests.core.watched_runs import Finished, events
from wl_core.session import session


class Small(nn.Module):
    """Two layers, of which the second is called twice, and one that never is."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.block = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.block(self.first(x)))  # type: ignore[no-any-return]


def small() -> Small:
    torch.manual_seed(3)
    return Small()


def inputs() -> Tensor:
    return torch.linspace(-1, 1, 15).reshape(5, 3)


def train(
    model: nn.Module, steps: int = 1, call: Callable[[Tensor], Tensor] | None = None
) -> list[Tensor]:
    """Trains a little, with clipping and ``zero_grad`` within the guard; gives the weights."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(steps):
        with wl.guard_training_context:
            (call or model)(inputs()).square().sum().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            optimizer.zero_grad()
    return [one.detach().clone() for one in model.parameters()]


def recorded(run: wl.Run, step: int = 0) -> dict[str, float]:
    found: dict[str, float] = {}
    for event in events(run, "step_values"):
        if event["step"] == step:
            found |= dict(zip(event["names"], event["values"].tolist(), strict=True))
    return found


# -- numbers that a script saves -----------------------------------------------------------------


def test_a_number_of_each_name_is_a_value_of_the_step(finished: Finished) -> None:
    with wl.guard_training_context:
        wl.save_model_signals(
            {"loss": 0.5, "signals//count": torch.tensor(7), "bad": np.float32("nan")}
        )
    wl.save_model_signals({"late": torch.ones(1, 1)}, step=9)
    run = finished()
    found = recorded(run)
    assert (found["loss"], found["count"], math.isnan(found["bad"])) == (0.5, 7.0, True)
    assert recorded(run, 9) == {"late": 1.0}
    declared = {one["signal"]: one["level"] for one in events(run, "signal_declared")}
    assert declared == dict.fromkeys(("loss", "count", "bad", "late"), "step")


@pytest.mark.parametrize("value", [torch.ones(2), "x", None, torch.ones(1, dtype=torch.complex64)])
def test_anything_else_is_refused_and_nothing_recorded(finished: Finished, value: Any) -> None:
    with pytest.raises(wl.SignalShapeError, match="signal 'b': expected"):
        wl.save_model_signals({"a": 1.0, "b": value})
    assert events(finished(), "step_values") == []


def test_numbers_of_a_device_come_in_one_copy_and_are_not_waited_for(finished: Finished) -> None:
    with fake_device() as device, wl.guard_training_context:
        given = {f"n{n}": device.tensor(torch.tensor(n)) for n in range(5)}
        wl.save_model_signals(given | {"half": device.tensor(0.5), "here": 3})
        assert (device.copies, device.waits) == (1, [])
    found = recorded(finished())
    assert found == {f"n{n}": float(n) for n in range(5)} | {"half": 0.5, "here": 3.0}
    assert list(found)[-1] == "here"


# -- layers --------------------------------------------------------------------------------------


def test_what_is_recorded_is_what_torch_computes(finished: Finished) -> None:
    model, twin = small(), small()
    wl.track_model_signals(model)
    train(model)
    found = recorded(finished())

    first = twin.first(inputs())
    middle = twin.block[0](first)
    second = twin.block[0](middle.relu())
    both = torch.cat([middle, second])
    second.relu().square().sum().backward()
    whole = torch.nn.utils.get_total_norm([p.grad for p in twin.parameters() if p.grad is not None])
    pair = torch.stack([twin.first.weight.grad.norm(), twin.first.bias.grad.norm()])
    expected = {
        "model/gradient_norm": whole,
        "model/first/gradient_norm": pair.norm(),
        "model/block.0/activation_mean": both.mean(),
        "model/block.0/activation_std": both.std(correction=0),
        "model/first/activation_min": first.min(),
        "model/first/activation_max": first.max(),
        "model/activation_mean": second.relu().mean(),
        "model/unused/weight_norm": nn.utils.parameters_to_vector(twin.unused.parameters()).norm(),
        "model/weight_norm": nn.utils.parameters_to_vector(model.parameters()).norm(),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value.item(), rel=1e-5), name
    assert "model/unused/gradient_norm" not in found  # it has none
    assert not [name for name in found if name.startswith("model/block/")]  # nor parameters
    assert found["model/gradient_norm"] > 0.1  # as it was before it was clipped


@pytest.mark.parametrize("how", ["plainly", "checkpointed"])
def test_tracking_changes_no_bit_of_the_training(finished: Finished, how: str) -> None:
    def weights(model: Small) -> list[Tensor]:
        def call(x: Tensor) -> Tensor:
            if how == "plainly":
                return model(x)  # type: ignore[no-any-return]
            return checkpoint(model, x, use_reentrant=False)  # type: ignore[no-any-return]

        return train(model, 3, call)

    plain = weights(small())
    tracked = small()
    wl.track_model_signals(tracked)
    assert all(map(torch.equal, weights(tracked), plain))
    steps = sorted({one["step"] for one in events(finished(), "step_values")})
    assert steps == [3, 4, 5]


def test_a_checkpointed_layer_says_what_it_would_say_otherwise(finished: Finished) -> None:
    model, twin = small(), small()
    wl.track_model_signals(model, name="plain")
    wl.track_model_signals(twin, name="checkpointed")
    train(model)
    train(twin, 1, lambda x: checkpoint(twin, x, use_reentrant=False))  # type: ignore[no-any-return]
    run = finished()
    plain, again = recorded(run, 0), recorded(run, 1)
    for name, value in plain.items():
        if name.startswith("plain/") and "weight_norm" not in name and "activation" in name:
            same = again[name.replace("plain", "checkpointed")]
            assert same == pytest.approx(value, rel=1e-5, abs=1e-7), name


def test_only_training_guards_and_every_nth_step_count(finished: Finished) -> None:
    model = small()
    wl.track_model_signals(model, every=2, layers=["first"], name="net")
    model(inputs())
    with wl.guard_testing_context, torch.no_grad():
        model(inputs() * 100)
    train(model, 5)
    run = finished()
    found = events(run, "step_values")
    assert [one["step"] for one in found] == [0, 2, 4]
    assert recorded(run)["net/first/activation_max"] < 10
    names = {name.rpartition("/")[0] for one in found for name in one["names"]}
    assert names == {"net", "net/first"}


def test_a_failed_step_leaves_nothing_to_the_next(finished: Finished) -> None:
    model = small()
    wl.track_model_signals(model)
    with pytest.raises(ValueError, match="boom"), wl.guard_training_context:  # noqa: PT012
        model(inputs() * 1000)
        raise ValueError("boom")
    with wl.guard_training_context:
        model(inputs())
    found = recorded(finished(), 1)
    assert found["model/first/activation_max"] < 10


def test_each_kind_can_be_left_out(finished: Finished) -> None:
    model = small()
    wl.track_model_signals(model, activations=False, weights=False)
    train(model)
    assert {name.rpartition("/")[2] for name in recorded(finished())} == {"gradient_norm"}


def test_removing_takes_all_hooks_out(finished: Finished) -> None:
    model = small()
    handle = wl.track_model_signals(model)
    handle.remove()
    handle.remove()
    train(model)
    assert session().at_step_end == []
    assert all(not one._forward_hooks for one in model.modules())
    assert events(finished(), "step_values") == []


def test_a_step_makes_one_copy_and_waits_for_nothing(finished: Finished) -> None:
    with fake_device() as device:
        model = device.module(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
        wl.track_model_signals(model)
        for step in range(3):
            device.catch_up()
            with wl.guard_training_context:
                model(device.tensor(inputs())).square().sum().backward()
                for one in model.parameters():
                    one.grad = None
            assert (device.copies, device.waits) == (step + 1, [])
        weight = model[0].weight.host.norm()
    found = recorded(finished(), 2)
    assert found["model/0/activation_max"] > 0
    assert found["model/weight_norm"] > weight


def test_nan_is_recorded_as_it_is(finished: Finished) -> None:
    model = small()
    wl.track_model_signals(model)
    with wl.guard_training_context:
        (model(inputs()) * math.nan).sum().backward()
        model(inputs() * math.inf)
    found = recorded(finished())
    assert math.isnan(found["model/gradient_norm"])
    assert math.isnan(found["model/first/activation_mean"])


def test_half_precision_does_not_overflow(finished: Finished) -> None:
    model = nn.Sequential(nn.Linear(2, 300, bias=False, dtype=torch.float16))
    nn.init.constant_(model[0].weight, 1e4)
    wl.track_model_signals(model)
    with wl.guard_training_context:
        model(torch.ones(1, 2, dtype=torch.float16)).sum().backward()
    found = recorded(finished())
    assert found["model/weight_norm"] == pytest.approx(math.sqrt(600) * 1e4)
    assert found["model/0/activation_std"] == 0


def test_a_copy_of_the_model_is_not_tracked_and_can_be_pickled(finished: Finished) -> None:
    model = small()
    wl.track_model_signals(model)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with wl.guard_training_context:
            other(inputs()).sum().backward()
    found = recorded(finished())
    assert {name.rpartition("/")[2] for name in found} == {"weight_norm"}


def test_a_replica_of_a_layer_is_not_taken_for_it(finished: Finished) -> None:
    """`nn.DataParallel` makes such copies, on other devices: their numbers do not go together."""
    layer = nn.Linear(3, 4)
    wl.track_model_signals(layer, weights=False)
    with wl.guard_training_context:
        copy.copy(layer)(inputs())
    assert recorded(finished()) == {}


def test_outputs_of_several_parts_and_shared_weights(finished: Finished) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(3, 3, batch_first=True)
            self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)
            self.two.weight = self.one.weight

        def forward(self, x: Tensor) -> dict[str, Any]:
            out, _ = self.rnn(x[None])
            return {"count": torch.tensor(3), "out": self.two(self.one(out))}

    model = Tied()
    wl.track_model_signals(model)
    with wl.guard_training_context:
        model(inputs())["out"].sum().backward()
    grads = [one.grad for one in model.parameters() if one.grad is not None]
    found = recorded(finished())
    whole = float(torch.nn.utils.get_total_norm(grads))
    assert found["model/gradient_norm"] == pytest.approx(whole, rel=1e-5)
    assert -1 < found["model/rnn/activation_min"] < found["model/rnn/activation_max"] < 1
    assert "model/activation_mean" in found


def test_what_cannot_be_tracked_is_refused(finished: Finished) -> None:
    wl.track_model_signals(small())
    with pytest.raises(wl.WlError, match=r"'firts'.*first"):
        wl.track_model_signals(small(), layers=["firts"], name="other")
    with pytest.raises(wl.WlError, match="tracked as 'model' already"):
        wl.track_model_signals(small())
    with pytest.raises(wl.WlError, match="every"):
        wl.track_model_signals(small(), every=0, name="other")
    with pytest.raises(wl.WlError, match="lazy"):
        wl.track_model_signals(nn.Sequential(nn.LazyLinear(2)), name="other")


def test_the_next_run_begins_without_the_hooks_of_the_last(tmp_path: Path) -> None:
    model = small()
    for number in range(2):
        wl.start_run(tmp_path / str(number))
        wl.track_model_signals(model)
        train(model)
        wl.finish()
        with wl.open_run(tmp_path / str(number)) as run:
            assert len(events(run, "step_values")) == 1
    assert len(model.first._forward_hooks) == 1
