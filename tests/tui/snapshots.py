"""What screens look like, kept as files: ``pytest --snapshot-update`` writes them anew.

Text for most, since a person can review it; a few SVG ones for what colours do. What differs from
one run to the next (clocks, ages, paths) is replaced by its shape, of the same width.
"""

from __future__ import annotations

import re
from typing import Any

from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from textual.app import App
from textual.pilot import Pilot

from tests.tui.screens import screen_text
from tui.widgets.status_line import StatusLine

_CHANGING = (
    (re.compile(r"(lag \d+\.\d s|last event [\d.]+ \w+ ago)"), "(fresh as it may be)"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "##:##:##"),
    (re.compile(r"\d+\.\d steps/s"), "#.# steps/s"),
)
_PATH = re.compile(r"/[^\s<&…]+…")  # the column is narrower than any real path


class TextScreen(SingleFileSnapshotExtension):
    """One ``.txt`` file per screen."""

    _write_mode = WriteMode.TEXT
    _file_extension = "txt"


class DrawnScreen(SingleFileSnapshotExtension):
    """One ``.svg`` file per screen."""

    _write_mode = WriteMode.TEXT
    _file_extension = "svg"


def stable_text(app: App[Any]) -> str:
    """The screen as text without what the clock says."""
    text = screen_text(app)
    for pattern, shape in _CHANGING:
        text = pattern.sub(shape, text)
    return _without_paths(text) + "\n"


async def stable_svg(pilot: Pilot[Any]) -> str:
    """The screen as a picture, with names of classes that do not change and no font from afar.

    Without the line of the run's state: what the clock says moves all that follows it.
    """
    app = pilot.app
    app.screen.query_one(StatusLine).visible = False
    await pilot.pause()
    svg = re.sub(r"@font-face \{.*?\}\s*", "", app.export_screenshot(title="wl"), flags=re.DOTALL)
    svg = re.sub(r"terminal-\d+", "terminal", svg)
    for pattern, shape in _CHANGING:
        svg = pattern.sub(shape, svg)
    return _without_paths(svg)


def _without_paths(text: str) -> str:
    return _PATH.sub(lambda found: "/" + "#" * (len(found[0]) - 2) + "…", text)
