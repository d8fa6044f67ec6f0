"""Curves of the chosen signals over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.follow import News
from tui.pane import Pane
from tui.sample_table import column_order
from tui.screens.pick import PickScreen
from tui.widgets.plot import CurvePlot
from wl_core.series import Series

if TYPE_CHECKING:
    from wl_core.curve import Curve

AT_FIRST = 4  # curves that are shown before anybody chose


class CurvesPane(Pane):
    """A plot of some of the run's curves; which ones is chosen with a list."""

    title: ClassVar[str] = "Curves"
    dashboard: ClassVar[int | None] = 3
    BINDINGS: ClassVar[list[BindingType]] = [Binding("c", "pick", "Choose")]

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._curves: Mapping[str, Curve] = {}
        self._picked: tuple[str, ...] | None = None
        self._first: tuple[str, ...] = ()

    def compose_body(self) -> ComposeResult:
        yield CurvePlot(widget_id="curves")

    @property
    def plot(self) -> CurvePlot:
        return self.query_one("#curves", CurvePlot)

    @property
    def shown(self) -> tuple[str, ...]:
        """Names of the curves in the plot."""
        if self._picked is None:
            return self._first
        return tuple(name for name in self._picked if name in self._curves)

    def run_changed(self, news: News) -> None:
        if news.curves.keys() != self._curves.keys():
            columns = column_order(news.samples, news.signals)
            of_samples = [name for name in columns if name in news.curves]
            others = [name for name in news.curves if name not in columns]
            self._first = tuple(of_samples + others)[:AT_FIRST]
        self._curves = news.curves
        self._draw()

    def came_into_sight(self) -> None:
        self._draw()

    def action_pick(self) -> None:
        def take(names: Sequence[str] | None) -> None:
            if names is not None:
                self._picked = tuple(names)
                self._draw()

        self.app.push_screen(PickScreen("Curves", tuple(self._curves), self.shown), take)

    def _draw(self) -> None:
        self.set_heading(f"{len(self.shown)} of {len(self._curves)} · c chooses")
        if self.in_sight:
            self.plot.set_series([_series(self._curves[name]) for name in self.shown])


def _series(curve: Curve) -> Series:
    steps = np.asarray(curve.steps, np.float64)
    return Series(curve.name, steps, curve.mean, curve.low, curve.high)
