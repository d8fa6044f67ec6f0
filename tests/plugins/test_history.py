from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wl_core.partitions import fold_frames
from wl_core.testing import FrameWriter, ProjectionConformance
from wl_plugins import history
from wl_plugins.history import History
from wl_plugins.value_chunks import OPEN_BITS, Chunk, sealed, sorted_stably
from wl_plugins.value_merge import in_ranges, whole


class TestConformance(ProjectionConformance):
    projection = History


class TestConformanceInSmallChunks(ProjectionConformance):
    projection = History

    @pytest.fixture(autouse=True, scope="class")
    def _small(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(history, "CHUNK", 4)
            patch.setattr(history, "OPEN_LIMIT", 7)
            yield


def test_a_trajectory_comes_in_the_order_of_the_log() -> None:
    log = FrameWriter()
    for step in range(5):
        log.values("loss", [7, "a"], [step / 2, -step])
        log.values("loss", [7], [100.0], origin="test_loader")
        log.step(2)
    view = fold_frames(History, log.frames)
    steps, values = view.history("signals_loss", "train_loader", 7)
    assert (steps.dtype, values.dtype) == (np.int64, np.float64)
    assert steps.tolist() == [0, 2, 4, 6, 8]
    assert values.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert view.history("loss", "train_loader", "a")[1].tolist() == [0, -1, -2, -3, -4]
    assert view.names() == ["loss"]


def test_a_value_measured_twice_in_a_step_is_there_twice() -> None:
    log = FrameWriter()
    log.values("loss", [1, 1], [1.0, 2.0])
    log.values("loss", [1], [3.0], log=False)
    log.step()
    steps, values = fold_frames(History, log.frames).history("loss", "train_loader", 1)
    assert steps.tolist() == [0, 0, 0]
    assert values.tolist() == [1.0, 2.0, 3.0]


def test_an_instance_has_a_history_of_its_own() -> None:
    log = FrameWriter()
    log.values("bce", [1], [9.0])
    log.instance_values("bce", [2, 1], [1, 0, 1], [2, 1, 1], [12.0, 21.0, 11.0])
    log.step()
    view = fold_frames(History, log.frames)
    found = [view.history("bce", "train_loader", 1, n)[1].tolist() for n in (0, 1, 2, 3)]
    assert found == [[9.0], [11.0], [12.0], []]


def test_values_of_groups_stand_in_where_there_are_none_of_samples() -> None:
    log = FrameWriter()
    log.group_values("distance", [[1, 2], [2]], [1.0, 2.0])
    log.group_values("both", [[1]], [3.0])
    log.values("both", [1], [4.0])
    log.labels("predicted", [1], ["cat"])
    log.step()
    view = fold_frames(History, log.frames)
    found = [view.history("distance", "train_loader", n)[1].tolist() for n in (1, 2)]
    assert found == [[1.0], [1.0, 2.0]]
    names = ("both", "groups/both", "predicted")
    found = [view.history(name, "train_loader", 1)[1].tolist() for name in names]
    assert found == [[4.0], [3.0], []]
    assert view.names() == ["both", "distance"]


def test_what_was_never_measured_has_no_history() -> None:
    steps, values = History().history("loss", "train_loader", 1)
    assert (len(steps), len(values)) == (0, 0)


def test_a_trajectory_goes_on_from_chunk_to_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "CHUNK", 8)
    log = FrameWriter()
    for step in range(40):
        log.values("loss", [step % 3, 100 + step], [step, 0.0])
        log.step()
    small = History()
    for frame in log.frames:
        small.merge(fold_frames(History, [frame]))
    for view in (small, fold_frames(History, log.frames)):
        for sample in range(3):
            steps, values = view.history("loss", "train_loader", sample)
            assert steps.tolist() == values.tolist() == list(range(sample, 40, 3))


_ROWS = st.lists(st.sampled_from((0, 1, 5, 2**20, 2**40, 2**62)), max_size=50)


@given(_ROWS)
def test_the_fast_order_is_the_stable_one(rows: list[int]) -> None:
    numbers = np.asarray(rows, np.int64)
    in_order, order = sorted_stably(numbers)
    assert order.tolist() == np.argsort(numbers, kind="stable").tolist()
    assert in_order.tolist() == sorted(rows)


def chunk_of(rows: list[int], ids: list[int], generator: np.random.Generator) -> Chunk:
    """3,000 values of these samples and annotation_ids, numbered in the order of the log."""
    keys = generator.choice(rows, 3000) << OPEN_BITS | generator.choice(ids, 3000)
    return sealed(keys, np.arange(3000), np.arange(3000) / 4)


_KEYS = [
    ([1, 2, 90], [0]),  # more values of a row than lie between two marks
    (list(range(5, 700)), [0]),
    ([0, 2**31, 2**40], [1, 300]),  # more than fits into 32 bits
    (list(range(40)), [1, 2, 3, 70_000]),
]


@pytest.mark.parametrize(("rows", "ids"), _KEYS)
def test_a_row_is_found_wherever_it_lies_in_a_chunk(rows: list[int], ids: list[int]) -> None:
    chunk = chunk_of(rows, ids, np.random.default_rng(1))
    for row in [0, *rows[::50], rows[-1], rows[-1] + 1, 2**41]:
        for number in (0, *ids, ids[-1] + 1):
            steps, values = chunk.find(row, number)
            mine = (chunk.sample_rows == row) & (chunk.annotation_ids == number)
            assert steps.tolist() == chunk.steps[mine].tolist()
            assert values.tolist() == (np.sort(steps) / 4).tolist()


def test_chunks_of_every_width_come_together_by_row() -> None:
    generator = np.random.default_rng(2)
    chunks = [chunk_of(rows, ids, generator) for rows, ids in _KEYS]
    found = whole(chunks)
    pieces = list(in_ranges(chunks, 600))
    assert len(pieces) > 10
    for name in ("sample_rows", "annotation_ids", "steps", "values", "counts"):
        joined = np.concatenate([getattr(piece, name) for piece in pieces])
        assert joined.tolist() == getattr(found, name).tolist()
    rows = np.concatenate([chunk.sample_rows for chunk in chunks])
    ids = np.concatenate([chunk.annotation_ids for chunk in chunks])
    order = np.lexsort((ids, rows))
    assert np.repeat(found.sample_rows, found.counts).tolist() == rows[order].tolist()
    assert np.repeat(found.annotation_ids, found.counts).tolist() == ids[order].tolist()
    for name in ("steps", "values"):
        expected = np.concatenate([getattr(chunk, name) for chunk in chunks])[order]
        assert getattr(found, name).tolist() == expected.tolist()


def test_all_trajectories_of_a_signal_come_by_row() -> None:
    log = FrameWriter()
    for step in range(3):
        log.values("loss", ["b", "a"], [step, 10 + step])
        log.instance_values("loss", ["a"], [0, 0], [1, 2], [step, -step])
        log.step()
    view = fold_frames(History, log.frames)
    samples = view.trajectories("loss")
    assert [view.index.sample_id(row) for row in samples.sample_rows] == ["b", "a"]
    assert samples.annotation_ids.tolist() == [0, 0]
    assert samples.offsets.tolist() == [0, 3, 6]
    assert samples.counts.tolist() == [3, 3]
    assert samples.steps.tolist() == [0, 1, 2, 0, 1, 2]
    assert samples.values.tolist() == [0, 1, 2, 10, 11, 12]
    instances = view.trajectories("loss", instances=True)
    assert instances.annotation_ids.tolist() == [1, 2]
    assert instances.values.tolist() == [0, 1, 2, 0, -1, -2]
    assert len(view.trajectories("nothing")) == 0
