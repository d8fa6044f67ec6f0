"""Screens with ``:``: a place is asked for and gone to.

What may be written is `jump`'s. To the present, to a step and out of the application leads the
same way from everywhere; where a screen has rows, panes or samples to go to is its own business.
"""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.widgets import Input

from tui.actions import DecidingScreen
from tui.follow import News
from tui.jump import Jump, JumpScreen, Places
from tui.sample_table import SampleKey
from wl_core.errors import WlError


class JumpingScreen(DecidingScreen):
    """A screen from which one can jump; subclasses say where to by `places` and `go_within`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # It has priority because what is typed ahead of the line that it opens must end there.
        Binding("colon", "jump", "Jump to", show=False, key_display=":", priority=True,
                id="app.jump"),
    ]  # fmt: skip

    def places(self, news: News) -> Places:
        """What there is to jump to."""
        raise NotImplementedError

    def go_within(self, to: Jump) -> None:
        """To a row, a column or a pane."""
        raise NotImplementedError

    def show_sample(self, sample: SampleKey) -> None:
        """To a sample of the run."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What opens a line is no action while one is written."""
        if action == "jump" and isinstance(self.focused, Input):
            return False
        return super().check_action(action, parameters)

    def action_jump(self) -> None:
        """Ask where to, and go there."""
        if self.wl_app.news is None:
            return
        places = self.places(self.wl_app.news)

        def take(line: str | None) -> None:
            if line is not None:
                self._go(places.parse(line))

        self.app.push_screen(JumpScreen(places), take)

    def _go(self, to: Jump) -> None:
        match to.kind:
            case "quit":
                self.app.exit()
            case "step":
                self.wl_app.show_step(to.number)
            case "live":
                self.wl_app.show_step(None)
            case "sample":
                self._find_sample(to)
            case _:
                self.go_within(to)

    @work(exclusive=True, group="jump")
    async def _find_sample(self, to: Jump) -> None:
        try:
            found = await self.wl_app.ask(lambda run: run.find_sample(to.name, to.origin))
        except (WlError, OSError) as error:
            self.notify(str(error), severity="error", markup=False)
        else:
            self.show_sample(SampleKey(*found))
