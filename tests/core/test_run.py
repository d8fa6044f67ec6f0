"""Run: what another process sees of a run, what it may ask of it, and what it must not break."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import wl_core as wl
from tests.core.frames import SECONDS, numbers, python, run_python, until, whole
from wl_core.codec import frame_events
from wl_core.commit import GroupCommit
from wl_core.directory import RunDirectory, WriterLock
from wl_core.errors import LogWriteError, RunNotFoundError, UnknownNameError, UsageError
from wl_core.run import open_run
from wl_core.session import Session
from wl_core.tail import tail_paths

MASK = np.pad(np.ones((3, 4), np.int64), 5)


def step(values: list[float], *, masks: bool = False) -> None:
    with wl.guard_training_context:
        ids = list(range(len(values)))
        preds = [MASK] * len(values) if masks else None
        wl.save_signals({"loss": values}, ids, preds=preds, origin="train", log=True)


@pytest.fixture(autouse=True)
def _no_run_is_left_open() -> Iterator[None]:
    yield
    wl.finish()


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return wl.start_run(tmp_path / "run")


KILLED = """
    import os, sys
    import wl_core as wl
    wl.start_run(sys.argv[1])
    for number in range(int(sys.argv[2])):
        with wl.guard_training_context:
            wl.save_signals({"loss": [float(number)]}, batch_ids=[1], origin="train")
    wl.tag_samples([1], "after the guard", origin="train")
    os.kill(os.getpid(), 9)
"""


def killed(path: Path, steps: int = 3) -> None:
    with python(KILLED, path, steps) as process:
        assert process.wait(SECONDS) == -9


# -- what was recorded is there ---------------------------------------------------------


def test_a_run_is_read_while_it_is_written_in_the_same_process(session: Session) -> None:
    step([1.0, 2.0])
    session.flush()
    with wl.open_run(session.directory.path) as run:
        assert run.status().state == "training"
        assert run.samples().column("loss").values.tolist() == [1.0, 2.0]
        before = run.position
        step([3.0, 4.0])
        session.flush()
        assert run.samples().column("loss").values.tolist() == [1.0, 2.0]  # until refreshed
        assert run.refresh() > 0
        assert run.samples().column("loss").values.tolist() == [3.0, 4.0]
        assert run.position > before


def test_a_reader_sees_all_of_a_step_or_nothing(session: Session) -> None:
    with wl.guard_training_context:
        wl.save_signals({"first": [1.0]}, [1], origin="train")
        session.flush()
        with wl.open_run(session.directory.path) as run:
            assert "first" not in run.samples()
        wl.save_signals({"second": [2.0]}, [1], origin="train")
    session.flush()
    with wl.open_run(session.directory.path) as run:
        row = run.samples().row(0)
        assert (row["first"], row["second"]) == (1.0, 2.0)
        [frame] = [one for one in whole(run.log) if one.phase == "train"]
        assert {one.kind for one in frame_events(frame)} >= {"values", "exposed"}


def test_what_a_killed_training_left_is_taken_in_once(tmp_path: Path) -> None:
    killed(tmp_path / "run", steps=50)
    assert tail_paths(RunDirectory(tmp_path / "run").rank_path)
    for _ in range(2):
        with open_run(tmp_path / "run") as run:
            assert run.status().step == 50
            steps = [frame.step for frame in whole(run.log) if frame.phase == "train"]
            assert steps == list(range(50))
            tags = [e for f in whole(run.log) for e in f.events if e[0] == "tagged"]
            assert len(tags) == 1
    assert tail_paths(RunDirectory(tmp_path / "run").rank_path) == []


def test_a_living_writers_tail_is_not_touched(session: Session) -> None:
    step([1.0])
    before = tail_paths(session.directory.rank_path)
    assert before
    run_python(
        "import sys; from wl_core.run import open_run; open_run(sys.argv[1]).close()",
        session.directory.path,
    )
    assert tail_paths(session.directory.rank_path) == before


def test_a_training_goes_on_at_the_step_that_its_killed_predecessor_left(tmp_path: Path) -> None:
    path = tmp_path / "run"
    killed(path, steps=7)
    session = wl.start_run(path)
    assert session.step == 7
    step([0.5])
    wl.finish()
    with open_run(path) as run:
        assert [f.step for f in whole(run.log) if f.phase == "train"] == list(range(8))
        assert (run.status().state, run.status().step) == ("finished", 8)
        events = [e for f in run.log.landmarks() for e in frame_events(f)]
        started = [e.data["resumed"] for e in events if e.kind == "run_started"]
        assert started == [True, False]


def test_a_step_at_another_step_does_not_move_the_clock(session: Session) -> None:
    step([1.0])
    wl.save_signals({"late": [9.0]}, [0], origin="train", step=500)
    wl.save_signals({"early": [9.0]}, [0], origin="train", step=0)
    session.flush()
    assert session.step == 1
    with wl.open_run(session.directory.path) as run:
        assert run.status().step == 1
    wl.finish()
    assert wl.start_run(session.directory.path).step == 1


# -- commands ---------------------------------------------------------------------------------


def test_a_command_is_on_disk_when_append_returns_and_training_learns_of_it(
    session: Session,
) -> None:
    step([1.0, 2.0])
    script = """
        import sys
        from wl_core.run import open_run
        with open_run(sys.argv[1]) as run:
            at = run.append("discarded", discarded=True, origin="train", ids=[1],
                            annotation_ids=None, who="a test")
            print(at == run.log.next_position - 1)
    """
    assert run_python(script, session.directory.path) == "True\n"
    step([1.0, 2.0])
    assert session.discards.keys == {("train", 1, 0)}


def test_a_command_that_makes_no_sense_is_refused(session: Session) -> None:
    with wl.open_run(session.directory.path) as run:
        with pytest.raises(UsageError, match=r"no event kind 'taged'.*'tagged'"):
            run.append("taged")
        with pytest.raises(UsageError, match=r"tagged has the fields \['tag', "):
            run.append("tagged", tag="x")
        with pytest.raises(UsageError, match="the past cannot be changed"):
            run.at(step=0).append("resumed")
        with pytest.raises(UnknownNameError, match="no view"):
            run.view("sampels")


def test_the_past_is_the_same_fold_stopped_there(session: Session) -> None:
    for number in range(5):
        step([float(number)])
    session.flush()
    with wl.open_run(session.directory.path) as run:
        past = run.at(step=2)
        assert past.samples().row(0)["loss"] == 2.0
        assert run.samples().row(0)["loss"] == 4.0
        past.close()


def test_there_is_no_run_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="rank-0000/log"):
        open_run(tmp_path)
    assert list(tmp_path.iterdir()) == []


# -- G6: forks --------------------------------------------------------------------------------

FORKING = """
    import gc, os, sys
    import wl_core as wl
    from wl_core.errors import DetachedRunError
    session = wl.start_run(sys.argv[1])
    reader = wl.open_run(sys.argv[1])
    def step(value):
        with wl.guard_training_context:
            wl.save_signals({"loss": [value]}, [1], origin="train")
    step(1.0)
    reader.refresh()
    for end in ("exit", "error", "os._exit"):
        child = os.fork()
        if child == 0:
            attempts = [
                lambda: step(2.0),
                lambda: wl.save_signals({"loss": [2.0]}, [1], origin="train"),
                lambda: wl.tag_samples([1], "child", origin="train"),
                lambda: session.recorder.add("paused", "", ""),
                session.flush,
                lambda: session.log.append([]),
                reader.refresh,
                lambda: reader.append("resumed"),
            ]
            for attempt in attempts:
                try:
                    attempt()
                    print("no error from", attempts.index(attempt), flush=True)
                except DetachedRunError:
                    pass
            wl.finish()
            del session, reader
            gc.collect()
            if end == "os._exit":
                os._exit(0)
            if end == "error":
                raise SystemExit("as a worker that fails")
            sys.exit(0)
        os.waitpid(child, 0)
        step(3.0)
        reader.refresh()
        assert reader.samples().row(0)["loss"] in (1.0, 3.0)
    session.flush()
    reader.refresh()
    assert reader.samples().row(0)["loss"] == 3.0
    reader.close()
    print("parent done", flush=True)
"""


def test_a_forked_child_that_tries_everything_harms_nothing(tmp_path: Path) -> None:
    assert run_python(FORKING, tmp_path / "run") == "parent done\n"
    with open_run(tmp_path / "run") as run:
        assert run.status().state == "finished"
        steps = [frame.step for frame in whole(run.log) if frame.phase == "train"]
        assert steps == [0, 1, 2, 3]
        assert not [one for one in run.log.verify() if not isinstance(one, int)]
        assert not [e for f in whole(run.log) for e in f.events if e[0] in ("tagged", "paused")]


WORKERS = """
    import sys
    import torch
    import wl_core as wl
    torch.set_num_threads(1)
    class Data(torch.utils.data.Dataset):
        def __len__(self):
            return 12
        def __getitem__(self, index):
            if not 0 <= index < 12:
                raise IndexError(index)
            return torch.ones(2) * index, f"s{index}", index % 2
    wl.start_run(sys.argv[1])
    loader = wl.watch_or_edit(
        Data(), flag="data", loader_name="train", batch_size=3, num_workers=2,
        multiprocessing_context="fork",
    )
    for epoch in range(2):
        for batch in loader:
            with wl.guard_training_context:
                wl.save_signals({"loss": batch[0].sum(1)}, batch[1])
"""


def test_the_workers_of_a_data_loader_leave_the_log_alone(tmp_path: Path) -> None:
    """By fork, in the middle of a training whose commit thread is at work."""
    run_python(WORKERS, tmp_path / "run")
    with open_run(tmp_path / "run") as run:
        assert run.status().step == 8
        samples = run.samples()
        assert len(samples) == 12
        assert set(samples.column("times_seen").values.tolist()) == {2}
        assert len({frame.writer for frame in whole(run.log)}) == 1
        assert not [one for one in run.log.verify() if not isinstance(one, int)]


# -- G8 and disks that cannot be written ---------------------------------------------------------


def test_a_refused_commit_is_warned_of_once_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise LogWriteError("the disk is full")

    session = wl.start_run(tmp_path / "run")
    step([1.0])
    monkeypatch.setattr(GroupCommit, "submit", refuses)
    with pytest.warns(wl.RecordingStoppedWarning, match="the disk is full"):
        step([2.0])
    step([3.0])  # a second warning would be an error
    assert session.views.value("train", 0, "loss") is not None
    step([4.0])
    with pytest.raises(LogWriteError, match="has stopped"):
        session.flush()
    assert session.step == 4
    wl.finish()
    monkeypatch.undo()
    with open_run(tmp_path / "run") as run:
        assert [f.step for f in whole(run.log) if f.phase == "train"] == [0]


READ = """
    import sys, warnings
    from wl_core.run import open_run
    with open_run(sys.argv[1]) as run:
        run.refresh()
        mask = run.arrays("train", 1).get("prediction")
        print(run.status().state, run.status().step, len(run.samples()),
              None if mask is None else int(mask.load().sum()),
              len([one for one in run.log.verify() if not isinstance(one, int)]))
        try:
            run.append("resume_requested", who="nobody")
        except Exception as error:
            print(type(error).__name__)
"""


# What it imports may lie where only root can read it.
SOMEBODY_ELSE = """
import os, wl_core.run, wl_core.plugins
wl_core.plugins.load_plugins()
os.setgid(65534)
os.setuid(65534)
"""


def finished_run(path: Path) -> None:
    wl.start_run(path)
    for _ in range(3):
        step([1.0, 2.0], masks=True)
    wl.finish()


def test_a_run_of_somebody_else_is_read_and_not_changed() -> None:
    if os.getuid():
        pytest.skip("only root can become somebody else")
    with tempfile.TemporaryDirectory() as directory:  # pytest's own may not be entered by others
        path = Path(directory) / "run"
        finished_run(path)
        Path(directory).chmod(0o755)
        before = contents(path)
        said = run_python(SOMEBODY_ELSE + textwrap.dedent(READ), path).split()
        assert said == ["finished", "3", "2", "12", "0", "LogWriteError"]
        assert contents(path) == before


def contents(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


@contextmanager
def read_only_mount(path: Path, at: Path) -> Iterator[None]:
    at.mkdir()
    done = subprocess.run(
        ["mount", "--bind", str(path), str(at)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(at)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="needs bind mounts")
def test_a_read_only_disk_is_read(tmp_path: Path) -> None:
    """Also when a killed training left something: what is in the log is shown."""
    if os.getuid():
        pytest.skip("only root can mount a disk")
    finished_run(tmp_path / "runs" / "finished")
    killed(tmp_path / "runs" / "killed", 5)
    with read_only_mount(tmp_path / "runs", tmp_path / "disk"):
        said = run_python(READ, tmp_path / "disk" / "finished").split()
        assert said == ["finished", "3", "2", "12", "0", "LogWriteError"]
        assert run_python(READ, tmp_path / "disk" / "killed").split()[0] == "crashed"
    assert tail_paths(RunDirectory(tmp_path / "runs" / "killed").rank_path)


def test_two_readers_that_recover_at_once_take_in_everything_once(tmp_path: Path) -> None:
    killed(tmp_path / "run", 200)
    script = """
        import sys
        from wl_core.run import open_run
        print("ready", flush=True)
        sys.stdin.readline()
        open_run(sys.argv[1]).close()
    """
    with python(script, tmp_path / "run") as first, python(script, tmp_path / "run") as second:
        for one in (first, second):
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        for one in (first, second):
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        assert [first.wait(SECONDS), second.wait(SECONDS)] == [0, 0]
    with open_run(tmp_path / "run") as run:
        frames = whole(run.log)
        assert numbers(run.log, frames[0].writer) == list(range(1, len(frames) + 1))
        assert run.status().step == 200


def test_a_training_waits_for_a_reader_that_takes_in_what_was_left(tmp_path: Path) -> None:
    path = tmp_path / "run"
    killed(path, 3)
    lock = WriterLock(RunDirectory(path).lock)
    with python("import sys, wl_core as wl; print(wl.start_run(sys.argv[1]).step)", path) as other:
        until(lambda: _waits_for_lock(other.pid) or other.poll() is not None)
        lock.release()
        assert other.stdout is not None
        assert other.stdout.readline() == "3\n"


def _waits_for_lock(pid: int) -> bool:
    """It has the lock file open, which is the last thing before it asks for the lock."""
    try:
        return any("writer.lock" in os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return False


def test_verify_names_a_damaged_page_and_does_not_die_of_it(tmp_path: Path) -> None:
    """LMDB trusts its pages: opened by it, such a file may end the process by a signal."""
    finished_run(tmp_path / "run")
    file = RunDirectory(tmp_path / "run").log / "data.mdb"
    data = bytearray(file.read_bytes())
    for page in range(2 * 4096, len(data), 4096):
        data[page + 12 : page + 16] = b"\xff\x7f\xff\x7f"  # where its free space begins and ends
    file.write_bytes(data)
    script = "from wl_core.cli import main; main()"
    command = [sys.executable, "-c", script, "verify", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert "page" in done.stdout


def test_signals_are_listed_whether_they_make_a_curve_or_not(tmp_path: Path) -> None:
    wl.start_run(tmp_path / "run")
    wl.save_signals({"drawn": [1.0]}, ["a"], log=True)
    wl.save_signals({"kept": [1.0]}, ["a"])
    wl.save_instance_signals({"of_instances": [1.0]}, ["a"], batch_idx=[0])
    wl.finish()
    with wl.open_run(tmp_path / "run") as run:
        assert run.signals() == ("drawn", "kept", "of_instances")


DIES_AFTER_A_STEP = """
import os, signal, sys
import wl_core as wl

wl.start_run(sys.argv[1])
for _ in range(2):
    with wl.guard_training_context:
        wl.save_signals({"loss": [1.0]}, ["a"])
    print("step", flush=True)
    sys.stdin.readline()
with wl.guard_training_context:
    wl.save_signals({"loss": [2.0]}, ["a"])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_reader_that_looks_on_when_the_training_dies_misses_no_step(tmp_path: Path) -> None:
    path = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", DIES_AFTER_A_STEP, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "step\n"
    with wl.open_run(path) as run:
        assert run.status().state == "training"
        process.communicate("\n\n", timeout=SECONDS)
        assert (run.status().state, run.status().step) == ("crashed", 3)
        run.refresh()
        assert run.view("samples").value("unnamed", "a", "loss") == 2.0
    assert not tail_paths(RunDirectory(path).rank_path)
