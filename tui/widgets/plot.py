"""Curves over steps, drawn in braille: several series, their range, a cursor, zoom, log scale.

How numbers become dots is in `tui.widgets.braille`; which series there are is the screen's choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.strip import Strip

from tui.widgets import braille
from tui.widgets.drawing import Drawing
from tui.widgets.legend import wrap_segments
from tui.widgets.palette import letter, series_colour

Floats = npt.NDArray[np.float64]
AXIS_WIDTH = 9
MIN_WIDTH, MIN_HEIGHT = 8, 3
NOBODY = -1


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One curve: ``steps`` ascending, ``mean`` and (or None) the range, all ``[S]``."""

    name: str
    steps: Floats
    mean: Floats
    low: Floats | None = None
    high: Floats | None = None

    def index_at(self, step: float) -> int:
        """The last point at or before ``step``; the first one when all are later."""
        return max(0, int(np.searchsorted(self.steps, step, "right")) - 1)


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    """What the plot area shows: bit patterns, and whose colour each cell has."""

    patterns: npt.NDArray[np.int32]
    owners: npt.NDArray[np.int16]
    y_range: tuple[float, float]


class CurvePlot(Drawing):
    """A plot with a legend above and the steps below; the cursor's values are in the legend."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"plot--axis", "plot--cursor", "plot--faint"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move_cursor(-1)", "Cursor left", show=False),
        Binding("right,l", "move_cursor(1)", "Cursor right", show=False),
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom", key_display="+"),
        Binding("minus", "zoom(2)", "Zoom out", key_display="-", show=False),
        Binding("0", "fit", "Fit"),
        Binding("y", "toggle_log", "Log y"),
        Binding("b", "toggle_band", "Band"),
        Binding("n", "next_series", "Highlight", show=False),
    ]

    def __init__(self, *, widget_id: str | None = None) -> None:
        super().__init__(id=widget_id)
        self.series: tuple[Series, ...] = ()
        self.log_y = False
        self.show_band = True
        self.highlighted = NOBODY
        self.cursor: float | None = None
        self.window: tuple[float, float] | None = None

    def set_series(self, series: Sequence[Series]) -> None:
        """Show these; zoom and cursor stay."""
        self.series = tuple(series)
        if self.highlighted >= len(self.series):
            self.highlighted = NOBODY
        self._redraw()

    @property
    def x_range(self) -> tuple[float, float]:
        """The steps in sight."""
        if self.window is not None:
            return self.window
        ends = [(float(s.steps[0]), float(s.steps[-1])) for s in self.series if len(s.steps)]
        low, high = min((e[0] for e in ends), default=0.0), max((e[1] for e in ends), default=1.0)
        return (low, high) if high > low else (low - 0.5, low + 0.5)

    # Keys

    def action_move_cursor(self, cells: int) -> None:
        left, right = self.x_range
        cell = (right - left) / max(1, self.size.width - AXIS_WIDTH)
        start = right if self.cursor is None else self.cursor
        self.cursor = min(max(start + cells * cell, left), right)
        self._redraw()

    def action_zoom(self, factor: float) -> None:
        left, right = self.x_range
        middle = (left + right) / 2 if self.cursor is None else self.cursor
        half = max((right - left) * factor / 2, 1.0)
        self.window = (middle - half, middle + half)
        self._redraw()

    def action_fit(self) -> None:
        self.window = self.cursor = None
        self._redraw()

    def action_toggle_log(self) -> None:
        self.log_y = not self.log_y
        self._redraw()

    def action_toggle_band(self) -> None:
        self.show_band = not self.show_band
        self._redraw()

    def action_next_series(self) -> None:
        self.highlighted = (self.highlighted + 2) % (len(self.series) + 1) - 1
        self._redraw()

    # Drawing

    def _draw(self, width: int, height: int) -> list[Strip]:
        legend = self._legend(width, max(1, height * 2 // 5))
        plot_width, plot_height = width - AXIS_WIDTH, height - len(legend) - 2
        if plot_width < MIN_WIDTH or plot_height < MIN_HEIGHT:
            return legend[:height]
        picture = self._picture(plot_width, plot_height)
        rows = [
            strip.crop_extend(0, width, self.rich_style)
            for strip in self._plot_rows(picture, plot_width, plot_height)
        ]
        return legend + rows + self._x_axis(plot_width, width)

    def _scaled(self, values: Floats) -> Floats:
        if not self.log_y:
            return values
        return np.log10(np.where(values > 0, values, np.nan))

    def _bands_of(self) -> set[int]:
        """Whose range is drawn: the highlighted one's, or that of the only one."""
        if not self.show_band:
            return set()
        return {0} if len(self.series) == 1 else {self.highlighted} - {NOBODY}

    def _picture(self, width: int, height: int) -> _Picture:
        columns, rows = width * 2, height * 4
        lines = [
            braille.thin(s.steps, self._scaled(s.mean), self.x_range, columns) for s in self.series
        ]
        bands = {
            i: (
                braille.thin(s.steps, self._scaled(s.low), self.x_range, columns).low,
                braille.thin(s.steps, self._scaled(s.high), self.x_range, columns).high,
            )
            for i, s in enumerate(self.series)
            if i in self._bands_of() and s.low is not None and s.high is not None
        }
        extremes = [v for line in lines for v in (line.low, line.high)]
        extremes += [v for band in bands.values() for v in band]
        y_range = _value_range(extremes)
        patterns = np.zeros((height, width), np.int32)
        owners = np.full((height, width), NOBODY, np.int16)
        most = np.zeros((height, width), np.int32)
        for i, (low, high) in bands.items():
            bits, _ = braille.to_cells(braille.band_dots(low, high, y_range, rows))
            patterns |= bits
            owners[bits > 0] = i
        for i, line in enumerate(lines):
            bits, count = braille.to_cells(braille.line_dots(line, y_range, rows))
            patterns |= bits
            count *= 100 if i == self.highlighted else 1
            owners[count > most] = i
            most = np.maximum(most, count)
        return _Picture(patterns, owners, y_range)

    def _style_of(self, index: int) -> Style:
        if index == NOBODY:
            return self.rich_style
        style = self.rich_style + Style(color=series_colour(index))
        if self.highlighted == NOBODY:
            return style
        bold = index == self.highlighted
        return style + Style(bold=bold, dim=not bold)

    def _plot_rows(self, picture: _Picture, width: int, height: int) -> list[Strip]:
        bottom, top = picture.y_range
        ticks = {
            round((top - tick) / (top - bottom) * (height - 1)): braille.tick_label(
                10**tick if self.log_y else tick
            )
            for tick in braille.nice_ticks(bottom, top, max(3, height // 4))
        }
        styles = [self._style_of(i) for i in range(len(self.series))]
        axis = self.get_component_rich_style("plot--axis")
        rows = []
        for row in range(height):
            mark = "┤" if row in ticks else "│"
            label = ticks.get(row, "").rjust(AXIS_WIDTH - 2)[: AXIS_WIDTH - 2]
            cells = self._row_cells(picture, row, styles)
            self._mark_cursor(cells, width)
            rows.append(Strip([Segment(f"{label} {mark}", axis), *_runs(cells)]))
        return rows

    def _row_cells(
        self, picture: _Picture, row: int, styles: list[Style]
    ) -> list[tuple[str, Style]]:
        base, mono = self.rich_style, self.app.no_color
        cells = []
        pairs = zip(picture.patterns[row].tolist(), picture.owners[row].tolist(), strict=True)
        for column, (pattern, owner) in enumerate(pairs):
            if not pattern:
                cells.append((" ", base))
            elif mono and owner != NOBODY and (column + 5 * owner) % 17 == 0:
                cells.append((letter(owner), styles[owner]))
            else:
                cells.append((chr(braille.BRAILLE + pattern), styles[owner]))
        return cells

    def _mark_cursor(self, cells: list[tuple[str, Style]], width: int) -> None:
        left, right = self.x_range
        if self.cursor is None or not left <= self.cursor <= right:
            return
        column = min(width - 1, int((self.cursor - left) / (right - left) * width))
        character, _ = cells[column]
        style = self.get_component_rich_style("plot--cursor")
        cells[column] = ("│" if character == " " else character, style)

    def _x_axis(self, width: int, full_width: int) -> list[Strip]:
        left, right = self.x_range
        line, labels = ["─"] * width, [" "] * full_width
        for tick in braille.nice_ticks(left, right, max(2, width // 12)):
            column = min(width - 1, int((tick - left) / (right - left) * width))
            line[column] = "┬"
            text = braille.tick_label(tick)
            start = max(0, min(AXIS_WIDTH + column - len(text) // 2, full_width - len(text)))
            if not "".join(labels[max(0, start - 1) : start + len(text) + 1]).strip():
                labels[start : start + len(text)] = text
        name = "step"
        if not "".join(labels[: len(name) + 1]).strip():
            labels[: len(name)] = name
        style = self.get_component_rich_style("plot--axis")
        return [
            Strip([Segment(" " * (AXIS_WIDTH - 1) + "└" + "".join(line), style)]),
            Strip([Segment("".join(labels), style)]),
        ]

    def _legend(self, width: int, max_lines: int) -> list[Strip]:
        """Names and values at the cursor (or the latest), in as many lines as they need."""
        lines = wrap_segments(self._legend_entries(), width)
        base = self.rich_style
        return [Strip(line).crop_extend(0, width, base) for line in lines[:max_lines]]

    def _legend_entries(self) -> list[Segment]:
        entries = []
        if self.cursor is not None:
            style = self.get_component_rich_style("plot--cursor")
            entries.append(Segment(f" step {self.cursor:.0f} ", style))
        if self.log_y:
            entries.append(Segment(" log y ", self.get_component_rich_style("plot--axis")))
        for index, series in enumerate(self.series):
            tag = letter(index) if self.app.no_color else "━━"
            text = f" {tag} {series.name} {self._value_text(series)} "
            entries.append(Segment(text, self._style_of(index)))
        return entries

    def _value_text(self, series: Series) -> str:
        if not len(series.steps):
            return ""
        at = -1 if self.cursor is None else series.index_at(self.cursor)
        text = f"{series.mean[at]:.4g}"
        if self.cursor is not None and series.low is not None and series.high is not None:
            text += f" ({series.low[at]:.4g} to {series.high[at]:.4g})"
        return text


def _value_range(extremes: list[Floats]) -> tuple[float, float]:
    """Lowest and highest finite value with a little air; 0 to 1 when there is none."""
    finite = np.concatenate([v[np.isfinite(v)] for v in extremes]) if extremes else np.empty(0)
    if not len(finite):
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    air = (high - low) * 0.02 or abs(low) * 0.1 or 0.5
    return low - air, high + air


def _runs(cells: list[tuple[str, Style]]) -> list[Segment]:
    """Neighbouring cells of one style as one segment."""
    segments: list[Segment] = []
    for character, style in cells:
        if segments and segments[-1].style is style:
            segments[-1] = Segment(segments[-1].text + character, style)
        else:
            segments.append(Segment(character, style))
    return segments
