"""The time bar: a track of all steps with what happened, a cursor on it, and the replay.

It is told of news and marks and says by `Wanted` where it wants to be; what moves every pane there
is the application's business, what the marks are, `tui.life`'s. `Replay` holds where the replay is,
without a screen or a clock of its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import clamp
from textual.message import Message
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from tui.screens.choose import ChooseScreen
from tui.words import clock, shorten

if TYPE_CHECKING:
    from tui.follow import News
    from tui.widgets.plot_panel import Mark

SPEEDS = (1, 2, 5, 10, 50)  # steps per second
TICK = 0.05  # seconds between two looks at where the replay should be
LEAP = 50  # so many leaps from the first step to the newest
CURSOR, STOP, BEHIND, AHEAD = "█", "┃", "━", "─"


@dataclass(slots=True)
class Replay:
    """Where a replay is that goes on from a step, so many steps a second.

    ``stop`` is a step to halt at; with ``at_marks`` it halts at those of ``marks`` as well.
    """

    step: int = 0
    newest: int = 0
    speed: int = SPEEDS[2]
    playing: bool = False
    stop: int | None = None
    at_marks: bool = False
    marks: Sequence[int] = ()
    _exact: float = field(default=0.0)

    def start(self, step: int | None) -> None:
        """Plays on from that step; from the first one where there is nothing after it."""
        self.step = 0 if step is None or step >= self.newest else step
        self._exact = float(self.step)
        self.playing = True

    def advance(self, seconds: float) -> int:
        """The step that is to be shown so much later; halts where it is to."""
        self._exact += seconds * self.speed
        halts = [self.newest, *([self.stop] if self.stop is not None else [])]
        halts += self.marks if self.at_marks else ()
        halt = min((one for one in halts if one > self.step), default=self.step)
        self.step = min(int(self._exact), halt)
        if self.step >= halt:
            self.playing = False
        return self.step

    def faster(self, by: int) -> None:
        at = clamp(SPEEDS.index(self.speed) + by, 0, len(SPEEDS) - 1)
        self.speed = SPEEDS[at]


class TimeBar(Widget, can_focus=True):
    """Two lines: the track, and what is at the cursor. The cursor is at the newest step live."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"time--cursor", "time--mark", "time--faint"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1)", "Step back", show=False, id="time.back"),
        Binding("right,l", "move(1)", "Step on", show=False, id="time.on"),
        Binding("shift+left,pageup,H", "leap(-1)", "Leap back", show=False, id="time.leap_back"),
        Binding("shift+right,pagedown", "leap(1)", "Leap on", show=False, id="time.leap_on"),
        Binding("home", "go(0)", "First step", show=False, id="time.first"),
        Binding("end,G", "newest", "Newest step", show=False, id="time.newest"),
        Binding("left_square_bracket", "mark(-1)", "Mark before", show=False, id="time.mark_back"),
        Binding("right_square_bracket", "mark(1)", "Next mark", show=False, id="time.mark_on"),
        Binding("g", "ask_step", "Go to a step", show=False, id="time.go"),
        Binding("space", "play", "Play / halt", id="time.play"),
        Binding("plus,equals_sign", "faster(1)", "Faster", show=False, id="time.faster"),
        Binding("minus", "faster(-1)", "Slower", show=False, id="time.slower"),
        Binding("b", "stop_here", "Halt here", show=False, id="time.stop"),
        Binding("B", "stop_at_marks", "Halt at marks", show=False, id="time.stop_at_marks"),
        Binding("enter", "stay", "Stay here", id="time.stay"),
        Binding("escape", "leave", "Live, close", id="time.leave"),
    ]

    class Wanted(Message):
        """That step is to be shown, None: the run as it is."""

        def __init__(self, step: int | None) -> None:
            super().__init__()
            self.step = step

    class Left(Message):
        """The keys are given back; ``close``: the bar is not wanted any more."""

        def __init__(self, *, close: bool) -> None:
            super().__init__()
            self.close = close

    def __init__(self) -> None:
        super().__init__()
        self.replay = Replay()
        self.wanted: int | None = None  # the step that was asked for last, by whomever
        self.news: News | None = None
        self.marks: Sequence[Mark] = ()
        self._timer: Timer | None = None
        self._ticked = 0.0

    def on_mount(self) -> None:
        self._timer = self.set_interval(TICK, self._tick, pause=True)

    # What is shown

    def show_news(self, news: News, wanted: int | None) -> None:
        """Shows where the run and its panes are; ``wanted``: where they are to be."""
        self.news = news
        self.replay.newest = news.status.step
        self.follow(wanted)

    def follow(self, wanted: int | None) -> None:
        """Somebody, perhaps this bar, wants that step."""
        if self.replay.playing and wanted != self.wanted:
            self._halt()
        self.wanted = wanted
        self.refresh()

    def show_marks(self, marks: Sequence[Mark]) -> None:
        self.marks = marks
        self.replay.marks = sorted({int(mark.step) for mark in marks})
        self.refresh()

    @property
    def newest(self) -> int:
        return self.replay.newest

    @property
    def step(self) -> int:
        """Where the cursor is."""
        return self.newest if self.wanted is None else min(self.wanted, self.newest)

    @property
    def is_there(self) -> bool:
        """Whether the panes show what the cursor is at."""
        return self.news is not None and self.news.moment == self.wanted

    def render_line(self, y: int) -> Strip:
        return (self._track() if y == 0 else self._words()).crop_extend(
            0, self.size.width, self.rich_style
        )

    def _track(self) -> Strip:
        first, last = " 0 ", f" {self.newest:,} "
        width = max(1, self.size.width - len(first) - len(last))
        cursor = self._place(self.step, width)
        cells = [BEHIND] * cursor + [AHEAD] * (width - cursor)
        styles = [self.rich_style] * cursor
        styles += [self.get_component_rich_style("time--faint")] * (width - cursor)
        for mark in self.marks:
            place = self._place(int(mark.step), width)
            cells[place], styles[place] = mark.symbol, self.get_component_rich_style("time--mark")
        if self.replay.stop is not None:
            cells[self._place(self.replay.stop, width)] = STOP
        cells[cursor] = CURSOR
        styles[cursor] = self.get_component_rich_style("time--cursor")
        track = [Segment(cell, style) for cell, style in zip(cells, styles, strict=True)]
        return Strip([Segment(first, self.rich_style), *track, Segment(last, self.rich_style)])

    def _place(self, step: int, width: int) -> int:
        """Which cell of the track a step is in."""
        return clamp(round(step * (width - 1) / max(1, self.newest)), 0, width - 1)

    def _words(self) -> Strip:
        replay = self.replay
        said = [f" {'▸' if self.has_focus else ' '}step {self.step:,}{self._when()}"]
        if replay.playing:
            said.append(f"▶ {replay.speed} steps/s")
        else:
            said.append("LIVE" if self.wanted is None else "PAST")
        if replay.stop is not None:
            said.append(f"{STOP} halts at {replay.stop:,}")
        if replay.at_marks:
            said.append("halts at marks")
        here = [f"{mark.symbol} {mark.text}" for mark in self.marks if int(mark.step) == self.step]
        keys = "←→ step · space plays · [ ] marks · b halts here · + - speed · ⏎ stay · L live"
        text = "  ".join([*said, shorten(" ".join(here), 60)] if here else said)
        style = self.get_component_rich_style("time--faint")
        return Strip([Segment(text, self.rich_style), Segment(f"   {keys}", style)])

    def _when(self) -> str:
        news = self.news
        if news is None or not self.is_there:
            return " …"
        when = news.status.since if news.moment is None else news.moment_time
        return "" if when is None else f" at {clock(when)}"

    # Moving

    def _want(self, step: int | None) -> None:
        if step is not None:
            step = clamp(step, 0, self.newest)
        if step != self.wanted:
            self.wanted = step
            self.refresh()
            self.post_message(self.Wanted(step))

    def _go(self, step: int | None) -> None:
        """Somebody moves by hand: the replay halts."""
        self._halt()
        self._want(step)

    def action_move(self, by: int) -> None:
        self._go(self.step + by)

    def action_leap(self, by: int) -> None:
        self._go(self.step + by * max(1, self.newest // LEAP))

    def action_go(self, step: int) -> None:
        self._go(step)

    def action_newest(self) -> None:
        self._go(self.newest)

    def action_mark(self, by: int) -> None:
        steps = self.replay.marks
        found = (
            [s for s in steps if s > self.step] if by > 0 else [s for s in steps if s < self.step]
        )
        if found:
            self._go(found[0] if by > 0 else found[-1])

    def action_ask_step(self) -> None:
        def take(text: str | None) -> None:
            if text is None:
                return
            if text.isascii() and text.isdigit() and int(text) <= self.newest:
                self._go(int(text))
            else:
                self.notify(f"expected a step, 0 to {self.newest}; got {text}", severity="error")

        screen = ChooseScreen("Go to step", (), "", f"0 to {self.newest}", free=True)
        self.app.push_screen(screen, take)

    def on_click(self, event: events.Click) -> None:
        width = max(1, self.size.width - 3 - len(f" {self.newest:,} "))
        if event.y == 0:
            self._go(round((event.x - 3) * self.newest / max(1, width - 1)))

    # Playing

    def action_play(self) -> None:
        if self.replay.playing:
            self._halt()
            return
        self.replay.start(self.wanted)
        self._ticked = time.monotonic()
        self._want(self.replay.step)
        if self._timer is not None:
            self._timer.resume()
        self.refresh()

    def _halt(self) -> None:
        self.replay.playing = False
        if self._timer is not None:
            self._timer.pause()
        self.refresh()

    def _tick(self) -> None:
        """Wants the step of this moment, unless the last one is not shown yet: none is queued."""
        if not self.is_there:
            return
        now = time.monotonic()
        step = self.replay.advance(now - self._ticked)
        self._ticked = now
        self._want(step)
        if not self.replay.playing:
            self._halt()

    def action_faster(self, by: int) -> None:
        self.replay.faster(by)
        self.refresh()

    def action_stop_here(self) -> None:
        """The replay halts when it comes here; a second time: it does not."""
        self.replay.stop = None if self.replay.stop == self.step else self.step
        self.refresh()

    def action_stop_at_marks(self) -> None:
        self.replay.at_marks = not self.replay.at_marks
        self.refresh()

    def action_stay(self) -> None:
        self._halt()
        self.post_message(self.Left(close=False))

    def action_leave(self) -> None:
        self._go(None)
        self.post_message(self.Left(close=True))

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()
