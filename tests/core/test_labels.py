"""Values of samples that are no numbers: texts, lists and bools, from a script to every reader."""

from __future__ import annotations

import json
import math
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import wl_core as wl
from tests import warm
from tests.core.watched_runs import Finished, events, history, loss, sample
from wl_core.columns import Column, Digest
from wl_core.label_column import LabelColumn
from wl_core.labels import MAX_CHARACTERS, MAX_ITEMS, plain_value
from wl_core.table import TableColumn

SECONDS = 60  # a deadline, not a wait


def kinds(run: wl.Run) -> dict[str, str]:
    return {column.name: column.kind for column in run.samples()}


# -- what a value is -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kind", "cells"),
    [
        (["cat", "dog"], "text", ["cat", "dog"]),
        (("cat", ""), "text", ["cat", ""]),
        (np.array(["cat", "dog"]), "text", ["cat", "dog"]),
        (np.array(["cat", "dog"], object), "text", ["cat", "dog"]),
        ([[1, 3], []], "list", [[1, 3], []]),
        ([(1, "cat"), [True, 0.5]], "list", [[1, "cat"], [True, 0.5]]),
        ([[1, 2], [3, 4]], "list", [[1, 2], [3, 4]]),
        ([torch.tensor([1, 3]), torch.tensor([])], "list", [[1, 3], []]),
        ([torch.tensor([1, 3]), torch.tensor([2, 4])], "list", [[1, 3], [2, 4]]),
        ([np.array([0.1], np.float32), [torch.tensor(2)]], "list", [[0.1], [2]]),
        (np.array([["a", "b"], ["c", "d"]]), "list", [["a", "b"], ["c", "d"]]),
        ([True, False], "flag", [True, False]),
        (np.array([True, False]), "flag", [True, False]),
        (torch.tensor([True, False]), "flag", [True, False]),
        ([True, 2], "number", [1.0, 2.0]),
        (torch.tensor([[1, 3], [2, 4]]), "number", [2.0, 3.0]),
        (np.array([[True, False], [True, True]]), "number", [0.5, 1.0]),
        ([torch.zeros(2, 2), torch.ones(2, 2)], "number", [0.0, 1.0]),
        ([torch.tensor(1.0), torch.tensor(2.0)], "number", [1.0, 2.0]),
    ],
)
def test_the_kind_of_a_column_follows_from_the_types_of_its_values(
    finished: Finished, given: Any, kind: str, cells: list[Any]
) -> None:
    wl.save_signals({"x": given}, ["a", "b"])
    run = finished()
    assert kinds(run)["x"] == kind
    found = [sample(run, one)["x"] for one in "ab"]
    assert found == cells
    assert [type(one) for one in found] == [type(one) for one in cells]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["cat"], "expected 2 values, one per sample, got 1"),
        ("cat", "got the single text cat"),
        (["cat", 3], r"expected text for each sample, got 3 \(int\) at place 1"),
        (["cat", None], "expected text for each sample, got None"),
        ([3, "cat"], "expected numbers"),
        ([["cat"], "cat"], "a flat list for each sample, got 'cat'"),
        ([[1], 2], r"a flat list for each sample, got 2 \(int\) at place 1"),
        ([[1], torch.zeros(2, 2)], "a flat list for each sample"),
        ([[[1]], [2]], r"bools in a list, got \[1\]"),
        ([[None], [2]], "bools in a list, got None"),
        ([[2**64], [2]], "numbers of 64 bits"),
        ([[0] * (MAX_ITEMS + 1), []], r"at most 64 elements, got 65.*\[B, …\]"),
        (["x" * (MAX_CHARACTERS + 1), ""], "at most 500 characters, got 501"),
        ([["x" * (MAX_CHARACTERS + 1)], []], "at most 500 characters, got 501"),
    ],
)
def test_what_is_neither_number_nor_label_is_refused_and_nothing_recorded(
    finished: Finished, given: Any, complaint: str
) -> None:
    with pytest.raises(wl.SignalShapeError, match=f"'odd'.*{complaint}"):
        wl.save_signals({"loss": [1.0, 2.0], "odd": given}, ["a", "b"])
    run = finished()
    assert not events(run, "values")
    assert not events(run, "labels")


def test_a_list_of_the_greatest_length_is_kept(finished: Finished) -> None:
    wl.save_signals({"x": [list(range(MAX_ITEMS))], "t": ["y" * MAX_CHARACTERS]}, ["a"])
    row = sample(finished(), "a")
    assert row["x"] == list(range(MAX_ITEMS))
    assert row["t"] == "y" * MAX_CHARACTERS


def test_a_signal_of_numbers_takes_no_labels_and_none_of_labels_numbers(
    finished: Finished,
) -> None:
    wl.save_signals({"loss": [1.0], "predicted": ["cat"]}, ["a"])
    with pytest.raises(wl.SignalShapeError, match=r"'loss' holds a number.*given a text or list"):
        wl.save_signals({"loss": ["low"]}, ["a"])
    with pytest.raises(wl.SignalShapeError, match=r"'predicted' holds a text or list.*a number"):
        wl.save_signals({"predicted": [1.0]}, ["a"])
    row = sample(finished(), "a")
    assert (row["loss"], row["predicted"]) == (1.0, "cat")


def test_what_was_refused_does_not_say_what_a_signal_is(finished: Finished) -> None:
    with pytest.raises(wl.SignalShapeError):
        wl.save_signals({"x": ["cat", "dog"]}, ["a"])
    wl.save_signals({"x": [1.0]}, ["a"])
    assert sample(finished(), "a")["x"] == 1.0


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (3, 3.0),
        (np.float32(0.5), 0.5),
        (torch.tensor(2), 2.0),
        (torch.tensor([2.0]), [2.0]),
        (True, True),
        (np.bool_(False), False),
        (torch.tensor(True), True),
        ("cat", "cat"),
        ((1, "cat"), [1, "cat"]),
    ],
)
def test_one_value_of_a_function_is_sorted_out_by_its_type(value: Any, plain: Any) -> None:
    found = plain_value("x", value)
    assert (found, type(found)) == (plain, type(plain))


@pytest.mark.parametrize("value", [None, {"a": 1}, object(), torch.zeros(2, 2)])
def test_a_value_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(wl.SignalShapeError, match="'x': expected a number, a bool, a text or a"):
        plain_value("x", value)


# -- what becomes of it ----------------------------------------------------------------------------


def test_the_last_label_is_shown_and_no_curve_or_history_made(finished: Finished) -> None:
    for predicted in ("cat", "dog"):
        with wl.guard_training_context:
            wl.save_signals({"predicted": [predicted], "classes": [[1]]}, ["a"], log=True)
    run = finished()
    assert sample(run, "a")["predicted"] == "dog"
    assert run.view("curves").names() == []
    assert run.view("history").names() == []
    assert {"predicted", "classes"} <= set(run.signals())


def test_the_curve_of_a_bool_is_the_share_that_is_true(finished: Finished) -> None:
    with wl.guard_training_context:
        wl.save_signals({"ok": [True, False, True, True]}, list("abcd"), log=True)
    run = finished()
    assert run.view("curves").curve("ok").mean.tolist() == [0.75]
    assert history(run, "ok", "unnamed", "a") == ([0], [1.0])


def test_a_number_makes_a_column_of_flags_one_of_numbers(finished: Finished) -> None:
    wl.save_signals({"ok": [True, False]}, ["a", "b"])
    assert kinds(finished.live())["ok"] == "flag"
    wl.save_signals({"ok": [0.5]}, ["b"])
    run = finished()
    assert kinds(run)["ok"] == "number"
    assert [sample(run, one)["ok"] for one in "ab"] == [1.0, 0.5]


def test_instances_have_flags_whose_mean_is_a_share(finished: Finished) -> None:
    wl.save_instance_signals({"hit": [True, False, True]}, ["a", "b"], batch_idx=[0, 0, 1])
    run = finished()
    assert run.instances("a").column("hit").kind == "flag"
    shown = run.samples().column("hit")
    assert [shown.cell(row) for row in (0, 1)] == [0.5, 1.0]
    assert shown.is_aggregated(0)


def test_a_function_reads_the_labels_of_its_own_step(finished: Finished) -> None:
    read: list[Any] = []

    @wl.signal(subscribe_to="loss")
    def reader(ctx: wl.SignalContext) -> None:
        names = ("predicted", "classes", "ok", "signals_predicted")
        read.append([ctx.dataframe.get_value(ctx.origin, ctx.sample_id, name) for name in names])

    for predicted in ("cat", "dog"):
        with wl.guard_training_context:
            wl.save_signals(
                {"predicted": [predicted], "classes": [[1, 3]], "ok": [True], "loss": [0.5]}, ["a"]
            )
    assert read == [[one, [1, 3], True, one] for one in ("cat", "dog")]


def test_a_signal_that_waits_for_a_label_is_told_that_it_waits_in_vain(finished: Finished) -> None:
    @wl.signal(subscribe_to="predicted", strict=True)
    def waiting(ctx: wl.SignalContext) -> float:
        return 1.0

    with pytest.raises(wl.WlError, match=r"'predicted', which is a text or a list.*get_value"):
        wl.save_signals({"predicted": ["cat"]}, ["a"])
    finished()


def test_a_watched_metric_may_return_labels(finished: Finished) -> None:
    metric = loss("predicted", flag="metric")
    given = ["cat", "dog"]
    with wl.guard_training_context:
        assert metric(given, batch_ids=["a", "b"]) is given
    assert sample(finished(), "b")["predicted"] == "dog"


# -- the column ------------------------------------------------------------------------------------


def column(*entries: Any) -> TableColumn:
    """A table column of these entries, one a row, and of an empty row after them."""
    made = LabelColumn()
    made.put(np.arange(len(entries)), entries, len(entries) + 1)
    return made.table_column("x", np.arange(len(entries) + 1), len(entries) + 1)


def test_a_text_among_lists_is_a_list_of_that_text() -> None:
    mixed = column("cat", ["cat"], [1])
    assert mixed.kind == "list"
    assert [mixed.cell(row) for row in range(4)] == [["cat"], ["cat"], [1], None]
    assert mixed.values[0] == mixed.values[1]


def test_lists_are_sorted_by_their_elements_and_empty_cells_come_last() -> None:
    entries = [["b"], [2], [], [10, 1], [math.nan], [10], ["a", 1], [True], [10, "x"]]
    mixed = column(*entries)
    ascending = [mixed.cell(row) for row in mixed.order().tolist()]
    expected = [[], [True], [2], [10], [10, 1], [10, "x"], [math.nan], ["a", 1], ["b"], None]
    assert list(map(repr, ascending)) == list(map(repr, expected))
    descending = [mixed.cell(row) for row in mixed.order(descending=True).tolist()]
    assert list(map(repr, descending)) == list(map(repr, [*expected[-2::-1], None]))


def test_a_cell_is_a_list_of_its_own() -> None:
    lists = column([1])
    cell = lists.cell(0)
    assert isinstance(cell, list)
    cell.append(2)
    assert lists.cell(0) == [1]


def digest(made: Column | LabelColumn, size: int) -> str:
    found = Digest()
    if isinstance(made, Column):
        found.column(made, np.arange(size))
    else:
        made.update(found, np.arange(size))
    return found.hexdigest()


def test_the_digest_does_not_know_in_which_order_labels_came_but_knows_which_they_are() -> None:
    digests = []
    for rows, entries in (([0, 1], ["cat", [1]]), ([1, 0], [[1], "cat"]), ([0, 1], ["cat", [1.0]])):
        made = LabelColumn()
        made.put(np.asarray(rows), entries, 2)
        digests.append(digest(made, 2))
    assert digests[0] == digests[1] != digests[2]


def test_the_digest_tells_flags_from_numbers() -> None:
    flags, numbers = Column(), Column()
    flags.put(np.arange(2), np.asarray([True, False]), 2)
    numbers.put(np.arange(2), np.asarray([1.0, 0.0]), 2)
    assert digest(flags, 2) != digest(numbers, 2)
    numbers.put(np.arange(0), np.zeros(0, bool), 2)
    flags.put(np.arange(0), np.zeros(0), 2)
    assert (flags.is_flags, numbers.is_flags) == (True, False)


# -- another process -------------------------------------------------------------------------------

TRAINING = """
import sys
import wl_core as wl

wl.start_run(sys.argv[1])
for step in range(2):
    with wl.guard_training_context:
        wl.save_signals(
            {
                "predicted": ["cat", "dog", "cat"],
                "classes": [[1, 3], [], [step]],
                "ok": [True, False, step > 0],
            },
            ["a", "b", "c"],
        )
print("trained", flush=True)
sys.stdin.read()  # alive until the test has looked
"""


def test_another_process_filters_the_labels_of_a_training(tmp_path: Path) -> None:
    run = tmp_path / "run"
    training = warm.Process(
        ["-W", "error", "-c", TRAINING, run], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with training:
        assert training.stdin is not None
        assert training.stdout is not None
        assert training.stdout.readline() == "trained\n"
        wait_for_step(run, 2)
        assert ids_where(run, "predicted == 'cat' and ok and classes contains 3") == ["a"]
        assert lines(run) == [
            "sample_id\tpredicted\tclasses\tok",
            "a\tcat\t[1, 3]\ttrue",
            "c\tcat\t[1]\ttrue",
            "b\tdog\t[]\tfalse",
        ]
        wrong = samples(run, "--where", "classes > [1]")
        assert wrong.returncode == 2
        assert "which has no order" in wrong.stderr
        training.stdin.close()
    assert training.returncode == 0


def wait_for_step(run: Path, step: int) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        with wl.open_run(run) as reader:
            if reader.status().step >= step:
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def samples(run: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return warm.wl("samples", run, *options, timeout=SECONDS)


def ids_where(run: Path, text: str) -> list[str]:
    done = samples(run, "--where", text, "--json")
    assert done.stderr == ""
    return [row["sample_id"] for row in json.loads(done.stdout)]


def lines(run: Path) -> list[str]:
    columns = "sample_id,predicted,classes,ok"
    done = samples(run, "--columns", columns, "--sort", "classes", "--desc")
    assert done.stderr == ""
    return done.stdout.splitlines()
