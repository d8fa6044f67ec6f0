"""A disk that is full: recording stops once and clearly, training goes on bit for bit (G8)."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.killing import assert_views_replay
from tests.core.frames import run_python, whole
from wl_core.directory import RunDirectory
from wl_core.errors import RecordingStoppedWarning, TailLeftWarning
from wl_core.log import Finding
from wl_core.run import open_run
from wl_core.tail import tail_paths

TRAIN = """
    import hashlib, sys, warnings
    import numpy as np
    import wl_core as wl
    import resource
    watched, path, limit = sys.argv[1] == "watched", sys.argv[2], int(sys.argv[3])
    weights = np.zeros(3000)
    exited = 0
    stopped = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if watched:
            wl.start_run(path)
            if limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        for step in range(150):
            random = np.random.default_rng(step)
            if not watched:
                weights += random.random(3000)
                continue
            with wl.guard_training_context:
                weights += random.random(3000)
                wl.save_signals(
                    {"loss": weights}, list(range(3000)), preds=None, origin="train"
                )
            stopped += [step] if len(caught) > len(stopped) else []
        if watched:
            wl.finish()
    for one in caught:
        print("warning", one.category.__name__, str(one.message).replace(chr(10), " "))
    print("stopped", *stopped)
    print("weights", hashlib.sha256(weights.tobytes()).hexdigest())
"""


def said(watched: str, path: Path, limit: int) -> dict[str, list[str]]:
    lines = run_python(TRAIN, watched, path, limit).splitlines()
    found: dict[str, list[str]] = {}
    for line in lines:
        word, _, rest = line.partition(" ")
        found.setdefault(word, []).append(rest)
    return found


def check(path: Path, limit: int) -> None:
    unwatched = said("unwatched", path, 0)
    watched = said("watched", path, limit)
    assert watched["weights"] == unwatched["weights"]
    assert len(watched["warning"]) == 1
    category, _, message = watched["warning"][0].partition(" ")
    assert category == RecordingStoppedWarning.__name__
    assert "recording has stopped, training goes on" in message
    assert str(path) in message
    [stopped] = watched["stopped"]
    assert 3 < int(stopped) < 149
    check_what_is_left(path, int(stopped))


def check_what_is_left(path: Path, stopped: int) -> None:
    """The steps before the one that was refused, and a log that opens and is sound."""
    with open_run(path) as run:
        assert tail_paths(run.directory.rank_path) == []
        steps = [frame.step for frame in whole(run.log) if frame.phase == "train"]
        assert steps == list(range(len(steps)))
        assert len(steps) >= stopped
        assert [one for one in run.log.verify() if isinstance(one, Finding)] == []
        assert run.status().state == "crashed"
        assert_views_replay(run)


@pytest.mark.parametrize("limit", [300_000, 900_000, 2_000_000])
def test_a_file_that_may_not_grow(tmp_path: Path, limit: int) -> None:
    """Whichever is refused first: the tail, which may grow to 1 MiB, or the log."""
    check(tmp_path / "run", limit)


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_a_disk_without_room(tmp_path: Path) -> None:
    """It opens while the disk is still full, without its last steps; with room they are there."""
    if os.getuid():
        pytest.skip("only root can mount a disk")
    with small_disk(tmp_path / "disk", "1500k"):
        path = tmp_path / "disk" / "run"
        unwatched = said("unwatched", path, 0)
        watched = said("watched", path, 0)
        assert watched["weights"] == unwatched["weights"]
        assert len(watched["warning"]) == 1
        told = watched["warning"][0]
        assert os.strerror(errno.ENOSPC) in told or "bytes are free on its disk" in told
        if tail_paths(RunDirectory(path).rank_path):
            with pytest.warns(TailLeftWarning, match="until there is room"):
                run = open_run(path)
            steps = [frame.step for frame in whole(run.log) if frame.phase == "train"]
            run.close()
            assert steps == list(range(len(steps)))
        subprocess.run(["mount", "-o", "remount,size=20m", tmp_path / "disk"], check=True)
        check_what_is_left(path, int(watched["stopped"][0]))
