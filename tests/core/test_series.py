"""Lines over steps: smoothing, what is in sight, what is written."""

from __future__ import annotations

import csv
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import pytest

from wl_core.curve_files import write_series
from wl_core.curve_svg import curves_svg
from wl_core.errors import WlError
from wl_core.series import Floats, Series, smoothed

SVG = "{http://www.w3.org/2000/svg}"
STEPS = np.arange(1_000.0)


def by_the_formula(values: Floats, weight: float) -> list[float]:
    """TensorBoard's loop, value by value."""
    found, last, count = [], 0.0, 0
    for value in values.tolist():
        if np.isfinite(value):
            last, count = last * weight + (1 - weight) * value, count + 1
            found.append(last / (1 - weight**count))
        else:
            found.append(value)
    return found


@pytest.mark.parametrize("weight", [0.6, 0.9, 0.99])
def test_smoothing_is_what_tensorboard_draws(weight: float) -> None:
    values = np.random.default_rng(0).normal(3, 1, 1_000)
    values[[0, 77, 300]] = np.nan, np.inf, -np.inf
    assert smoothed(values, weight) == pytest.approx(
        by_the_formula(values, weight), rel=1e-12, nan_ok=True
    )


def test_what_is_constant_is_smoothed_to_itself_and_no_weight_changes_nothing() -> None:
    constant = np.full(300, 0.1)
    assert (smoothed(constant, 0.99) == constant).all()
    values = np.array([1.0, np.nan, 3.0])
    assert smoothed(values, 0).tolist()[::2] == [1.0, 3.0]
    with pytest.raises(ValueError, match="below 1, got 1"):
        smoothed(values, 1.0)


def test_a_smoothed_line_has_its_values_faint_behind_and_is_cut_with_them() -> None:
    line = Series("loss", STEPS, STEPS * 2.0).smoothed(0.9).between(10, 12)
    assert line.steps.tolist() == [10, 11, 12]
    assert line.raw is not None
    assert line.raw.tolist() == [20, 22, 24]
    assert line.faint is not None
    assert line.faint[1].tolist() == [20, 22, 24]
    assert line.mean[0] < 20


def some_lines() -> list[Series]:
    low = np.full(1_000, 0.5)
    gap = np.where(STEPS == 500, np.nan, STEPS + 1)
    return [
        Series("loss", STEPS, np.exp(-STEPS / 300) + 1, low, low + 2),
        Series("gap <&>", STEPS, gap, group="loss"),
        Series("lone \x1b[0m", STEPS[:1], STEPS[:1] + 3),
    ]


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("log_y", [False, True])
def test_a_picture_has_a_line_for_each_series(apart: bool, log_y: bool) -> None:
    lines = [line.smoothed(0.6) for line in some_lines()]
    text = curves_svg(
        lines, title="run", log_y=log_y, bands=True, apart=apart, marks=[(10, "paused")]
    )
    root = Xml.fromstring(text)
    paths = root.findall(f"{SVG}path")
    classes = [path.get("class") for path in paths]
    plots = 2 if apart else 1
    assert classes.count("line") == 3
    assert classes.count("faint") == 3
    assert classes.count("band") == 1
    assert classes.count("mark") == plots
    assert len(root.findall(f"{SVG}rect")) == plots
    assert all(path.get("d") for path in paths)
    assert "nan" not in "".join(str(path.get("d")) for path in paths)
    broken = next(path for path in paths if path.findtext(f"{SVG}title") == "gap <&>")
    assert str(broken.get("d")).count("M") == 2  # before the gap and after it
    said = [text.text for text in root.iter(f"{SVG}text")]
    assert "step" in said
    assert ("logarithmic" in said) == log_y


def test_lines_are_told_apart_by_more_than_colour() -> None:
    flat = [Series(f"s{n}", STEPS, STEPS * n) for n in range(3)]
    root = Xml.fromstring(curves_svg(flat))
    drawn = [path for path in root.iter(f"{SVG}path") if path.get("class") == "line"]
    assert len({path.get("stroke-dasharray") for path in drawn}) == 3
    letters = [text.text for text in root.iter(f"{SVG}text") if len(text.text or "") == 1]
    assert {"a", "b", "c"} <= set(letters)


def test_a_spike_of_one_step_among_100_000_is_in_the_picture() -> None:
    values = np.zeros(100_000)
    values[77_777] = 1.0
    root = Xml.fromstring(curves_svg([Series("s", np.arange(100_000.0), values)]))
    line = next(path for path in root.iter(f"{SVG}path") if path.get("class") == "line")
    heights = [float(point.split()[1]) for point in str(line.get("d")).split("L")[1:]]
    assert heights.count(min(heights)) == 1
    assert min(heights) < max(heights) - 100
    assert len(heights) < 3_000


def test_a_table_has_the_numbers_as_they_were_recorded_and_as_they_are_drawn(
    tmp_path: Path,
) -> None:
    loss, *_, lone = (line.smoothed(0.9) for line in some_lines())
    lines = [loss, Series("raw", STEPS[:2], np.array([1.0, np.nan])), lone]
    points = write_series(tmp_path / "c.csv", lines)
    rows = list(csv.DictReader((tmp_path / "c.csv").read_text().splitlines()))
    assert points == len(rows) == 1_003
    assert loss.raw is not None
    assert [float(row["value"]) for row in rows[:1_000]] == loss.raw.tolist()
    assert [float(row["smoothed"]) for row in rows[:1_000]] == loss.mean.tolist()
    assert rows[1]["step"] == "1"
    assert (rows[1]["low"], rows[1]["high"]) == ("0.5", "2.5")
    assert rows[1_001] | {"low": "", "smoothed": ""} == rows[1_001]
    assert rows[1_001]["value"] == "NaN"


def test_a_file_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    with pytest.raises(WlError, match="cannot be written"):
        write_series(tmp_path / "no" / "c.svg", some_lines())
    assert write_series(tmp_path / "c.SVG", []) == 0
    assert (tmp_path / "c.SVG").read_text().startswith("<?xml")
    assert [path.name for path in tmp_path.iterdir()] == ["c.SVG"]
