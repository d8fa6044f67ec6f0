"""Curves over steps: several lines together or apart, their range, a cursor, zoom, smoothing.

How one plot is drawn is in `tui.widgets.plot_panel`; which lines there are is the screen's choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from tui.widgets.drawing import Drawing
from tui.widgets.legend import wrap_segments
from tui.widgets.palette import letter, series_colour
from tui.widgets.plot_panel import AXIS_WIDTH, NOBODY, Look, Mark, Panel, Span, step_axis
from wl_core.axes import logarithm, tick_label
from wl_core.series import Series

Layout = Literal["together", "apart", "scaled"]
LAYOUTS: tuple[Layout, ...] = ("together", "apart", "scaled")
WEIGHTS = (0.0, 0.6, 0.9, 0.99)
MIN_WIDTH, MIN_HEIGHT = 8, 3
SMALL_WIDTH, SMALL_HEIGHT = 38, 8  # cells that each plot has at least where they stand apart


class CurvePlot(Drawing):
    """Plots with a legend above and the steps below; the cursor's values are in the legend."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"plot--axis", "plot--cursor", "plot--faint"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move_cursor(-1)", "Cursor left", show=False, id="plot.left"),
        Binding("right,l", "move_cursor(1)", "Cursor right", show=False, id="plot.right"),
        Binding("pageup,ctrl+b", "move_cursor(-10)", "Far left", show=False, id="plot.far_left"),
        Binding("pagedown,ctrl+f", "move_cursor(10)", "Far right", show=False, id="plot.far_right"),
        Binding("home,g", "cursor_to('first')", "First step", show=False, id="plot.first"),
        Binding("end,G", "cursor_to('last')", "Last step", show=False, id="plot.last"),
        Binding(
            "left_curly_bracket", "to_mark(-1)", "Mark before", show=False, id="plot.mark_before"
        ),
        Binding("right_curly_bracket", "to_mark(1)", "Next mark", show=False, id="plot.mark_next"),
        Binding("plus", "zoom(0.5)", "Zoom", key_display="+", id="plot.zoom_in"),
        Binding("minus", "zoom(2)", "Zoom out", key_display="-", show=False, id="plot.zoom_out"),
        Binding("shift+left,less_than_sign", "pan(-1)", "Pan left", show=False, id="plot.pan_left"),
        Binding(
            "shift+right,greater_than_sign", "pan(1)", "Pan right", show=False, id="plot.pan_right"
        ),
        Binding("0", "fit", "All steps", show=False, id="plot.fit"),
        Binding("s", "smooth", "Smooth", id="plot.smooth"),
        Binding("o", "toggle_log", "Log y", id="plot.log"),
        Binding("b", "toggle_band", "Lowest to highest", show=False, id="plot.band"),
        Binding("f", "next_layout", "Together / apart / scaled", show=False, id="plot.layout"),
        Binding("n", "next_series", "Highlight the next line", show=False, id="plot.highlight"),
        Binding(
            "left_square_bracket", "page(-1)", "Plots before", show=False, id="plot.page_before"
        ),
        Binding("right_square_bracket", "page(1)", "More plots", show=False, id="plot.page_next"),
    ]

    class Changed(Message):
        """Something of how it is drawn was changed by a key."""

    def __init__(self, *, layout: Layout = "together", widget_id: str | None = None) -> None:
        super().__init__(id=widget_id)
        self.given: tuple[Series, ...] = ()
        self.series: tuple[Series, ...] = ()  # those given, smoothed
        self.marks: tuple[Mark, ...] = ()
        self.moment: int | None = None
        self.weight = 0.0
        self.log_y = False
        self.show_band = True
        self.arrangement: Layout = layout
        self.highlighted = NOBODY
        self.cursor: float | None = None
        self.window: tuple[float, float] | None = None
        self._page = 0

    def set_series(self, series: Sequence[Series], *, moment: int | None = None) -> None:
        """Show these; zoom and cursor stay. ``moment`` is the step that they end at, or None."""
        self.given, self.moment = tuple(series), moment
        if self.highlighted >= len(self.given):
            self.highlighted = NOBODY
        self._smooth()

    def set_marks(self, marks: Sequence[Mark]) -> None:
        """What happened at which step, in the order of the steps."""
        if tuple(marks) != self.marks:
            self.marks = tuple(marks)
            self._redraw()

    def _smooth(self) -> None:
        self.series = tuple(series.smoothed(self.weight) for series in self.given)
        self._redraw()

    @property
    def x_all(self) -> tuple[float, float]:
        """All steps that a line has a value of."""
        drawn = [one for s in self.given for one in (s.steps, s.faint and s.faint[0])]
        ends = [float(end) for one in drawn if one is not None and len(one) for end in one[[0, -1]]]
        low, high = min(ends, default=0.0), max(ends, default=1.0)
        return (low, high) if high > low else (low - 0.5, low + 0.5)

    @property
    def x_range(self) -> tuple[float, float]:
        """The steps in sight."""
        return self.window or self.x_all

    # Keys

    def _changed(self) -> None:
        self._redraw()
        self.post_message(self.Changed())

    def action_move_cursor(self, cells: int) -> None:
        left, right = self.x_range
        cell = max(1.0, (right - left) / max(1, self._inner_width()))
        start = right if self.cursor is None else self.cursor
        self._cursor_to(round(start + cells * cell))

    def _inner_width(self) -> int:
        columns = 1 if self.arrangement != "apart" else self._grid(len(self._groups()))[0]
        return self.size.width // columns - AXIS_WIDTH

    def _cursor_to(self, step: float) -> None:
        """Puts the cursor on a step; the steps in sight follow it."""
        first, last = self.x_all
        self.cursor = min(max(step, first), last)
        if self.window is not None:
            left, right = self.window
            by = min(0.0, self.cursor - left) + max(0.0, self.cursor - right)
            self.window = left + by, right + by
        self._redraw()

    def action_cursor_to(self, end: str) -> None:
        self._cursor_to(self.x_all[0 if end == "first" else 1])

    def action_to_mark(self, by: int) -> None:
        at = self.x_range[1] + 1 if self.cursor is None else self.cursor
        steps = sorted({mark.step for mark in self.marks})
        beyond = [s for s in steps if s > at] if by > 0 else [s for s in steps if s < at][::-1]
        if beyond:
            self._cursor_to(beyond[0])

    def action_zoom(self, factor: float) -> None:
        left, right = self.x_range
        middle = (left + right) / 2 if self.cursor is None else self.cursor
        half = max((right - left) * factor / 2, 1.0)
        self._look_at(middle - half, middle + half)

    def action_pan(self, by: int) -> None:
        left, right = self.x_range
        width = (right - left) / 4
        first, last = self.x_all
        if self.window is not None and first < right + by * width and left + by * width < last:
            self._look_at(left + by * width, right + by * width)

    def _look_at(self, left: float, right: float) -> None:
        first, last = self.x_all
        self.window = None if left <= first and last <= right else (left, right)
        self._redraw()

    def action_fit(self) -> None:
        self.window = self.cursor = None
        self._redraw()

    def action_smooth(self) -> None:
        at = WEIGHTS.index(self.weight) if self.weight in WEIGHTS else NOBODY
        self.weight = WEIGHTS[(at + 1) % len(WEIGHTS)]
        self._smooth()
        self._changed()

    def action_toggle_log(self) -> None:
        self.log_y = not self.log_y
        self._changed()

    def action_toggle_band(self) -> None:
        self.show_band = not self.show_band
        self._changed()

    def action_next_layout(self) -> None:
        at = LAYOUTS.index(self.arrangement)
        self.arrangement, self._page = LAYOUTS[(at + 1) % len(LAYOUTS)], 0
        self._changed()

    def action_next_series(self) -> None:
        self.highlighted = (self.highlighted + 2) % (len(self.series) + 1) - 1
        self._redraw()

    def action_page(self, by: int) -> None:
        self._page += by
        self._redraw()

    def on_click(self, event: events.Click) -> None:
        """The cursor goes where was clicked."""
        width = self._inner_width() + AXIS_WIDTH
        at = event.x % max(1, width) - AXIS_WIDTH
        if at >= 0:
            left, right = self.x_range
            self._cursor_to(round(left + (at + 0.5) / max(1, self._inner_width()) * (right - left)))

    # What is in sight

    def _span(self) -> Span:
        return Span(*self.x_range, self.cursor, self.moment, self.marks)

    def _groups(self) -> list[list[int]]:
        """The lines of each plot, by their numbers."""
        if self.arrangement != "apart":
            return [list(range(len(self.series)))]
        found: dict[str, list[int]] = {}
        for index, one in enumerate(self.series):
            found.setdefault(one.plot, []).append(index)
        return list(found.values()) or [[]]

    def _grid(self, plots: int) -> tuple[int, int]:
        """How many plots are beside and below each other; not more than there is room for."""
        columns = max(1, min(self.size.width // SMALL_WIDTH, plots))
        rows = max(1, min((self.size.height - 2) // SMALL_HEIGHT, -(-plots // columns)))
        while columns > 1 and (columns - 1) * rows >= plots:
            columns -= 1
        return columns, rows

    def _bands_of(self, members: Sequence[int]) -> frozenset[int]:
        """Whose range is drawn: the highlighted one's, or that of the only one with a range."""
        if not self.show_band:
            return frozenset()
        if self.highlighted in members:
            return frozenset({self.highlighted})
        ranged = [i for i in members if self.series[i].low is not None]
        return frozenset(ranged) if len(ranged) == 1 else frozenset()

    def _panel(self, members: Sequence[int]) -> Panel:
        lines = [_in_sight(self.series[i], self.x_range) for i in members]
        if self.log_y:
            lines = [line.mapped(logarithm) for line in lines]
        if self.arrangement == "scaled":
            lines = [_to_one(line, self.x_range) for line in lines]
        label = _power_label if self.log_y and self.arrangement != "scaled" else tick_label
        banded = self._bands_of(members)
        # Apart, each plot counts its lines anew, so that a line of a kind looks the same in all.
        numbers = range(len(members)) if self.arrangement == "apart" else members
        place = dict(zip(members, numbers, strict=True))
        return Panel(
            lines,
            list(numbers),
            frozenset(place[i] for i in banded),
            place.get(self.highlighted, NOBODY),
            label,
        )

    # Drawing

    def _draw(self, width: int, height: int) -> list[Strip]:
        if self.arrangement == "apart":
            return self._draw_apart(width, height)
        entries = [*self._state_entries(), *self._line_entries(range(len(self.series)))]
        legend = self._wrapped(entries, width, max(1, height * 2 // 5))
        rows = height - len(legend) - 2
        if width - AXIS_WIDTH < MIN_WIDTH or rows < MIN_HEIGHT:
            return legend[:height]
        span, look = self._span(), self._look()
        members = range(len(self.series))
        drawn = self._panel(members).rows(span, look, width, rows)
        return legend + drawn + step_axis(span, look, width)

    def _draw_apart(self, width: int, height: int) -> list[Strip]:
        groups = self._groups()
        columns, rows = self._grid(len(groups))
        pages = -(-len(groups) // (columns * rows))
        self._page %= pages
        first = self._page * columns * rows
        entries = list(self._state_entries())
        if pages > 1:
            said = f" {first + 1} to {min(first + columns * rows, len(groups))} of {len(groups)} "
            entries.append(Segment(f"{said}([ ] for others) ", self._axis_style()))
        head = self._wrapped(entries, width, 1) if entries else []
        high = (height - len(head)) // rows
        lines = list(head)
        shown = groups[first : first + columns * rows]
        for row in range(0, len(shown), columns):
            blocks = [
                self._small(one, width // columns, high) for one in shown[row : row + columns]
            ]
            lines += [Strip.join(parts) for parts in zip(*blocks, strict=True)]
        base = self.rich_style
        return [line.crop_extend(0, width, base) for line in lines[:height]]

    def _small(self, members: list[int], width: int, height: int) -> list[Strip]:
        """One of several plots: its lines' names and values, the plot, the steps."""
        base = self.rich_style
        most = 1 if height <= SMALL_HEIGHT + 2 else 2
        title = self._wrapped(list(self._line_entries(members)), width, most)
        rows = height - len(title) - 2
        if rows < 1 or width - AXIS_WIDTH < MIN_WIDTH:
            body: list[Strip] = []
        else:
            span, look = self._span(), self._look()
            body = self._panel(members).rows(span, look, width - 1, rows)
            body += step_axis(span, look, width - 1)
        found = [line.crop_extend(0, width, base) for line in (title + body)[:height]]
        return found + [Strip.blank(width, base)] * (height - len(found))

    def _axis_style(self) -> Style:
        return self.get_component_rich_style("plot--axis")

    def _look(self) -> Look:
        count = range(len(self.series))
        lines = [self._style_of(i) for i in count]
        faint = [self.rich_style + Style(color=series_colour(i), dim=True) for i in count]
        cursor = self.get_component_rich_style("plot--cursor")
        return Look(self.rich_style, self._axis_style(), cursor, lines, faint, self.app.no_color)

    def _style_of(self, index: int) -> Style:
        style = self.rich_style + Style(color=series_colour(index))
        if self.highlighted == NOBODY or self.arrangement == "apart":
            return style
        bold = index == self.highlighted
        return style + Style(bold=bold, dim=not bold)

    # Legend

    def _wrapped(self, entries: Sequence[Segment], width: int, most: int) -> list[Strip]:
        base = self.rich_style
        lines = wrap_segments(entries, width)[:most]
        return [Strip(line).crop_extend(0, width, base) for line in lines]

    def _state_entries(self) -> Iterator[Segment]:
        """What is true of all lines: the cursor's step, and how they are drawn."""
        cursor, axis = self.get_component_rich_style("plot--cursor"), self._axis_style()
        if self.cursor is not None:
            yield Segment(f" step {self.cursor:.0f} ", cursor)
            for mark in self._span().marks_at(self.cursor, max(1, self._inner_width())):
                yield Segment(f" {mark.symbol} {mark.step:.0f}: {mark.text} ", cursor)
        if self.moment is not None:
            yield Segment(f" ┊ the past: up to step {self.moment} ", axis)
        if self.weight:
            yield Segment(f" smoothed {self.weight:g} ", axis)
        if self.log_y:
            yield Segment(f" log y{self._left_out()} ", axis)
        if self.arrangement == "scaled":
            yield Segment(" each from its lowest (0) to its highest (1) in sight ", axis)

    def _left_out(self) -> str:
        count = sum(int((series.mean <= 0).sum()) for series in self.series)
        return f", {count:,} values ≤ 0 left out" if count else ""

    def _line_entries(self, members: Sequence[int]) -> Iterator[Segment]:
        for number, index in enumerate(members):
            at = number if self.arrangement == "apart" else index
            tag = letter(at) if self.app.no_color else "━━"
            series = self.series[index]
            name = series.name
            if self.arrangement == "apart":  # the plot's name is said once
                name = name.removeprefix(f"{series.plot} of ")
                if not number and name not in (series.name, series.plot):
                    yield Segment(f" {series.plot} ", self.rich_style + Style(bold=True))
            yield Segment(f" {tag} {name} {self._value_text(series)} ", self._style_of(at))

    def _value_text(self, series: Series) -> str:
        if not len(series.steps):
            return ""
        at = -1 if self.cursor is None else series.index_at(self.cursor)
        text = f"{series.mean[at]:.4g}"
        if self.cursor is None:
            return text
        small = self.arrangement == "apart"
        if not small and series.low is not None and series.high is not None:
            text += f" ({series.low[at]:.4g} to {series.high[at]:.4g})"
        return text if series.steps[at] == self.cursor else f"{text} at {series.steps[at]:.0f}"


def _power_label(power: float) -> str:
    return tick_label(float(10**power))


def _in_sight(line: Series, ends: tuple[float, float]) -> Series:
    """The points of these steps and one more to either side, towards which the line goes."""
    first, stop = np.searchsorted(line.steps, ends)
    if first <= 1 and stop + 1 >= len(line.steps):
        return line
    last = len(line.steps) - 1
    return line.between(line.steps[max(0, first - 1)], line.steps[min(stop, last)])


def _to_one(line: Series, ends: tuple[float, float]) -> Series:
    """The line from 0 to 1: its lowest and its highest value between these steps."""
    inside = line.between(*ends).mean
    finite = inside[np.isfinite(inside)]
    if not len(finite):
        return line
    low, high = float(finite.min()), float(finite.max())
    return line.mapped(lambda values: (values - low) / ((high - low) or 1.0))
