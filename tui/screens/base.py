"""What every screen of a run hears, the way from a screen to its application, and the time bar."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on, work
from textual.binding import Binding, BindingType
from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import Widget

from tui.follow import News
from tui.life import marks_of
from tui.widgets.key_bar import KeyBar
from tui.widgets.time_bar import TimeBar
from wl_core.errors import WlError

if TYPE_CHECKING:
    from tui.app import WlApp

MARKS_EVERY = 5.0  # seconds between two looks for what has happened since


class RunScreen(Screen[None]):
    """A screen that shows something of the run, of now or of the step that the time bar is at."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("T", "time", "Time bar", show=False, id="time.open"),
    ]
    # As Textual has it, but for drawing the whole screen anew whenever the focus moves: the widgets
    # that gain and lose it draw themselves.
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    _before_time: Widget | None = None  # what had the focus before the time bar
    _marked: tuple[int, float] = (-1, 0.0)  # up to which position marks were read, and when

    @property
    def wl_app(self) -> WlApp:
        """The application, by its own type."""
        return cast("WlApp", self.app)

    def run_changed(self, news: News) -> None:
        """The run has news; called at most four times a second, for covered screens too."""

    def trouble(self, text: str) -> None:
        """The follower cannot go on; ``text`` says why in a few words."""

    # Time

    @property
    def time_bar(self) -> TimeBar | None:
        """The time bar, while it is open."""
        # Not a query, which would walk all widgets at each news.
        return next((one for one in self.children if isinstance(one, TimeBar)), None)

    def show_time(self, news: News | None, wanted: int | None) -> None:
        """Tells the time bar, if it is open, where the panes are and where they are to be."""
        bar = self.time_bar
        if bar is None or news is None:
            return
        bar.show_news(news, wanted)
        position, when = self._marked
        if news.log_position != position and time.monotonic() - when > MARKS_EVERY:
            self._marked = news.log_position, time.monotonic()
            self._read_marks(bar)

    @work(exclusive=True, group="marks of time")
    async def _read_marks(self, bar: TimeBar) -> None:
        try:
            bar.show_marks(await self.wl_app.ask(marks_of))
        except (WlError, OSError) as error:
            self.notify(str(error), severity="error", markup=False)

    async def action_time(self) -> None:
        """Opens the time bar and gives it the keys; closes it when it has them."""
        bar = self.time_bar
        if bar is None:
            bar = TimeBar()
            await self.mount(bar, before=self.query_one(KeyBar))
            self._marked = -1, 0.0
            self.show_time(self.wl_app.news, self.wl_app.wanted_step)
        elif bar.has_focus:
            self._leave_time(close=True)
            return
        self._before_time = self.focused
        bar.focus()

    def _leave_time(self, *, close: bool) -> None:
        before, bar = self._before_time, self.time_bar
        if bar is None:
            return
        # A key that was typed ahead may have taken the focus elsewhere by now.
        if bar.has_focus and before is not None and before.is_attached:
            self.set_focus(before)
        if close:
            bar.remove()

    @on(TimeBar.Left)
    def _time_left(self, event: TimeBar.Left) -> None:
        event.stop()
        self._leave_time(close=event.close)

    @on(TimeBar.Wanted)
    def _time_wanted(self, event: TimeBar.Wanted) -> None:
        event.stop()
        self.wl_app.show_step(event.step)
