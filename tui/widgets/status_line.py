"""The line at the top: which run, what it is doing, how far it is, how fresh this is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.content import Content
from textual.widgets import Static

from tui.words import STATE_SYMBOLS, duration

if TYPE_CHECKING:
    from tui.follow import News

QUIET_AFTER = 5.0  # seconds without an event after which a training is called quiet
Part = tuple[str, str]
_FAINT = "$foreground 65%"


class StatusLine(Static):
    """One line; says in words what colours say."""

    def __init__(self, run_name: str, *, read_only: bool = False) -> None:
        super().__init__("", markup=False)
        self._run_name = run_name
        self._read_only = read_only
        self._news: News | None = None
        self._lag = 0.0
        self._trouble = ""
        self._said: list[Part] = []

    def on_mount(self) -> None:
        self.say()
        self.set_interval(1.0, self.say)

    def on_resize(self) -> None:
        self.say()

    def show_news(self, news: News) -> None:
        self._news = news
        self._lag = max(0.0, time.time() - news.status.since)
        self.say()

    def show_trouble(self, trouble: str) -> None:
        """Something that stays true until the TUI is left, said before all else."""
        self._trouble = trouble
        self.say()

    def say(self) -> None:
        """Called each second as well, because time passes while nothing happens."""
        parts: list[Part] = [
            (" wl ", "bold $background on $primary"),
            (f" {self._run_name}  ", "bold"),
        ]
        if self._trouble:
            parts.append((f" {self._trouble} ", "bold $background on $error"))
        if self._read_only:
            parts.append((" read-only ", "bold reverse"))
        parts += self._progress()
        width = self.size.width
        while parts[-1][1] == _FAINT and sum(len(text) for text, _ in parts) > width > 0:
            parts.pop()  # whole: half a number would be another one
        if parts != self._said:
            self._said = parts
            # One line stays one line: a new layout of the screen would cost ten times the text.
            self.update(Content.assemble(*parts), layout=False)

    def _progress(self) -> list[Part]:
        news = self._news
        if news is None:
            return [("opening …", "dim")]
        state = news.status.state
        parts: list[Part] = []
        if news.moment is not None:
            parts.append((f" PAST: step {news.moment:,} (L: live) ", "bold reverse"))
        parts += [(f"{STATE_SYMBOLS.get(state, '?')} {state}", f"bold $state-{state}")]
        if news.parked:
            names = ", ".join(parked.projection for parked in news.parked)
            parts.append((f"  ! parked: {names} (e shows why) ", "bold $error"))
        parts.append((f"   step {news.status.step:,}", "bold"))
        if state == "training" and news.steps_per_second is not None:
            parts.append((f"   {news.steps_per_second:.1f} steps/s", ""))
        parts.append((f"   {self._freshness(news)}", _FAINT))
        if news.status.detail:
            parts.append((f"   {news.status.detail}", _FAINT))
        parts.append((f"   position {news.position:,}", _FAINT))
        return parts

    def _freshness(self, news: News) -> str:
        if news.behind:
            return f"{news.behind:,} events behind"
        quiet = time.time() - news.status.since
        if news.status.state == "training" and quiet < QUIET_AFTER:
            return f"lag {duration(self._lag)}"
        return f"last event {duration(quiet)} ago"
