"""`wl tag`, `discard`, `restore`, `undo`, `redo`, `history-of`: deciding from another process."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import wl_core as wl
from tests import warm
from tests.core.cli_runs import write_run
from tests.core.watched_runs import events, frames, sample
from wl_core import cli
from wl_core.codec import Frame

SECONDS = 30


class Cli:
    """Commands run in this process, on the run ``wl_runs/first`` of an empty folder."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capsys = capsys

    def __call__(self, *arguments: str) -> str:
        """What the command prints; it must succeed without a word on stderr."""
        status, out, err = self.run(*arguments)
        assert (status, err) == (0, ""), (out, err)
        return out

    def refused(self, *arguments: str) -> tuple[int, str]:
        """The exit status and what is wrong; nothing may have been recorded."""
        before = self.position
        status, out, err = self.run(*arguments)
        assert (out, self.position) == ("", before)
        return status, err

    def run(self, *arguments: str) -> tuple[int, str, str]:
        status = cli._run([*arguments, "--root", str(self.root)])
        out, err = self._capsys.readouterr()
        return status, out, err

    @property
    def position(self) -> int:
        with wl.open_run(self.root / "first") as run:
            return run.log.next_position

    def sample(self, name: str) -> dict[str, Any]:
        with wl.open_run(self.root / "first") as run:
            return sample(run, name)

    def discarded(self) -> list[Any]:
        with wl.open_run(self.root / "first") as run:
            return [one for _, one in run.view("samples").discarded()]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """s1 to s4; s1 has two instances, s2 is tagged blurry, s3 is discarded and its loss is inf."""
    write_run(tmp_path / "wl_runs" / "first")
    return Cli(tmp_path / "wl_runs", capsys)


# -- tag ----------------------------------------------------------------------------------------


def test_a_filter_chooses_what_is_tagged(command: Cli) -> None:
    said = command("tag", "hard", "--where", "loss > 0.1", "--why", "slow to learn")
    assert said.startswith("hard: tagged 3 samples of train_loader (event ")
    assert [command.sample(f"s{n}").get("tags") for n in (1, 2, 3, 4)] == [
        "hard",
        "blurry,hard",
        "hard",
        None,
    ]
    with wl.open_run(command.root / "first") as run:
        last = events(run, "tagged")[-1]
    assert (last["why"], last["ids"]) == ("slow to learn", ["s1", "s2", "s3"])
    assert "@" in last["who"]


def test_samples_are_tagged_by_name_and_it_is_said_how_many_were_before(command: Cli) -> None:
    assert "2 samples of train_loader, 1 of them before" in command("tag", "blurry", "s1", "s2")
    assert "untagged 2 samples of train_loader, 1 of them before" in command(
        "tag", "blurry", "s1", "s4", "--remove"
    )
    assert "as their only tag" in command("tag", "hard", "s2", "--set")
    assert [command.sample(name).get("tags") for name in ("s1", "s2")] == [None, "hard"]


def test_instances_are_tagged_by_number_or_filter(command: Cli) -> None:
    command("tag", "cut off", "s1", "--instance", "2")
    command("tag", "low", "--where", "dice < 0.5", "--instances")
    command("tag", "first", "--where", "loss > 0.1", "--instance", "1")
    with wl.open_run(command.root / "first") as run:
        tags = run.instances("s1").column("tags")
        assert [tags.cell(0), tags.cell(1)] == ["first,low", "cut off"]
    assert "tags" not in command.sample("s1")


def test_a_categorical_tag_is_registered_set_and_cleared(command: Cli) -> None:
    assert (
        command("tag", "weather", "--categories", "rainy, dry") == "weather is one of rainy, dry\n"
    )
    assert "weather is rainy on 2 samples" in command("tag", "weather=rainy", "s1", "s2")
    assert (
        "2 samples of train_loader, 1 of them before"
        in command("tag", "weather=dry", "s1", "s1", "s4", "--categories", "dry,snow")
        or command.sample("s4")["weather"] == "dry"
    )
    command("tag", "weather=", "s2")
    assert [command.sample(name).get("weather") for name in ("s1", "s2")] == ["dry", None]
    assert "1 sample" in command("discard", "--where", "weather == 'dry' and loss > 0")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["tag", "hard", "s9"], 2, "no sample 's9'. Did you mean"),
        (["tag", "hard"], 2, "name samples, or choose them with --where"),
        (["tag", "hard", "s1", "--where", "loss > 1"], 2, "name samples, or choose"),
        (["tag", "hard", "--where", "los > 1"], 2, "Did you mean 'loss'?\n  los > 1\n  ^"),
        (["tag", "hard", "s1", "--set", "--remove"], 2, "exclude each other"),
        (["tag", "time=night", "s1"], 2, "no categorical tag 'time'"),
        (["tag", "weather=rain", "s1"], 2, "Did you mean 'rainy'?"),
        (["tag", "weather=rainy", "s1", "--remove"], 2, "for plain tags"),
        (["tag", "weather", "s1"], 2, "write weather=VALUE"),
        (["tag", "weather", "--categories", "dry,dry"], 2, "different texts"),
        (["tag", "hard", "s1", "--instance", "3"], 2, "no instance 3; it has 1, 2"),
        (["tag", "hard", "s1", "--instances"], 2, "--instances goes with --where"),
        (["discard", "s1", "--run", "second"], 1, "second"),
        (["undo", "--event", "0"], 2, "no decision about data"),
        (["history-of", "s9"], 2, "no sample 's9'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_and_records_nothing(
    command: Cli, arguments: list[str], status: int, message: str
) -> None:
    command("tag", "weather", "--categories", "rainy,dry")
    found, said = command.refused(*arguments)
    assert message in said
    assert found == status
    assert said.startswith("wl: ")


# -- discard, undo, history ---------------------------------------------------------------------


def test_discards_are_made_and_taken_back(command: Cli) -> None:
    assert "discarded 2 samples of train_loader, 1 of them before" in command("discard", "s1", "s3")
    assert command("restore", "--where", "discarded").startswith("restored 2 samples")
    assert command.discarded() == []
    assert command("undo").startswith("undone: restore s1, s3 (train_loader) (event ")
    assert command.discarded() == ["s1", "s3"]
    assert len(command("undo", "2").splitlines()) == 2
    assert command.discarded() == []
    both = "tag blurry on s2 (train_loader); discard s3 (train_loader) (event 13, by tester)"
    assert command("redo") == f"redone: {both}\n"  # one frame: they were decided together
    assert command("undo", "5") == f"undone: {both}\n"
    assert command("undo") == "there is nothing to undo\n"
    assert command("redo", "--event", "14") == f"redone: {both}\n"
    assert command.sample("s2")["tags"] == "blurry"


def test_nothing_that_matches_is_said_and_no_error(command: Cli) -> None:
    before = command.position
    assert command("discard", "--where", "loss > 1e9 and loss < inf") == (
        "nothing matches, nothing was decided\n"
    )
    assert "nothing matches" in command("tag", "hard", "--where", "loss > 0", "--origin", "other")
    assert command.position == before


def test_a_dry_run_lists_what_would_be_meant(command: Cli) -> None:
    before = command.position
    status, out, err = command.run("discard", "--instances", "--where", "dice > 0.5", "--dry-run")
    assert (status, command.position) == (0, before)
    assert out == "origin\tsample_id\tannotation_id\ntrain_loader\ts1\t2\n"
    assert "1 instance would be meant" in err


def test_the_history_of_a_sample_tells_who_decided_what_and_why(command: Cli) -> None:
    command("discard", "s1", "s2", "--why", "too dark")
    command("tag", "cut off", "s1", "--instance", "2")
    command("tag", "hard", "s2")
    command("undo", "--event", "16")
    rows = json.loads(command("history-of", "s1", "--json"))
    assert [(row["position"], row["what"], row["why"], row["undone"]) for row in rows] == [
        (16, "discard s1, s2 (train_loader)", "too dark", True),
        (17, "tag cut off on instance 2 of s1 (train_loader)", "", False),
        (19, "undo 16", "", False),
    ]
    assert all("@" in row["who"] and row["time"] > 1.7e9 and row["step"] == 3 for row in rows)
    [only] = json.loads(command("history-of", "s1", "--instance", "2", "--json"))
    assert only["position"] == 17
    assert command("history-of", "s4") == "position\tstep\ttime\twho\twhat\twhy\tundone\n"


def test_a_command_is_one_frame_that_is_found_without_reading_the_log(command: Cli) -> None:
    command("tag", "hard", "s1", "s2", "--set")
    with wl.open_run(command.root / "first") as run:
        [*_, last] = run.log.decisions()
        assert [event[2:4] for event in last.events] == [("blurry", False), ("hard", True)]
        assert last == frames(run)[-1]


# -- a training that is steered -------------------------------------------------------------------

_TRAINING = """
import pathlib, sys, time
import torch, wl_core as wl
torch.set_num_threads(1)
wl.start_run(sys.argv[1])
data = [(torch.full((2,), float(n)), f"s{n}", 0) for n in range(4)]
loader = wl.watch_or_edit(data, flag="data", loader_name="train", batch_size=4, is_training=True)
model = torch.nn.Linear(2, 1)
def identity(values):
    return values
loss = wl.watch_or_edit(identity, flag="loss", name="loss", per_sample=True)
stop = pathlib.Path(sys.argv[2])
while not stop.exists():
    with wl.guard_training_context:
        x, ids, y = next(loader)
        loss(x.mean(1)).mean()
    time.sleep(0.01)  # as long as a small step takes
"""


class Training:
    """A real training in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "runs" / "live"
        self._stop = folder / "stop"
        self.start()

    def start(self) -> None:
        command = ["-c", _TRAINING, self.path, self._stop]
        self.process = warm.Process(command, stderr=subprocess.PIPE)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=SECONDS)

    def end(self) -> None:
        self._stop.touch()
        _, said = self.process.communicate(timeout=SECONDS)
        assert self.process.returncode == 0, said

    def wait(self, condition: Callable[[wl.Run], bool]) -> None:
        """Until it is so, as a reader sees it."""
        deadline = time.monotonic() + SECONDS
        while not (self.path / "rank-0000" / "log").exists() or not self._asked(condition):
            assert time.monotonic() < deadline, "it never came true"
            assert self.process.poll() is None, self.process.communicate()[1]
            time.sleep(0.02)

    def _asked(self, condition: Callable[[wl.Run], bool]) -> bool:
        with wl.open_run(self.path) as run:
            return condition(run)

    def handed_over(self, run: wl.Run) -> set[Any]:
        """The samples of the newest step."""
        stop = run.log.next_position
        last = [one for one in run.log.frames(max(0, stop - 20), stop) if isinstance(one, Frame)]
        newest = next(one for one in reversed(last) if one.phase == "train")
        [exposed] = [event for event in newest.events if event[0] == "exposed"]
        return set(newest.ids(exposed[3]))


@pytest.fixture
def training(tmp_path: Path) -> Iterator[Training]:
    made = Training(tmp_path)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.kill()


def test_a_real_training_is_curated_from_another_process_and_obeys(
    training: Training, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Cli(training.path.parent, capsys)
    every = {"s0", "s1", "s2", "s3"}
    training.wait(lambda run: run.status().step > 0 and "loss" in run.samples().names)
    command("tag", "hard", "--where", "loss >= 2")
    assert "the training obeyed at step" in command("discard", "--where", "tags contains 'hard'")
    training.wait(lambda run: training.handed_over(run) == every - {"s2", "s3"})
    assert "the training obeyed at step" in command("undo")
    training.wait(lambda run: training.handed_over(run) == every)
    command("discard", "s1")
    command("discard", "s0")
    command("undo")
    training.wait(lambda run: training.handed_over(run) == every - {"s1"})
    [kept, taken] = [json.loads(command("history-of", one, "--json")) for one in ("s1", "s0")]
    assert [row["undone"] for row in kept] == [False]
    assert [row["what"] for row in taken] == [
        "discard s0 (train)",
        f"undo {taken[0]['position']}",
    ]
    training.kill()
    training.start()  # on what a kill -9 has left
    training.wait(lambda run: len(events(run, "run_started")) == 2)
    with wl.open_run(training.path) as run:
        continued = events(run, "run_started")[1]["step"]
    training.wait(lambda run: run.status().step >= continued + 3)
    training.end()
    with wl.open_run(training.path) as run:
        later = [one["ids"] for one in events(run, "exposed") if one["step"] >= continued]
        assert len(later) >= 3
        assert all(set(ids) == every - {"s1"} for ids in later)
        assert {one["refused"] for one in events(run, "obeyed")} == {""}
