from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest

from wl_core.batches import EventBatch
from wl_core.checkpoints import Checkpoint, Checkpoints
from wl_core.codec import Frame, FrameBuilder, encode
from wl_core.environment import open_environment
from wl_core.errors import ProjectionParkedError, UnknownNameError, UsageError
from wl_core.log import EventLog
from wl_core.partitions import fold_frames
from wl_core.projection import Parked, Projection, Projector
from wl_core.tail import Entry
from wl_plugins.curves import Curves
from wl_plugins.sample_view import SampleView

VIEWS = [("built-in", SampleView), ("built-in", Curves)]
MakeLog = Callable[..., EventLog]


class Steps(Projection):
    """The steps of all values events, one by one; fails at the step that a test says."""

    name = "steps"
    version: ClassVar[int] = 1
    kinds = frozenset({"values"})
    fails_at: ClassVar[int | None] = None
    interrupted_at: ClassVar[int | None] = None

    def __init__(self) -> None:
        self.steps: list[int] = []

    def fold(self, batch: EventBatch) -> None:
        for group in batch.groups("values"):
            for step in group.steps.tolist():
                if step == self.fails_at:
                    raise RuntimeError(f"step {step} is not for me")
                self.steps.append(step)
                if step == self.interrupted_at:
                    raise KeyboardInterrupt

    def snapshot(self) -> dict[str, Any]:
        return {"steps": np.asarray(self.steps, np.int64), "note": b"bytes are kept as well"}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.steps = state["steps"].tolist()

    def digest(self) -> str:
        return repr(self.steps)

    def merge(self, later: Self) -> None:
        self.steps += later.steps


def frame_of(step: int, number: int, writer: bytes = b"somebody") -> bytes:
    builder = FrameBuilder()
    ids = builder.ids([step % 3, 7])
    builder.add("exposed", "train_loader", ids)
    values = builder.vector(np.asarray([step, step / 2], np.float32))
    builder.add("values", "loss", "train_loader", True, ids, values)
    return encode(Frame(step, 1.0, writer, number, "train", False, builder.blobs, builder.events))


def append(log: EventLog, *steps: int, first_number: int = 1) -> None:
    numbered = enumerate(steps, start=first_number)
    log.append([Entry(b"somebody", number, 2, frame_of(step, number)) for number, step in numbered])


@pytest.fixture
def make_log(tmp_path: Path) -> Iterator[MakeLog]:
    opened: list[EventLog] = []

    def make(*steps: int, name: str = "log") -> EventLog:
        log = EventLog(tmp_path / name, create=True)
        opened.append(log)
        append(log, *steps)
        return log

    yield make
    for log in opened:
        log.close()


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "views")


def digests_of_all(log: EventLog) -> dict[str, str]:
    projector = Projector(VIEWS, log)
    projector.catch_up()
    return projector.digests()


# -- catching up ---------------------------------------------------------------


def test_it_folds_what_is_new_and_nothing_twice(make_log: MakeLog) -> None:
    log = make_log(0, 1, 2)
    projector = Projector([("mine", Steps)], log)
    assert projector.catch_up() == 6
    assert projector.catch_up() == 0
    append(log, 3, 4, first_number=4)
    assert projector.catch_up() == 4
    assert projector.position == log.next_position == 10
    assert projector.digests() == {"steps": "[0, 1, 2, 3, 4]"}


def test_it_stops_at_a_limit_and_goes_on_from_there(make_log: MakeLog) -> None:
    log = make_log(*range(10))
    projector = Projector(VIEWS, log)
    assert projector.catch_up(limit_frames=3) == 6
    assert projector.position == 6
    while projector.catch_up(limit_frames=2):
        pass
    assert projector.digests() == digests_of_all(log)


def test_a_spent_budget_still_makes_progress(make_log: MakeLog) -> None:
    log = make_log(*range(4))
    projector = Projector(VIEWS, log)
    while projector.position < log.next_position:
        assert projector.catch_up(budget_seconds=0) > 0
    assert projector.digests() == digests_of_all(log)


def test_one_that_came_later_catches_up_with_the_others(make_log: MakeLog) -> None:
    log = make_log(0, 1, 2)
    projector = Projector([("built-in", Curves)], log)
    projector.catch_up()
    append(log, 3, first_number=4)
    projector.include("mine", Steps)
    assert projector.position == 0
    assert projector.catch_up() == 8
    assert projector.view("steps").digest() == "[0, 1, 2, 3]"
    assert projector.digests()["curves"] == digests_of_all(log)["curves"]


def test_two_of_one_name_are_refused(make_log: MakeLog) -> None:
    with pytest.raises(UsageError, match="'steps' of plugin 'b' is there already, from plugin 'a'"):
        Projector([("a", Steps), ("b", Steps)], make_log())


def test_an_unknown_view_is_named_with_the_nearest(make_log: MakeLog) -> None:
    with pytest.raises(
        UnknownNameError, match=r"there is no view 'sample'\. Did you mean 'samples'"
    ):
        Projector(VIEWS, make_log()).view("sample")


# -- failures ------------------------------------------------------------------


class Failing(Steps):
    name = "failing"
    fails_at = 2


def test_one_that_raises_is_parked_once_and_the_others_go_on(make_log: MakeLog) -> None:
    log = make_log(0, 1, 2)
    reported: list[Parked] = []
    projector = Projector([("theirs", Failing), *VIEWS], log, report=reported.append)
    projector.catch_up()
    append(log, 3, first_number=4)
    projector.catch_up()
    assert reported == projector.parked
    (parked,) = reported
    assert (parked.plugin, parked.projection, parked.position) == ("theirs", "failing", 0)
    assert "RuntimeError: step 2 is not for me" in parked.traceback
    assert projector.digests() == digests_of_all(log)
    assert projector.position == log.next_position


def test_a_parked_view_is_not_read(make_log: MakeLog) -> None:
    projector = Projector([("theirs", Failing)], make_log(0, 1, 2))
    projector.catch_up()
    with pytest.raises(
        ProjectionParkedError, match=r"'failing' of plugin 'theirs' failed .*step 2"
    ):
        projector.view("failing")


def test_a_parked_view_gets_a_new_chance_by_a_rebuild(
    make_log: MakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    projector = Projector([("theirs", Failing)], make_log(0, 1, 2))
    projector.catch_up()
    monkeypatch.setattr(Failing, "fails_at", None)
    projector.rebuild()
    assert projector.parked == []
    assert projector.view("failing").digest() == "[0, 1, 2]"


def test_a_fold_that_is_interrupted_is_begun_anew(
    make_log: MakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    projector = Projector([("mine", Steps)], make_log(0, 1, 2))
    monkeypatch.setattr(Steps, "interrupted_at", 1)
    with pytest.raises(KeyboardInterrupt):
        projector.catch_up()
    monkeypatch.setattr(Steps, "interrupted_at", None)
    projector.catch_up()
    assert projector.view("steps").digest() == "[0, 1, 2]"


def damage(log: EventLog, position: int) -> None:
    """Flips a byte of the frame there, as a failing disk would."""

    def work(txn: Any) -> None:
        key = position.to_bytes(8, "big")
        data = bytearray(txn.get(key, db=log.environment.database(b"frames")))
        data[-1] ^= 1
        txn.put(key, bytes(data), db=log.environment.database(b"frames"))

    log.environment.write(work)


@pytest.mark.parametrize("position", [0, 2, 4])
def test_damaged_frames_are_remembered_and_left_out(make_log: MakeLog, position: int) -> None:
    log = make_log(0, 1, 2)
    damage(log, position)
    projector = Projector([("mine", Steps)], log)
    projector.catch_up()
    projector.catch_up()
    (damaged,) = projector.damaged
    assert damaged.position == position
    assert "checksum" in damaged.reason
    append(log, 3, first_number=4)
    projector.catch_up()
    assert projector.view("steps").digest() == repr([s for s in range(4) if s != position // 2])
    assert projector.position == log.next_position


# -- the past ------------------------------------------------------------------


def test_the_past_is_the_fold_up_to_the_first_later_step(make_log: MakeLog) -> None:
    log = make_log(0, 1, 1, 3, 2, 5)
    projector = Projector([*VIEWS, ("mine", Steps)], log)
    projector.catch_up()
    past = projector.at_step(2)
    assert past.view("steps").digest() == "[0, 1, 1]"
    kept = [frame for frame in log.frames(0, 6) if isinstance(frame, Frame)]
    assert past.digests()["samples"] == fold_frames(SampleView, kept).digest()
    append(log, 0, first_number=7)
    assert past.catch_up() == 0
    assert projector.at_step(99).view("steps").digest() == "[0, 1, 1, 3, 2, 5, 0]"


def test_one_that_joins_the_past_stops_where_the_past_does(make_log: MakeLog) -> None:
    past = Projector(VIEWS, make_log(0, 1, 2), last_step=1)
    past.catch_up()
    past.include("mine", Steps)
    past.catch_up()
    assert past.view("steps").digest() == "[0, 1]"


def test_the_past_is_never_checkpointed(make_log: MakeLog, checkpoints: Checkpoints) -> None:
    past = Projector(VIEWS, make_log(0, 1), checkpoints, last_step=0)
    past.catch_up()
    assert not past.checkpoint()
    assert checkpoints.position("samples") is None


# -- checkpoints ---------------------------------------------------------------


def checkpointed(log: EventLog, checkpoints: Checkpoints) -> Projector:
    projector = Projector([*VIEWS, ("mine", Steps)], log, checkpoints)
    projector.catch_up()
    assert projector.checkpoint()
    return projector


def test_a_restored_one_goes_on_from_its_checkpoint(
    make_log: MakeLog, checkpoints: Checkpoints
) -> None:
    log = make_log(0, 1)
    checkpointed(log, checkpoints)
    append(log, 2, first_number=3)
    other = Projector([*VIEWS, ("mine", Steps)], log, checkpoints)
    assert other.restore() == ["samples", "curves", "steps"]
    assert other.position == 4
    assert other.catch_up() == 2
    expected = Projector([*VIEWS, ("mine", Steps)], log)
    expected.catch_up()
    assert other.digests() == expected.digests()


def test_another_version_is_folded_anew(
    make_log: MakeLog, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = make_log(0, 1)
    checkpointed(log, checkpoints)
    monkeypatch.setattr(Steps, "version", 2)
    other = Projector([*VIEWS, ("mine", Steps)], log, checkpoints)
    assert other.restore() == ["samples", "curves"]
    assert other.catch_up() == 4
    assert other.checkpoint()
    assert checkpoints.load("steps", 1, b"") is None
    assert Projector([("mine", Steps)], log, checkpoints).restore() == ["steps"]


def test_another_log_is_folded_anew(make_log: MakeLog, checkpoints: Checkpoints) -> None:
    checkpointed(make_log(0, 1), checkpoints)
    other = make_log(name="other")
    other.append([Entry(b"another!", 1, 2, frame_of(0, 1, b"another!"))])
    append(other, 1, 2, 3)
    assert Projector(VIEWS, other, checkpoints).restore() == []


def test_a_checkpoint_beyond_the_end_of_the_log_is_not_used(
    make_log: MakeLog, checkpoints: Checkpoints
) -> None:
    checkpointed(make_log(0, 1, 2), checkpoints)
    shorter = make_log(0, 1, name="shorter")
    projector = Projector(VIEWS, shorter, checkpoints)
    assert projector.restore() == []
    projector.catch_up()
    assert projector.digests() == digests_of_all(shorter)


def test_a_checkpoint_that_is_ahead_is_left_alone(
    make_log: MakeLog, checkpoints: Checkpoints
) -> None:
    log = make_log(0, 1, 2)
    slow = Projector([("mine", Steps)], log, checkpoints)
    slow.catch_up(limit_frames=1)
    checkpointed(log, checkpoints)
    assert slow.checkpoint()
    assert checkpoints.position("steps") == 6


def test_a_rebuild_replaces_a_checkpoint_that_is_ahead(
    make_log: MakeLog, checkpoints: Checkpoints
) -> None:
    log = make_log(0, 1, 2)
    projector = checkpointed(log, checkpoints)
    view = projector.view("steps")
    assert isinstance(view, Steps)
    view.steps.append(99)  # a fold that was wrong, and saved
    append(log, 3, first_number=4)
    projector.catch_up()
    projector.checkpoint()
    seen: list[tuple[int, int]] = []
    projector.rebuild(lambda position, end: seen.append((position, end)))
    assert seen == [(8, 8)]
    assert projector.view("steps").digest() == "[0, 1, 2, 3]"
    other = Projector([("mine", Steps)], log, checkpoints)
    other.restore()
    assert other.digests() == {"steps": "[0, 1, 2, 3]"}


def test_a_parked_one_keeps_its_last_good_checkpoint(
    make_log: MakeLog, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = make_log(0, 1)
    projector = checkpointed(log, checkpoints)
    monkeypatch.setattr(Steps, "fails_at", 2)
    append(log, 2, first_number=3)
    projector.catch_up()
    assert projector.checkpoint()
    assert (checkpoints.position("steps"), checkpoints.position("samples")) == (4, 6)


def test_a_checkpoint_whose_bytes_changed_is_not_used(
    make_log: MakeLog, checkpoints: Checkpoints
) -> None:
    log = make_log(0, 1)
    checkpointed(log, checkpoints)
    environment = open_environment(checkpoints.path, databases=1)
    key = b"steps\0" + bytes(4)
    database = environment.database(b"checkpoints")
    environment.write(lambda txn: txn.put(key, bytes(16), db=database))
    environment.close()
    assert Projector([*VIEWS, ("mine", Steps)], log, checkpoints).restore() == ["samples", "curves"]


def test_a_run_without_a_checkpoint_restores_nothing(
    make_log: MakeLog, checkpoints: Checkpoints
) -> None:
    assert Projector(VIEWS, make_log(0), checkpoints).restore() == []
    assert not checkpoints.path.exists()


def test_an_empty_log_has_nothing_to_checkpoint(
    make_log: MakeLog, checkpoints: Checkpoints
) -> None:
    assert not Projector(VIEWS, make_log(), checkpoints).checkpoint()
    assert not checkpoints.path.exists()


def test_a_large_checkpoint_makes_the_map_grow(checkpoints: Checkpoints) -> None:
    for size in (10, 10_000_000, 100):
        state = {"a": np.arange(size), "b": np.arange(3).reshape(3, 1), "c": b""}
        assert checkpoints.save([Checkpoint("big", 1, size, b"log", state)])
        loaded = checkpoints.load("big", 1, b"log")
        if size != 100:
            assert loaded is not None
            assert loaded.position == size
            np.testing.assert_array_equal(np.asarray(loaded.state["a"]), state["a"])
            assert np.asarray(loaded.state["b"]).shape == (3, 1)
            assert loaded.state["c"] == b""
    assert checkpoints.position("big") == 10_000_000


def test_two_projectors_of_one_process_share_the_place(
    make_log: MakeLog, checkpoints: Checkpoints
) -> None:
    log = make_log(0, 1)
    one, other = checkpointed(log, checkpoints), checkpointed(log, checkpoints)
    held_open = open_environment(checkpoints.path, databases=1)
    assert one.checkpoint()
    assert other.checkpoint()
    held_open.close()


SAVE_FOR_EVER = """
    import sys
    from pathlib import Path
    import numpy as np
    from wl_core.checkpoints import Checkpoint, Checkpoints

    checkpoints = Checkpoints(Path(sys.argv[1]))
    for position in range(1, 1_000_000):
        state = {str(n): np.full(20_000, position) for n in range(20)}
        both = [Checkpoint(name, 1, position, b"log", state) for name in ("one", "other")]
        checkpoints.save(both)
        print(position, flush=True)
"""


def test_a_process_killed_in_a_checkpoint_leaves_the_one_before(checkpoints: Checkpoints) -> None:
    """G10: whenever death comes, positions and arrays belong together, in all views alike."""
    last = 0
    for saves in (1, 2, 4):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SAVE_FOR_EVER), str(checkpoints.path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for _ in range(last + saves):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
        process.stdout.close()
        loaded = [checkpoints.load(name, 1, b"log") for name in ("one", "other")]
        assert loaded[0] is not None
        assert loaded[1] is not None
        assert loaded[0].position == loaded[1].position >= last
        for array in loaded[0].state.values():
            assert np.all(np.asarray(array) == loaded[0].position)


READ_ONLY = """
    import os, sys
    from pathlib import Path

    from wl_core.checkpoints import Checkpoints
    from wl_core.log import EventLog
    from wl_core.projection import Projector
    from wl_plugins.sample_view import SampleView

    if os.getuid() == 0:  # root may write anywhere
        os.setgid(65534)
        os.setuid(65534)
    root = Path(sys.argv[1])
    for name in ("views", "missing"):
        projector = Projector([("w", SampleView)], EventLog(root / "log"), Checkpoints(root / name))
        print(projector.restore(), projector.catch_up(), projector.checkpoint())
"""


@pytest.fixture
def run_directory() -> Iterator[Path]:
    """A directory that other users may enter, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        log = EventLog(root / "log", create=True)
        append(log, 0, 1)
        checkpointed(log, Checkpoints(root / "views"))
        append(log, 2, first_number=3)
        log.close()
        closed = (root, root / "log", root / "views")
        for path in closed:
            path.chmod(0o555)
        yield root
        for path in closed:
            path.chmod(0o755)


def test_a_read_only_directory_is_read_and_not_written(run_directory: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(READ_ONLY), str(run_directory)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['samples'] 2 False", "[] 6 False"]
