"""The run directory: who may write it, and which runs there are."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.core.frames import SECONDS, in_forked_child, python
from wl_core.directory import (
    RunDirectory,
    WriterLock,
    default_root,
    find_run,
    list_runs,
    new_run_path,
    writer_of,
)
from wl_core.errors import RunLockedError, RunNotFoundError
from wl_core.log import EventLog

HOLD = """
    import sys
    from pathlib import Path
    from wl_core.directory import WriterLock
    lock = WriterLock(Path(sys.argv[1]))
    lock.sign()
    print("held", flush=True)
    sys.stdin.readline()
"""


def made(path: Path, began: float) -> Path:
    directory = RunDirectory(path)
    EventLog(directory.log, create=True).close()
    directory.lock.touch()
    os.utime(directory.lock, (began, began))
    return path


@pytest.fixture
def lock_path(tmp_path: Path) -> Path:
    return RunDirectory(tmp_path / "run").lock


def test_a_second_writer_is_refused_and_the_first_is_named(lock_path: Path) -> None:
    with python(HOLD, lock_path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunLockedError, match=rf"process {other.pid} on .*another run dir"):
            WriterLock(lock_path, attempts=2)
        who = writer_of(lock_path)
        assert who is not None
        assert who["pid"] == other.pid
        other.kill()
        other.wait(SECONDS)
    assert writer_of(lock_path) is None
    WriterLock(lock_path).release()


def test_a_second_writer_in_the_same_process_is_refused_as_well(lock_path: Path) -> None:
    lock = WriterLock(lock_path)
    lock.sign()
    again = lock_path.parent / ".." / lock_path.parent.name / lock_path.name
    with pytest.raises(RunLockedError, match=f"process {os.getpid()} "):
        WriterLock(again, attempts=2)
    who = writer_of(again)
    assert who is not None
    assert who["pid"] == os.getpid()
    with python(
        "import sys; from pathlib import Path; from wl_core.directory import writer_of\n"
        "print(writer_of(Path(sys.argv[1]))['pid'])",
        lock_path,
    ) as other:  # asking did not cost us the lock, which POSIX makes easy
        said, _ = other.communicate(timeout=SECONDS)
    assert int(said) == os.getpid()
    lock.release()


def test_a_forked_worker_does_not_inherit_the_lock(lock_path: Path) -> None:
    """A run whose process is dead is not alive because a data loader's worker still is."""
    holder = f"""
        import os, sys
        from pathlib import Path
        from wl_core.directory import WriterLock
        lock = WriterLock(Path({str(lock_path)!r}))
        lock.sign()
        if os.fork() == 0:
            print("worker", os.getpid(), flush=True)
            sys.stdin.readline()
            os._exit(0)
        os._exit(0)
    """
    with python(holder) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        said = parent.stdout.readline().split()
        parent.wait(SECONDS)
        os.kill(int(said[1]), 0)  # the worker lives
        assert writer_of(lock_path) is None
        WriterLock(lock_path).release()
        parent.stdin.write("\n")
        parent.stdin.flush()


def test_a_child_cannot_take_or_lose_its_parents_lock(lock_path: Path) -> None:
    lock = WriterLock(lock_path)
    lock.sign()

    def attempts() -> str:
        who = writer_of(lock_path)
        assert who is not None
        try:
            WriterLock(lock_path, attempts=2)
        except RunLockedError:
            lock.release()
            return str(who["pid"])
        return "taken"

    assert in_forked_child(attempts) == repr(str(os.getpid()))
    with python(HOLD, lock_path, stderr=-1) as other:
        _, errors = other.communicate(timeout=SECONDS)
    assert "RunLockedError" in errors
    lock.release()


def test_nobody_writes_where_there_is_no_lock_file(lock_path: Path) -> None:
    assert writer_of(lock_path) is None
    assert not lock_path.exists()


def test_a_lock_that_is_being_signed_names_nobody_yet(lock_path: Path) -> None:
    with python(HOLD.replace("lock.sign()", "pass"), lock_path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert writer_of(lock_path) == {}
        with pytest.raises(RunLockedError, match="process unknown"):
            WriterLock(lock_path, attempts=2)


def test_runs_are_listed_newest_first_and_other_things_are_not_runs(tmp_path: Path) -> None:
    old, new, older = (made(tmp_path / n, t) for n, t in (("a", 20.0), ("b", 30.0), ("c", 10.0)))
    (tmp_path / "no run").mkdir()
    (tmp_path / "file").touch()
    assert list_runs(tmp_path) == [new, old, older]
    assert list_runs(tmp_path / "nothing") == []


def test_a_run_is_found_by_path_by_name_or_as_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = made(tmp_path / "first", 1.0), made(tmp_path / "second", 2.0)
    assert find_run(first) == first
    assert find_run("first", tmp_path) == first
    assert find_run(None, tmp_path) == second
    monkeypatch.setenv("WL_ROOT", str(tmp_path))
    assert find_run() == second
    with pytest.raises(RunNotFoundError, match=r"no run at third.*second, first"):
        find_run("third")
    with pytest.raises(RunNotFoundError, match=r"wl demo.*--root DIR"):
        find_run(None, tmp_path / "empty")


def test_new_runs_are_named_after_the_time_and_never_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_root() == Path("wl_runs")
    monkeypatch.setattr("time.strftime", lambda *_: "20260102-030405")
    first = new_run_path(tmp_path)
    first.mkdir()
    second = new_run_path(tmp_path)
    assert re.fullmatch(r"\d{8}-\d{6}", first.name)
    assert second.name == first.name + "-2"
