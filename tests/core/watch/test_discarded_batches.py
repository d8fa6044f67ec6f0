"""What a person discards leaves the batches of a training loader, with every setting of workers."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Sampler, SequentialSampler

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
from tests.core.watched_runs import Described, Finished, Named, Pairs, events, loss, rows
from wl_core.watch.packing import pack, unpack

every_worker_setting = pytest.mark.parametrize("workers", WORKERS.values(), ids=WORKERS)
every_kind = pytest.mark.parametrize("kind", [Named, NamedStream])


# -- nothing discarded: nothing changes ------------------------------------------------------------


class Watching(Sampler[int]):
    """Draws a random order one by one and notes what it draws."""

    def __init__(self, count: int, drawn: list[Any]) -> None:
        self.count = count
        self.drawn = drawn

    def __iter__(self) -> Iterator[int]:
        for _ in range(self.count):
            index = int(torch.randint(self.count, ()))
            self.drawn.append(index)
            yield index

    def __len__(self) -> int:
        return self.count


def _plain(kind: str, workers: int, drawn: list[Any]) -> DataLoader[Any]:
    dataset = Augmented(11)
    own: dict[str, dict[str, Any]] = {
        "shuffle": {"batch_size": 3, "shuffle": True},
        "generator": {"shuffle": True, "generator": torch.Generator().manual_seed(5)},
        "sampler": {"batch_size": 3, "sampler": Watching(11, drawn), "drop_last": True},
        "batch_sampler": {"batch_sampler": [[3, 1], [2], [2, 0, 9]]},
    }
    return DataLoader(dataset, num_workers=workers, **own[kind])


def _trained(kind: str, workers: int, *, watched: bool) -> list[Any]:
    """All that two passes give, with what had been drawn at each batch, and the generator's end."""
    seed()
    seen: list[Any] = []
    drawn: list[Any] = []
    loader: Any = _plain(kind, workers, drawn)
    if watched:
        loader = train_on(loader)
    for _ in range(2):
        for x, ids, y in loader:
            seen.append([x.tolist(), list(ids), y.tolist(), list(drawn), torch.rand(1).item()])
    return [*seen, torch.get_rng_state().tolist()]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["shuffle", "generator", "sampler", "batch_sampler"])
def test_without_discards_no_batch_and_no_random_number_changes(
    finished: Finished, kind: str, workers: int
) -> None:
    assert _trained(kind, workers, watched=True) == _trained(kind, workers, watched=False)


def test_a_batch_without_discarded_samples_is_the_very_object(finished: Finished) -> None:
    made: list[Any] = []

    def collate(items: list[Any]) -> list[Any]:
        made.append(items)
        return items

    loader = train_on(Named(6), batch_size=2, collate_fn=collate)
    next(loader)
    wl.discard_samples(names(5))
    assert next(loader) is made[-1]
    assert len(made) == 2


# -- a discarded sample leaves the batches ---------------------------------------------------------


@every_worker_setting
@every_kind
def test_a_discarded_sample_is_gone_from_the_next_batch_on(
    finished: Finished, kind: Any, workers: dict[str, Any]
) -> None:
    loader = train_on(kind(24), batch_size=4, **workers)
    batches = iter(loader)
    first = next(batches)
    gone = names(*(n for n in range(8, 20) if n % 3))  # some of them are in workers' hands already
    wl.discard_samples(gone)
    passed = [first, *batches]
    left = sorted(set(names(*range(24))) - set(gone))
    assert sorted(flat(passed)) == left
    assert sizes(passed) == [4, 4, 4, 4]  # whole batches of what is left
    again = list(loader)
    assert (sorted(flat(again)), sizes(again)) == (left, [4, 4, 4, 4])


@every_worker_setting
@every_kind
def test_a_restored_sample_comes_back_at_the_next_pass(
    finished: Finished, kind: Any, workers: dict[str, Any]
) -> None:
    loader = train_on(kind(6), batch_size=2, **workers)
    wl.discard_samples(names(1, 2, 3))
    assert sorted(flat(list(loader))) == names(0, 4, 5)
    wl.discard_samples(names(2, 3), discarded=False)
    assert sorted(flat(list(loader))) == names(0, 2, 3, 4, 5)


@every_worker_setting
@every_kind
def test_a_continued_run_leaves_them_out_from_the_first_batch_on(
    finished: Finished, kind: Any, workers: dict[str, Any]
) -> None:
    train_on(kind(8))
    wl.discard_samples(names(0, 1, 5))
    wl.finish()
    wl.start_run(finished.path)
    loader = train_on(kind(8), batch_size=2, **workers)
    passed = list(loader)
    assert sorted(flat(passed)) == names(2, 3, 4, 6, 7)
    assert sorted(sizes(passed)) == [1, 2, 2]


def test_what_is_discarded_is_not_read_once_its_place_is_known(finished: Finished) -> None:
    read: list[int] = []

    class Noting(Named):
        def __getitem__(self, index: int) -> Any:
            read.append(index)
            return super().__getitem__(index)

    loader = train_on(Noting(6), batch_size=2)
    wl.discard_samples(names(2, 3, 5))
    list(loader)
    assert sorted(set(read)) == [0, 1, 2, 3, 4, 5]
    read.clear()
    assert sizes(list(loader)) == [2, 1]
    assert read == [0, 1, 4]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_collate_of_ones_own_makes_what_is_left(finished: Finished, workers: int) -> None:
    loader = train_on(Pairs(6), batch_size=2, collate_fn=_sum, num_workers=workers)
    wl.discard_samples([1, 2])  # nobody knows yet where they are
    assert list(loader) == [(2, 3.0), (2, 9.0)]
    assert loader.batch_ids == [4, 5]


def _sum(items: list[Any]) -> tuple[int, float]:
    return len(items), float(sum(x[0] for x, _ in items))


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_ones_own_batch_sampler_become_smaller(finished: Finished, workers: int) -> None:
    sampler = [[0, 1, 2], [3, 4], [5, 0]]
    loader = train_on(DataLoader(Named(6), batch_sampler=sampler, num_workers=workers))
    wl.discard_samples(names(1, 3, 4))
    expected = [("s0", "s2"), ("s5", "s0")]
    assert [ids for _, ids, _ in loader] == expected
    assert [ids for _, ids, _ in loader] == expected  # now that their places are known
    assert loader.batch_sampler is sampler
    assert len(loader) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_no_batch_is_short_where_the_last_one_is_dropped(finished: Finished, workers: int) -> None:
    given = DataLoader(Named(12), batch_size=4, drop_last=True, num_workers=workers)
    loader = train_on(given)
    wl.discard_samples(names(2, 9))
    for _ in range(2):
        assert sizes(list(loader)) == [4, 4]
    wl.discard_samples(names(3, 4, 5))
    assert sizes(list(loader)) == [4]


def test_a_batch_sampler_of_torch_is_filled_up(finished: Finished) -> None:
    dataset = Named(7)
    given = DataLoader(dataset, batch_sampler=BatchSampler(SequentialSampler(dataset), 3, False))
    loader = train_on(given)
    list(loader)
    wl.discard_samples(names(1))
    assert sizes(list(loader)) == [3, 3]


def test_what_is_no_sample_of_a_training_loader_drops_nothing(finished: Finished) -> None:
    loader = train_on(Named(4), batch_size=4)
    test = wl.watch_or_edit(Named(4), flag="data", loader_name="test", batch_size=4)
    wl.discard_samples(names(0), origin="t", annotation_id=1)
    wl.discard_samples(names(1), origin="test")
    for _ in range(2):
        assert flat(list(loader)) == names(0, 1, 2, 3)
        assert flat(list(test)) == names(0, 1, 2, 3)


@pytest.mark.parametrize("workers", [0, 2])
def test_making_a_batch_again_draws_no_random_number(finished: Finished, workers: int) -> None:
    states = []
    for loader in (
        DataLoader(Augmented(8), batch_size=4, num_workers=workers),
        train_on(Augmented(8), batch_size=4, num_workers=workers),
    ):
        seed()
        wl.discard_samples(names(6), origin="t")  # nobody knows yet where it is
        last = list(loader)[-1]
        states.append(torch.get_rng_state())
    assert list(last[1]) == names(4, 5, 7)
    assert torch.equal(*states)


def test_only_what_is_left_is_exposed(finished: Finished) -> None:
    loader = train_on(Described(4), batch_size=4, num_workers=1)
    wl.discard_samples(names(1, 2))
    for _, ids, _, _ in loader:
        with wl.guard_training_context:
            loss()(torch.ones(2), batch_ids=ids)
    run = finished()
    assert [event["ids"] for event in events(run, "exposed")] == [names(0, 3)]
    assert rows(run)["t", "s1"]["times_seen"] == 0


# -- nothing is left -------------------------------------------------------------------------------


@every_worker_setting
@every_kind
def test_when_all_is_discarded_a_pass_says_so_and_how_to_go_on(
    finished: Finished, kind: Any, workers: dict[str, Any]
) -> None:
    loader = train_on(kind(6), batch_size=2, **workers)
    first = next(loader)
    wl.discard_samples(names(*range(6)))
    for make_pass in (lambda: next(loader), lambda: list(loader), lambda: next(iter(loader))):
        message = _complaint(make_pass)
        assert "6 of its samples are discarded" in message
        for way in ("wl restore s0", "wl undo", "discarded=False"):
            assert way in message
    wl.discard_samples(names(1, 3), discarded=False)
    assert len(first[1]) == 2
    assert sorted(next(loader)[1]) == names(1, 3)


def _complaint(make_pass: Callable[[], Any]) -> str:
    """What is raised, without keeping its traceback, on which workers would hang."""
    try:
        make_pass()
    except wl.WlError as error:
        return str(error)
    raise AssertionError("nothing was raised")


def test_less_than_a_batch_is_no_batch_where_the_last_is_dropped(finished: Finished) -> None:
    loader = train_on(Named(6), batch_size=4, drop_last=True)
    wl.discard_samples(names(1, 2, 3))
    for _ in range(2):  # when it is not known where they are, and when it is
        with pytest.raises(wl.WlError, match="no batch left: 3 of its samples"):
            list(loader)


def test_the_batch_in_hand_is_the_last_of_a_pass_when_all_is_discarded(finished: Finished) -> None:
    loader = train_on(Named(6), batch_size=2, num_workers=1)
    passed = []
    for batch in loader:
        passed.append(batch)
        wl.discard_samples(names(*range(6)))
    assert flat(passed) == names(0, 1)


class Endless(Sampler[int]):
    def __iter__(self) -> Iterator[int]:
        return itertools.cycle(range(4))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", ["sampler", "batch_sampler", "stream"])
def test_what_never_ends_is_given_up_when_all_is_discarded(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, kind: str, workers: int
) -> None:
    monkeypatch.setattr("wl_core.watch.sampling._INDICES_IN_A_ROW", 2000)
    monkeypatch.setattr("wl_core.watch.sampling._SAMPLES_IN_A_ROW", 500)
    own: Any = {
        "sampler": lambda: DataLoader(Named(4), sampler=Endless(), num_workers=workers),
        "batch_sampler": lambda: DataLoader(
            Named(4), batch_sampler=BatchSampler(Endless(), 2, True), num_workers=workers
        ),
        "stream": lambda: DataLoader(NamedStream(4, None), batch_size=64, num_workers=workers),
    }
    loader = train_on(own[kind]())
    batches = iter(loader)
    for _ in range(5):
        next(batches)
    wl.discard_samples(names(0, 1, 2, 3))
    with pytest.raises(wl.WlError, match="no batch left"):
        next(batches)


# -- workers ---------------------------------------------------------------------------------------


def test_a_streams_spawned_workers_know_it_too(finished: Finished) -> None:
    loader = train_on(NamedStream(8), batch_size=2, num_workers=1, multiprocessing_context="spawn")
    batches = iter(loader)
    passed = [next(batches)]
    wl.discard_samples(names(3, 4))
    assert flat([*passed, *batches]) == names(0, 1, 2, 5, 6, 7)


def test_workers_end_with_their_loader_and_not_with_the_garbage(finished: Finished) -> None:
    gc.collect()
    gc.disable()
    try:
        loader = train_on(Named(8), batch_size=2, num_workers=1)
        next(loader)
        wl.finish()
        assert multiprocessing.active_children()
        del loader
        assert not multiprocessing.active_children()
    finally:
        gc.enable()


class Unpicklable(NamedStream):
    def __iter__(self) -> Iterator[Any]:
        return ((x, own, {"y": y, "of": (lambda: 0)}) for x, own, y in super().__iter__())


def test_a_streams_item_that_cannot_travel_is_named(finished: Finished) -> None:
    loader = train_on(Unpicklable(2), batch_size=2, num_workers=1, collate_fn=len)
    with pytest.raises(wl.WlError, match="cannot be pickled"):
        next(loader)
    assert next(train_on(Unpicklable(2), batch_size=2, loader_name="u", collate_fn=len)) == 2


def test_of_a_tensor_only_what_it_shows_travels() -> None:
    whole = torch.arange(100_000)
    items = [(None, (whole[5:8], "a", torch.tensor(True), torch.ones(2).bfloat16()))]
    packed = pack(items)
    [(_, (part, own, flag, small))] = unpack(packed)
    assert len(packed) < 5_000
    assert (part.tolist(), own, flag.item(), small.tolist()) == ([5, 6, 7], "a", True, [1, 1])
    part += 1  # a collate may change its items


def test_a_batch_that_is_made_again_is_pinned_like_the_others(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned: list[int] = []

    def pin(one: torch.Tensor, *_: Any) -> torch.Tensor:
        pinned.append(len(one))
        return one

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    loader = train_on(Named(3), batch_size=3, pin_memory=True)
    wl.discard_samples(names(1))
    list(loader)
    assert pinned == [3, 3, 2, 2]  # x and y of the batch that came, and of what is left of it
