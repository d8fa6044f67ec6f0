"""Random numbers that come again, and a process that begins anew."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import wl_core as wl
from tests.core.watched_runs import Finished, events, loss
from wl_core import evaluation
from wl_core.session import current_session
from wl_core.shape_classifiers import registry as classifiers
from wl_core.signals import registry
from wl_core.watch.known import watched_criterions


@pytest.fixture(autouse=True)
def settings_kept() -> Iterator[None]:
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic, torch.are_deterministic_algorithms_enabled()
    yield
    cudnn.benchmark, cudnn.deterministic = before[:2]
    torch.use_deterministic_algorithms(before[2])


def drawn() -> tuple[Any, ...]:
    return random.random(), float(np.random.rand()), float(torch.rand(())), float(torch.randn(()))


class Random(Dataset[Any]):
    """What a worker draws: from each of the three sources."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return torch.tensor([random.random(), np.random.rand(), float(torch.rand(()))])


def test_all_sources_give_the_same_numbers_again() -> None:
    assert wl.seed_everything(7) == 7
    first = drawn()
    assert wl.seed_everything(np.int64(7)) == 7
    assert drawn() == first
    wl.seed_everything(8)
    assert not set(drawn()) & set(first)


def test_workers_draw_the_same_again_and_no_two_alike() -> None:
    def epoch() -> torch.Tensor:
        wl.seed_everything(3)
        return torch.cat(list(DataLoader(Random(), num_workers=2)))

    first, again = epoch(), epoch()
    assert torch.equal(first, again)
    assert all(len(set(column.tolist())) == 4 for column in first.T)


def test_deterministic_algorithms_are_asked_for_only_when_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    torch.backends.cudnn.benchmark = True
    wl.seed_everything(1)
    assert torch.backends.cudnn.benchmark
    assert not torch.are_deterministic_algorithms_enabled()
    wl.seed_everything(1, deterministic=True)
    assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic) == (False, True)
    assert torch.are_deterministic_algorithms_enabled()


def test_the_seed_is_a_hyperparameter_of_the_run_that_is_recorded(finished: Finished) -> None:
    wl.seed_everything(11)
    [event] = events(finished(), "hyperparameters")
    assert event["values"] == {"seed": 11}


def test_without_a_run_none_is_begun() -> None:
    wl.seed_everything(11)
    assert current_session() is None


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "1"])
def test_what_is_no_seed_is_refused(seed: Any) -> None:
    state = torch.get_rng_state()
    with pytest.raises(wl.WlError, match="a seed must"):
        wl.seed_everything(seed)
    assert torch.equal(torch.get_rng_state(), state)


def test_everything_is_forgotten(finished: Finished, tmp_path: Path) -> None:
    wl.clear_all()
    wl.start_run(tmp_path / "first")
    own = set(registry.by_name)  # those of plugins come with every run

    def watch_all() -> torch.nn.Module:
        wl.signal(name="twice", subscribe_to="loss")(lambda ctx: 2 * ctx.subscribed_value)
        wl.eval_fn(lambda loader: None)
        wl.signal_classifier(signal="loss")(lambda values: "mine")
        model = torch.nn.Sequential(torch.nn.Linear(2, 2))
        wl.watch_or_edit(model, flag="model")
        wl.track_model_signals(model)
        return model

    for name in ("first", "second"):
        if current_session() is None:
            wl.start_run(tmp_path / name)
        assert set(registry.by_name) == own
        criterion = loss()
        model = watch_all()
        with wl.guard_training_context:
            criterion(torch.ones(1), batch_ids=["a"])
        wl.clear_all()
        wl.clear_all()
        assert current_session() is None
        assert (list(registry.by_name), evaluation._registered, watched_criterions()) == (
            [],
            [],
            [],
        )
        assert not classifiers.has_own("loss")
        assert not any(one._forward_hooks for one in model.modules())
        with wl.open_run(tmp_path / name) as run:
            assert [one["signal"] for one in events(run, "values")] == ["loss", "twice"]
            assert run.status().state == "finished"


def test_a_strict_signal_that_fails_at_the_end_does_not_keep_the_rest(finished: Finished) -> None:
    from tests.core.fake_device import fake_device

    @wl.signal(subscribe_to="loss", strict=True)
    def fails(ctx: wl.SignalContext) -> float:
        raise ValueError("boom")

    with fake_device() as device:
        with wl.guard_training_context:
            loss()(device.tensor([1.0]), batch_ids=["a"])
        with pytest.raises(ValueError, match="boom"):
            wl.clear_all()
    assert current_session() is None
    assert not registry.by_name
    run = finished.live()
    assert events(run, "values")[0]["values"].tolist() == [1.0]
    assert run.status().state == "finished"
