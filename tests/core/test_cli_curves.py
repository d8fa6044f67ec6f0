from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.core.cli_runs import write_run
from tests.core.test_cli_export import wl
from wl_core.run import open_run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with ``wl_runs/first`` in it."""
    write_run(tmp_path / "wl_runs" / "first")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_curves_are_printed_with_their_extremes_and_in_json_with_their_points(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert wl("curves", "--json") == 0
    rows = {row["curve"]: row for row in json.loads(capfd.readouterr().out)}
    with open_run(folder / "wl_runs" / "first") as run:
        curves = run.curves()
    assert rows.keys() == curves.keys()
    for name, curve in curves.items():
        assert rows[name]["at"] == curve.steps.tolist()
        assert [float(value) for value in rows[name]["value"]] == pytest.approx(
            curve.mean.tolist(), nan_ok=True
        )
        assert rows[name]["steps"] == len(curve.steps)
    name = next(iter(curves))
    assert wl("curves", name, "--to", "0") == 0
    header, line = capfd.readouterr().out.splitlines()
    assert header.split("\t")[:4] == ["curve", "steps", "first", "last"]
    assert line.split("\t")[:2] == [name, "1"]


def test_curves_of_samples_are_drawn_over_that_of_all(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with open_run(folder / "wl_runs" / "first") as run:
        name = next(n for n in run.curves() if n in run.view("samples").signals)
        row = int(run.samples().column(name).present.argmax())
        sample = str(run.samples().column("sample_id").cell(row))
    asked = ("curves", name, "--sample", sample, "--smooth", "0.6", "--apart")
    assert wl(*asked, "--out", "c.svg") == 0
    assert "2 lines in c.svg" in capfd.readouterr().out
    assert f"mean, b {sample}" in (folder / "c.svg").read_text()
    assert wl("curves", "nothing") == 2
    assert "there is no curve 'nothing'" in capfd.readouterr().err
    assert wl("curves", name, "--out", "c.xyz") == 2
    assert "does not say its format" in capfd.readouterr().err
