from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import wl_core as wl
from tests.core.cli_runs import LogWriter, floats, values
from wl_core.branch import branch_run
from wl_core.cli import group
from wl_core.diff import Parting, where_they_part
from wl_core.diff_views import (
    chosen_signal,
    curves_that_differ,
    decisions_that_differ,
    samples_that_differ,
    settings_that_differ,
)
from wl_core.errors import UnknownNameError
from wl_core.run import Run, open_run

Record = Callable[..., Run]


class Optimizer:
    """As far as watching goes; importing a real one takes seconds."""

    def __init__(self) -> None:
        self.param_groups = [{"lr": 0.1, "params": []}]


def steps(numbers: range, odd: Mapping[int, float] | None = None) -> None:
    """Three samples a step; c's loss is 2, or what ``odd`` says of the step."""
    for step in numbers:
        with wl.guard_training_context:
            third = (odd or {}).get(step, 2.0)
            wl.save_signals(
                {"loss": [float(step), 1.0, third]}, ["a", "b", "c"], origin="train", log=True
            )


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    """Records a run of that name by some functions, one process's life each, and opens it."""
    opened = []

    def run(name: str, *lives: Callable[[], object]) -> Run:
        for life in lives:
            wl.start_run(tmp_path / name)
            life()
            wl.finish()
        opened.append(open_run(tmp_path / name))
        return opened[-1]

    yield run
    wl.finish()
    for one in opened:
        one.close()


def part(one: Run, other: Run) -> Parting:
    return where_they_part(one.log, other.log, lambda done, end: None)


def test_runs_of_one_script_say_the_same_whenever_they_ran(record: Record) -> None:
    one, other = (record(name, lambda: steps(range(5))) for name in ("x", "y"))
    found = part(one, other)
    assert found.first == (None, None)
    assert (found.events, found.same_step) == (0, 4)
    assert curves_that_differ(one, other) == settings_that_differ(one, other) == []
    assert decisions_that_differ(one, other) == []
    assert samples_that_differ(one, other, "loss", 5).worst == []


def test_a_run_that_was_continued_says_the_same_as_one_that_was_not(record: Record) -> None:
    def begin() -> None:
        wl.watch_or_edit({"lr": 0.1, "model": {"width": 3}}, flag="hyperparameters")
        wl.watch_or_edit(Optimizer(), flag="optimizer")
        wl.save_signals({"bright": [1.0, 2.0]}, ["a", "b"], origin="train")

    whole = record("whole", lambda: (begin(), steps(range(6))))
    parts = record(
        "parts", lambda: (begin(), steps(range(3))), lambda: (begin(), steps(range(3, 6)))
    )
    assert part(whole, parts).first == (None, None)


def test_runs_part_at_the_first_value_that_differs(record: Record) -> None:
    one = record("x", lambda: steps(range(9)))
    other = record("y", lambda: steps(range(9), {6: 2.5}))
    found = part(one, other)
    assert found.same_step == 5
    assert found.fields() == ["values"]
    assert [fact and fact.event.data["values"] for fact in found.first] == [[6, 1, 2], [6, 1, 2.5]]


def test_nan_is_no_difference(record: Record) -> None:
    one, other = (record(name, lambda: steps(range(3), {1: math.nan})) for name in ("x", "y"))
    assert part(one, other).first == (None, None)
    assert curves_that_differ(one, other) == []
    assert samples_that_differ(one, other, "loss", 5).differing == 0


def test_a_decision_is_where_they_part_but_not_who_decided(tmp_path: Path) -> None:
    for name, who, tag in (("x", "me", "odd"), ("y", "you", "odd"), ("z", "me", "even")):
        writer = LogWriter(tmp_path / name)
        for step in range(4):
            writer.frame(step, values("loss", ["a"], floats(step)))
            if step == 2:
                row = ("tagged", tag, True, "train_loader", ["a"], None, who, "")
                writer.frame(3, row, phase="outside")
        writer.close()
    with open_run(tmp_path / "x") as x, open_run(tmp_path / "y") as y:
        assert part(x, y).first == (None, None)
        with open_run(tmp_path / "z") as z:
            found = part(x, z)
            assert (found.same_step, found.fields()) == (2, ["tag"])
            assert part(z, x).first == found.first[::-1]


def test_a_branch_and_its_parent_share_events_to_the_bit(record: Record, tmp_path: Path) -> None:
    parent = record("parent", lambda: steps(range(8)))
    made = branch_run(parent, 3, tmp_path / "branch", lambda done, end: None)
    branch = record("branch", lambda: steps(range(4, 8), {6: 7.0}))
    found = part(parent, branch)
    assert (found.events, found.shared_step, found.same_step) == (made.events, 3, 5)
    assert found.first[1] is not None
    assert found.first[1].event.data["values"] == [6, 1, 7]


def test_a_run_that_ends_before_has_nothing_at_the_parting(record: Record) -> None:
    one, other = record("x", lambda: steps(range(3))), record("y", lambda: steps(range(5)))
    found = part(one, other)
    assert found.first[0] is None
    assert found.first[1] is not None
    assert found.first[1].frame.step == 3


def test_settings_that_differ_are_listed_and_only_an_edit_is_a_parting(record: Record) -> None:
    def life(rate: float, edited: bool) -> Callable[[], None]:
        def run() -> None:
            settings = wl.watch_or_edit(
                {"optimizer": {"lr": rate}, "seed": 1}, flag="hyperparameters"
            )
            steps(range(3))
            if edited:
                settings["seed"] = 2
            steps(range(3, 5))

        return run

    one, other = record("x", life(0.1, False)), record("y", life(0.2, False))
    assert settings_that_differ(one, other) == [("optimizer.lr", 0.1, 0.2)]
    assert part(one, other).first == (None, None)
    edited = record("z", life(0.1, True))
    assert settings_that_differ(one, edited) == [("seed", 1, 2)]
    found = part(one, edited)
    assert found.same_step == 2
    assert found.first[1] is not None
    assert found.first[1].event.kind == "hyperparameters"


def test_tags_and_discards_of_one_run_alone_are_found(record: Record) -> None:
    def decide(*ids: str) -> Callable[[], None]:
        def run() -> None:
            steps(range(1))
            wl.tag_samples(["a"], "same", origin="train")
            wl.tag_samples(list(ids), "hard", origin="train")
            wl.discard_samples(list(ids[:1]), origin="train")

        return run

    one, other = record("x", decide("a", "b")), record("y", decide("b"))
    found = {diff.name: (diff.counts, diff.alone) for diff in decisions_that_differ(one, other)}
    assert found == {
        "discarded": ((1, 1), ([("train", "a")], [("train", "b")])),
        "tag hard": ((2, 1), ([("train", "a")], [])),
    }


def test_curves_say_where_and_by_how_much_they_differ(record: Record) -> None:
    one = record("x", lambda: steps(range(6)))
    other = record("y", lambda: (steps(range(8), {2: 5.0, 4: 14.0}), wl.save_signals(
        {"extra": [1.0]}, ["a"], origin="train", log=True
    )))  # fmt: skip
    extra, loss = curves_that_differ(one, other)
    assert (extra.signal, extra.last, extra.first_step) == ("extra", (None, 1.0), None)
    assert (loss.first_step, loss.greatest_step) == (2, 4)
    assert loss.greatest == pytest.approx(4.0)
    assert loss.last == (pytest.approx(8 / 3), pytest.approx(10 / 3))


def test_the_samples_that_differ_most_come_first(record: Record) -> None:
    def final(**losses: float) -> Callable[[], None]:
        def run() -> None:
            names = list(losses)
            wl.save_signals({"loss": list(losses.values())}, names, origin="train", log=True)

        return run

    one = record("x", final(a=1.0, b=2.0, c=3.0, d=math.nan, e=0.0, only=1.0))
    other = record("y", final(a=1.5, b=0.0, c=3.0, d=1.0, e=math.inf, also=1.0))
    found = samples_that_differ(one, other, "loss", 3)
    assert found.differing == 4
    assert [row[1] for row in found.worst] == ["d", "e", "b"]
    assert found.worst[-1] == ("train", "b", 2.0, 0.0, 2.0)
    assert found.alone == ([("train", "only")], [("train", "also")])


def test_samples_are_compared_by_the_first_loss_unless_one_is_named(record: Record) -> None:
    def life() -> None:
        loss = wl.watch_or_edit(lambda x: x, flag="loss", name="bce", per_sample=True)
        wl.save_signals({"score": [1.0]}, ["a"], origin="train")
        loss(torch.ones(1), batch_ids=["a"], origin="train")

    one, other = record("x", life), record("y", life)
    assert chosen_signal(one, other, None) == "bce"
    assert chosen_signal(one, other, "signals//score") == "score"
    with pytest.raises(UnknownNameError, match="Did you mean 'score'"):
        chosen_signal(one, other, "scor")


def command(root: Path, *given: str) -> str:
    arguments = ["diff", "x", "y", "--root", str(root), *given]
    done = CliRunner().invoke(group, arguments, standalone_mode=False, catch_exceptions=False)
    assert done.exception is None
    return done.output


def test_the_command_says_all_of_it(record: Record, tmp_path: Path) -> None:
    record("x", lambda: steps(range(4)))
    record("y", lambda: (steps(range(4), {3: 9.0}), wl.tag_samples(["c"], "odd", origin="train")))
    told = command(tmp_path)
    for line in (
        "both say the same up to step 2",
        "which differ in: values",
        "tag odd\t0\t1\t\ttrain/c",
        "# samples by loss",
        "train\tc\t2.0\t9.0\t7.0",
    ):
        assert line in told.splitlines()
    found: dict[str, Any] = json.loads(command(tmp_path, "--json", "--limit", "1"))
    assert found["parting"]["first_b"]["data"]["values"] == [3, 1, 9]
    assert found["curves"][0]["greatest_step"] == 3
    assert found["samples"]["worst"][0]["sample_id"] == "c"
    assert found["decisions"][0]["only_b"] == [["train", "c"]]
