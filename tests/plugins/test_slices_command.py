"""`wl slices`, on a run with instances: what it lists, and that its filters drill down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wl_core as wl
from tests.core.cli_runs import LogWriter
from wl_core import cli
from wl_core.joined import instances_with_samples

SAMPLES, PER_SAMPLE, STEPS = 60, 3, 8
IDS = [f"s{at:02}" for at in range(SAMPLES)]
WEATHER = ["rainy" if at % 3 == 0 else "it's dry" for at in range(SAMPLES)]
SIZE = [float(at % 20) for at in range(SAMPLES)]


def write_run(path: Path) -> None:
    """Instances 1 of rainy samples are learned worse and worse, the others better and better."""
    random = np.random.default_rng(0)
    batch_idx = np.repeat(np.arange(SAMPLES), PER_SAMPLE).astype(np.uint8)
    numbers = np.tile(np.arange(1, PER_SAMPLE + 1), SAMPLES).astype(np.uint8)
    bad = (batch_idx % 3 == 0) & (numbers == 1)
    writer = LogWriter(path)
    writer.frame(
        0,
        ("run_started", "id", 1, "host", {}, False),
        ("signal_declared", "bce/instance", "instance", "loss", True, {}),
        ("metadata", "train", IDS, {"weather": WEATHER, "size": SIZE, "path": IDS}),
        phase="outside",
    )
    writer.frame(0, ("instance_values", "kind", "train", True, IDS, batch_idx, numbers,
                     numbers.astype(np.float32)), phase="outside")  # fmt: skip
    for step in range(STEPS):
        losses = np.where(bad, 2 + 0.3 * step, 2 - 0.2 * step) + random.normal(0, 0.02, len(bad))
        writer.frame(
            step,
            ("exposed", "train", IDS),
            ("values", "bce/sample", "train", True, IDS, np.arange(SAMPLES, dtype=np.float32)),
            ("instance_values", "bce/instance", "train", True, IDS, batch_idx, numbers,
             losses.astype(np.float32)),
        )  # fmt: skip
    one = np.ones(10, np.uint8)
    writer.frame(
        STEPS,
        ("tagged", "blurry", True, "train", IDS[:20], None, "tester", ""),
        ("tagged", "very blurry", True, "train", IDS[10:30], None, "tester", ""),
        ("tagged", "cut off", True, "train", IDS[5:15], one, "tester", ""),
        phase="outside",
    )
    writer.close()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("runs")
    write_run(found / "first")
    return found


class Cli:
    """Commands run in this process; each must succeed unless it is called by `refused`."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._root, self._capsys = str(root), capsys

    def run(self, *arguments: str) -> tuple[int, str, str]:
        status = cli._run([*arguments, "--root", self._root])
        return status, *self._capsys.readouterr()

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        status, out, err = self.run(*arguments, "--json")
        assert (status, err) == (0, ""), err
        found: list[dict[str, Any]] = json.loads(out)
        return found

    def refused(self, *arguments: str) -> tuple[int, str]:
        status, out, err = self.run(*arguments)
        assert out == ""
        return status, err


@pytest.fixture
def command(root: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(root, capsys)


def test_a_slice_a_line_with_what_is_in_it(command: Cli) -> None:
    rainy, dry = command.listed("slices", "--by", "weather", "--signal", "bce/instance")
    assert (rainy["weather"], rainy["count"], rainy["share"]) == ("rainy", 60, 1 / 3)
    assert rainy["mean"] == pytest.approx((2 + 0.3 * 7 + 2 * (2 - 0.2 * 7)) / 3, abs=0.02)
    assert (dry["weather"], dry["count"]) == ("it's dry", 120)
    assert rainy["effect"] == pytest.approx(-dry["effect"])
    assert rainy["effect"] > 1


def test_rows_are_what_the_signal_is_of_unless_it_is_said(command: Cli) -> None:
    def count(*arguments: str) -> int:
        return sum(one["count"] for one in command.listed("slices", "--by", "weather", *arguments))

    assert count() == SAMPLES
    assert count("--signal", "bce/sample") == SAMPLES
    assert count("--signal", "signals_bce/instance") == SAMPLES * PER_SAMPLE
    assert count("--signal", "bce/instance", "--samples") == SAMPLES
    assert count("--instances") == SAMPLES * PER_SAMPLE


FACETS = (
    ["--by", "weather"],
    ["--by", "size:4", "--by", "weather"],
    ["--by", "tags", "--against", "size@5,10"],
    ["--by", "weather", "--where", "size < 3 or size > 12"],
)
INSTANCES = (
    ["--by", "weather", "--by", "kind", "--shape"],
    ["--by", "sample/tags", "--by", "tags"],
    ["--shape", "--where", "weather == 'rainy'"],
)


@pytest.mark.parametrize("facets", FACETS)
def test_a_filter_finds_the_samples_of_its_line(command: Cli, facets: list[str]) -> None:
    listed = command.listed("slices", *facets)
    assert listed
    for line in listed:
        rows = command.listed("samples", "--where", line["filter"], "--columns", "sample_id")
        assert len(rows) == line["count"]


@pytest.mark.parametrize("facets", INSTANCES)
def test_a_filter_finds_the_instances_of_its_line(command: Cli, facets: list[str]) -> None:
    listed = command.listed("slices", "--instances", *facets)
    assert listed
    for line in listed:
        rows = command.listed(
            "instances", "--all", "--where", line["filter"], "--columns", "annotation_id"
        )
        assert len(rows) == line["count"]


def test_a_filter_is_for_tagging_too(command: Cli) -> None:
    (line,) = command.listed("slices", "--by", "weather", "--by", "kind", "--instances",
                             "--where", "weather == 'rainy' and kind == 1")  # fmt: skip
    status, out, err = command.run(
        "tag", "hard", "--instances", "--where", line["filter"], "--dry-run"
    )
    assert (status, line["count"]) == (0, 20)
    assert err.startswith("20 instances would be meant")
    assert len(out.splitlines()) == 1 + 20


def test_shapes_cross_with_slices(command: Cli) -> None:
    first = command.listed("slices", "--by", "weather", "--shape", "--instances")[0]
    again = command.listed("slices", "--by", "weather", "--against", "shape", "--instances")[0]
    assert first == again
    cells = command.listed("slices", "--by", "weather", "--by", "kind", "--shape", "--instances")
    bad = [
        one for one in cells if one["weather"] == "rainy" and one["kind"] == "1" and one["count"]
    ]
    assert [one["count"] for one in bad] == [20]
    assert bad[0]["shape"] != "monotonic"
    assert bad[0] in cells[:2]


def test_the_planted_slice_is_found(command: Cli) -> None:
    found = command.listed("slices", "--find", "--signal", "bce/instance", "--by", "weather",
                           "--by", "kind", "--by", "size")  # fmt: skip
    assert found[0]["slice"] == "weather = rainy, kind = 1"
    by_default = command.listed("slices", "--find", "--signal", "bce/instance")
    assert [one["slice"] for one in by_default] == ["weather = rainy"]
    status, out, err = command.run("slices", "--find", "--signal", "bce/instance", "--by", "size")
    assert (status, len(out.splitlines())) == (0, 1)
    assert "no slice is significantly worse" in err
    low = command.listed("slices", "--find", "--signal", "bce/instance", "--worst", "low")
    assert [one["slice"] for one in low] == ["weather = it's dry"]


def test_the_past_is_sliced_as_it_was(command: Cli) -> None:
    def mean(*arguments: str) -> float:
        listed = command.listed("slices", "--by", "kind", "--signal", "bce/instance", *arguments)
        value: float = next(one["mean"] for one in listed if one["kind"] == "2")
        return value

    assert mean("--at-step", "0") == pytest.approx(2, abs=0.02)
    assert mean("--at-step", "5") == pytest.approx(1, abs=0.02)
    assert mean() == pytest.approx(0.6, abs=0.02)


def test_lines_are_sorted_limited_and_cut(command: Cli) -> None:
    sizes = command.listed("slices", "--by", "size", "--signal", "bce/sample", "--sort", "mean")
    assert [one["mean"] for one in sizes] == sorted((o["mean"] for o in sizes), reverse=True)
    rising = command.listed(
        "slices", "--by", "size", "--by", "weather", "--sort", "residual", "--asc"
    )
    strength = [abs(one["residual"]) for one in rising]
    assert strength == sorted(strength)
    assert len(command.listed("slices", "--by", "size", "--limit", "3")) == 3
    large = command.listed("slices", "--by", "tags", "--min-size", "11")
    assert {one["tags"] for one in large} == {"blurry", "very blurry", "(empty)"}
    (first, *_) = command.listed("slices", "--by", "tags", "--columns", "filter,count")
    assert list(first) == ["filter", "count"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "say what to slice by"),
        (["--by", "wether:4"], 2, "there is no column 'wether'"),
        (["--by", "weather:4"], 2, "only numbers are cut"),
        (["--by", "weather", "--signal", "bce/instnce"], 2, "Did you mean"),
        (["--by", "weather", "--sort", "men"], 2, "there is no column 'men'"),
        (["--by", "weather", "--where", "size >"], 2, "expected a column"),
        (["--find"], 2, "--find needs --signal"),
        (["--find", "--signal", "bce/instance", "--shape"], 2, "facets from --by alone"),
        (["--find", "--signal", "bce/instance", "--min-size", "1"], 2, "at least 2"),
        (["--by", "weather", "--shape", "--against", "size"], 2, "give one of them"),
        (["--by", "class"], 2, "ctx.target.max()"),
    ],
)
def test_what_cannot_be_asked_is_said(
    command: Cli, arguments: list[str], status: int, message: str
) -> None:
    found, err = command.refused("slices", *arguments)
    assert (found, message in err) == (status, True), err


def test_instances_of_all_need_no_sample(command: Cli) -> None:
    assert len(command.listed("instances", "--all", "first")) == SAMPLES * PER_SAMPLE
    assert command.listed("instances", "--all", "--origin", "nowhere") == []
    assert command.refused("instances", "--all", "s01", "first")[0] == 2
    assert "SAMPLE is missing" in command.refused("instances")[1]


def test_instances_stand_beside_what_is_known_of_their_samples(root: Path) -> None:
    with wl.open_run(root / "first") as run:
        table, own, samples = instances_with_samples(run), run.instances(), run.samples()
        assert table.names[: len(own.names)] == own.names
        lazy = table.column("sample/shape")
        assert (lazy.is_ready, lazy.cell(4)) == (False, samples.column("shape").cell(1))
        of_sample = {samples.row(at)["sample_id"]: samples.row(at) for at in range(len(samples))}
        for at in range(len(table)):
            row, sample = table.row(at), of_sample[table.row(at)["sample_id"]]
            assert row["annotation_id"] == at % PER_SAMPLE + 1
            for name in ("weather", "size", "path", "times_seen"):
                assert row[name] == sample[name]
            assert row.get("sample/tags") == sample.get("tags")
            assert row["bce/instance"] == own.row(at)["bce/instance"]
        assert "sample/bce/instance" not in table.names  # it is the mean of the instances
        assert sum("tags" in table.row(at) for at in range(len(table))) == 10
