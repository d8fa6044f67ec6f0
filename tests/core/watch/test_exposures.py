"""Times seen: how often a sample was shown to the model, whatever was saved of it."""

from __future__ import annotations

from typing import Any

import torch

import wl_core as wl
from tests.core.watched_runs import Finished, Named, loss, rows, sample


def watch(dataset: Any, **options: Any) -> Any:
    return wl.watch_or_edit(dataset, flag="data", **{"loader_name": "t", **options})


def test_times_seen_counts_exposures_and_not_calls(finished: Finished) -> None:
    loader = watch(Named(2), batch_size=2)
    first, second = loss("a"), loss("b")
    for _ in range(3):
        with wl.guard_training_context:
            _, ids, _ = next(loader)
            for criterion in (first, second):
                criterion(torch.ones(2), batch_ids=ids)
            wl.save_signals({"c": torch.ones(2)}, ids)
            wl.save_signals({"d": torch.ones(2)}, ids, step=1)
    assert [sample(finished.live(), one)["times_seen"] for one in ("s0", "s1")] == [3, 3]


def test_two_batches_in_one_guard_are_two_exposures(finished: Finished) -> None:
    loader = watch(Named(4), batch_size=2)
    with wl.guard_training_context:  # gradient accumulation
        for _ in range(4):
            _, ids, _ = next(loader)
            loss()(torch.ones(2), batch_ids=ids)
    assert [row["times_seen"] for row in rows(finished()).values()] == [2, 2, 2, 2]


def test_a_batch_taken_before_the_guard_is_exposed_in_it(finished: Finished) -> None:
    loader = watch(Named(4), batch_size=2)
    for _, ids, _ in loader:
        with wl.guard_training_context:
            loss()(torch.ones(2), batch_ids=ids)
    run = finished()
    assert [row["times_seen"] for row in rows(run).values()] == [1, 1, 1, 1]
    assert [row["last_step"] for row in rows(run).values()] == [0, 0, 1, 1]


def test_a_batch_that_is_only_looked_at_is_no_exposure(finished: Finished) -> None:
    loader, other = watch(Named(4), batch_size=2), watch(Named(2), loader_name="u", batch_size=2)
    for _ in loader:  # a look at the whole data set, say for its mean
        pass
    next(loader)  # a look at the shapes
    with wl.guard_testing_context:
        for _, ids, _ in other:
            loss()(torch.ones(2), batch_ids=ids)
    with wl.guard_training_context:
        _, ids, _ = next(loader)
        loss()(torch.ones(2), batch_ids=ids)
    run = finished()
    assert [sample(run, f"s{n}", "t")["times_seen"] for n in range(4)] == [0, 0, 1, 1]
    assert [sample(run, f"s{n}", "u")["times_seen"] for n in range(2)] == [1, 1]


def test_the_last_batch_of_a_look_at_all_data_is_no_exposure(finished: Finished) -> None:
    for _ in watch(Named(4), batch_size=2):
        pass
    with wl.guard_training_context:
        wl.save_signals({"x": [1.0]}, ["of elsewhere"], origin="u")
    run = finished()
    assert sum(row["times_seen"] for key, row in rows(run).items() if key[0] == "t") == 0
    assert sample(run, "of elsewhere")["times_seen"] == 1


def test_explicit_ids_without_a_loader_are_one_exposure_a_guard(finished: Finished) -> None:
    for _ in range(2):
        with wl.guard_training_context:
            loss("a")(torch.ones(2), batch_ids=["x", "y"])
            loss("b")(torch.ones(2), batch_ids=["x", "y"])
            loss("c")(torch.ones(1), batch_ids=["x"])
    wl.save_signals({"d": [1.0]}, ["x"])  # outside of guards nothing is shown to the model
    run = finished()
    assert [sample(run, one)["times_seen"] for one in "xy"] == [2, 2]


def test_a_batch_fetched_one_step_ahead_counts_once(finished: Finished) -> None:
    loader = watch(Named(6), batch_size=2)
    coming = next(loader)
    for _ in range(3):
        with wl.guard_training_context:
            (_, ids, _), coming = coming, next(loader)
            loss("a")(torch.ones(2), batch_ids=ids)
            loss("b")(torch.ones(2), batch_ids=ids)
    run = finished()
    assert [sample(run, f"s{n}")["times_seen"] for n in range(2, 6)] == [1, 1, 1, 1]


def test_the_same_batch_used_for_many_steps_is_seen_in_each(finished: Finished) -> None:
    loader = watch(Named(2), batch_size=2)
    _, ids, _ = next(loader)
    for _ in range(3):
        with wl.guard_training_context:
            loss()(torch.ones(2), batch_ids=ids)
    assert [row["times_seen"] for row in rows(finished()).values()] == [3, 3]
