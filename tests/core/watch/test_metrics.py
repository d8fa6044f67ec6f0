"""torchmetrics objects, watched: through forward and through compute."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch

import wl_core as wl
from tests.core.watched_runs import Finished, sample

classification = pytest.importorskip("torchmetrics.classification")
torchmetrics = pytest.importorskip("torchmetrics")

HALF = (torch.tensor([1, 0]), torch.tensor([1, 1]))
ALL = (torch.tensor([1, 1]), torch.tensor([1, 1]))


def accuracy(**options: Any) -> Any:
    metric = classification.BinaryAccuracy(**options.pop("metric", {}))
    return wl.watch_or_edit(metric, flag="metric", name="accuracy", **options)


def test_a_call_gives_the_batchs_value_and_compute_that_of_all(finished: Finished) -> None:
    metric = accuracy()
    for batch in (HALF, ALL):
        with wl.guard_training_context:
            metric(*batch)
    assert metric.compute().item() == 0.75
    curves = finished().curves()
    assert curves["accuracy/batch"].mean.tolist() == [0.5, 1]
    assert (curves["accuracy"].steps.tolist(), curves["accuracy"].mean.tolist()) == ([2], [0.75])


def test_update_and_compute_alone_work(finished: Finished) -> None:
    metric = accuracy()
    with wl.guard_testing_context:
        metric.update(*HALF)
        metric.update(*ALL)
        assert metric.compute().item() == 0.75
    metric.reset()
    curves = finished().curves()
    assert curves["accuracy"].mean.tolist() == [0.75]
    assert "accuracy/batch" not in curves


def test_keywords_of_the_metric_stay_its_own(finished: Finished) -> None:
    metric = accuracy()
    with wl.guard_training_context:
        assert metric(preds=HALF[0], target=HALF[1]).item() == 0.5
    assert not finished().view("samples").array_fields


def test_ids_may_be_passed_as_to_every_watched_criterion(finished: Finished) -> None:
    metric = accuracy()
    with wl.guard_training_context:
        assert metric(*HALF, batch_ids=["a", "b"]).item() == 0.5


def test_a_metric_of_samples_writes_the_sample_rows(finished: Finished) -> None:
    metric = accuracy(metric={"multidim_average": "samplewise"}, per_sample=True)
    preds = torch.tensor([[1, 0], [1, 1]])
    with wl.guard_training_context:
        metric(preds, torch.ones(2, 2, dtype=torch.int64), batch_ids=["a", "b"])
    metric.compute()
    run = finished()
    assert [sample(run, one)["accuracy"] for one in "ab"] == [0.5, 1]


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one)), lambda one: one.clone()],
)
def test_a_copy_of_a_metric_is_watched_and_counts_for_itself(
    finished: Finished, duplicate: Any
) -> None:
    metric = accuracy()
    metric.update(*HALF)
    again = duplicate(metric)
    again.update(*ALL)
    assert isinstance(again, classification.BinaryAccuracy)
    assert (again.compute().item(), metric.compute().item()) == (0.75, 0.5)
    assert finished().curves()["accuracy"].count.tolist() == [2]


def test_a_collection_gives_one_signal_for_each_metric(finished: Finished) -> None:
    collection = torchmetrics.MetricCollection(
        [classification.BinaryAccuracy(), classification.BinaryPrecision()]
    )
    watched = wl.watch_or_edit(collection, flag="metric", name="m")
    with wl.guard_training_context:
        watched(preds=HALF[0], target=HALF[1])
    watched.compute()
    copy.deepcopy(watched).compute()
    curves = finished().curves()
    assert curves["m/BinaryAccuracy"].mean.tolist() == [0.5]
    assert curves["m/batch/BinaryPrecision"].mean.tolist() == [1]
