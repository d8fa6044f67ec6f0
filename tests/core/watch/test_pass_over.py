"""A pass over the data for an evaluation: it gives every sample and leaves no trace in training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import wl_core as wl
from tests.core.watch.streams import Augmented, NamedStream, flat, names, seed, train_on
from tests.core.watched_runs import (
    Described,
    Finished,
    Masks,
    Named,
    collate_masks,
    events,
    history,
    loss,
    rows,
)
from wl_core.session import session


@pytest.mark.parametrize("kind", [Named, NamedStream])
def test_it_gives_every_sample_in_its_order(finished: Finished, kind: Any) -> None:
    loader = train_on(kind(5), batch_size=2, num_workers=1)
    assert [list(ids) for _, ids, _ in loader.pass_over()] == [
        names(0, 1), names(2, 3), names(4)
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [Named, NamedStream])
def test_it_gives_the_samples_that_are_asked_for(finished: Finished, kind: Any) -> None:
    loader = train_on(kind(9), batch_size=2)
    assert flat(list(loader.pass_over(names(1, 4, 7)))) == names(1, 4, 7)
    assert loader.length_of_pass(names(1, 4, 7)) == 3
    with pytest.raises(wl.WlError, match="s9"):
        list(loader.pass_over(names(2, 9)))


def test_samples_are_found_without_reading_images(finished: Finished) -> None:
    asked: list[tuple[int, bool]] = []

    class Watching(Masks):
        def get_items(self, index: int, include_image: bool = True) -> Any:
            asked.append((index, include_image))
            return super().get_items(index, include_image)

    loader = train_on(Watching((1, 1, 1)), batch_size=2, collate_fn=collate_masks)
    [(_, ids, *_)] = loader.pass_over(["m1"])
    assert (ids, asked) == (["m1"], [(0, False), (1, False), (1, True)])


def test_values_find_their_samples_and_nothing_counts_as_seen(finished: Finished) -> None:
    loader = train_on(Described(4), batch_size=2)
    criterion = loss()
    with wl.guard_testing_context:
        for x, *_ in loader.pass_over():
            criterion(x[:, 0])
    for x, ids, *_ in loader.pass_over(names(3, 0)):
        with wl.guard_testing_context:
            criterion(x[:, 0] * 10, batch_ids=ids)
    run = finished()
    assert not events(run, "exposed")
    assert history(run, "loss", "t", "s3") == ([0, 0], [3, 30])
    assert history(run, "loss", "t", "s1") == ([0], [1])
    assert [row["times_seen"] for row in rows(run).values()] == [0] * 4
    assert rows(run)["t", "s2"]["size"] == 2  # what was read on the way is told


def test_the_training_does_not_notice_it(finished: Finished) -> None:
    found = []
    for looks in (False, True):
        seed()
        loader = train_on(
            DataLoader(Augmented(6), batch_size=2, shuffle=True), loader_name=f"t{looks}"
        )
        passed = []
        for _ in range(5):
            x, ids, _ = next(loader)
            if looks:
                list(loader.pass_over(names(0, 3, 5)))
            passed.append((x.tolist(), ids, loader.batch_ids, torch.rand(1).item()))
        found.append(passed)
    assert found[0] == found[1]


def test_a_batch_fetched_before_it_still_belongs_to_the_guard_after_it(finished: Finished) -> None:
    loader = train_on(Named(6), batch_size=2)
    criterion = loss()
    running = session()
    for x, _, _ in loader:
        with running.handover.aside():
            for y, *_ in loader.pass_over():
                with wl.guard_testing_context:
                    criterion(y[:, 0])
        with wl.guard_training_context:
            criterion(x[:, 0] + 100)
    run = finished()
    assert [event["ids"] for event in events(run, "exposed")] == [
        names(0, 1), names(2, 3), names(4, 5)
    ]  # fmt: skip
    assert history(run, "loss", "t", "s2")[1] == [2, 2, 102, 2]


def test_it_leaves_out_what_the_training_does_unless_it_is_asked_for(finished: Finished) -> None:
    loader = train_on(Named(4), batch_size=4)
    test = wl.watch_or_edit(Named(4), flag="data", loader_name="test", batch_size=4)
    for origin in ("t", "test"):
        wl.discard_samples(names(1), origin=origin)
    assert (flat(list(loader.pass_over())), loader.length_of_pass()) == (names(0, 2, 3), 3)
    assert (flat(list(test.pass_over())), test.length_of_pass()) == (names(0, 1, 2, 3), 4)
    assert flat(list(loader.pass_over(names(1, 2)))) == names(1, 2)


def test_the_length_of_a_stream_is_not_known(finished: Finished) -> None:
    assert train_on(NamedStream(4)).length_of_pass() is None
