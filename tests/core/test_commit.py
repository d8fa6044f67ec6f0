"""GroupCommit: nothing waits for the disk but `flush`, and each frame reaches the log once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.core.frames import (
    WRITER,
    entry,
    in_forked_child,
    numbers,
    run_python,
    until,
    whole,
    write_lock_held,
)
from wl_core import commit as commits
from wl_core import tail as tails
from wl_core.arrays import ArrayStore, pack_arrays
from wl_core.commit import GroupCommit, recover
from wl_core.errors import DetachedRunError, LogWriteError
from wl_core.log import EventLog
from wl_core.tail import Entry, Tail, read_tails, tail_paths


class Place:
    """A log, its arrays and the directory of its tails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = EventLog(path / "log", create=True)
        self.arrays = ArrayStore(path / "arrays", create=True)

    def committing(self) -> GroupCommit:
        return GroupCommit(self.log, self.arrays, self.path, WRITER)

    def close(self) -> None:
        self.log.close()
        self.arrays.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.close()


def test_flush_returns_when_everything_before_it_is_in_the_log(place: Place) -> None:
    commit = place.committing()
    for number in range(1, 100):
        commit.submit(entry(number))
    assert commit.flush()
    assert commit.durable_number == 99
    assert numbers(place.log) == list(range(1, 100))
    assert commit.flush(0.0)
    commit.close()
    assert tail_paths(place.path) == []


def test_flush_gives_up_after_its_timeout(place: Place) -> None:
    commit = place.committing()
    with write_lock_held(place.log.path):
        commit.submit(entry(1))
        assert not commit.flush(0.05)
        assert commit.durable_number == 0
    assert commit.flush()
    commit.close()


def test_a_step_never_waits_for_a_commit_that_cannot_begin(place: Place) -> None:
    """Another process holds the log: steps are recorded as fast as ever, and survive (G2, G3)."""
    commit = place.committing()
    slowest = 0.0
    with write_lock_held(place.log.path):
        commit.submit(entry(1))
        until(lambda: not commit._queue)  # the commit thread has it, and waits
        for number in range(2, 1001):
            began = time.perf_counter()
            commit.submit(entry(number))
            place.log.foreign_frames(WRITER)
            slowest = max(slowest, time.perf_counter() - began)
        assert commit.durable_number == 0
        assert [one.number for one in read_tails(place.path)] == list(range(1, 1001))
    commit.flush()
    assert numbers(place.log) == list(range(1, 1001))
    assert slowest < 0.5  # a loaded machine may take the processor away; a commit took for ever
    commit.close()


def test_the_disk_is_waited_for_on_the_commit_thread_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    real = EventLog.append

    def watched(self: EventLog, entries: list[Entry]) -> int:
        seen.add(threading.current_thread().name)
        return real(self, entries)

    monkeypatch.setattr(EventLog, "append", watched)
    commit = place.committing()
    for number in range(1, 20):
        commit.submit(entry(number))
    commit.flush()
    commit.close()
    assert seen == {"wl-commit"}


def test_a_tail_file_is_not_emptied_before_its_frames_are_in_the_log(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "_ROTATE_BYTES", 1_000)
    monkeypatch.setattr(commits, "GROUP_SECONDS", 0.3)  # all of these in one group
    commit = place.committing()
    with write_lock_held(place.log.path):
        for number in range(1, 31):
            commit.submit(entry(number))
        until(lambda: commit._tail._active == 1)
        until(lambda: not _free(place.log))  # it waits for the lock, with the file that is full
        commit.submit(entry(31))
        assert [one.number for one in read_tails(place.path)] == list(range(1, 32))
    commit.flush()
    assert numbers(place.log) == list(range(1, 32))
    commit.close()


def _free(log: EventLog) -> bool:
    free = log.environment.try_turn()
    if free:
        log.environment.end_turn()
    return free


def test_one_commit_takes_what_many_steps_left(place: Place) -> None:
    before = place.log.environment.last_transaction()
    commit = place.committing()
    with write_lock_held(place.log.path):
        for number in range(1, 201):
            commit.submit(entry(number))
    commit.flush()
    assert place.log.environment.last_transaction() - before < 10
    commit.close()


def test_a_group_is_cut_into_transactions_that_fit_in_memory(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "_GROUP_FRAMES", 10)
    monkeypatch.setattr(commits, "_GROUP_BYTES", 5_000)
    before = place.log.environment.last_transaction()
    entries = [entry(number, size=10 if number < 60 else 400) for number in range(1, 81)]
    commits.commit_entries(place.log, place.arrays, entries)
    assert place.log.environment.last_transaction() - before > 10
    assert numbers(place.log) == list(range(1, 81))


# -- recovery ---------------------------------------------------------------------------------


def test_what_is_in_both_tail_files_and_partly_in_the_log_arrives_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "_ROTATE_BYTES", 2_000)
    tail = Tail(place.path, WRITER)
    place.log.append([entry(number) for number in range(1, 6)])
    turned = 0
    for number in range(1, 31):
        tail.append(entry(number))
        turned += turned == 0 and tail.turn() is not None
    assert turned == 1
    assert [path.stat().st_size > 16 for path in tail_paths(place.path)] == [True, True]
    assert recover(place.log, place.arrays, place.path) == 30
    assert numbers(place.log) == list(range(1, 31))
    assert tail_paths(place.path) == []
    assert place.log.model_age == 30
    tail.close(remove=True)


def test_recovery_that_was_killed_before_it_removed_the_tails_can_be_done_again(
    place: Place,
) -> None:
    tail = Tail(place.path, WRITER)
    for number in range(1, 11):
        tail.append(entry(number))
    tail.close(remove=False)
    kept = {path: path.read_bytes() for path in tail_paths(place.path)}
    for _ in range(3):
        recover(place.log, place.arrays, place.path)
        assert numbers(place.log) == list(range(1, 11))
        for path, data in kept.items():
            path.write_bytes(data)


def test_what_comes_after_a_hole_is_given_up(place: Place) -> None:
    """After power loss: what is left of a writer is the beginning of what it wrote."""
    place.log.append([entry(1)])
    tail = Tail(place.path, WRITER)
    for number in (1, 2, 3, 5, 6):
        tail.append(entry(number))
    tail.close(remove=False)
    recover(place.log, place.arrays, place.path)
    assert numbers(place.log) == [1, 2, 3]


def test_arrays_are_recovered_with_the_frames_that_name_them(place: Place) -> None:
    masks = [np.eye(9, dtype=bool), np.arange(6.0).reshape(2, 3)]
    packed = pack_arrays(masks)
    tail = Tail(place.path, WRITER)
    tail.append(entry(1, arrays=tuple(packed)))
    tail.close(remove=False)
    recover(place.log, place.arrays, place.path)
    for (reference, _), mask in zip(packed, masks, strict=True):
        assert np.array_equal(place.arrays.get(reference), mask)


def test_arrays_are_stored_before_the_events_that_name_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a crash in between leaves an array without an event, and never the reverse."""
    [(reference, record)] = pack_arrays([np.ones(3)])

    def dies(*_: object) -> int:
        raise LogWriteError("died here")

    monkeypatch.setattr(EventLog, "append", dies)
    with pytest.raises(LogWriteError):
        commits.commit_entries(place.log, place.arrays, [entry(1, arrays=((reference, record),))])
    assert reference in place.arrays
    assert whole(place.log) == []


# -- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [LogWriteError("the disk is full"), MemoryError("no memory")])
def test_a_commit_that_fails_is_told_by_the_next_step_and_by_flush(
    place: Place, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object) -> int:
        raise error

    monkeypatch.setattr(EventLog, "append", fails)
    commit = place.committing()
    commit.submit(entry(1))
    with pytest.raises(LogWriteError, match=str(error)):
        commit.flush()
    with pytest.raises(LogWriteError, match=str(error)):
        commit.submit(entry(2))
    commit.close()
    monkeypatch.undo()
    assert recover(place.log, place.arrays, place.path) == 1  # it waited in the tail
    assert numbers(place.log) == [1]


def test_when_the_tail_is_refused_what_was_before_it_still_reaches_the_log(tmp_path: Path) -> None:
    script = """
        import resource, sys
        from pathlib import Path
        from tests.core.frames import entry, numbers, write_lock_held
        from tests.core.test_commit import Place
        from wl_core.errors import LogWriteError

        place = Place(Path(sys.argv[1]))
        place.log.append([entry(n, writer=b"writer 2", size=5000) for n in range(1, 50)])
        commit = place.committing()
        with write_lock_held(place.log.path):
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
            try:
                for number in range(1, 10_000):
                    commit.submit(entry(number, size=10))
            except LogWriteError as error:
                assert "tail" in str(error), error
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        commit.close()
        print(number, numbers(place.log) == list(range(1, number)))
    """
    number, complete = run_python(script, tmp_path).split()
    assert int(number) > 10
    assert complete == "True"
    assert tail_paths(tmp_path) == []


def test_a_forked_child_cannot_write_its_parents_tail(place: Place) -> None:
    commit = place.committing()
    commit.submit(entry(1))

    def everything() -> list[str]:
        said = []
        for attempt in (lambda: commit.submit(entry(2)), commit.flush, commit.close):
            try:
                attempt()
            except DetachedRunError as error:
                said.append(type(error).__name__)
        return said

    assert in_forked_child(everything) == str(["DetachedRunError"] * 3)
    commit.submit(entry(2))
    commit.close()
    assert numbers(place.log) == [1, 2]
