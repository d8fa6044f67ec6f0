"""Curves as an SVG: real lines, axes and a legend, legible on light and on dark ground.

Lines are told apart by colour, by how they are dashed and by a letter at their end, the one that
the legend has. Colours of ground and text follow what the viewer prefers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as Xml

import numpy as np

from wl_core.axes import Floats, logarithm, nice_ticks, tick_label, value_range
from wl_core.series import Series

# Of Okabe and Ito, "Color Universal Design" (2008), those with contrast on white and on black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
DASHES = ("", "7 3", "2 3", "9 3 2 3")
WIDTH, PLOT_HEIGHT = 900.0, 330.0
SMALL_WIDTH, SMALL_HEIGHT = 450.0, 210.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 22.0, 12.0, 34.0  # room around the area of a plot
_LINE = 17.0  # between two lines of text
_HEADING = 58  # characters above a small plot
_MOST = 2_000  # points of a line; of more, those that share a pixel are drawn as their extremes
_STYLE = """
svg { font: 12px sans-serif; background: #fff; }
text { fill: #222; } .title { font-weight: bold; } .tick { font-size: 11px; }
.frame, .grid, .mark { fill: none; stroke: #888; } .grid { stroke-opacity: .25; }
.mark { stroke-dasharray: 2 2; } .line, .key { fill: none; stroke-width: 1.6; }
.line { stroke-linecap: round; stroke-linejoin: round; }
.faint { fill: none; stroke-opacity: .35; stroke-dasharray: none; }
.band { fill-opacity: .15; stroke: none; }
@media (prefers-color-scheme: dark) { svg { background: #16181d; } text { fill: #e6e6e6; } }
"""


@dataclass(frozen=True, slots=True)
class _Area:
    """Where the values of one plot lie on the picture."""

    x: float
    y: float
    width: float
    height: float
    steps: tuple[float, float]
    values: tuple[float, float]

    def across(self, steps: Floats) -> Floats:
        low, high = self.steps
        return self.x + (steps - low) / ((high - low) or 1.0) * self.width

    def down(self, values: Floats) -> Floats:
        low, high = self.values
        return self.y + self.height - (values - low) / (high - low) * self.height


def curves_svg(
    series: Sequence[Series],
    *,
    title: str = "",
    log_y: bool = False,
    bands: bool = False,
    apart: bool = False,
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """The picture as text.

    Args:
        series: the lines, in the order of the legend.
        title: stands above.
        log_y: a logarithmic value axis, on which values that are not positive are left out.
        bands: the range of each line that has one is shaded.
        apart: a plot for each group of lines, two in a row, rather than one for all.
        marks: steps at which something happened, and what.
    """
    groups = _groups(series) if apart else [("", list(range(len(series))))]
    width, height = (SMALL_WIDTH, SMALL_HEIGHT) if apart else (WIDTH, PLOT_HEIGHT)
    rows = -(-len(groups) // 2) if apart else 1
    legend = [
        f"{letter(i)}  {one.name}{_last_value(one)}" for i, one in enumerate(series) if not apart
    ]
    top = _LINE * (1 + bool(title))
    total = top + rows * (height + _LINE * apart) + _LINE * (len(legend) + 1)
    root = Xml.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH:g} {total:g}",
        width=f"{WIDTH:g}",
        role="img",
    )
    Xml.SubElement(root, "title").text = _printable(title) or "curves"
    Xml.SubElement(root, "style").text = _STYLE
    if title:
        _text(root, 10, _LINE, title, "title")
    steps = _step_range(series)
    for number, (name, members) in enumerate(groups):
        x, y = (number % 2) * SMALL_WIDTH, top + (number // 2) * (height + _LINE)
        box = (x, y + _LINE * apart, width, height)
        if apart:
            _text(root, x + _LEFT, y + 12, _heading(series, name, members), "title")
        picked = [(i if not apart else place, series[i]) for place, i in enumerate(members)]
        _plot(root, picked, box, steps, log_y=log_y, bands=bands, marks=marks)
    for number, line in enumerate(legend):
        y = top + height + _LINE * (number + 1)
        key = {"d": f"M{_LEFT:g} {y - 4:g}h28"}
        Xml.SubElement(root, "path", key | _stroke(number, "key"))
        _text(root, _LEFT + 36, y, line)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def letter(index: int) -> str:
    """The letter of the ``index``-th line: a, b, c, …"""
    return chr(ord("a") + index % 26)


def _groups(series: Sequence[Series]) -> list[tuple[str, list[int]]]:
    found: dict[str, list[int]] = {}
    for index, one in enumerate(series):
        found.setdefault(one.plot, []).append(index)
    return list(found.items())


def _heading(series: Sequence[Series], name: str, members: Sequence[int]) -> str:
    """The group's name and, of several lines, which letter is whose."""
    if len(members) == 1:
        return name
    names = [series[index].name.removeprefix(f"{name} of ") for index in members]
    said = [f"{letter(n)} {'mean' if one == name else one}" for n, one in enumerate(names)]
    return _shortened(f"{name}: {', '.join(said)}", _HEADING)


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _last_value(one: Series) -> str:
    return f"  (last {one.mean[-1]:.4g})" if len(one.mean) else ""


def _step_range(series: Sequence[Series]) -> tuple[float, float]:
    ends = [float(end) for one in series if len(one.steps) for end in one.steps[[0, -1]]]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _plot(
    root: Xml.Element,
    lines: Sequence[tuple[int, Series]],
    box: tuple[float, float, float, float],
    steps: tuple[float, float],
    *,
    log_y: bool,
    bands: bool,
    marks: Sequence[tuple[float, str]],
) -> None:
    """One plot; ``lines`` come with the number that says how each is drawn."""

    def scale(values: Floats) -> Floats:
        return logarithm(values) if log_y else values

    drawn = [values for _, one in lines for values in _values(one, bands)]
    x, y, width, height = box
    area = _Area(
        x + _LEFT, y + _TOP, width - _LEFT - _RIGHT, height - _TOP - _BOTTOM,
        steps, value_range(scale(values) for values in drawn),
    )  # fmt: skip
    _axes(root, area, log_y)
    for step, what in marks:
        if steps[0] <= step <= steps[1]:
            _mark(root, area, step, what)
    for index, one in lines:
        if bands and one.low is not None and one.high is not None:
            d = _band(area, one.steps, scale(one.low), scale(one.high))
            colour = COLOURS[index % len(COLOURS)]
            Xml.SubElement(root, "path", {"d": d, "class": "band", "fill": colour})
    for index, one in lines:
        if one.faint is not None:
            d = _line(area, one.faint[0], scale(one.faint[1]))
            Xml.SubElement(root, "path", {"d": d} | _stroke(index, "faint"))
    for index, one in lines:
        values = scale(one.mean)
        path = Xml.SubElement(root, "path", d=_line(area, one.steps, values))
        path.attrib.update(_stroke(index, "line"))
        Xml.SubElement(path, "title").text = _printable(one.name)
        finite = np.flatnonzero(np.isfinite(values))
        if len(lines) > 1 and len(finite):
            at = finite[-1:]
            x, y = float(area.across(one.steps[at])[0]), float(area.down(values[at])[0])
            _text(root, x + 4, y + 4, letter(index), "tick")


def _values(one: Series, bands: bool) -> Iterator[Floats]:
    yield one.mean
    if one.faint is not None:
        yield one.faint[1]
    if bands and one.low is not None and one.high is not None:
        yield one.low
        yield one.high


def _stroke(index: int, kind: str) -> dict[str, str]:
    found = {"class": kind, "stroke": COLOURS[index % len(COLOURS)]}
    dash = DASHES[index % len(DASHES)]
    return found | ({"stroke-dasharray": dash} if dash else {})


def _text(
    root: Xml.Element, x: float, y: float, text: str, kind: str = "", anchor: str = "start"
) -> None:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
    Xml.SubElement(root, "text", place | ({"class": kind} if kind else {})).text = _printable(text)


def _printable(text: str) -> str:
    """XML holds no control characters, and a name may."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _axes(root: Xml.Element, area: _Area, log_y: bool) -> None:
    bottom = area.y + area.height
    for tick in nice_ticks(*area.values, max(3, int(area.height / 50))):
        y = float(area.down(np.asarray(tick)))
        d = f"M{area.x:.1f} {y:.1f}h{area.width:.1f}"
        Xml.SubElement(root, "path", {"d": d, "class": "grid"})
        label = tick_label(10**tick if log_y else tick)
        _text(root, area.x - 6, y + 4, label, "tick", "end")
    for tick in nice_ticks(*area.steps, max(2, int(area.width / 110))):
        x = float(area.across(np.asarray(tick)))
        Xml.SubElement(root, "path", {"d": f"M{x:.1f} {bottom:.1f}v4", "class": "frame"})
        _text(root, x, bottom + 16, tick_label(tick), "tick", "middle")
    frame = {name: f"{getattr(area, name):.1f}" for name in ("x", "y", "width", "height")}
    Xml.SubElement(root, "rect", frame | {"class": "frame"})
    _text(root, area.x + area.width, bottom + 29, "step", "tick", "end")
    if log_y:
        _text(root, area.x, bottom + 29, "logarithmic", "tick")


def _mark(root: Xml.Element, area: _Area, step: float, what: str) -> None:
    x = float(area.across(np.asarray(step)))
    d = f"M{x:.1f} {area.y:.1f}v{area.height:.1f}"
    path = Xml.SubElement(root, "path", {"d": d, "class": "mark"})
    Xml.SubElement(path, "title").text = _printable(f"step {step:g}: {what}")


def _line(area: _Area, steps: Floats, values: Floats) -> str:
    """The path of a line; what is not finite leaves a gap, and a lone point is a dot."""
    steps, values = _thinned(steps, values)
    parts = []
    for start, stop in _runs(np.isfinite(values)):
        points = _points(area, steps[start:stop], values[start:stop])
        parts.append(f"M{points[0]}h0" + "".join(f"L{point}" for point in points[1:]))
    return "".join(parts)


def _band(area: _Area, steps: Floats, low: Floats, high: Floats) -> str:
    at = np.flatnonzero(np.isfinite(low) & np.isfinite(high))
    at = at[:: math.ceil(len(at) / _MOST) or 1]
    there = _points(area, steps[at], high[at])
    back = _points(area, steps[at], low[at])[::-1]
    return f"M{'L'.join(there + back)}Z" if len(at) else ""


def _points(area: _Area, steps: Floats, values: Floats) -> list[str]:
    pairs = zip(area.across(steps).tolist(), area.down(values).tolist(), strict=True)
    return [f"{x:.1f} {y:.1f}" for x, y in pairs]


def _runs(there: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    """Where runs of true begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _thinned(steps: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Of many points the lowest and highest of each share, so that no spike is lost."""
    if len(values) <= _MOST:
        return steps, values
    starts = np.linspace(0, len(values), _MOST // 2 + 1).astype(np.intp)
    kept = set()
    for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        part = values[start:stop]
        if not np.isfinite(part).any():
            kept.add(start)
            continue
        kept |= {start + int(np.nanargmin(part)), start + int(np.nanargmax(part))}
    at = np.asarray(sorted(kept))
    return steps[at], values[at]
