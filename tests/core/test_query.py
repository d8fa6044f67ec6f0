from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import wl_core as wl
from tests.core.cli_runs import LogWriter, floats, indexes, values, write_run
from tests.core.watched_runs import Finished
from wl_core import long_form
from wl_core.errors import FilterError, UnknownNameError, UsageError
from wl_core.long_form import LongForm
from wl_core.session import current_session
from wl_core.table import Table


@pytest.fixture
def run(tmp_path: Path) -> Iterator[wl.Run]:
    """See `write_run`: s1 has two instances, s4 no value, s3's are NaN, NaN, inf."""
    write_run(tmp_path / "wl_runs" / "first")
    with wl.open_run(tmp_path / "wl_runs" / "first") as reader:
        yield reader


def lines(table: Table, *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(cells(table, name) for name in names), strict=True))


def cells(table: Table, name: str) -> list[Any]:
    column = table.column(name)
    return [column.cell(row) for row in range(len(table))]


def test_a_signals_history_is_one_row_per_value_sample_by_sample(run: wl.Run) -> None:
    table = wl.query_signal_history("signals_loss", run=run)
    assert table.names == ("origin", "sample_id", "annotation_id", "step", "value")
    assert [table.column(n).values.dtype for n in table.names[2:]] == [np.int64, np.int64, float]
    assert lines(table, "origin", "sample_id", "annotation_id", "step")[2:5] == [
        ("train_loader", "s1", 0, 2),
        ("train_loader", "s2", 0, 0),
        ("train_loader", "s2", 0, 1),
    ]
    np.testing.assert_array_equal(
        table.column("value").values.astype(np.float32),
        floats(0.1, 1.1, 2.1, 0.5, 0.5, 0.5, math.nan, math.nan, math.inf),
    )


def test_instances_have_a_history_of_their_own(run: wl.Run) -> None:
    table = wl.query_signal_history("dice", run=run, instances=True)
    assert lines(table, "sample_id", "annotation_id", "step", "value")[2:4] == [
        ("s1", 1, 2, 0.25),
        ("s1", 2, 0, 0.75),
    ]
    assert len(wl.query_signal_history("dice", run=run)) == 0


def test_a_filter_chooses_samples_or_instances_as_they_are_now(run: wl.Run) -> None:
    def chosen(signal: str, where: str, **more: Any) -> set[tuple[Any, ...]]:
        table = wl.query_signal_history(signal, run=run, where=where, **more)
        return set(lines(table, "sample_id", "annotation_id"))

    assert chosen("loss", "discarded") == {("s3", 0)}
    assert chosen("loss", "place == 'a' or tags contains 'blurry'") == {("s1", 0), ("s2", 0)}
    assert chosen("loss", "size == 4") == set()
    assert chosen("dice", "dice > 0.5", instances=True) == {("s1", 2)}
    with pytest.raises(FilterError, match="there is no column 'colour'"):
        chosen("loss", "colour == 'red'")


def test_the_past_is_asked_by_its_step(run: wl.Run) -> None:
    table = wl.query_signal_history("loss", run=run, where="not discarded", at_step=1)
    assert lines(table, "sample_id", "step") == [
        (sample, step) for sample in ("s1", "s2", "s3") for step in (0, 1)
    ]


def test_rows_stand_as_samples_are_shown_whatever_came_first(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "run")
    writer.frame(0, values("loss", ["b", 12, "a", 3], floats(1, 2, 3, 4)))
    writer.frame(1, values("loss", [3, "a"], floats(5, 6)))
    writer.close()
    table = wl.query_signal_history("loss", run=tmp_path / "run")
    assert lines(table, "sample_id", "value") == [
        ("3", 4), ("3", 5), ("12", 2), ("a", 3), ("a", 6), ("b", 1)
    ]  # fmt: skip


def test_integer_ids_are_integers(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "run")
    writer.frame(0, values("loss", [7, 3], floats(1, 2)))
    writer.close()
    ids = wl.query_signal_history("loss", run=tmp_path / "run").column("sample_id")
    assert (ids.kind, ids.values.dtype, ids.values.tolist()) == ("number", np.int64, [3, 7])


def test_one_samples_and_one_instances_history(run: wl.Run) -> None:
    (name,), ((steps, found),) = zip(*wl.query_sample_history("s1", run=run).items(), strict=True)
    assert (name, steps.tolist(), found.astype(np.float32).tolist()) == (
        "loss", [0, 1, 2], floats(0.1, 1.1, 2.1).tolist(),
    )  # fmt: skip
    assert wl.query_sample_history("s4", run=run) == {}
    asked = wl.query_sample_history("s4", signal="signals//loss", run=run)
    assert [len(one) for one in asked["loss"]] == [0, 0]
    of_instance = wl.query_instance_history("s1", 2, run=run)
    assert of_instance.keys() == {"dice"}
    assert of_instance["dice"][1].tolist() == [0.75, 0.75, 0.75]


def test_what_is_not_there_is_named(run: wl.Run) -> None:
    with pytest.raises(UnknownNameError, match=r"'los'\. Did you mean 'loss'"):
        wl.query_signal_history("los", run=run)
    with pytest.raises(UnknownNameError, match="there is no sample 's9'"):
        wl.query_sample_history("s9", run=run)
    with pytest.raises(UnknownNameError, match="no instance 3; its annotation_ids: 1, 2"):
        wl.query_instance_history("s1", 3, run=run)


def test_a_signal_of_steps_is_pointed_at_its_curve(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "run")
    writer.frame(0, ("step_values", ("lr",), floats(0.1)))
    writer.close()
    with pytest.raises(UnknownNameError, match=r"'lr'. It is a signal of steps: see run.curves"):
        wl.query_signal_history("lr", run=tmp_path / "run")


def test_an_id_of_several_origins_needs_one(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "run")
    writer.frame(0, values("loss", ["a"], floats(1)))
    writer.frame(0, ("values", "loss", "test_loader", True, ["a"], floats(2)))
    writer.close()
    with wl.open_run(tmp_path / "run") as run:
        with pytest.raises(UsageError, match="several origins"):
            wl.query_sample_history("a", run=run)
        found = wl.query_sample_history("a", origin="test_loader", run=run)
        assert found["loss"][1].tolist() == [2]
        # Two samples of one id are two, also where their ids are texts.
        assert wl.query_signal_history("loss", run=run).to_arrow().to_pydict()["origin"] == [
            "train_loader",
            "test_loader",
        ]


def test_values_of_groups_are_histories_of_their_members(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "run")
    members = (["a", "b", "b"], indexes(0, 0, 1))
    groups = ("group_values", "distance", "train_loader", True, [0, 1], floats(1, 2), *members)
    writer.frame(0, groups)
    writer.close()
    table = wl.query_signal_history("groups/distance", run=tmp_path / "run")
    assert lines(table, "sample_id", "value") == [("a", 1), ("b", 1), ("b", 2)]


# -- a history larger than what is held ----------------------------------------------


def test_a_history_is_the_same_however_little_is_held(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    writer = LogWriter(tmp_path / "run")
    for step in range(30):
        ids = [f"s{one}" for one in random.integers(0, 40, 8)]
        writer.frame(step, values("loss", ids, random.random(8, np.float32)))
    writer.close()
    with wl.open_run(tmp_path / "run") as run:
        history = run.view("history")
        asked = LongForm(history, "loss", None, instances=False)
        whole = asked.whole()
        for held, rows in ((1000, 50), (100, 7), (5, 5), (1, 1)):
            parts = list(asked.tables(values=rows, held=held))
            fractions = [done for done, _ in parts]
            assert fractions == sorted(fractions)
            assert fractions[-1] == 1
            assert [
                line for _, part in parts for line in lines(part, "sample_id", "step", "value")
            ] == lines(whole, "sample_id", "step", "value")
            assert max(len(part) for _, part in parts) <= max(rows, 20)


def test_no_more_is_sorted_at_once_than_may_be_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = LogWriter(tmp_path / "run")
    for step in range(20):
        writer.frame(step, values("loss", list(range(50)), np.ones(50, np.float32)))
    writer.close()
    sorted_at_once: list[int] = []
    joined = long_form._joined

    def watched(pieces: Any) -> Any:
        found = joined(pieces)
        sorted_at_once.append(len(found.values))
        return found

    monkeypatch.setattr(long_form, "_joined", watched)
    with wl.open_run(tmp_path / "run") as run:
        asked = LongForm(run.view("history"), "loss", None, instances=False)
        rows = sum(len(table) for _, table in asked.tables(values=100, held=200))
    assert rows == 1000
    assert max(sorted_at_once) <= 200


# -- in the process that trains -------------------------------------------------------


def record(step: int) -> None:
    with wl.guard_training_context:
        wl.save_signals({"loss": torch.tensor([step, 10.0 + step])}, batch_ids=["a", "b"])


def test_the_training_process_asks_its_own_run(finished: Finished) -> None:
    for step in range(3):
        record(step)
        table = wl.query_signal_history("loss", where="sample_id == 'a'")
        assert lines(table, "step", "value") == [(one, one) for one in range(step + 1)]
    assert wl.query_sample_history("b")["loss"][1].tolist() == [10, 11, 12]


def test_asking_again_folds_only_what_is_new(finished: Finished) -> None:
    record(0)
    wl.query_signal_history("loss")
    session = current_session()
    assert session is not None
    reader = session.reader
    assert reader is not None
    before = reader.position
    record(1)
    wl.query_signal_history("loss")
    assert session.reader is reader
    assert reader.position > before


def test_the_log_is_one_environment_however_often_it_is_asked(finished: Finished) -> None:
    record(0)
    wl.query_signal_history("loss")
    session = current_session()
    assert session is not None
    assert session.reader is not None
    assert session.reader.log.environment is session.log.environment
    with wl.open_run(finished.path) as other:
        assert other.log.environment is session.log.environment


def test_asking_within_a_step_sees_the_steps_before(finished: Finished) -> None:
    record(0)
    with wl.guard_training_context:
        wl.save_signals({"loss": torch.tensor([5.0])}, batch_ids=["a"])
        assert wl.query_sample_history("a")["loss"][1].tolist() == [0]
    assert wl.query_sample_history("a")["loss"][1].tolist() == [0, 5]


def test_without_a_run_the_newest_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "wl_runs" / "first")
    monkeypatch.chdir(tmp_path)
    assert len(wl.query_signal_history("loss")) == 9
    assert len(wl.query_signal_history("loss", run="first")) == 9
