"""The training process's side of a run: pauses, forks, files, continuing, ending."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import wl_core as wl
from tests.core.watched_runs import Finished, events, history, sample
from wl_core.session import session

SECONDS = 20


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def test_a_pause_by_another_process_is_obeyed_at_the_next_guard(finished: Finished) -> None:
    other = finished.live()
    paused_at: list[float] = []
    clock = time.pthread_getcpuclockid(threading.get_ident())  # of this thread, which will wait

    def resume_when_paused() -> None:
        wait_until(lambda: other.status().state == "paused")
        paused_at.append(time.clock_gettime(clock))
        time.sleep(0.3)  # a stretch of waiting to measure
        paused_at.append(time.clock_gettime(clock))
        other.append("resume_requested", who="a test")

    with wl.guard_training_context:
        other.append("pause_requested", who="a test")
        with wl.guard_training_context:
            wl.save_signals({"x": [1.0]}, ["a"], origin="t")
    helper = threading.Thread(target=resume_when_paused)
    helper.start()
    with wl.guard_training_context:
        wl.save_signals({"x": [2.0]}, ["a"], origin="t")
    helper.join(SECONDS)
    wait_until(lambda: other.status().state == "training")
    assert paused_at[1] - paused_at[0] < 0.1  # near-zero CPU while waiting
    run = finished()
    assert history(run, "x", "t", "a") == ([0, 1], [1, 2])
    assert len(events(run, "paused")) == len(events(run, "resumed")) == 1


def test_a_paused_run_can_be_stopped(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    finished.live().append("pause_requested", who="a test")

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("wl_core.pace.time.sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            wl.guard_training_context.__enter__()
    finished.live().append("resume_requested", who="a test")
    with wl.guard_training_context:
        pass
    assert finished().status().step == 1


def test_a_pause_ends_when_a_run_is_continued(finished: Finished) -> None:
    finished.live().append("pause_requested", who="a test")
    wl.finish()
    wl.start_run(finished.path)
    with wl.guard_training_context:
        pass
    assert finished().status().step == 1


def test_two_runs_at_once_are_refused(finished: Finished, tmp_path: Path) -> None:
    with pytest.raises(wl.WlError, match=r"call finish\(\) first"):
        wl.start_run(tmp_path / "second")


def test_a_forked_child_may_not_record_and_does_no_harm(finished: Finished) -> None:
    with wl.guard_training_context:
        wl.save_signals({"x": [1.0]}, ["a"], origin="t")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                wl.save_signals({"x": [2.0]}, ["a"], origin="t")
            except wl.WlError as error:
                status = 0 if "forked" in str(error) else 2
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    run = finished()
    assert history(run, "x", "t", "a") == ([0], [1])


def test_what_was_recorded_is_safe_when_flush_returns(finished: Finished) -> None:
    wl.save_signals({"x": [1.0]}, ["a"])
    session().flush()
    with wl.open_run(finished.path) as run:
        assert sample(run, "a")["x"] == 1
        assert run.status().state == "training"


_SCRIPT = """
import pathlib, sys
import torch, wl_core as wl
before = set(pathlib.Path(".").rglob("*"))
data = [(torch.ones(3), f"s{n}", 0) for n in range(4)]
wl.watch_or_edit({"lr": 0.1}, flag="hyperparameters")
loader = wl.watch_or_edit(data, flag="data", loader_name="t", batch_size=2)
wl.signal(name="mean")(lambda ctx: ctx.data.mean())
wl.serve()
wl.compute_signals()
with wl.guard_training_context:
    x, ids, y = next(loader)
    wl.save_signals({"x": x.mean(1)}, ids, preds=x)
wl.keep_serving(timeout=0.01)
"""


def _run(code: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(wl.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": root, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_no_file_is_written_outside_the_run_directory(tmp_path: Path) -> None:
    work, home, root = (tmp_path / name for name in ("work", "home", "root"))
    for path in (work, home):
        path.mkdir()
        path.chmod(0o500)
    _run(_SCRIPT, work, HOME=str(home), WL_ROOT=str(root), TMPDIR=str(home))
    assert list(work.iterdir()) == list(home.iterdir()) == []
    [run] = wl.list_runs(root)
    inside = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert {name.split("/")[0] for name in inside} == {"rank-0000"}
    assert [
        path for path in tmp_path.rglob("*") if path.is_file() and run not in path.parents
    ] == []


_IMPORT = """
import socket, sys
def refused(*arguments):
    raise SystemExit("a socket was made")
socket.socket.bind = socket.socket.connect = refused
import wl_core as wl
assert "torch" not in sys.modules, "torch was imported"
assert "lmdb" not in sys.modules, "lmdb was imported"
"""


def test_an_import_opens_no_port_writes_no_file_and_needs_no_torch(tmp_path: Path) -> None:
    _run(_IMPORT, tmp_path, HOME=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_script_that_uses_all_of_it_opens_no_port(tmp_path: Path) -> None:
    watch = "\n".join(_IMPORT.splitlines()[:5])
    _run(watch + _SCRIPT, tmp_path, HOME=str(tmp_path), WL_ROOT=str(tmp_path / "root"))
    assert len(wl.list_runs(tmp_path / "root")) == 1


_ONE_STEP = """
import wl_core as wl
with wl.guard_training_context:
    wl.save_signals({"x": [1.0]}, ["a"])
"""


@pytest.mark.parametrize(
    ("ending", "state", "detail"),
    [
        ("", "finished", ""),
        ("raise ValueError('boom')", "failed", "ValueError: boom"),
        ("raise KeyboardInterrupt", "finished", "interrupted"),
        ("import os; os._exit(1)", "crashed", ""),
    ],
)
def test_the_end_of_the_script_is_the_end_of_the_run(
    tmp_path: Path, ending: str, state: str, detail: str
) -> None:
    code = f"{_ONE_STEP}\n{ending}\n"
    with pytest.raises(subprocess.CalledProcessError) if ending else threading.Lock():
        _run(code, tmp_path)
    with wl.open_run(wl.find_run(root=tmp_path / "wl_runs")) as run:
        status = run.status()
        assert (status.state, status.step) == (state, 1)
        assert detail in status.detail
