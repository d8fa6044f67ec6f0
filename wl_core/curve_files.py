"""Curves in files: a picture, or a table with a row per point in any format that `export` knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from wl_core.curve_svg import curves_svg
from wl_core.export import exporter_of, write_file
from wl_core.series import Floats, Series
from wl_core.table import Table, TableColumn

PICTURE = ".svg"


def write_series(
    path: Path,
    series: Sequence[Series],
    *,
    title: str = "",
    log_y: bool = False,
    bands: bool = False,
    apart: bool = False,
    marks: Sequence[tuple[float, str]] = (),
    format: str | None = None,  # noqa: A002  # what pandas and others call it
) -> int:
    """Writes lines to a file, which is replaced once the new one is whole; gives their points.

    What ends in ``.svg`` is a picture (`curve_svg.curves_svg` explains what it takes); everything
    else the table of `series_table`.

    Raises:
        UsageError: the format is not known.
        WlError: the file cannot be written.
    """
    table = series_table(series)
    if (format or path.suffix).lower().lstrip(".") != PICTURE.lstrip("."):
        return write_file(iter([(1.0, table)]), path, exporter_of(path, format))
    picture = curves_svg(series, title=title, log_y=log_y, bands=bands, apart=apart, marks=marks)

    def draw(parts: Iterator[Table], place: Path) -> None:
        for _ in parts:  # which counts the points
            pass
        place.write_text(picture, "utf-8")

    return write_file(iter([(1.0, table)]), path, draw)


def series_table(series: Sequence[Series]) -> Table:
    """A row per point: ``series``, ``step``, ``value``, ``low``, ``high``, ``smoothed``.

    ``value`` is as it was recorded; where the line is smoothed the last column holds what is drawn.
    """
    counts = [len(one.steps) for one in series]
    everywhere = np.ones(sum(counts), np.bool_)
    names = tuple(dict.fromkeys(one.name for one in series))
    codes = np.repeat([names.index(one.name) for one in series], counts).astype(np.int32)
    steps = _joined([one.steps for one in series]).astype(np.int64)
    raw = [one.mean if one.raw is None else one.raw for one in series]
    return Table(
        (
            TableColumn("series", "text", codes, everywhere, names),
            TableColumn("step", "number", steps, everywhere),
            TableColumn("value", "number", _joined(raw), everywhere),
            _optional("low", [one.low for one in series], counts),
            _optional("high", [one.high for one in series], counts),
            _optional(
                "smoothed", [one.mean if one.raw is not None else None for one in series], counts
            ),
        )
    )


def _joined(parts: Sequence[Floats]) -> Floats:
    return np.concatenate([np.empty(0), *parts])


def _optional(name: str, parts: Sequence[Floats | None], counts: Sequence[int]) -> TableColumn:
    """A column whose cells are empty for the lines that have no such values."""
    pairs = list(zip(parts, counts, strict=True))
    present = np.repeat([part is not None for part in parts], counts).astype(np.bool_)
    return TableColumn(
        name, "number", _joined([np.zeros(n) if p is None else p for p, n in pairs]), present
    )
