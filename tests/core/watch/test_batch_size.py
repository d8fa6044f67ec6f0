"""A tracked loader's batch size, set while the training runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

import wl_core as wl
from tests.core.watch.streams import (
    WORKERS,
    Augmented,
    NamedStream,
    flat,
    names,
    seed,
    sizes,
    train_on,
)
from tests.core.watched_runs import Finished, Named
from wl_core.errors import RefusedError


@pytest.mark.parametrize("workers", WORKERS.values(), ids=WORKERS)
@pytest.mark.parametrize("kind", [Named, NamedStream])
def test_it_follows_when_the_next_pass_begins(
    finished: Finished, kind: Any, workers: dict[str, Any]
) -> None:
    loader = train_on(kind(12), batch_size=2, **workers)
    passed = []
    for batch in loader:
        loader.set_batch_size(3)
        passed.append(batch)
    assert sizes(passed) == [2] * 6
    assert (loader.batch_size, sizes(list(loader))) == (3, [3] * 4)
    loader.set_batch_size(6)
    assert sizes(list(loader)) == [6, 6]


@pytest.mark.parametrize("workers", WORKERS.values(), ids=WORKERS)
def test_next_follows_where_a_new_pass_begins(finished: Finished, workers: dict[str, Any]) -> None:
    loader = train_on(Named(6), batch_size=3, **workers)
    passed = [next(loader)]
    loader.set_batch_size(2)
    passed += [next(loader) for _ in range(4)]
    assert sizes(passed) == [3, 3, 2, 2, 2]
    assert flat(passed) == names(*range(6), *range(6))


def test_a_given_dataloader_follows_and_is_itself_left_alone(finished: Finished) -> None:
    given = DataLoader(Named(5), batch_size=2, drop_last=True)
    loader = wl.watch_or_edit(given, flag="data", loader_name="t")
    loader.set_batch_size(3)
    assert (sizes(list(loader)), len(loader)) == ([3], 1)
    assert (sizes(list(given)), len(given), given.batch_size) == ([2, 2], 2, 2)


def test_the_length_follows(finished: Finished) -> None:
    class Sized(NamedStream):
        def __len__(self) -> int:
            return self.count

    for dataset in (Named(12), Sized(12)):
        loader = train_on(dataset, batch_size=6, loader_name=type(dataset).__name__)
        assert len(loader) == 2
        loader.set_batch_size(2)
        assert sum(1 for _ in loader) == 6
        assert len(loader) == 6


def test_setting_it_to_what_it_is_changes_nothing(finished: Finished) -> None:
    found = []
    for loader in (
        DataLoader(Augmented(7), batch_size=3, shuffle=True),
        train_on(DataLoader(Augmented(7), batch_size=3, shuffle=True)),
    ):
        seed()
        if not isinstance(loader, DataLoader):
            loader.set_batch_size(3)
        found.append([(x.tolist(), ids) for x, ids, _ in loader] + [torch.rand(1).item()])
    assert found[0] == found[1]


@pytest.mark.parametrize("size", [0, -1, 2.0, "2", True, None])
def test_what_is_no_batch_size_is_refused(finished: Finished, size: Any) -> None:
    loader = train_on(Named(4), batch_size=2)
    with pytest.raises(RefusedError, match="1 or more"):
        loader.set_batch_size(size)
    assert sizes(list(loader)) == [2, 2]


def test_it_is_refused_where_the_script_makes_the_batches(finished: Finished) -> None:
    own = BatchSampler(SequentialSampler(range(4)), 2, False)
    loader = train_on(Named(4), batch_sampler=own)
    with pytest.raises(RefusedError, match="batch_sampler"):
        loader.set_batch_size(4)
    assert sizes(list(loader)) == [2, 2]


def test_a_data_set_without_batches_is_refused(finished: Finished) -> None:
    with pytest.raises(wl.WlError, match="batch_size=None"):
        train_on(Named(4), batch_size=None)
