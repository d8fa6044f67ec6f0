"""Time travel: a run as of a step is what a fold from the start gives, however it was come by."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import wl_core as wl
from tests.core.cli_runs import LogWriter, floats, values, write_run
from wl_core import milestones, trail
from wl_core.checkpoints import Checkpoint, Checkpoints
from wl_core.cli import _run as run_command
from wl_core.codec import DamagedFrame, Frame
from wl_core.environment import open_environment
from wl_core.errors import MilestoneWarning, UsageError
from wl_core.milestones import Mark, Milestones
from wl_core.partitions import fold_frames
from wl_core.projection import Projection, Projector
from wl_core.run import Run, open_run
from wl_core.testing.streams import streams
from wl_plugins.curves import Curves
from wl_plugins.history import History
from wl_plugins.instance_view import InstanceView
from wl_plugins.sample_view import SampleView

VIEWS: list[tuple[str, type[Projection]]] = [
    ("built-in", SampleView),
    ("built-in", InstanceView),
    ("built-in", Curves),
]


@contextmanager
def milestones_everywhere(distance: int = 1, most: int = 1_000) -> Iterator[None]:
    """As if the smallest log were a large one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trail, "DISTANCE", distance)
        patch.setattr(trail, "MOST", most)
        patch.setattr(milestones, "MOST", most)
        patch.setattr(trail, "_PER_BYTE_STORED", 0.0)
        patch.setattr(trail, "_PER_BYTE_READ", 0.0)
        yield


class Memory:
    """Frames as a log gives them; counts those that are read."""

    def __init__(self, frames: list[Frame | DamagedFrame]) -> None:
        self._frames = frames
        self.read = 0

    @property
    def next_position(self) -> int:
        last = self._frames[-1]
        return last.position + (last.count if isinstance(last, Frame) else 1)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame | DamagedFrame]:
        for frame in self._frames:
            if frame.position >= start and (stop is None or frame.position < stop):
                self.read += 1
                yield frame


def up_to(frames: list[Frame | DamagedFrame], step: int) -> list[Frame]:
    """The definition: everything before the first frame of a later step."""
    kept: list[Frame] = []
    for frame in frames:
        if isinstance(frame, DamagedFrame):
            continue
        if frame.step > step:
            break
        kept.append(frame)
    return kept


@st.composite
def wandering(draw: st.DrawFn) -> list[Frame | DamagedFrame]:
    """Logs whose steps go up and back, with damage."""
    frames = draw(streams(max_frames=10))
    steps = draw(st.lists(st.integers(0, 5), min_size=len(frames), max_size=len(frames)))
    if draw(st.booleans()):
        steps.sort()
    found: list[Frame | DamagedFrame] = [
        dataclasses.replace(frame, step=step) for frame, step in zip(frames, steps, strict=True)
    ]
    if len(found) > 1 and draw(st.booleans()):
        at = draw(st.integers(1, len(found) - 1))
        found[at] = DamagedFrame(found[at].position, "as a failing disk would")
    return found


@settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(wandering(), st.integers(1, 3), st.integers(1, 4_000), st.integers(2, 6))
def test_the_past_from_milestones_is_the_past_from_the_start(
    frames: list[Frame | DamagedFrame], bite: int, distance: int, most: int
) -> None:
    with tempfile.TemporaryDirectory() as directory, milestones_everywhere(distance, most):
        log, checkpoints = Memory(frames), Checkpoints(Path(directory))
        present = Projector(VIEWS, log, checkpoints)
        while present.catch_up(limit_frames=bite):
            pass
        present.checkpoint()
        for step in range(-1, 7):
            kept = up_to(frames, step)
            past = present.at_step(step)
            expected = {kind.name: fold_frames(kind, kept).digest() for _, kind in VIEWS}
            assert past.digests() == expected, step


# -- a run that is long enough -----------------------------------------------------------------

STEPS, IDS = 40, list(range(200))


def written(path: Path, steps: int = STEPS) -> Path:
    writer = LogWriter(path)
    generator = np.random.default_rng(0)
    for step in range(steps):
        losses = generator.random(len(IDS), np.float32)
        writer.frame(step, ("exposed", "train_loader", IDS), values("loss", IDS, losses))
    writer.close()
    return path


@pytest.fixture
def folded(tmp_path: Path) -> Iterator[Run]:
    """A run that was folded once, and left milestones about every four steps."""
    path = written(tmp_path / "run")
    with milestones_everywhere(5_000):
        fold_in_bites(path)
        with open_run(path) as run:
            yield run


def fold_in_bites(path: Path) -> None:
    with open_run(path) as run:
        while run._projector.catch_up(limit_frames=1):
            pass


def from_the_start(run: Run, step: int) -> dict[str, str]:
    kinds = [(held.plugin, type(held.projection)) for held in run._projector._held.values()]
    past = Projector(kinds, run.log, last_step=step)
    past.catch_up()
    return past.digests()


def stored(run: Run, view: str = "samples") -> tuple[Milestones, tuple[str, int, bytes]]:
    identity = run._projector._identity()
    assert identity is not None
    version = {"samples": SampleView, "curves": Curves, "history": History}[view].version
    return Milestones(run.directory.views / "past"), (view, version, identity)


def marks(run: Run, view: str = "samples") -> list[Mark]:
    found, fitting = stored(run, view)
    return found.marks(*fitting)


def read_for(run: Run, step: int) -> int:
    """How many frames are folded to see that step; the digests must be right."""
    kinds = [(held.plugin, type(held.projection)) for held in run._projector._held.values()]
    log = Memory(list(run.log.frames()))
    checkpoints = Checkpoints(run.directory.views)
    past = Projector(kinds, log, checkpoints, last_step=step, milestones=False)
    past.restore()
    log.read = 0
    past.catch_up()
    assert past.digests() == from_the_start(run, step)
    return log.read


def test_the_past_is_folded_on_from_the_nearest_milestone(folded: Run) -> None:
    assert 5 <= len(marks(folded)) <= 15
    assert max(read_for(folded, step) for step in range(STEPS)) <= 10


def test_whoever_goes_back_leaves_milestones_for_the_next(tmp_path: Path) -> None:
    with milestones_everywhere(5_000), open_run(written(tmp_path / "run")) as run:
        with run.at(step=20) as past:
            past._projector.restore()
            while past._projector.catch_up(limit_frames=1):
                pass
        assert len(marks(run)) > 2
        assert all(mark.last_step <= 20 for mark in marks(run))
        assert read_for(run, 20) <= 10


def test_milestones_are_few_and_evenly_spread(tmp_path: Path) -> None:
    with milestones_everywhere(1, most=6):
        path = written(tmp_path / "run")
        fold_in_bites(path)
        with open_run(path) as run:
            found = [0, *(mark.weight for mark in marks(run))]
            run.refresh()
            whole = run._projector._held["samples"].weight
    assert 4 <= len(found) - 1 <= 6
    assert max(np.diff([*found, whole])) <= whole / 3


def test_two_that_fold_the_same_leave_no_more_than_one(folded: Run) -> None:
    before = marks(folded)
    projector = Projector(VIEWS, folded.log, Checkpoints(folded.directory.views))
    while projector.catch_up(limit_frames=1):
        pass
    assert marks(folded) == before


def test_a_view_that_is_as_large_as_the_log_has_none(folded: Run) -> None:
    assert History.on_demand
    folded.view("history")
    assert marks(folded, "history") == []
    with folded.at(step=3) as past:
        steps, _ = past.signal_history("loss", "train_loader", 7)
    assert steps.tolist() == [0, 1, 2, 3]


def test_a_large_snapshot_is_not_kept_of_a_short_log(tmp_path: Path) -> None:
    with open_run(written(tmp_path / "run")) as run:
        run.refresh()
        assert marks(run) == []
        assert not (run.directory.views / "past").exists()


def test_the_present_goes_on_from_a_milestone_too(folded: Run) -> None:
    last = marks(folded)[-1]
    projector = Projector(VIEWS, folded.log, Checkpoints(folded.directory.views))
    assert projector.restore() == [kind.name for _, kind in VIEWS]
    assert projector.position >= last.position - 10
    projector.catch_up()
    every = from_the_start(folded, STEPS)
    assert projector.digests() == {name: every[name] for name in projector.names}


# -- what is on the disk -----------------------------------------------------------------------


def blobs(run: Run) -> dict[bytes, bytes]:
    environment = open_environment(run.directory.views / "past", databases=2)
    database = environment.database(b"blobs")
    with environment.reading() as txn:
        found = dict(txn.cursor(db=database))
    environment.close()
    return found


def change_blobs(run: Run, change: Callable[[bytes], bytes]) -> None:
    environment = open_environment(run.directory.views / "past", databases=2)
    database = environment.database(b"blobs")
    changed = {key: change(data) for key, data in blobs(run).items()}

    def work(txn: Any) -> None:
        for key, data in changed.items():
            txn.put(key, data, db=database)

    environment.write(work)
    environment.close()


def test_what_stays_the_same_is_stored_once(folded: Run) -> None:
    ids = np.arange(len(IDS)).astype(np.uint8).tobytes()
    assert len(marks(folded)) > 4
    assert list(blobs(folded).values()).count(ids) == 1


def test_nothing_stays_behind_of_milestones_that_are_gone(folded: Run) -> None:
    found, _ = stored(folded)
    before = len(blobs(folded))
    found.clear(["curves"])
    assert marks(folded, "curves") == []
    assert len(blobs(folded)) < before
    assert read_for(folded, 30) <= STEPS
    found.clear(folded._projector.names)
    assert blobs(folded) == {}


def test_a_milestone_with_a_changed_byte_is_not_used_and_gives_way(folded: Run) -> None:
    change_blobs(folded, lambda data: data[:-1] + bytes([data[-1] ^ 1]) if data else data)
    assert read_for(folded, 30) == 32
    with folded.at(step=30) as past:
        past._projector.restore()
        while past._projector.catch_up(limit_frames=1):
            pass
    assert read_for(folded, 30) <= 10


def test_a_milestone_with_a_changed_header_is_not_used(folded: Run) -> None:
    environment = open_environment(folded.directory.views / "past", databases=2)
    database = environment.database(b"marks")

    def work(txn: Any) -> None:
        for key, data in list(txn.cursor(db=database)):
            txn.put(key, data[:20] + bytes([data[20] ^ 1]) + data[21:], db=database)

    environment.write(work)
    environment.close()
    assert marks(folded) == []
    assert read_for(folded, 30) == 32


def test_milestones_of_another_log_are_not_used(folded: Run, tmp_path: Path) -> None:
    other = LogWriter(tmp_path / "other")
    other.number = 70
    for step in range(STEPS):
        other.frame(step, values("loss", [1], floats(step)))
    past = Projector(VIEWS, other.log, Checkpoints(folded.directory.views), last_step=30)
    assert past.restore() == []
    other.close()


def test_milestones_of_another_version_give_way(
    folded: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SampleView, "version", SampleView.version + 1)
    projector = Projector(VIEWS, folded.log, Checkpoints(folded.directory.views), last_step=30)
    assert "samples" not in projector.restore()
    while projector.catch_up(limit_frames=1):
        pass
    assert all(mark.last_step <= 30 for mark in marks(folded))
    assert marks(folded)


def test_a_rebuild_leaves_new_milestones(folded: Run) -> None:
    found, fitting = stored(folded)
    change_blobs(folded, lambda data: b"wrong" + data)
    projector = Projector(VIEWS, folded.log, Checkpoints(folded.directory.views))
    projector.rebuild()
    assert marks(folded)
    assert all(found.load(*fitting, mark.position) for mark in marks(folded))
    past = projector.at_step(30)
    every = from_the_start(folded, 30)
    assert past.digests() == {name: every[name] for name in past.names}


def test_a_disk_that_refuses_costs_time_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "run")
    past = path / "views" / "past"
    past.mkdir(parents=True)
    (past / "data.mdb").write_bytes(b"no environment" * 1000)
    with milestones_everywhere(5_000), open_run(path) as run:
        with pytest.warns(MilestoneWarning, match="takes longer"):
            run.refresh()
        assert run._projector.digests() == from_the_start(run, STEPS)


class Cells(Projection):
    """Arrays of every kind, for what becomes of them on the way to the disk."""

    name = "cells"
    version: ClassVar[int] = 1
    kinds = frozenset()
    state: ClassVar[dict[str, Any]] = {}

    def fold(self, batch: Any) -> None: ...
    def snapshot(self) -> dict[str, Any]:
        return dict(self.state)

    def restore(self, state: Any) -> None: ...
    def digest(self) -> str:
        return ""

    def merge(self, later: Any) -> None: ...


_LIMITS = st.sampled_from([-(2**63), -(2**31) - 1, -129, -1, 0, 1, 255, 256, 2**32, 2**63 - 1])


@settings(deadline=None, max_examples=60)
@given(st.lists(_LIMITS, max_size=5), st.lists(st.floats(width=32), max_size=5), st.integers(1, 3))
def test_arrays_come_back_bit_for_bit(
    integers: list[int], numbers: list[float], times: int
) -> None:
    numbers_ = np.asarray(numbers * times, np.float32)
    state: dict[str, Any] = {
        "integers": np.asarray(integers * times, np.int64),
        "large": np.asarray([2**64 - 1, 0][:times], np.uint64),
        "numbers": numbers_,
        "wide": numbers_.astype(np.float64),
        "flags": numbers_ > 0,
        "square": np.zeros((times, times), np.int32),
        "zeros": np.asarray([0.0, -0.0] * times, np.float32),
        "hashes": np.frombuffer(bytes(16 * times), "V16"),
        "bytes": b"as they are",
        "nothing": b"",
    }
    one = milestones.packed(Cells(), b"log", Mark(1, 1, 1), state)
    for entry in one.entries:
        before, after = state[entry[0]], milestones.unpacked(entry, one.blobs[entry[-1]])
        if isinstance(before, bytes):
            assert after == before
            continue
        assert isinstance(after, np.ndarray)
        assert (after.dtype, after.shape) == (before.dtype, before.shape)
        assert after.tobytes() == before.tobytes()


SAVE_FOR_EVER = """
    import sys
    from pathlib import Path
    import numpy as np
    from wl_core.milestones import Mark, Milestones, packed

    class View:
        name, version = "view", 1

    milestones = Milestones(Path(sys.argv[1]))
    for position in range(1, 1_000_000):
        state = {str(n): np.arange(20_000) + position + n for n in range(20)}
        milestones.save([packed(View, b"log", Mark(position, position, position), state)])
        print(position, flush=True)
"""


def test_a_process_killed_in_a_milestone_leaves_those_before(tmp_path: Path) -> None:
    """G10: whenever death comes, positions and arrays belong together."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SAVE_FOR_EVER), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    last = [int(process.stdout.readline()) for _ in range(5)][-1]
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    process.stdout.close()
    found = Milestones(tmp_path)
    positions = [mark.position for mark in found.marks("view", 1, b"log")]
    assert positions == list(range(1, len(positions) + 1))
    assert len(positions) >= last
    for position in positions:
        state = found.load("view", 1, b"log", position)
        assert state is not None
        assert [np.asarray(array)[0] for array in state.values()] == list(
            range(position, position + 20)
        )


# -- Run.at ------------------------------------------------------------------------------------


def test_every_question_about_the_past_is_answered_as_of_then(folded: Run) -> None:
    with folded.at(step=12) as past:
        row = past.samples().row(3)
        assert (row["times_seen"], row["last_step"]) == (13, 12)
        assert (
            len(past.curves()["loss/mean" if "loss/mean" in past.curves() else "loss"].steps) == 13
        )
        assert past.end == past.position < folded.end


@pytest.mark.parametrize("step", [-1, STEPS + 1, 10**12])
def test_a_step_that_never_was_is_refused(folded: Run, step: int) -> None:
    with pytest.raises(UsageError, match=rf"no step {step}: the last step of run is {STEPS}"):
        folded.at(step=step)


def test_values_of_a_later_step_end_what_was_before(finished: Any) -> None:
    def train(loss: float) -> None:
        with wl.guard_training_context:
            wl.save_signals({"loss": [loss]}, [1], origin="train")

    train(0.0)
    train(1.0)
    wl.save_signals({"late": [9.0]}, [1], origin="train", step=500)
    train(2.0)
    run = finished()
    with run.at(step=1) as past:
        assert past.samples().row(0)["loss"] == 1.0
    with run.at(step=499) as past:  # the step 2 was recorded after one of 500
        assert past.samples().row(0)["loss"] == 1.0
        assert "late" not in past.samples()
    with run.at(step=500) as past:
        assert (past.samples().row(0)["loss"], past.samples().row(0)["late"]) == (2.0, 9.0)
    with pytest.raises(UsageError, match="the last step of run is 500"):
        run.at(step=501)


def test_the_status_of_the_past_is_what_the_run_had_said_by_then(tmp_path: Path) -> None:
    write_run(tmp_path / "run", steps=3)
    with open_run(tmp_path / "run") as run:
        with run.at(step=1) as past:
            assert (past.status().state, past.status().step) == ("training", 2)
            assert past.status().since < run.status().since
        with run.at(step=3) as past:
            assert past.status() == run.status()


# -- the command line --------------------------------------------------------------------------


@pytest.fixture
def command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command on a run of three steps; gives its status and what it prints."""
    writer = LogWriter(tmp_path / "run")
    hyperparameters = ("hyperparameters", {"lr": 0.1}, "script", "")
    writer.frame(0, ("run_started", "id", 1, "host", {}, False), hyperparameters, phase="outside")
    for step in range(3):
        writer.frame(
            step, ("exposed", "train_loader", ["a"]), values("loss", ["a"], floats(step + 0.5))
        )
        decision = ("tagged", f"tag{step}", True, "train_loader", ["a"], None, "tester", "")
        change = ("hyperparameters", {"lr": 0.1 + step}, "tester", "")
        writer.frame(step + 1, decision, change, phase="outside")
    writer.frame(3, ("run_finished", "finished", ""), phase="outside")
    writer.close()

    def run(*arguments: str) -> tuple[int, str, str]:
        status = run_command([*arguments, "--root", str(tmp_path)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def listed(command: Callable[..., tuple[int, str, str]], *arguments: str) -> Any:
    status, out, err = command(*arguments, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


def test_each_listing_command_shows_the_run_as_of_a_step(
    command: Callable[..., tuple[int, str, str]],
) -> None:
    at = ("--at-step", "1")
    (sample,) = listed(command, "samples", *at)
    assert (sample["loss"], sample["tags"], sample["times_seen"]) == (1.5, "tag0", 2)
    info = listed(command, "info", *at)
    assert (info["state"], info["step"], info["hyperparameters"]) == ("training", 2, {"lr": 0.1})
    events = listed(command, "events", *at)
    assert max(one["step"] for one in events) == 1
    assert len(events) == info["events"] == events[-1]["position"] + 1
    (setting,) = listed(command, "set", *at)
    assert (setting["value"], setting["step"]) == (0.1, 1)
    assert [one["what"] for one in listed(command, "history-of", "a", *at)] == [
        "tag tag0 on a (train_loader)"
    ]
    assert listed(command, "instances", "a", *at) == []


@pytest.mark.parametrize("name", ["samples", "info", "events", "set"])
def test_a_step_that_never_was_is_an_error_that_names_the_last(
    command: Callable[..., tuple[int, str, str]], name: str
) -> None:
    for step in ("4", "-1"):
        status, out, err = command(name, "--at-step", step)
        assert (status, out) == (2, "")
        assert f"there is no step {step}: the last step of run is 3" in err


def test_the_past_can_neither_be_followed_nor_set(
    command: Callable[..., tuple[int, str, str]],
) -> None:
    assert command("events", "--follow", "--at-step", "1")[0] == 2
    status, _, err = command("set", "lr=1", "--at-step", "1")
    assert status == 2
    assert "the past cannot be changed" in err


def test_replay_verifies_the_milestones_of_the_past(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    arguments = ("replay", "--verify", "--at-step", "1")
    assert command(*arguments)[0] == 0
    with milestones_everywhere():
        fold_in_bites(tmp_path / "run")
    assert command(*arguments)[0] == 0
    with open_run(tmp_path / "run") as run:
        found, (name, version, identity) = stored(run)
        wrong = run.view("samples")  # of the present
        mark = Mark(4, 0, 10_000)
        found.save([milestones.packed(wrong, identity, mark, wrong.snapshot())])
        assert (name, version) == (wrong.name, wrong.version)
    status, out, _ = command("replay", "--verify", "--at-step", "0")
    assert status == 1
    assert [row.split("\t")[2] for row in out.splitlines() if row.startswith("samples\t")] == [
        "DIFFERENT"
    ]


def test_a_checkpoint_of_before_is_gone_on_from(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save([Checkpoint("view", 1, 7, b"log", {"a": b"1"}, {}, last_step=4, weight=9)])
    assert checkpoints.load("view", 1, b"log", 3) is None
    found = checkpoints.load("view", 1, b"log", 4)
    assert found is not None
    assert (found.position, found.last_step, found.weight) == (7, 4, 9)
