from __future__ import annotations

import gc
import os
import resource
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.core.frames import python, until
from wl_core import projection, run
from wl_core.batches import batches
from wl_core.checkpoints import Checkpoints
from wl_core.codec import encode
from wl_core.directory import RunDirectory
from wl_core.errors import ProjectionParkedError
from wl_core.log import EventLog
from wl_core.partitions import fold_frames
from wl_core.projection import Projector
from wl_core.run import open_run
from wl_core.tail import Entry
from wl_core.testing import FrameWriter
from wl_core.view_files import ViewFiles
from wl_plugins import history
from wl_plugins.history import History

STEPS = 60


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "CHUNK", 16)
    monkeypatch.setattr(history, "OPEN_LIMIT", 40)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    made = EventLog(tmp_path / "log", create=True)
    append(made, 0, STEPS)
    yield made
    made.close()


def append(log: EventLog, first: int, stop: int) -> None:
    frames = FrameWriter()
    frames.model_age = first
    for step in range(first, stop):
        frames.values("loss", [step % 7, step % 11], [step, step / 3], dtype=np.float64)
        frames.instance_values("iou", [step % 5], [0, 0], [1, 2 + step % 3], [step, -step])
        frames.step()
    log.append(
        [
            Entry(f.writer, first + number, f.count, encode(f))
            for number, f in enumerate(frames.frames, 1)
        ]
    )


def projector(log: EventLog, views: Path) -> Projector:
    return Projector([("built-in", History)], log, Checkpoints(views))


def folded(log: EventLog, views: Path) -> Projector:
    made = projector(log, views)
    made.restore()
    made.catch_up()
    return made


def view_of(made: Projector) -> History:
    view = made.view("history")
    assert isinstance(view, History)
    return view


def fresh_digest(log: EventLog) -> str:
    return fold_frames(History, log.frames()).digest()  # type: ignore[arg-type]  # none is damaged


def files_in(views: Path) -> set[str]:
    directory = ViewFiles(views, "history").directory
    return {path.name for path in directory.glob("*") if path.suffix != ".lock"}


def test_chunks_are_mapped_from_the_files_that_the_checkpoint_names(
    log: EventLog, tmp_path: Path
) -> None:
    views = tmp_path / "views"
    first = folded(log, views)
    assert first.checkpoint()
    names = set(view_of(first).files())
    assert len(names) == len(files_in(views)) > 5
    assert files_in(views) == names
    again = projector(log, views)
    assert again.restore() == ["history"]
    assert set(view_of(again).files()) == names
    assert view_of(again).digest() == fresh_digest(log)


def test_two_who_fold_at_once_do_not_take_each_others_files(log: EventLog, tmp_path: Path) -> None:
    views = tmp_path / "views"
    one, other = folded(log, views), folded(log, views)
    assert one.checkpoint()
    append(log, STEPS, STEPS + 20)
    for made in (other, one):
        made.catch_up()
        assert made.checkpoint()
        assert view_of(made).digest() == fresh_digest(log)
        assert Checkpoints(views).files("history") == view_of(other).files()
    assert view_of(folded(log, views)).digest() == fresh_digest(log)


def test_what_no_checkpoint_names_goes_with_its_owner(log: EventLog, tmp_path: Path) -> None:
    views = tmp_path / "views"
    made = folded(log, views)
    assert files_in(views)
    del made
    gc.collect()
    assert os.listdir(ViewFiles(views, "history").directory) == []


@pytest.mark.parametrize("harm", ["missing", "short"])
def test_a_checkpoint_whose_file_is_not_whole_is_folded_anew(
    log: EventLog, tmp_path: Path, harm: str
) -> None:
    views = tmp_path / "views"
    assert folded(log, views).checkpoint()
    harmed = ViewFiles(views, "history").directory / max(files_in(views))
    if harm == "missing":
        harmed.unlink()
    else:
        os.truncate(harmed, harmed.stat().st_size - 1)
    again = projector(log, views)
    assert again.restore() == []
    again.catch_up()
    assert view_of(again).digest() == fresh_digest(log)
    append(log, STEPS, STEPS + 1)
    again.catch_up()
    assert again.checkpoint()
    assert projector(log, views).restore() == ["history"]


def test_views_that_are_deleted_under_a_reader_stay_readable(log: EventLog, tmp_path: Path) -> None:
    views = tmp_path / "views"
    made = folded(log, views)
    assert made.checkpoint()
    for path in ViewFiles(views, "history").directory.iterdir():
        path.unlink()
    append(log, STEPS, STEPS + 40)
    made.catch_up()
    assert view_of(made).digest() == fresh_digest(log)
    made.checkpoint()
    assert view_of(folded(log, views)).digest() == fresh_digest(log)


def test_a_rebuild_replaces_files_and_removes_the_old_ones(log: EventLog, tmp_path: Path) -> None:
    views = tmp_path / "views"
    made = folded(log, views)
    assert made.checkpoint()
    before = files_in(views)
    del made
    gc.collect()  # as long as it lives, its files are not removed
    again = folded(log, views)
    again.rebuild()
    assert files_in(views) == set(view_of(again).files())
    assert not files_in(views) & before
    assert view_of(folded(log, views)).digest() == fresh_digest(log)


def test_a_disk_that_refuses_parks_the_view_and_says_why(log: EventLog, tmp_path: Path) -> None:
    views = tmp_path / "views"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        made = folded(log, views)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert files_in(views) == set()
    with pytest.raises(ProjectionParkedError, match="could not be written"):
        made.view("history")


def test_where_nothing_may_be_written_it_reads_on_in_memory(
    log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = tmp_path / "views"
    assert folded(log, views).checkpoint()
    before = files_in(views)
    append(log, STEPS, STEPS + 40)
    monkeypatch.setattr(ViewFiles, "writable", False)  # a test that is root may write anywhere
    made = projector(log, views)
    assert made.restore() == ["history"]
    made.catch_up()
    assert view_of(made).files() == before
    assert view_of(made).digest() == fresh_digest(log)
    assert files_in(views) == before


def test_who_asked_for_histories_leaves_them_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_CHECKPOINT_WEIGHT", 1)
    path = a_run(tmp_path)
    saved = Checkpoints(path / "views")
    with open_run(path) as reader:
        reader.refresh()
    assert (saved.position("samples"), saved.position("history")) == (2 * STEPS, None)
    with open_run(path) as reader:
        expected = reader.signal_history("loss", "train_loader", 3)[1].tolist()
    assert saved.position("history") == 2 * STEPS
    with open_run(path) as reader:
        assert reader.signal_history("loss", "train_loader", 3)[1].tolist() == expected
        assert saved.files("history") == reader.view("history").files()
    assert len(expected) > STEPS // 7


@pytest.fixture
def _long_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Budgets are looked at between batches, so the log has to be one of many."""
    monkeypatch.setattr(projection, "batches", partial(batches, max_bytes=8_000))


@pytest.mark.usefixtures("_long_log")
def test_histories_of_a_long_log_come_while_the_other_views_go_on(tmp_path: Path) -> None:
    with open_run(a_run(tmp_path)) as reader:
        reader.refresh()
        assert not reader.prepare("history", budget_seconds=0)
        assert reader.position == 2 * STEPS
        append(reader.log, STEPS, STEPS + 10)
        while reader.position < 2 * STEPS + 20:
            assert reader.refresh(budget_seconds=0)
        assert not reader.prepare("history", budget_seconds=0)
        while reader.refresh(budget_seconds=0):
            assert reader.position == 2 * STEPS + 20
        assert reader.prepare("history", budget_seconds=0)
        assert reader.view("history").digest() == fresh_digest(reader.log)


@pytest.mark.usefixtures("_long_log")
def test_a_history_that_was_not_prepared_to_the_end_is_whole_when_it_is_read(
    tmp_path: Path,
) -> None:
    with open_run(a_run(tmp_path)) as reader:
        reader.refresh()
        assert not reader.prepare("history", budget_seconds=0)
        assert reader.view("history").digest() == fresh_digest(reader.log)


def a_run(directory: Path) -> Path:
    """A run with the same events."""
    path = directory / "run"
    copy = EventLog(RunDirectory(path).log, create=True)
    append(copy, 0, STEPS)
    copy.close()
    return path


FOLD = """
    import sys
    from pathlib import Path
    from wl_core.checkpoints import Checkpoints
    from wl_core.log import EventLog
    from wl_core.projection import Projector
    from wl_plugins import history

    history.CHUNK, history.OPEN_LIMIT = 16, 40
    path = Path(sys.argv[1])
    made = Projector([("b", history.History)], EventLog(path / "log"), Checkpoints(path / "views"))
    print("ready", flush=True)
    while True:
        made.catch_up(limit_frames=3)
        made.checkpoint()
        made.rebuild()
"""


def wrote_more(views: Path, before: set[str], count: int) -> bool:
    return len(files_in(views) - before) >= count


def test_a_kill_while_chunks_are_written_costs_time_and_nothing_else(
    log: EventLog, tmp_path: Path
) -> None:
    views = tmp_path / "views"
    for kill in range(3):
        with python(FOLD, tmp_path) as folding:
            assert folding.stdout is not None
            assert folding.stdout.readline() == "ready\n"
            before = files_in(views)
            until(partial(wrote_more, views, before, 2 + 3 * kill))
            folding.kill()
            folding.wait()
        assert view_of(folded(log, views)).digest() == fresh_digest(log)
    gc.collect()
    append(log, STEPS, STEPS + 1)
    made = folded(log, views)
    assert made.checkpoint()
    assert files_in(views) == set(view_of(made).files())
    assert view_of(folded(log, views)).digest() == fresh_digest(log)
