from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

from tests.core.cli_runs import write_run
from wl_core.cli import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with ``wl_runs/first`` in it."""
    write_run(tmp_path / "wl_runs" / "first")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def wl(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_samples_go_to_a_file_of_the_format_that_it_ends_in(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert wl("export", "samples.parquet") == 0
    assert capfd.readouterr() == ("4 rows in samples.parquet\n", "")
    found = parquet.read_table(folder / "samples.parquet")
    assert found.column("sample_id").to_pylist() == ["s1", "s2", "s3", "s4"]
    assert found.column("size").to_pylist() == [1, 2, 3, 4]


def test_rows_and_columns_are_chosen_as_for_a_listing(folder: Path) -> None:
    arguments = ("--where", "times_seen > 0", "--columns", "sample_id, place", "--run", "first")
    assert wl("export", "a.csv", *arguments, "--sort", "times_seen,size", "--desc") == 0
    assert (folder / "a.csv").read_text().splitlines() == [
        "sample_id,place", "s3,tab\there", "s2,b", "s1,a",
    ]  # fmt: skip


def test_instances_history_and_the_past(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert wl("export", "a.jsonl", "--instances", "--where", "annotation_id == 2") == 0
    (row,) = map(json.loads, (folder / "a.jsonl").read_text().splitlines())
    assert (row["annotation_id"], row["dice"]) == (2, 0.75)
    for arguments, count in (
        (("--history",), 15),
        (("--history", "--samples"), 9),
        (("--history", "--instances"), 6),
        (("--history", "--signal", "loss", "--signal", "dice", "--at-step", "0"), 5),
        (("--history", "--where", "discarded"), 3),
    ):
        capfd.readouterr()
        assert wl("export", "h.json", *arguments) == 0
        assert capfd.readouterr().out == f"{count} rows in h.json\n"
        assert len(json.loads((folder / "h.json").read_text())) == count


def test_a_dash_is_stdout(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert wl("export", "-", "--format", "csv", "--columns", "sample_id,loss") == 0
    rows = list(csv.reader(io.StringIO(capfd.readouterr().out)))
    assert [row[0] for row in rows] == ["sample_id", "s1", "s2", "s3", "s4"]
    assert os.listdir(folder) == ["wl_runs"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["a.xls"], 2, "a.xls does not say its format"),
        (["a.csv", "--format", "parqet"], 2, "Did you mean 'parquet'?"),
        (["-"], 2, "- needs --format"),
        (["a.csv", "--signal", "loss"], 2, "--signal needs --history"),
        (["a.csv", "--history", "--sort", "step"], 2, "an order of its own"),
        (["a.csv", "--desc"], 2, "--desc needs --sort COLUMN"),
        (["a.csv", "--where", "los > 1"], 2, "Did you mean 'loss'?"),
        (["a.csv", "--history", "--signal", "los"], 2, "Did you mean 'loss'?"),
        (["gone/a.csv"], 1, "gone/a.csv cannot be written: No such file or directory"),
        (["a.csv", "--run", "second"], 1, "there is no run at second"),
    ],
)
def test_mistakes_are_told_in_words(
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    said: str,
) -> None:
    assert wl("export", *arguments) == status
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("wl: ")
    assert said in err
    assert os.listdir(folder) == ["wl_runs"]


def test_a_reader_that_has_enough_is_no_failure(folder: Path) -> None:
    code = "from wl_core.cli import main; main()"
    command = f'"{sys.executable}" -c "{code}" export - --format jsonl --history | head -n 1'
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert (json.loads(done.stdout)["signal"], done.stderr) == ("dice", "")
