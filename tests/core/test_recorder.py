"""Recorder: facts into frames, one frame for what belongs together."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from wl_core.codec import Frame, decode
from wl_core.recorder import Recorder
from wl_core.tail import Entry
from wl_core.values import BatchIds, as_instances


class Log:
    """Takes the frames that a recorder hands on, and reads them back from their bytes."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.told: list[tuple[Frame, int]] = []
        self.recorder = Recorder(b"a writer", self.entries.append, self._committed)

    def _committed(self, frame: Frame, seen: int) -> None:
        self.told.append((frame, seen))

    @property
    def frames(self) -> list[Frame]:
        return [decode(0, entry.frame) for entry in self.entries]

    def kinds(self) -> list[list[str]]:
        return [[event[0] for event in frame.events] for frame in self.frames]


def values(recorder: Recorder, signal: str = "x", ids: Any = (1, 2)) -> None:
    recorder.values(signal, True, BatchIds("t", list(ids)), np.zeros(len(ids), np.float32))


def test_facts_outside_of_guards_are_frames_of_their_own() -> None:
    log = Log()
    values(log.recorder)
    values(log.recorder)
    assert log.kinds() == [["values"], ["values"]]
    assert [frame.phase for frame in log.frames] == ["outside", "outside"]
    assert [frame.number for frame in log.frames] == [1, 2]


def test_facts_that_belong_together_are_one_frame() -> None:
    log = Log()
    with log.recorder.facts():
        values(log.recorder, "x")
        with log.recorder.facts():
            values(log.recorder, "y")
    assert log.kinds() == [["values", "values"]]


def test_facts_that_an_exception_cuts_short_are_not_recorded() -> None:
    log = Log()
    with pytest.raises(ValueError, match="boom"), log.recorder.facts():  # noqa: PT012
        values(log.recorder)
        raise ValueError("boom")
    values(log.recorder, "y")
    assert [event[2] for frame in log.frames for event in frame.events] == ["y"]


def test_a_step_is_one_frame_and_moves_the_clock() -> None:
    log = Log()
    log.recorder.begin("train")
    values(log.recorder)
    assert (log.entries, log.recorder.step) == ([], 0)
    log.recorder.end()
    assert (log.kinds(), log.recorder.step) == ([["values"]], 1)


def test_a_step_without_facts_leaves_no_frame_but_moves_the_clock() -> None:
    log = Log()
    log.recorder.begin("train")
    log.recorder.end()
    assert (log.entries, log.recorder.step) == ([], 1)


def test_ids_and_vectors_of_a_frame_are_kept_once() -> None:
    log = Log()
    batch = BatchIds("t", ["a", "b"])
    instances = as_instances(batch, [0, 0, 1])
    log.recorder.begin("train")
    for name in ("x", "y"):
        log.recorder.values(name, True, batch, np.ones(2, np.float32))
        log.recorder.instance_values(name, True, instances, np.ones(3, np.float32))
    log.recorder.end()
    # ids; two vectors of values; batch_idx; annotation_ids
    assert len(log.frames[0].blobs) // 2 == 5


def test_an_array_goes_to_the_store_the_first_time_only() -> None:
    log = Log()
    batch = BatchIds("t", ["a", "b"])
    for _ in range(2):
        log.recorder.arrays("prediction", batch, np.arange(18, dtype=np.uint8).reshape(2, 3, 3))
    assert [len(entry.arrays) for entry in log.entries] == [2, 0]
    [first, second] = log.frames
    assert first.events == second.events


def test_named_samples_count_as_seen_unless_a_loader_brought_them() -> None:
    log = Log()
    brought = BatchIds("t", ["a", "b"])
    log.recorder.begin("train")
    log.recorder.exposed(brought)
    log.recorder.named(brought)
    log.recorder.named(BatchIds("t", ["b", "c"]))
    log.recorder.named(BatchIds("u", ["a", "a"]))
    log.recorder.end()
    [frame] = log.frames
    seen = [(event[2], frame.ids(event[3])) for event in frame.events if event[0] == "exposed"]
    assert seen == [("t", ["a", "b"]), ("t", ["c"]), ("u", ["a"])]


def test_two_threads_do_not_mix_their_frames() -> None:
    log = Log()

    def record(name: str) -> None:
        for _ in range(200):
            with log.recorder.facts():
                values(log.recorder, name)
                values(log.recorder, name)

    threads = [threading.Thread(target=record, args=(name,)) for name in "xy"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log.frames) == 400
    assert all(len({event[2] for event in frame.events}) == 1 for frame in log.frames)
    assert [frame.number for frame in log.frames] == list(range(1, 401))
