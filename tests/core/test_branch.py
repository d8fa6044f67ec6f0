from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import wl_core as wl
from tests.core.cli_runs import LogWriter, floats, values
from tests.core.watched_runs import Finished, events
from wl_core.arrays import ArrayStore
from wl_core.branch import branch_path, branch_run
from wl_core.cli import group
from wl_core.codec import DamagedFrame, Frame
from wl_core.errors import RunLockedError, UsageError
from wl_core.run import Run, open_run


def record(steps: range, origin: str = "train") -> None:
    """Per step one value and one mask of three samples, a tag and a look at them in between."""
    for step in steps:
        with wl.guard_training_context:
            masks = np.full((3, 8, 8), step % 4, np.uint8)
            wl.save_signals(
                {"loss": [step, 1.0, 2.0]}, ["a", "b", "c"], preds=masks, origin=origin, log=True
            )
        if step % 3 == 0:
            wl.tag_samples(["a"], f"tag{step}", origin=origin)
        with wl.guard_testing_context:
            wl.save_signals({"test": [step]}, ["a"], origin="test", log=True)


def no_progress(done: int, end: int) -> None:
    assert 0 <= done <= end


def digests(run: Run) -> dict[str, str]:
    return {name: run.view(name).digest() for name in run.views}


def shared(run: Run, before: int) -> list[Any]:
    return [
        (one.position, one.count, one.writer, one.number, one.time)
        for one in run.log.frames()
        if isinstance(one, Frame) and one.position < before
    ]


@pytest.fixture
def parent(finished: Finished) -> Run:
    record(range(10))
    return finished()


@pytest.mark.parametrize("step", [0, 4, 9, 10])
def test_every_view_of_a_branch_is_that_of_its_parent_at_that_step(
    parent: Run, tmp_path: Path, step: int
) -> None:
    made = branch_run(parent, step, tmp_path / "new", no_progress)
    with open_run(made.path) as branch, parent.at(step=step) as past:
        with branch.at(step=step) as same:
            assert digests(same) == digests(past)
        assert digests(branch) == digests(past)  # its own event is no part of any view
        assert shared(branch, made.events) == shared(past, made.events)
        assert list(branch.log.verify())[-1] == made.events + 1 == branch.log.next_position
        assert branch.log.model_age == made.step == min(step + 1, 10)
        [told] = events(branch, "branched")
        assert (told["run"], told["step"]) == (str(parent.path.resolve()), step)
        assert branch.status().state == "finished"
        assert "branched from" in branch.status().detail


def test_the_arrays_of_the_past_come_along_and_no_others(parent: Run, tmp_path: Path) -> None:
    made = branch_run(parent, 1, tmp_path / "new", no_progress)
    with open_run(made.path) as branch, parent.at(step=1) as past:
        mine, theirs = (one.arrays("train", "a")["prediction"] for one in (branch, past))
        assert np.array_equal(mine, theirs)
        assert np.asarray(mine).any()
    with parent.at(step=3) as past:
        later = past.arrays("train", "a")["prediction"].reference
    with contextlib.closing(ArrayStore(made.path / "rank-0000" / "arrays")) as store:
        assert mine.reference in store
        assert later not in store


def test_decisions_and_lives_are_found_in_a_branch_without_reading_it(
    parent: Run, tmp_path: Path
) -> None:
    made = branch_run(parent, 4, tmp_path / "new", no_progress)
    with open_run(made.path) as branch:
        tagged = [event[2] for one in branch.log.decisions() for event in one.events]
        assert tagged == ["tag0", "tag3"]
        kinds = [one.events[-1][0] for one in branch.log.landmarks()]
        assert kinds == ["branched", "run_started"]


def test_a_branch_has_its_own_future_and_its_parent_is_untouched(
    parent: Run, tmp_path: Path
) -> None:
    before = (digests(parent), parent.log.next_position)
    made = branch_run(parent, 4, tmp_path / "new", no_progress)
    assert wl.start_run(made.path).step == 5
    record(range(100, 103))
    wl.finish()
    with open_run(made.path) as branch:
        assert branch.status().step == 8
        assert branch.signal_history("loss", "train", "a")[1].tolist() == [
            0, 1, 2, 3, 4, 100, 101, 102,
        ]  # fmt: skip
        assert list(branch.log.verify())[-1] == branch.log.next_position
    with open_run(parent.path) as again:
        assert (digests(again), again.log.next_position) == before


def test_a_branch_of_a_branch_shares_both_pasts(parent: Run, tmp_path: Path) -> None:
    made = branch_run(parent, 6, tmp_path / "new", no_progress)
    with open_run(made.path) as branch:
        second = branch_run(branch, 3, tmp_path / "second", no_progress)
    with open_run(second.path) as branch, parent.at(step=3) as past:
        assert digests(branch) == digests(past)


def test_the_parent_may_be_training(finished: Finished, tmp_path: Path) -> None:
    record(range(5))
    made = branch_run(finished.live(), 2, tmp_path / "new", no_progress)
    record(range(5, 8))
    with open_run(made.path) as branch, finished().at(step=2) as past:
        assert digests(branch) == digests(past)


def test_damage_is_copied_as_it_is(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "old")
    for step in range(5):
        writer.frame(step, values("loss", ["a"], floats(step)))
    environment = writer.log.environment
    frames = environment.database(b"frames")
    environment.write(lambda txn: txn.put((1).to_bytes(8, "big"), b"broken", db=frames))
    environment.write(lambda txn: txn.delete((3).to_bytes(8, "big"), db=frames))
    writer.close()
    with open_run(tmp_path / "old") as parent:
        wanted = [one for one in parent.log.frames() if isinstance(one, DamagedFrame)]
        made = branch_run(parent, 4, tmp_path / "new", no_progress)
    with open_run(made.path) as branch:
        assert [one for one in branch.log.frames() if isinstance(one, DamagedFrame)] == wanted
        assert len(wanted) == 2


def test_saved_models_up_to_there_come_along(finished: Finished, tmp_path: Path) -> None:
    import torch

    model = wl.watch_or_edit(torch.nn.Linear(1, 1), flag="model")
    wl.checkpoint(every=2, keep=2)
    weights = []
    for _ in range(7):
        with wl.guard_training_context, torch.no_grad():
            model.weight += 1
            weights.append(model.weight.item())
    parent = finished()  # the models of steps 4 and 6 are left
    made = branch_run(parent, 5, tmp_path / "new", no_progress)
    assert [one.step for one in made.models] == [4, 6]
    assert branch_run(parent, 2, tmp_path / "early", no_progress).models == ()
    wl.start_run(made.path)
    again = wl.watch_or_edit(torch.nn.Linear(1, 1), flag="model")
    found = wl.restore()
    assert found is not None
    assert (found.age, found.step, wl.model_age()) == (6, 6, 6)
    assert again.weight.item() == weights[5]
    wl.checkpoint(keep=1)
    wl.finish()
    kept = sorted(one.name for one in (parent.path / "checkpoints").iterdir())
    assert kept == ["step-00000004.pt", "step-00000006.pt"]


def test_what_exists_and_what_has_not_happened_is_refused(parent: Run, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        branch_run(parent, 3, tmp_path / "there", no_progress)
    with pytest.raises(UsageError, match="no step 11 yet: its last step is 10"):
        branch_run(parent, 11, tmp_path / "new", no_progress)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["run", "there"]


def test_a_branch_that_fails_leaves_nothing(parent: Run, tmp_path: Path) -> None:
    def interrupt(done: int, end: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        branch_run(parent, 3, tmp_path / "new", interrupt)
    assert [one.name for one in tmp_path.iterdir()] == ["run"]
    branch_run(parent, 3, tmp_path / "new", no_progress)


_KILLED = """
    import sys
    from pathlib import Path
    from wl_core.branch import branch_run
    from wl_core.run import open_run
    def stop(done, end):
        print("copying", flush=True)
        sys.stdin.readline()
    branch_run(open_run(Path(sys.argv[1])), 3, Path(sys.argv[2]), stop)
"""


def test_a_branch_that_is_killed_leaves_no_run_and_stands_in_nobodys_way(
    parent: Run, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_KILLED), parent.path, tmp_path / "new"],
        env=os.environ | {"PYTHONPATH": str(Path(wl.__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "copying\n"
        with pytest.raises(RunLockedError, match=f"process {process.pid}"):
            branch_run(parent, 3, tmp_path / "new", no_progress)
        process.kill()
        process.wait(20)
    assert wl.list_runs(tmp_path) == [parent.path]
    made = branch_run(parent, 3, tmp_path / "new", no_progress)
    with open_run(made.path) as branch, parent.at(step=3) as past:
        assert digests(branch) == digests(past)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["new", "run"]


def test_a_name_is_under_the_root_and_a_path_is_a_path(tmp_path: Path) -> None:
    assert branch_path("new", tmp_path) == tmp_path / "new"
    assert branch_path("./new", tmp_path) == Path("new")
    assert branch_path("/some/where", tmp_path) == Path("/some/where")


def test_the_command_says_what_it_made(parent: Run, tmp_path: Path) -> None:
    given = ["branch", "run", "new", "--at-step", "4", "--root", str(tmp_path)]
    done = CliRunner().invoke(group, given, standalone_mode=False, catch_exceptions=False)
    assert done.exception is None
    assert "events with run and goes on at step 5; no saved model came with it" in done.output
    assert (tmp_path / "new" / "rank-0000").is_dir()
