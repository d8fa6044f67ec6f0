"""One plot of some lines as rows of cells: their dots, the value axis, the step axis.

`CurvePlot` says which lines, over which steps and in which styles; how numbers become dots is in
`tui.widgets.braille`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui.widgets import braille
from wl_core.axes import Floats, nice_ticks, tick_label, value_range
from wl_core.series import Series

AXIS_WIDTH = 9
NOBODY, AXIS, CURSOR = -1, -2, -3  # owners of cells that are no line's
_FAINT = 10_000  # an owner's number plus this: the cell shows what is behind that line
_SPACE = ord(" ")
_OFTEN = 17  # without colour a line has its letter in every so many-th cell


@dataclass(frozen=True, slots=True)
class Look:
    """How the parts of a plot are drawn.

    ``lines`` and ``faint`` are the styles of each line and of what is behind it; without colour
    (``mono``) a letter tells whose a line is.
    """

    base: Style
    axis: Style
    cursor: Style
    lines: Sequence[Style]
    faint: Sequence[Style]
    mono: bool

    def of(self, owner: int) -> Style:
        if owner < 0:
            return {NOBODY: self.base, AXIS: self.axis, CURSOR: self.cursor}[owner]
        return self.faint[owner - _FAINT] if owner >= _FAINT else self.lines[owner]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a step, as one character and in words."""

    step: float
    symbol: str
    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """The steps in sight, and where things stand among them."""

    left: float
    right: float
    cursor: float | None = None
    moment: float | None = None
    marks: Sequence[Mark] = ()

    @property
    def ends(self) -> tuple[float, float]:
        return self.left, self.right

    def column(self, step: float, width: int) -> int | None:
        """The cell of a step, None out of sight."""
        if not self.left <= step <= self.right:
            return None
        return min(width - 1, int((step - self.left) / (self.right - self.left) * width))

    def marks_at(self, step: float, width: int) -> list[Mark]:
        """Those in the cell of that step."""
        at = self.column(step, width)
        return [
            mark for mark in self.marks if at is not None and self.column(mark.step, width) == at
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Some lines that share their axes.

    ``members`` are the numbers of the lines, by which styles and letters go. Values are on the
    axis's own scale already (logarithms, say); ``label`` writes a place on it as a value.
    """

    lines: Sequence[Series]
    members: Sequence[int]
    banded: frozenset[int]
    highlighted: int
    label: Callable[[float], str]

    def rows(self, span: Span, look: Look, width: int, height: int) -> list[Strip]:
        """``height`` rows of ``width`` cells, the value axis included."""
        picture = self._picture(span, width - AXIS_WIDTH, height, look.mono)
        bottom, top = picture.y_range
        ticks = {
            round((top - tick) / (top - bottom) * (height - 1)): self.label(tick)
            for tick in nice_ticks(bottom, top, max(2, height // 4))
        }
        picture.stand(span, span.moment, "┊", AXIS)
        picture.stand(span, span.cursor, "│", CURSOR)
        styles = {owner: look.of(owner) for owner in np.unique(picture.owners).tolist()}
        rows = []
        for row, cells in enumerate(picture.rows(styles)):
            mark = "┤" if row in ticks else "│"
            label = ticks.get(row, "").rjust(AXIS_WIDTH - 2)[: AXIS_WIDTH - 2]
            rows.append(Strip([Segment(f"{label} {mark}", look.axis), *cells]))
        return rows

    def _picture(self, span: Span, width: int, height: int, mono: bool) -> _Picture:
        columns, rows = width * 2, height * 4

        def thin(steps: Floats, values: Floats) -> braille.Thinned:
            return braille.thin(steps, values, span.ends, columns)

        pairs = list(zip(self.members, self.lines, strict=True))
        lines = [(member, thin(one.steps, one.mean)) for member, one in pairs]
        faint = [(member, thin(*one.faint)) for member, one in pairs if one.faint is not None]
        bands = [
            (member, thin(one.steps, one.low).low, thin(one.steps, one.high).high)
            for member, one in pairs
            if member in self.banded and one.low is not None and one.high is not None
        ]
        ends = [ends for _, line in (*lines, *faint) for ends in (line.low, line.high)]
        y_range = value_range([*ends, *(end for _, *both in bands for end in both)])
        layers = _Layers(height, width)
        for member, low, high in bands:
            layers.put(braille.band_dots(low, high, y_range, rows), member)
        for member, line in faint:
            dots = braille.line_dots(line, y_range, rows)
            layers.put(braille.every_other(dots) if mono else dots, member + _FAINT)
        for member, line in lines:
            weight = 100 if member == self.highlighted else 1
            layers.draw(braille.line_dots(line, y_range, rows), member, weight)
        return _Picture(layers.characters(mono), layers.owners, y_range)


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    """What the plot area shows: code points, and whose style each cell has, both ``[h, w]``."""

    characters: npt.NDArray[np.uint32]
    owners: npt.NDArray[np.int16]
    y_range: tuple[float, float]

    def stand(self, span: Span, step: float | None, symbol: str, owner: int) -> None:
        """A vertical line at a step; the cursor's is in front of what is there."""
        column = None if step is None else span.column(step, self.owners.shape[1])
        if column is not None:
            cells = self.characters[:, column]
            free = np.ones(len(cells), np.bool_) if owner == CURSOR else cells == _SPACE
            cells[free] = ord(symbol)
            self.owners[free, column] = owner

    def rows(self, styles: Mapping[int, Style]) -> Iterator[list[Segment]]:
        """Neighbouring cells of one owner as one segment."""
        width = self.owners.shape[1]
        texts = np.ascontiguousarray(self.characters).view(f"<U{width}")[:, 0]
        for text, owners in zip(texts.tolist(), self.owners, strict=True):
            starts = [0, *(np.flatnonzero(np.diff(owners)) + 1).tolist()]
            text = text.ljust(width)  # noqa: PLW2901 - numpy's texts lose what they end with
            yield [
                Segment(text[start:stop], styles[owner])
                for start, stop, owner in zip(
                    starts, [*starts[1:], width], owners[starts].tolist(), strict=True
                )
            ]


class _Layers:
    """Cells that are drawn on: what is behind first, lines over it."""

    def __init__(self, height: int, width: int) -> None:
        self.patterns = np.zeros((height, width), np.uint8)
        self.owners = np.full((height, width), NOBODY, np.int16)
        self._most = np.zeros((height, width), np.int32)

    def put(self, dots: braille.Dots, owner: int) -> None:
        bits, _ = braille.to_cells(dots)
        self.patterns |= bits
        self.owners[bits > 0] = owner

    def draw(self, dots: braille.Dots, owner: int, weight: int) -> None:
        """A line hides what is behind it; a cell is of the line that has most dots in it."""
        bits, count = braille.to_cells(dots)
        self.patterns[(bits > 0) & (self._most == 0)] = 0
        self.patterns |= bits
        count *= weight
        self.owners[count > self._most] = owner
        self._most = np.maximum(self._most, count)

    def characters(self, mono: bool) -> npt.NDArray[np.uint32]:
        """Code points ``[h, w]``; without colour a line has its letter here and there."""
        cells = np.where(
            self.patterns > 0, braille.BRAILLE + self.patterns.astype(np.int32), _SPACE
        )
        if mono:
            columns = np.arange(cells.shape[1])
            lettered = (columns + 5 * self.owners) % _OFTEN == 0
            lettered &= (self._most > 0) & (self.owners >= 0)
            cells[lettered] = ord("a") + self.owners[lettered] % 26
        return cells.astype("<u4")


def step_axis(span: Span, look: Look, width: int) -> list[Strip]:
    """Two rows: the line with its ticks and marks, the steps; ``width`` includes the value axis."""
    inner = width - AXIS_WIDTH
    line, labels = ["─"] * inner, [" "] * width
    for tick in nice_ticks(span.left, span.right, max(2, inner // 12)):
        column = span.column(tick, inner)
        if column is None:
            continue
        line[column] = "┬"
        text = tick_label(tick)
        start = max(0, min(AXIS_WIDTH + column - len(text) // 2, width - len(text)))
        if not "".join(labels[max(0, start - 1) : start + len(text) + 1]).strip():
            labels[start : start + len(text)] = text
    if not "".join(labels[: len("step") + 1]).strip():
        labels[: len("step")] = "step"
    cells = [(one, look.axis) for one in line]
    for mark in span.marks:
        column = span.column(mark.step, inner)
        if column is not None:
            cells[column] = (mark.symbol, look.cursor)
    return [
        Strip([Segment(" " * (AXIS_WIDTH - 1) + "└", look.axis), *_runs(cells)]),
        Strip([Segment("".join(labels), look.axis)]),
    ]


def _runs(cells: list[tuple[str, Style]]) -> list[Segment]:
    """Neighbouring cells of one style as one segment."""
    segments: list[Segment] = []
    for character, style in cells:
        if segments and segments[-1].style is style:
            segments[-1] = Segment(segments[-1].text + character, style)
        else:
            segments.append(Segment(character, style))
    return segments
