"""G7: a log of every format that was ever released opens and folds to what it always did."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.golden.make import expected
from wl_core.events import BUILTIN_KINDS
from wl_core.log import EventLog, Finding
from wl_core.run import open_run
from wl_core.tail import read_tails

HERE = Path(__file__).parent
VERSIONS = sorted(path.parent for path in HERE.glob("v*/expected.json"))


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def version(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def copy(version: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(version / "run", tmp_path / "run"))


def test_there_is_one() -> None:
    assert [path.name for path in VERSIONS] == ["v1", "v2"]


def test_an_old_run_folds_to_what_it_always_did(version: Path, copy: Path) -> None:
    """A view or kind of a raised version has its digest added to ``expected.json``."""
    wanted = json.loads((version / "expected.json").read_text())
    found = expected(copy)
    for group in ("digests", "kinds"):
        now, always = found.pop(group), wanted.pop(group)
        assert set(now) == set(always)
        for name, digests in now.items():
            for number, digest in digests.items():
                assert always[name].get(number) == digest, (name, number)
    assert found == wanted


def test_an_old_run_is_sound_and_holds_every_kind_that_it_could(version: Path, copy: Path) -> None:
    waiting = len(list(read_tails(copy / "rank-0000")))
    assert waiting == 3
    with open_run(copy) as run:
        assert [one for one in run.log.verify() if isinstance(one, Finding)] == []
        kinds = {event[0] for frame in run.log.frames() for event in frame.events}
    assert kinds == {kind.name for kind in BUILTIN_KINDS} - _LATER[version.name]


# Kinds that did not exist yet when the golden run was made.
_LATER: dict[str, set[str]] = {
    "v1": {
        "backfilled",
        "computed_later",
        "branched",
        "categorised",
        "category_registered",
        "evaluation_cancel_requested",
        "evaluation_finished",
        "evaluation_progressed",
        "evaluation_requested",
        "evaluation_started",
        "group_values",
        "labels",
        "model_restored",
        "model_saved",
        "obeyed",
        "steps_requested",
        "stop_requested",
        "undone",
    },
    "v2": set(),
}


def test_the_pixels_of_an_old_run_are_there(copy: Path) -> None:
    with open_run(copy) as run:
        found = run.arrays("train", "a")["prediction"].load()
        assert (found.shape, found.dtype) == ((6, 8), run.arrays("train", "a")["prediction"].dtype)
        masks = run.instance_arrays("train", "b")
        assert masks[1]["target"].load().sum() == 6


def test_an_old_run_can_be_written_on(copy: Path) -> None:
    import wl_core as wl

    session = wl.start_run(copy)
    assert session.step == 26
    with wl.guard_training_context:
        wl.save_signals({"loss/sample": [1.0]}, ["a"], origin="train")
    wl.finish()
    log = EventLog(copy / "rank-0000" / "log")
    assert log.model_age == 27
    log.close()


def test_the_golden_files_tell_nothing_of_the_machine_and_are_small(version: Path) -> None:
    files = [path for path in version.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 200_000
    assert not [path for path in files if path.name == "lock.mdb"]
    here = [str(Path.cwd()).encode(), str(Path.home()).encode() + b"/", b"x86_64", b"Linux"]
    for path in files:
        assert not [word for word in here if word in path.read_bytes()]
