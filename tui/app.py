"""The application: one follower, the screens, and what happens when the follower cannot go on.

It holds no view of the run: panes get news and ask for the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual import on
from textual.app import App
from textual.binding import Binding, BindingType

from tui.follow import Advanced, Follower, FollowerDied, News, RunGone
from tui.pane import Pane
from tui.screens.base import RunScreen
from tui.screens.main import MainScreen
from tui.screens.trouble import TroubleScreen
from tui.theme import DARK
from wl_core.plugins import PluginFailure, load_plugins

if TYPE_CHECKING:
    from wl_core.run import Run

Answer = TypeVar("Answer")


class WlApp(App[None]):
    """``wl tui``: one run, live.

    Args:
        run_name: what the status line calls the run.
        open_run: opens it; called in the follower's thread.
        panes: panes that plugins add.
    """

    CSS_PATH: ClassVar[str | Path] = "wl.tcss"
    TITLE = "wl"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True)
    ]

    def __init__(
        self,
        run_name: str,
        open_run: Callable[[], Run],
        panes: Sequence[type[Pane]] = (),
    ) -> None:
        super().__init__()
        self.run_name = run_name
        self.follower = Follower(open_run, self.post_message)
        self.news: News | None = None
        self.death: FollowerDied | None = None
        self._plugin_panes = panes
        self._plugin_failures: list[PluginFailure] = []
        self._reporting = ExitStack()

    async def on_mount(self) -> None:
        self._reporting.enter_context(load_plugins().reporting_to(self._plugin_failures.append))
        self.register_theme(DARK)
        self.theme = DARK.name
        await self.push_screen(MainScreen(self.run_name, self._plugin_panes))
        # Not before the screen is there: it must say so when the follower dies at once.
        self.call_after_refresh(self.follower.start)

    def on_unmount(self) -> None:
        self.follower.close()
        self._reporting.close()

    async def ask(self, job: Callable[[Run], Answer]) -> Answer:
        """What ``job`` returns, run in the thread that owns the run."""
        return await asyncio.wrap_future(self.follower.ask(job))

    @property
    def run_screens(self) -> list[RunScreen]:
        """The screens that show the run; none while they are being taken down, as news may come."""
        if not self.is_running:
            return []
        return [screen for screen in self.screen_stack if isinstance(screen, RunScreen)]

    @on(Advanced)
    def _advanced(self, event: Advanced) -> None:
        self.news = event.news
        for screen in self.run_screens:
            screen.run_changed(event.news)
        # Not before the screen has been drawn: a slow terminal gets fewer, larger updates.
        self.call_after_refresh(self.follower.shown)

    @on(RunGone)
    def _run_gone(self) -> None:
        for screen in self.run_screens:
            screen.trouble("run directory deleted; this is what was read")

    @on(FollowerDied)
    def _follower_died(self, event: FollowerDied) -> None:
        self.death = event
        for screen in self.run_screens:
            screen.trouble(f"stopped following: {type(event.error).__name__} (e shows it)")
        self.push_screen(TroubleScreen(self.trouble_reports()))

    def trouble_reports(self) -> list[tuple[str, str]]:
        """Everything that is wrong now, as ``(heading, traceback)``."""
        reports = []
        if self.death is not None:
            reports.append(("The follower of the log died:", self.death.traceback))
        for parked in self.news.parked if self.news is not None else ():
            heading = (
                f"{parked.plugin}: {parked.projection} is parked at position {parked.position}"
            )
            reports.append((heading, parked.traceback))
        known = {parked for _, parked in reports}
        failures = [one for one in self._plugin_failures if one.traceback not in known]
        return [*reports, *((f"{one}:", one.traceback) for one in failures)]
