"""What every screen of a run hears."""

from __future__ import annotations

from textual.screen import Screen

from tui.follow import News


class RunScreen(Screen[None]):
    """A screen that shows something of the run."""

    def run_changed(self, news: News) -> None:
        """The run has news; called at most four times a second, for covered screens too."""

    def trouble(self, text: str) -> None:
        """The follower cannot go on; ``text`` says why in a few words."""
