"""What every screen of a run hears, and the way from a screen to its application."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.screen import Screen

from tui.follow import News

if TYPE_CHECKING:
    from tui.app import WlApp


class RunScreen(Screen[None]):
    """A screen that shows something of the run."""

    @property
    def wl_app(self) -> WlApp:
        """The application, by its own type."""
        return cast("WlApp", self.app)

    def run_changed(self, news: News) -> None:
        """The run has news; called at most four times a second, for covered screens too."""

    def trouble(self, text: str) -> None:
        """The follower cannot go on; ``text`` says why in a few words."""
