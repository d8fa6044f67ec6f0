"""The column ``shape``: of samples and instances, live, in the past, and by other classifiers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wl_core as wl
from tests.core.cli_runs import LogWriter, values
from wl_core.lazy_column import LazyColumn
from wl_core.run import Run, open_run
from wl_core.shape_classifiers import registry
from wl_core.shapes import LOSS_SHAPES
from wl_core.table import Table
from wl_core.testing.shapes import trajectory
from wl_plugins import shapes

STEPS = 30
IDS = [f"{shape}-{number}" for shape in LOSS_SHAPES for number in range(2)]
LOSS = "train_bce/sample"


@pytest.fixture(autouse=True)
def _no_classifiers() -> Iterator[None]:
    yield
    registry.clear()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LogWriter]:
    """A run in which each sample is named after the shape of its loss; nothing is measured yet."""
    writer = LogWriter(tmp_path / "one")
    declared = (
        ("dice/sample", "sample", "metric"),
        (LOSS, "sample", "loss"),
        ("other/sample", "sample", "loss"),
        ("train_bce/instance", "instance", "loss"),
    )
    events = [("signal_declared", *one, True, {}) for one in declared]
    writer.frame(0, ("run_started", "id", 1, "host", {}, False), *events, phase="outside")
    yield writer
    writer.close()


def losses() -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(1)
    found = [2.5 * trajectory(rng, one.split("-")[0], STEPS, 0.02) for one in IDS]
    return np.array(found, np.float32)


def train(writer: LogWriter, first: int = 0, last: int = STEPS) -> None:
    """Instance 1 of a sample has the loss of the sample that stands opposite in the list."""
    measured, count = losses(), len(IDS)
    for step in range(first, last):
        writer.frame(
            step,
            values(LOSS, IDS, measured[:, step]),
            values("dice/sample", IDS, 1 - measured[:, step]),
            values("other/sample", IDS[:2], measured[4:6, step]),
            (
                "instance_values", "train_bce/instance", "train_loader", True, IDS,
                np.arange(count, dtype=np.uint8), np.ones(count, np.uint8), measured[::-1, step],
            ),
        )  # fmt: skip


def by_sample(table: Table, column: str = "shape") -> dict[Any, Any]:
    ids, cells = table.column("sample_id"), table.column(column)
    cells.present  # noqa: B018 - all of them, not one after the other
    return {ids.cell(row): cells.cell(row) for row in range(len(table))}


NAMED = {one: one.split("-")[0] for one in IDS}


def test_samples_and_instances_have_the_shape_of_their_first_loss(writer: LogWriter) -> None:
    train(writer)
    with open_run(writer.directory.path) as run:
        assert by_sample(run.samples()) == NAMED
        opposite = dict(zip(IDS, reversed(NAMED.values()), strict=True))
        assert by_sample(run.instances()) == opposite
        one = run.instances("spiked-0")
        assert one.column("shape").cell(0) == opposite["spiked-0"]
        others = by_sample(run.samples(), "shape/other/sample")
        assert (others.pop("monotonic-0"), others.pop("monotonic-1")) == ("flat_high", "flat_high")
        assert set(others.values()) == {None}
        assert "shape/dice/sample" not in run.samples().names


def test_a_run_without_a_declared_loss_shows_the_first_signal(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "bare")
    for step in range(6):
        writer.frame(step, values("loss", ["a"], np.array([1 - step / 7])))
    writer.close()
    with open_run(tmp_path / "bare") as run:
        assert by_sample(run.samples()) == {"a": "monotonic"}


def test_the_past_has_the_shapes_of_then(writer: LogWriter) -> None:
    train(writer)
    with open_run(writer.directory.path) as run, run.at(step=3) as early, run.at(step=9) as then:
        assert set(by_sample(early.samples()).values()) == {None}
        now = {one: wl.classify_loss_shape(row) for one, row in zip(IDS, losses(), strict=True)}
        cut = {
            one: wl.classify_loss_shape(row[:10]) for one, row in zip(IDS, losses(), strict=True)
        }
        assert (by_sample(run.samples()), by_sample(then.samples())) == (now, cut)
        assert now != cut


class Counted:
    """Counts what is classified."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.rows: list[int] = []
        before = shapes.shapes_of

        def counting(plugins: Any, signal: str, trajectories: Any) -> Any:
            self.rows.append(len(trajectories))
            return before(plugins, signal, trajectories)

        patch.setattr(shapes, "shapes_of", counting)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def test_nothing_is_read_or_classified_before_somebody_looks(
    writer: LogWriter, counted: Counted
) -> None:
    train(writer)
    with open_run(writer.directory.path) as run:
        column = run.samples().column("shape")
        assert isinstance(column, LazyColumn)
        assert (len(column), column.kind, column.is_ready) == (len(IDS), "text", False)
        run.samples().take(np.arange(3))
        assert not wl.Filter.parse("train_bce/sample > 100").mask(run.samples()).any()
        assert counted.rows == []
        assert run.prepare("history", budget_seconds=10)


def test_a_few_cells_are_classified_by_themselves(
    writer: LogWriter, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(writer)
    monkeypatch.setattr(shapes, "_FEW", 2)
    with open_run(writer.directory.path) as run:
        table = run.samples()
        place = table.column("sample_id").order()[4]
        name = table.column("sample_id").cell(place)
        assert table.column("shape").cell(place) == NAMED[name]
        assert table.take(np.array([place, 0])).column("shape").cell(0) == NAMED[name]
        assert table.column("shape").cell(place) == NAMED[name]  # remembered
        some = table.take(np.array([3, place])).column("shape")
        assert [some.categories[code] for code in some.values][1] == NAMED[name]
        assert counted.rows == [1, 1, 2]


def test_live_only_what_got_values_is_classified_again(
    writer: LogWriter, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shapes, "_FEW", 0)
    train(writer, 0, 12)
    with open_run(writer.directory.path) as run:
        before = by_sample(run.samples())
        assert by_sample(run.samples()) == before
        assert counted.rows == [len(IDS)]
        for step in range(12, 18):
            writer.frame(step, values(LOSS, ["flat_high-0", "new"], np.array([0.01, 1.0])))
        run.refresh()
        after = by_sample(run.samples())
        assert counted.rows == [len(IDS), 2]
        assert (before["flat_high-0"], after["flat_high-0"]) == ("flat_high", "monotonic")
        assert after.pop("new") == "flat_high"
        assert after == {**before, "flat_high-0": after["flat_high-0"]}


def shapes_of(run: Run, column: str = "shape") -> set[Any]:
    return set(by_sample(run.samples(), column).values())


def test_a_classifier_of_a_signal_goes_before_that_of_all(writer: LogWriter) -> None:
    train(writer)
    with open_run(writer.directory.path) as run:
        assert shapes_of(run) == set(LOSS_SHAPES)

        @wl.signal_classifier
        def anything(values: np.ndarray[Any, Any]) -> str:
            return f"{len(values)} values"

        assert shapes_of(run) == {"30 values"}

        @wl.signal_classifier(signal="signals//train_bce/sample")
        def high(values: np.ndarray[Any, Any]) -> str | None:
            return "high" if values[-1] > 2 else None

        assert shapes_of(run) == {"high", None}
        assert shapes_of(run, "shape/other/sample") == {"30 values", None}
        assert set(by_sample(run.instances()).values()) == {"30 values"}

        wl.signal_classifier(signal="dice/sample")(anything)
        assert shapes_of(run, "shape/dice/sample") == {"30 values"}
        registry.clear()
        assert shapes_of(run) == set(LOSS_SHAPES)


def test_what_is_no_classifier_is_refused() -> None:
    with pytest.raises(wl.WlError, match="'high'"):
        wl.signal_classifier("high")  # type: ignore[call-overload]


def printed(command: str, *options: str, run: Path) -> Any:
    from click.testing import CliRunner

    from wl_core.cli import group

    arguments = [command, *options, str(run), "--json"]
    done = CliRunner().invoke(group, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_command_line_filters_sorts_and_shows_by_shape(writer: LogWriter) -> None:
    train(writer)
    run = writer.directory.path
    where = 'train_bce/sample > 2 and shape == "flat_high"'
    found = printed("samples", "--where", where, run=run)
    assert [(row["sample_id"], row["shape"]) for row in found] == [
        ("flat_high-0", "flat_high"),
        ("flat_high-1", "flat_high"),
    ]
    options = ("--sort", "shape", "--columns", "sample_id,shape", "--limit", "3")
    assert printed("samples", *options, run=run) == [
        {"sample_id": name, "shape": NAMED[name]}
        for name in ("flat_high-0", "flat_high-1", "forgotten-0")
    ]
    early = printed("samples", "--at-step", "3", "--columns", "shape", "--limit", "1", run=run)
    assert early == [{"shape": None}]
    of_all = printed("instances", "--all", "--where", "shape != sample/shape", run=run)
    assert {row["sample_id"] for row in of_all} == set(IDS) - {"high_variance-0", "high_variance-1"}


def test_who_does_not_ask_for_shapes_is_not_shown_them(writer: LogWriter, counted: Counted) -> None:
    train(writer)
    assert "shape" not in printed("samples", run=writer.directory.path)[0]
    assert counted.rows == []
