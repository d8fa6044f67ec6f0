"""Screens on which things are decided: the keys for it, and how an outcome is said.

What is decided upon is what the screen's `chosen_rows` are; how it is said to the run is
`commands`'. Nothing asks whether one is sure: whatever is decided here can be undone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.notifications import SeverityLevel
from textual.widgets import Input

from tui import commands
from tui.commands import Told
from tui.follow import News
from tui.sample_table import RowKey
from tui.screens.ask import AskScreen
from tui.screens.base import RunScreen
from tui.screens.tag import TagScreen, tags_of
from tui.words import duration
from wl_core.codec import Event
from wl_core.errors import WlError

if TYPE_CHECKING:
    from wl_core.run import Run

_UNDO = "u takes it back"
_ON_ROWS = frozenset({"discard", "discard_why", "tag"})


class DecidingScreen(RunScreen):
    """A screen whose rows can be tagged and discarded."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # They have priority because what is typed ahead of the line that they open must end there:
        # as keys of a table it would sort and discard.
        Binding("t", "tag", "Tag", priority=True, id="rows.tag"),
        Binding(
            "D", "discard_why", "Discard, with a reason", show=False, priority=True,
            id="rows.discard_why",
        ),
        Binding("d", "discard", "Discard", id="rows.discard"),
        Binding("u", "undo", "Undo", show=False, id="rows.undo"),
        Binding("ctrl+r", "redo", "Redo", show=False, id="rows.redo"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        # What the training has not answered yet, by position: what it was, when it was asked, and
        # which key takes it back.
        self._asked: dict[int, tuple[str, float, str]] = {}

    def chosen_rows(self) -> Sequence[RowKey]:
        """What a decision is about now."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Samples are decided upon where they can be seen, and never while a line is written."""
        if action in _ON_ROWS:
            return not isinstance(self.focused, Input) and len(self.chosen_rows()) > 0
        return super().check_action(action, parameters)

    # Saying it to the run, and what comes of it

    @work(group="decide")
    async def decide(self, job: Callable[[Run], Told | str], way_back: str = "") -> None:
        """Has ``job`` say something to the run, and shows what it returns or why it could not.

        ``way_back`` says which key takes it back.
        """
        began = time.time()
        try:
            told = await self.wl_app.tell(job)
        except (WlError, OSError) as error:
            self._say(str(error), "error")
            return
        self._say(told if isinstance(told, str) else self._said(told, began, way_back))

    def _say(self, said: str, severity: SeverityLevel = "information") -> None:
        """The newest outcome alone: those before it would hide the rows that they are about."""
        self.app.clear_notifications()
        self.notify(said, severity=severity, markup=False)

    def _said(self, told: Told, began: float, way_back: str) -> str:
        """The outcome in words, and what is to be expected of it."""
        moment = None if self.wl_app.news is None else self.wl_app.news.moment
        now = "" if moment is None else f" (as of now, not of step {moment}: L shows it)"
        if told.position < 0:
            return told.said + now
        lines = [told.said + now]
        if told.is_heard:
            self._asked[told.position] = told.said, began, way_back
            lines.append("the training obeys at its next step")
        elif told.is_heard is not None:
            lines.append("no training is running: it holds for the next one")
        return "\n".join(filter(None, [*lines, way_back]))

    def run_changed(self, news: News) -> None:
        for event in news.events:
            if self._asked and event.kind == "obeyed":
                self._answered(event)

    def _answered(self, event: Event) -> None:
        said, began, way_back = self._asked.pop(event.data["request"], ("", 0.0, ""))
        refused = event.data["refused"]
        if not said:
            return
        if refused:
            self._say(f"{said}: refused, {refused}", "warning")
        else:
            after = f"at step {event.step}, after {duration(event.time - began)}"
            self._say("\n".join(filter(None, (f"{said}: obeyed {after}", way_back))))

    # Keys

    def action_discard(self) -> None:
        rows = self.chosen_rows()
        self.decide(lambda run: commands.switch_discarded(run, rows), _UNDO)

    def action_discard_why(self) -> None:
        rows = self.chosen_rows()

        def take(why: str | None) -> None:
            if why is not None:
                self.decide(lambda run: commands.set_discarded(run, rows, True, why), _UNDO)

        heading = f"Discard {commands.named(rows)}"
        self.app.push_screen(AskScreen(heading, "why? it is kept with the decision"), take)

    def action_tag(self) -> None:
        rows = self.chosen_rows()
        news = self.wl_app.news
        screen = TagScreen(commands.named(rows), tags_of(*([news.samples] if news else [])))

        def take(text: str | None) -> None:
            if text is not None:
                add, tag = not text.startswith("-"), text.removeprefix("-").strip()
                self.decide(lambda run: commands.set_tag(run, rows, tag, add=add), _UNDO)

        # At once: what is typed ahead must not reach the table. What can be chosen follows.
        self.app.push_screen(screen, take)
        self._tell_categories(screen)

    @work(group="categories")
    async def _tell_categories(self, screen: TagScreen) -> None:
        try:
            screen.set_categories(await self.wl_app.ask(commands.categories))
        except (WlError, OSError) as error:
            self._say(str(error), "error")

    def action_undo(self) -> None:
        self.decide(commands.undo, "ctrl+r lets it count again")

    def action_redo(self) -> None:
        self.decide(commands.redo, _UNDO)
