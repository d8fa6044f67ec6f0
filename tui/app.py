"""The application: one follower, the screens, and what happens when the follower cannot go on.

It holds no view of the run: panes get news and ask for the rest. Which keys there are is `keys`',
what a person has set is `config`'s, what is remembered of a run is `memory`'s.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, runtime_checkable

from textual import on, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from tui.config import Config, check_config
from tui.ending import end_on_signals
from tui.follow import Advanced, Follower, FollowerDied, News, RunGone
from tui.keys import key_rows, palette_of_keys
from tui.memory import Memory, memory_file
from tui.pane import Pane
from tui.screens.base import RunScreen
from tui.screens.help import HelpScreen
from tui.screens.main import MainScreen
from tui.screens.runs import RunsScreen
from tui.screens.trouble import TroubleScreen
from tui.theme import STATE_COLOURS, THEMES
from wl_core.errors import UsageError, WlError
from wl_core.plugins import PluginFailure, load_plugins
from wl_core.run import open_run

if TYPE_CHECKING:
    from wl_core.run import Run

Answer = TypeVar("Answer")
_ACTIVE = "app.pane"  # in the memory of a run: the pane that the keys went to


@runtime_checkable
class Printable(Protocol):
    """A screen whose content the command line prints as well."""

    def command(self, run: str, /) -> str:
        """The command for the run at that path; empty when there is none for what is shown now."""


class WlApp(App[None]):
    """``wl tui``: one run, live.

    Args:
        path: the run; it is opened in the follower's thread.
        panes: the panes of the main screen, None: those that plugins provide.
        config: what the person has set.
        read_only: nothing may be said to the run.
        open_first: how the first run is opened, where that has begun already (`ahead`).

    Raises:
        UsageError: the config names a theme or a key that there is not.
    """

    CSS_PATH: ClassVar[str | Path] = "wl.tcss"
    TITLE = "wl"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True, id="app.interrupt"),
        Binding("R", "runs", "Runs", show=False, id="app.runs"),
        Binding("question_mark", "help", "Help", key_display="?", id="app.help"),
        Binding("ctrl+p", "command_palette", "Find a command", show=False, id="app.palette"),
        Binding("ctrl+z", "suspend_process", "To the shell; fg returns", show=False,
                id="app.suspend"),
        Binding("L", "live", "Back to live", show=False, id="time.live"),
        Binding("equals_sign", "command", "The command that prints this", show=False,
                key_display="=", id="app.command"),
    ]  # fmt: skip

    def __init__(
        self,
        path: Path,
        panes: Sequence[type[Pane]] | None = None,
        *,
        config: Config | None = None,
        read_only: bool = False,
        open_first: Callable[[], Run] | None = None,
    ) -> None:
        super().__init__()
        for theme in THEMES:
            self.register_theme(theme)
        self.path = path
        self.config = config or Config()
        check_config(self.config, self.available_themes)
        # Before anything is drawn: later, every widget would have to be styled a second time.
        self.theme = self.config.theme
        self._styled = self._style_source()
        self.stylesheet.set_variables(self.get_css_variables())
        self.read_only = read_only
        self.follower = self._new_follower(open_first)
        self.memory = Memory(memory_file(path))
        self.news: News | None = None
        self.wanted_step: int | None = None  # what `show_step` was asked for last
        self.death: FollowerDied | None = None
        self.trouble = ""  # that stays, in a few words
        self._panes = panes
        self._main: MainScreen | None = None
        self._plugin_failures: list[PluginFailure] = []
        self.not_kept = ""  # why the layout could not be remembered
        self.pane_failures: dict[str, str] = {}  # tracebacks of panes that raised, by title
        self._reporting = ExitStack()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return dict(STATE_COLOURS)

    def _style_source(self) -> tuple[str, dict[str, str]]:
        return self.theme, self.get_css_variables()

    def refresh_css(self, animate: bool = True) -> None:
        """Styles everything anew, if the theme is another than that it is styled with."""
        source = self._style_source()
        if source != self._styled:
            self._styled = source
            super().refresh_css(animate=animate)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the palette offers: what the keys do, the panes, plugins' commands, the theme."""
        for command in palette_of_keys(self, screen):
            yield SystemCommand(*command)
        if isinstance(screen, MainScreen):
            for pane in screen.panes:
                show = partial(screen.show_pane, pane)
                yield SystemCommand(f"Go to {pane.title}", summary(type(pane)), show)
        for title, action in load_plugins().mapping("wl_tui_commands").items():
            yield SystemCommand(title, summary(action), partial(action, self))
        yield SystemCommand("Theme", "Other colours, for now", self.action_change_theme)

    def _new_follower(self, opened: Callable[[], Run] | None = None) -> Follower:
        return Follower(opened or partial(open_run, self.path), self.post_message)

    async def on_mount(self) -> None:
        self._reporting.enter_context(load_plugins().reporting_to(self._plugin_failures.append))
        if not self.is_headless and threading.current_thread() is threading.main_thread():
            end_on_signals(self._leave, self._keep_memory)
        self.set_keymap(self.config.keys)
        if self._panes is None:
            self._panes = load_plugins().collect("wl_tui_panes")
        await self._show_run()

    async def _show_run(self) -> None:
        assert self._panes is not None
        self._main = MainScreen(self.path.name, self._panes)
        await self.push_screen(self._main)
        last = self.memory.get(_ACTIVE)
        for pane in self._main.panes:
            if pane.title == last and pane is not self._main.active:
                self._main.show_pane(pane)
        # Not before the screen is there: it must say so when the follower dies at once.
        self.follower.start()

    def on_app_blur(self) -> None:
        self.follower.set_attentive(False)

    def on_app_focus(self) -> None:
        self.follower.set_attentive(True)

    def _leave(self, status: int) -> None:
        # What is being put on the screen just now is put there first, or it fails half-way.
        self.call_after_refresh(partial(self.exit, return_code=status))

    def on_unmount(self) -> None:
        self.follower.close()
        self._reporting.close()
        self._keep_memory()

    @work(exclusive=True, group="open run")
    async def open_run(self, path: Path) -> None:
        """Show another run in place of this one."""
        self._keep_memory()
        await asyncio.to_thread(self.follower.close)
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        self.path, self.news, self.death, self.trouble = path, None, None, ""
        self.wanted_step = None
        self.pane_failures.clear()
        self.memory = Memory(memory_file(path))
        self.follower = self._new_follower()
        await self._show_run()

    def _keep_memory(self) -> None:
        if self._main is not None:
            active = self._main.active
            self.memory.set(_ACTIVE, None if active is self._main.panes[0] else active.title)
        try:
            self.memory.keep()
        except WlError as error:
            # At the end there is no screen left to say it on: the command says it then.
            self.not_kept = str(error)

    # The run

    async def ask(self, job: Callable[[Run], Answer]) -> Answer:
        """What ``job`` returns, run in the thread that owns the run, on the run as it is shown."""
        return await asyncio.wrap_future(self.follower.ask(job))

    async def tell(self, job: Callable[[Run], Answer]) -> Answer:
        """What ``job`` returns that says something to the run: it gets the run as of now.

        Raises:
            UsageError: it was opened only to be looked at.
        """
        if self.read_only:
            raise UsageError("read-only: nothing can be changed from here (--allow-control)")
        return await asyncio.wrap_future(self.follower.ask(job, of_now=True))

    def show_step(self, step: int | None) -> None:
        """Has every pane show the run as it was at that step; None: as it is.

        Of steps that are wanted faster than they can be shown, the newest is shown.
        """
        self.wanted_step = step
        for screen in self.run_screens:
            screen.show_time(self.news, step)
        self._go_to(step)

    @work(exclusive=True, group="moment")
    async def _go_to(self, step: int | None) -> None:
        try:
            await asyncio.wrap_future(self.follower.show_step(step))
        except (WlError, OSError) as error:
            self.wanted_step = None if self.news is None else self.news.moment
            for screen in self.run_screens:
                screen.show_time(self.news, self.wanted_step)
            self.notify(str(error), severity="error", markup=False)

    def action_runs(self) -> None:
        """The runs that lie beside this one, unless they are in sight already."""
        if not any(isinstance(screen, RunsScreen) for screen in self.screen_stack):
            self.push_screen(RunsScreen(self.path.resolve().parent))

    def action_help(self) -> None:
        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(key_rows(self.screen)))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is a way back to the present only from the past; a dialog has no command."""
        if action == "command":
            return isinstance(self.screen, Printable)
        if action == "live":
            shown = None if self.news is None else self.news.moment
            return shown is not None or self.wanted_step is not None
        return super().check_action(action, parameters)

    def action_live(self) -> None:
        self.show_step(None)

    def action_command(self) -> None:
        """Say the command that prints what the screen shows, and copy it."""
        shown = self.screen
        command = shown.command(str(self.path)) if isinstance(shown, Printable) else ""
        if command:
            self.copy_to_clipboard(command)
            self.notify(command, title="Copied", markup=False)
        else:
            self.notify("there is no command for what is shown now")

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
            screen.show_time(event.news, self.wanted_step)
        # Not before the screen has been drawn: a slow terminal gets fewer, larger updates.
        self.call_after_refresh(self.follower.shown)

    @on(RunGone)
    def _run_gone(self) -> None:
        self._say_trouble("run directory deleted; this is what was read")

    @on(FollowerDied)
    def _follower_died(self, event: FollowerDied) -> None:
        self.death = event
        self._say_trouble(f"stopped following: {type(event.error).__name__} (e shows it)")
        self.push_screen(TroubleScreen(self.trouble_reports()))

    def _say_trouble(self, text: str) -> None:
        self.trouble = text
        for screen in self.run_screens:
            screen.trouble(text)

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
        reports += [(f"{one}:", one.traceback) for one in failures]
        failed = self.pane_failures.items()
        return [*reports, *((f"The pane {title} failed:", said) for title, said in failed)]


def summary(documented: object) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(documented) or "").partition("\n")[0]
