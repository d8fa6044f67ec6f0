"""Screens on which things are decided: the keys for it, and how an outcome is said.

What is decided upon is what the screen's `chosen_rows` are; how it is said to the run is
`commands`'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual import work
from textual.binding import Binding, BindingType
from textual.widgets import Input

from tui import commands
from tui.sample_table import RowKey
from tui.screens.base import RunScreen
from tui.screens.pick import AskScreen
from wl_core.errors import WlError

if TYPE_CHECKING:
    from tui.app import WlApp
    from wl_core.run import Run

_ON_ROWS = frozenset({"discard", "tag"})


class DecidingScreen(RunScreen):
    """A screen whose rows can be tagged and discarded."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # It has priority because what is typed ahead of the line that it opens must end there: as
        # keys of a table it would sort and discard.
        Binding("t", "tag", "Tag", priority=True, id="rows.tag"),
        Binding("d", "discard", "Discard", id="rows.discard"),
    ]

    def chosen_rows(self) -> Sequence[RowKey]:
        """What a decision is about now."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Samples are decided upon where they can be seen, and never while a line is written."""
        if action in _ON_ROWS:
            return not isinstance(self.focused, Input) and bool(self.chosen_rows())
        return super().check_action(action, parameters)

    @work(group="decide")
    async def decide(self, job: Callable[[Run], str]) -> None:
        """Has ``job`` say something to the run, and shows what it returns or why it could not."""
        try:
            said = await cast("WlApp", self.app).tell(job)
        except (WlError, OSError) as error:
            self.notify(str(error), severity="error", markup=False)
        else:
            self.notify(said, markup=False)

    def action_discard(self) -> None:
        rows = self.chosen_rows()
        self.decide(lambda run: commands.switch_discarded(run, rows))

    def action_tag(self) -> None:
        rows = self.chosen_rows()
        what = commands.named(rows)

        def take(text: str | None) -> None:
            if text is not None:
                add, tag = not text.startswith("-"), text.removeprefix("-").strip()
                self.decide(lambda run: commands.set_tag(run, rows, tag, add=add))

        self.app.push_screen(AskScreen(f"Tag {what}", "a tag; -tag takes it off"), take)
