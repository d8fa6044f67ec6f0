"""kill -9 of real trainings: no step that was left is ever missing, doubled or torn (G2)."""

from __future__ import annotations

import itertools
import random
import shutil
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.killing import Trainer, assert_nothing_is_missing, assert_views_replay, training
from tests.core.frames import SECONDS, python, until, write_lock_held
from wl_core.directory import RunDirectory
from wl_core.run import open_run
from wl_core.tail import tail_paths


def killed_at_random(path: Path, random_: random.Random, *options: str) -> Trainer:
    with training(path, *options) as trainer:
        trainer.wait_for_steps(random_.randrange(1, 40))
        time.sleep(random_.random() * 0.05)  # not to wait for anything: the moment is the test
        trainer.kill()
    return trainer


def check_kills(path: Path, count: int, seed: int, *options: str) -> None:
    """Kills the training of one run again and again; looks at it in between, but not always.

    When nobody looks, the next training itself takes in what the last one left.
    """
    random_ = random.Random(seed)
    exited: list[int] = []
    said: list[int] = []
    for kill in range(count):
        trainer = killed_at_random(path, random_, *options)
        assert trainer.start >= len(set(exited))
        exited += trainer.exited
        said += trainer.said
        assert len(set(exited)) == len(exited)  # a step that was left is not taken again
        if kill % 3 != 1:
            with open_run(path) as run:
                status = run.status()
                assert (status.state, status.pid) == ("crashed", trainer.process.pid)
                assert status.step >= exited[-1] + 1
                assert tail_paths(run.directory.rank_path) == []
                assert_nothing_is_missing(run, exited, said)
                run.refresh()
    with training(path, *options, "--steps", "3") as last:
        assert last.process.wait(SECONDS) == 0
    with open_run(path) as run:
        assert run.status().state == "finished"
        assert_nothing_is_missing(run, exited + last.exited, said + last.said)
        assert_views_replay(run)


def test_three_kills_lose_nothing(tmp_path: Path) -> None:
    check_kills(tmp_path / "run", 3, seed=1)


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(3))
def test_many_kills_lose_nothing(tmp_path: Path, seed: int) -> None:
    check_kills(tmp_path / "run", 10, 100 + seed)


@pytest.mark.chaos
def test_kills_of_a_model_that_learns_lose_nothing(tmp_path: Path) -> None:
    check_kills(tmp_path / "run", 6, 7, "--model")


def killed_with_a_long_tail(path: Path, steps: int) -> Trainer:
    """Its commits are held up, so that everything waits in the tail; then it is killed."""
    with training(path) as trainer:
        trainer.wait_for_steps(5)
        with write_lock_held(RunDirectory(path).log):
            trainer.wait_for_steps(5 + steps)
            trainer.kill()
    return trainer


def test_a_kill_at_the_edge_of_a_commit_with_hundreds_of_frames_queued(tmp_path: Path) -> None:
    path = tmp_path / "run"
    trainer = killed_with_a_long_tail(path, 200)
    with open_run(path) as run:
        assert run.status().step >= 205
        assert_nothing_is_missing(run, trainer.exited, trainer.said)
        assert_views_replay(run)


RECOVER = """
    import sys
    from pathlib import Path
    from wl_core.run import open_run
    import wl_core.plugins
    wl_core.plugins.load_plugins()
    print("ready", flush=True)
    sys.stdin.readline()
    open_run(Path(sys.argv[1])).close()
    print("done", flush=True)
"""


def recover_and_kill(path: Path, after: float | None) -> float | None:
    """Seconds that the recovery took, None when it was killed ``after`` so many before its end."""
    with python(RECOVER, path) as recovering:
        assert recovering.stdout is not None
        assert recovering.stdin is not None
        assert recovering.stdout.readline() == "ready\n"
        recovering.stdin.write("go\n")
        recovering.stdin.flush()
        began = time.perf_counter()
        if after is not None:
            time.sleep(after)  # not to wait: the moment is the test
            recovering.kill()
        done = recovering.stdout.readline() == "done\n"
        return time.perf_counter() - began if done else None


def check_kills_during_recovery(path: Path, kills: int, seed: int) -> None:
    """The kills come anywhere from before the first commit to after the last tail is gone."""
    random_ = random.Random(seed)
    trainer = killed_with_a_long_tail(path / "run", 150)
    shutil.copytree(path / "run", path / "whole")
    whole = recover_and_kill(path / "whole", None)
    assert whole is not None
    for kill in range(kills):
        copy = path / str(kill)
        shutil.copytree(path / "run", copy)
        moments = [0.0, *(random_.random() * whole for _ in range(kill % 3))]
        if kill == 0:
            assert recover_and_kill(copy, 0.0) is None
        for moment in moments:
            recover_and_kill(copy, moment)
        with open_run(copy) as run:
            assert tail_paths(run.directory.rank_path) == []
            assert_nothing_is_missing(run, trainer.exited, trainer.said)
    with open_run(copy) as run:
        assert_views_replay(run)


def test_a_kill_during_recovery_neither_doubles_nor_loses(tmp_path: Path) -> None:
    check_kills_during_recovery(tmp_path, 3, seed=3)


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(4))
def test_many_kills_during_recovery_neither_double_nor_lose(tmp_path: Path, seed: int) -> None:
    check_kills_during_recovery(tmp_path, 9, seed)


def test_readers_of_a_training_that_is_killed_see_whole_frames_and_then_that_it_crashed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run"
    with training(path) as trainer:
        trainer.wait_for_steps(1)
        with open_run(path) as run:
            assert run.status().state == "training"
            positions = []
            for _ in itertools.takewhile(lambda _: len(trainer.exited) < 60, itertools.count()):
                run.refresh()
                positions.append(run.position)
            trainer.kill()
            until(lambda: run.status().state == "crashed")
            assert positions == sorted(positions)
            assert run.parked == []
    with open_run(path) as run:
        assert_nothing_is_missing(run, trainer.exited, trainer.said)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_workers_of_a_killed_training_keep_nothing_alive(tmp_path: Path) -> None:
    """A data loader's forked worker outlives its parent for a moment; the run must not."""
    script = """
        import os, sys
        import wl_core as wl
        wl.start_run(sys.argv[1])
        with wl.guard_training_context:
            wl.save_signals({"loss": [1.0]}, batch_ids=[1], origin="train")
        if os.fork() == 0:
            print("worker", os.getpid(), flush=True)
            sys.stdin.readline()
            os._exit(0)
        sys.stdin.readline()
    """
    with python(script, tmp_path / "run") as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline().split()[1])
        process.kill()
        process.wait(SECONDS)
        assert Path(f"/proc/{worker}").exists()
        with open_run(tmp_path / "run") as run:
            assert run.status().state == "crashed"
            assert_nothing_is_missing(run, [0], [])
