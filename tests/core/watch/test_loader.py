"""The tracked loader: which batches it gives, and what the run learns of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    WeightedRandomSampler,
    get_worker_info,
)

import wl_core as wl
from tests.core.watched_runs import (
    Described,
    Finished,
    Masks,
    Named,
    Pairs,
    collate_masks,
    events,
    loss,
    rows,
    sample,
)
from wl_core.watch.collate import Collated


class Dicts(Pairs):
    """A dict with an image, an id, a target and metadata."""

    def __getitem__(self, index: int) -> Any:
        x, y = super().__getitem__(index)
        return {"image": x, "id": f"d{index}", "label": y, "meta": {"size": index}}


class Bare(Pairs):
    """The data alone."""

    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index)[0]


class Stream(IterableDataset[Any]):
    """``(x, id, y)`` without indices; workers share the ids between them."""

    def __init__(self, count: int = 5) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for index in range(first, self.count, step):
            yield torch.full((3,), float(index)), f"t{index}", 0


class WhereRead(Named):
    """The process that read an item, in its metadata."""

    def __getitem__(self, index: int) -> Any:
        return *super().__getitem__(index), {"pid": os.getpid()}


class Same(Named):
    """Its items are numpy arrays and numbers of every batch; hashed they differ by content."""

    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index)[0], 0


def watch(dataset: Any, **options: Any) -> Any:
    return wl.watch_or_edit(dataset, flag="data", **{"loader_name": "t", **options})


# -- which batches ---------------------------------------------------------------------------------


def test_next_runs_on_for_ever(finished: Finished) -> None:
    loader = watch(Named(5), batch_size=2)
    ids = [one for _ in range(7) for one in next(loader)[1]]
    assert ids == [f"s{n}" for n in (0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1)]


def test_for_makes_one_pass_each_time(finished: Finished) -> None:
    loader = watch(Named(5), batch_size=2)
    assert len(loader) == 3
    for _ in range(2):
        assert [len(ids) for _, ids, _ in loader] == [2, 2, 1]


def test_a_pass_within_the_endless_run_does_not_disturb_it(finished: Finished) -> None:
    loader = watch(Named(4), batch_size=1)
    first = next(loader)[1]
    assert len(list(loader)) == 4
    assert (first, next(loader)[1]) == (("s0",), ("s1",))


@pytest.mark.parametrize(
    ("dataset", "ids"),
    [
        (Pairs(3), [0, 1, 2]),
        (Named(3), ["s0", "s1", "s2"]),
        (Described(3), ["s0", "s1", "s2"]),
        (Dicts(3), ["d0", "d1", "d2"]),
        (Bare(3), [0, 1, 2]),
        (Stream(3), ["t0", "t1", "t2"]),
    ],
    ids=lambda one: type(one).__name__,
)
def test_every_form_of_item_yields_ids(finished: Finished, dataset: Any, ids: list[Any]) -> None:
    loader = watch(dataset, batch_size=3)
    with wl.guard_training_context:
        batch = next(loader)
    own = batch["id"] if isinstance(batch, dict) else batch[1]
    assert (own.tolist() if isinstance(own, torch.Tensor) else list(own)) == ids
    assert loader.batch_ids == ids
    run = finished()
    assert list(rows(run)) == [("t", one) for one in ids]
    assert [row["times_seen"] for row in rows(run).values()] == [1, 1, 1]


def test_a_plain_list_is_a_data_set(finished: Finished) -> None:
    loader = watch([(torch.zeros(1), "a", 0), (torch.ones(1), "b", 1)], batch_size=2)
    assert list(next(loader)[1]) == ["a", "b"]


def test_a_collate_of_ones_own_gets_the_items_as_they_are(finished: Finished) -> None:
    seen: list[Any] = []

    def collate(items: list[Any]) -> int:
        seen.extend(items)
        return len(items)

    loader = watch(Pairs(2), batch_size=2, collate_fn=collate)
    assert next(loader) == 2
    assert [len(item) for item in seen] == [2, 2]
    assert loader.batch_ids == [0, 1]


@pytest.mark.parametrize(("start", "workers"), [("fork", 2), ("spawn", 1)])
def test_workers_record_nothing_and_the_main_process_everything(
    finished: Finished, start: str, workers: int
) -> None:
    loader = watch(WhereRead(4), batch_size=2, num_workers=workers, multiprocessing_context=start)
    for _, ids, _, _ in loader:
        with wl.guard_training_context:
            loss()(torch.ones(2), batch_ids=ids)
    run = finished()
    read_in = {row["pid"] for row in rows(run).values()}
    assert len(read_in) == workers
    assert os.getpid() not in read_in
    assert [row["times_seen"] for row in rows(run).values()] == [1] * 4
    assert [event["pid"] for event in events(run, "run_started")] == [os.getpid()]


def test_workers_of_a_stream_share_it(finished: Finished) -> None:
    loader = watch(Stream(5), batch_size=2, num_workers=2)
    assert sorted(one for _, ids, _ in loader for one in ids) == [f"t{n}" for n in range(5)]


def test_instance_lists_come_through_workers(finished: Finished) -> None:
    loader = watch(Masks((2, 0)), batch_size=2, collate_fn=collate_masks, num_workers=1)
    next(loader)
    run = finished()
    assert [sample(run, one)["instances"] for one in ("m0", "m1")] == [2, 0]


def _given(kind: str) -> DataLoader[Any]:
    dataset = Named(7)
    generator = torch.Generator().manual_seed(3)
    if kind == "shuffle":
        return DataLoader(dataset, batch_size=2, shuffle=True)
    if kind == "generator":
        return DataLoader(dataset, batch_size=2, shuffle=True, generator=generator)
    if kind == "sampler":
        sampler = WeightedRandomSampler([1.0] * 7, 9, generator=generator)
        return DataLoader(dataset, batch_size=3, sampler=sampler)
    if kind == "batch_sampler":
        return DataLoader(dataset, batch_sampler=BatchSampler(SequentialSampler(dataset), 3, True))
    if kind == "persistent_workers":
        return DataLoader(dataset, batch_size=2, num_workers=1, persistent_workers=True)
    return DataLoader(Described(7), batch_size=2, drop_last=True, collate_fn=list)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


@pytest.mark.parametrize(
    "kind",
    ["shuffle", "generator", "sampler", "batch_sampler", "persistent_workers", "own collate"],
)
def test_a_dataloader_is_taken_as_it_is(finished: Finished, kind: str) -> None:
    torch.manual_seed(1)
    plain = [list(loader) for loader in [_given(kind)] for _ in range(2)]
    drawn = torch.rand(1)
    torch.manual_seed(1)
    tracked = watch(_given(kind))
    for expected in plain:
        for batch, plain_batch in zip(tracked, expected, strict=True):
            assert _equal(batch, plain_batch)
            assert len(tracked.batch_ids) == len(
                plain_batch[0 if kind != "own collate" else slice(None)]
            )
    assert torch.equal(torch.rand(1), drawn)


def test_what_else_a_dataloader_has_is_there(finished: Finished) -> None:
    given = _given("generator")
    loader = watch(given)
    assert loader.sampler is given.sampler
    assert (loader.batch_size, loader.num_workers, loader.drop_last) == (2, 0, False)
    assert loader.dataset is given.dataset
    with pytest.raises(AttributeError, match="no_such_thing"):
        loader.no_such_thing  # noqa: B018  # reading it is what is tested


def test_options_for_a_dataloader_are_refused(finished: Finished) -> None:
    with pytest.raises(wl.WlError, match="as it is"):
        watch(DataLoader(Named(2)), batch_size=2)


def test_a_dataloader_without_batches_is_refused(finished: Finished) -> None:
    with pytest.raises(wl.WlError, match="batch_size=None"):
        watch(DataLoader(Named(2), batch_size=None))


def test_a_batch_goes_to_pinned_memory_with_its_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda one, *_: pinned.append(one) or one)
    x = torch.zeros(1)
    batch = Collated((x, ["a"]), ["a"], [0], [{}], None).pin_memory()
    assert (len(pinned), batch.ids, batch.batch[1]) == (1, ["a"], ["a"])


def test_an_empty_data_set_makes_empty_passes_and_next_says_so(finished: Finished) -> None:
    loader = watch(Named(0), batch_size=2)
    assert list(loader) == []
    with pytest.raises(wl.WlError, match="no batches"):
        next(loader)


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "nearest"),
    [("bach_size", "batch_size"), ("collate", "collate_fn"), ("pin_memry", "pin_memory")],
)
def test_a_misspelt_option_names_the_nearest(finished: Finished, option: str, nearest: str) -> None:
    with pytest.raises(TypeError, match=f"Did you mean '{nearest}'"):
        watch(Named(2), **{option: 1})


@pytest.mark.parametrize(
    ("item", "complaint"),
    [
        ((torch.zeros(2), torch.zeros(2), 1), "not an id"),
        ((torch.zeros(2), 0.5, 1), "not an id"),
        ((1, 2, 3, 4, 5), "5 things"),
    ],
)
def test_an_item_of_another_form_is_refused_with_the_forms_there_are(
    finished: Finished, item: Any, complaint: str
) -> None:
    with pytest.raises(wl.WlError, match=complaint) as raised:
        next(watch([item]))
    assert "(x, id, y)" in str(raised.value)


def test_a_stream_without_ids_is_refused_unless_it_is_hashed(finished: Finished) -> None:
    class Nameless(Stream):
        def __iter__(self) -> Iterator[Any]:
            return ((x, y) for x, _, y in super().__iter__())

    with pytest.raises(wl.WlError, match="compute_hash=True"):
        next(watch(Nameless()))
    next(watch(Nameless(), loader_name="hashed", compute_hash=True))


def test_two_data_sets_need_two_names(finished: Finished) -> None:
    watch(Named(1))
    with pytest.raises(wl.WlError, match="loader_name"):
        watch(Named(2))


# -- what the run learns ---------------------------------------------------------------------------


def test_the_data_sets_own_ids_are_kept(finished: Finished) -> None:
    watch(Described(2), preload_labels=True)
    assert list(rows(finished())) == [("t", "s0"), ("t", "s1")]


def test_metadata_and_scalar_targets_become_columns(finished: Finished) -> None:
    loader = watch(Described(4), batch_size=2)
    for _ in range(2):
        for _ in loader:
            pass
    run = finished()
    assert {key: sample(run, "s3")[key] for key in ("place", "size", "target")} == {
        "place": "left",
        "size": 3,
        "target": 1,
    }
    assert len(events(run, "metadata")) == 2  # nothing is told twice


def test_preload_tells_of_every_sample_before_the_first_step(finished: Finished) -> None:
    watch(Masks((2, 0, 1)), preload_labels=True, collate_fn=collate_masks)
    run = finished()
    assert [sample(run, f"m{n}")["instances"] for n in range(3)] == [2, 0, 1]
    assert [sample(run, f"m{n}")["times_seen"] for n in range(3)] == [0, 0, 0]
    assert len(run.instances()) == 3


def test_preload_reads_no_image_where_the_data_set_can_leave_it_out(finished: Finished) -> None:
    asked: list[bool] = []

    class Watching(Masks):
        def get_items(self, index: int, include_image: bool = True) -> Any:
            asked.append(include_image)
            return super().get_items(index, include_image)

    watch(Watching((1, 1)), preload_labels=True)
    assert asked == [False, False]


def test_preload_reads_images_when_they_are_what_samples_are_known_by(finished: Finished) -> None:
    class Nameless(Masks):
        def get_items(self, index: int, include_image: bool = True) -> Any:
            image, _, masks, _ = super().get_items(index, include_image)
            return image, masks

    watch(Nameless((1, 1)), preload_labels=True, compute_hash=True)
    assert len(rows(finished())) == 2


def test_a_hash_knows_a_sample_by_its_content(finished: Finished) -> None:
    one, other = watch(Same(2), compute_hash=True, batch_size=2), [0, 1]
    next(one)
    assert [len(str(own)) for own in one.batch_ids] == [16, 16]
    shuffled = watch(Same(2), compute_hash=True, batch_size=2, loader_name="u", sampler=other[::-1])
    next(shuffled)
    assert shuffled.batch_ids == one.batch_ids[::-1]


def test_a_new_run_is_told_again(finished: Finished, tmp_path: Any) -> None:
    loader = watch(Described(2), batch_size=2)
    next(loader)
    wl.finish()
    wl.start_run(tmp_path / "second")
    next(loader)
    wl.finish()
    with wl.open_run(tmp_path / "second") as run:
        assert sample(run, "s1")["size"] == 1


def test_a_watched_dataset_class_keeps_its_type(finished: Finished) -> None:
    dataset: Dataset[Any] = Named(2)
    assert watch(dataset).dataset is dataset
