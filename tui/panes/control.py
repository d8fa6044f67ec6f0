"""How the training goes, and how it is steered: pause, step, evaluate, stop, hyperparameters."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tui import commands
from tui.commands import Told
from tui.control_facts import (
    ControlFacts,
    control_facts,
    evaluation_said,
    past_requests,
    settings_table,
    state_said,
)
from tui.follow import News
from tui.pane import Pane
from tui.requests_told import RequestsTold, request_said
from tui.screens.choose import ChooseScreen
from tui.screens.setting import SettingScreen, StepsScreen, StopScreen, split_why
from tui.screens.tag import tags_of
from tui.widgets.table import VirtualTable
from wl_core.status import ALIVE

if TYPE_CHECKING:
    from tui.app import WlApp
    from tui.screens.main import MainScreen
    from wl_core.run import Run

_ACTIONS = (
    ("pause", "p", "Pause"),
    ("step", "n", "Do some steps, then wait …"),
    ("evaluate", "v", "Evaluate …"),
    ("cancel_evaluation", "V", "Give the evaluation up"),
    ("stop", "Q", "End the training …"),
)


class ActionList(OptionList):
    """What can be done, one line each; below its end the settings begin."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor_up", "Action above", show=False, id="actions.up"),
        Binding("down,j", "cursor_down", "Action below", show=False, id="actions.down"),
        Binding("enter", "select", "Do it", id="actions.do"),
    ]

    def action_cursor_down(self) -> None:
        if self.highlighted == self.option_count - 1:
            self.screen.query_one(SettingsTable).focus()
        else:
            super().action_cursor_down()

    def action_cursor_up(self) -> None:
        if self.highlighted:
            super().action_cursor_up()


class SettingsTable(VirtualTable):
    """Hyperparameters; above the first the actions end."""

    def action_move(self, rows: int) -> None:
        if rows < 0 and self.cursor == 0:
            self.screen.query_one(ActionList).focus()
        else:
            super().action_move(rows)


class ControlPane(Pane):
    """How the training goes; pause it, step it, evaluate, end it, set its hyperparameters."""

    title: ClassVar[str] = "Control"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "step", "Do steps", id="run.step"),
        Binding("v", "evaluate", "Evaluate", id="run.evaluate"),
        Binding("V", "cancel_evaluation", "Give the evaluation up", show=False,
                id="run.cancel_evaluation"),
        Binding("Q", "stop", "End the training", show=False, id="run.stop"),
    ]  # fmt: skip

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._news: News | None = None
        self._facts: ControlFacts | None = None
        self._told = RequestsTold()
        self._read_at: tuple[object, ...] = ()
        self._is_reading = False
        self._done = ""  # the command that does what was done last, with {run} in it

    def compose_body(self) -> ComposeResult:
        yield Static(id="control-state", markup=False)
        yield ActionList(
            *(Option(f" {self._key(one, key)}  {said}", one) for one, key, said in _ACTIONS)
        )
        yield SettingsTable(opens=True, widget_id="settings")

    def on_mount(self) -> None:
        self.query_one(ActionList).highlighted = 0
        self.set_interval(1.0, self._say)  # time passes while nothing happens

    def _key(self, action: str, usual: str) -> str:
        """The key of an action, which a person may have changed."""
        return cast("WlApp", self.app).config.keys.get(f"run.{action}", usual)

    @property
    def _main(self) -> MainScreen:
        return cast("MainScreen", self.screen)

    @property
    def _is_alive(self) -> bool:
        return self._news is not None and self._news.status.state in ALIVE

    # News

    def run_changed(self, news: News) -> None:
        self._news = news
        self._told.take(news.events)
        self._read_again()
        self._say()

    def came_into_sight(self) -> None:
        self._read_again()
        self._say()

    def _read_again(self) -> None:
        news = self._news
        if news is None or not self.in_sight or self._is_reading:
            return
        now = (news.position, news.moment, news.status.state)
        if now != self._read_at:
            self._read_at, self._is_reading = now, True
            self._read(news)

    @work(group="read settings")
    async def _read(self, news: News) -> None:
        if self._facts is None:
            self._told.take(await self.ask(past_requests) or ())
        unknown = self._told.unknown
        job = partial(control_facts, state=news.status.state, positions=unknown)
        try:
            facts = await self.ask(job)
        finally:
            self._is_reading = False
        if facts is None:
            return
        self._facts = facts
        self._told.take(facts.looked_up)
        self._told.forget(unknown)
        self._show_settings(facts)
        self._say()
        self._read_again()

    def _show_settings(self, facts: ControlFacts) -> None:
        state_of = partial(self._told.setting_state, alive=self._is_alive)
        self.query_one(SettingsTable).set_table(settings_table(facts.settings, state_of))

    def _say(self) -> None:
        news, facts = self._news, self._facts
        if news is None or not self.in_sight:
            return
        lines = [state_said(news, None if facts is None else facts.since), self._request()]
        if facts is not None and facts.evaluated is not None:
            lines.append(evaluation_said(facts.evaluated))
        lines.append(self._notice(news))
        text = "\n".join(line for line in lines if line)
        self.query_one("#control-state", Static).update(Content(text))
        self.set_heading("" if facts is None else f"{len(facts.settings)} hyperparameters")
        going_on = "Go on" if news.status.state == "paused" else "Pause"
        actions = self.query_one(ActionList)
        actions.replace_option_prompt_at_index(0, f" {self._key('pause', 'p')}  {going_on}")

    def _request(self) -> str:
        asked = self._told.last
        if asked is None:
            return "nobody has asked anything of the training"
        outcome = self._told.outcome(asked, alive=self._is_alive)
        return f"last asked: {request_said(asked)} · {outcome}"

    def _notice(self, news: News) -> str:
        if self._main.wl_app.read_only:
            return "read-only: nothing can be changed from here"
        if not self._is_alive:
            return (
                f"the run is {news.status.state}: nobody is there to obey; hyperparameters that"
                " are set hold when it is continued"
            )
        if news.moment is not None:
            return "what is done here is done to the training as it is now, not to the past"
        return ""

    # What can be done

    def _decide(self, job: Callable[[Run], Told], done: str) -> None:
        self._done = done
        self._main.decide(job)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        getattr(self, f"action_{event.option_id}")()

    def action_pause(self) -> None:
        is_paused = self._news is not None and self._news.status.state == "paused"
        self._done = "wl resume {run}" if is_paused else "wl pause {run}"
        self._main.action_pause()

    def _may(self, what: str) -> bool:
        """Whether somebody is there to obey, before anything is asked for."""
        if self._news is None:
            return False
        if self._main.wl_app.read_only:
            self.notify("read-only: nothing can be changed from here", severity="error")
            return False
        if not self._is_alive:
            self.notify(
                f"the run is {self._news.status.state}: no training is there to {what}",
                severity="error",
            )
        return self._is_alive

    def action_step(self) -> None:
        def take(line: str | None) -> None:
            if line is not None:
                count = int(line)
                self._decide(
                    partial(commands.request_steps, count=count), f"wl step {count} {{run}}"
                )

        if self._may("step"):
            self.app.push_screen(StepsScreen(), take)

    def action_stop(self) -> None:
        def take(why: str | None) -> None:
            if why is not None:
                option = f" --why {_braced(why)}" if why else ""
                self._decide(partial(commands.request_stop, why=why), f"wl stop {{run}}{option}")

        if self._may("stop") and self._news is not None:
            run = self._main.wl_app.path.name
            self.app.push_screen(StopScreen(run, self._news.status.step), take)

    def action_cancel_evaluation(self) -> None:
        if self._may("give up"):
            self._decide(commands.cancel_evaluation, "wl evaluate --cancel {run}")

    def action_evaluate(self) -> None:
        if not self._may("evaluate") or self._facts is None or self._news is None:
            return
        tags = tags_of(self._news.samples)
        choices = {one: (one, "") for one in self._facts.origins}
        choices |= {f"{one}, only {tag}": (one, tag) for one in self._facts.origins for tag in tags}

        def take(chosen: str | None) -> None:
            if chosen is not None:
                origin, tag = choices[chosen]
                option = f" --tag {_braced(tag)}" if tag else ""
                self._decide(
                    partial(commands.request_evaluation, origin=origin, tag=tag),
                    f"wl evaluate {_braced(origin)} {{run}}{option}",
                )

        screen = ChooseScreen("Evaluate on", list(choices), "test_loader", "narrow the list")
        self.app.push_screen(screen, take)

    @on(VirtualTable.Chosen)
    def _edit(self, event: VirtualTable.Chosen) -> None:
        event.stop()
        if self._main.wl_app.read_only:
            self.notify("read-only: nothing can be changed from here", severity="error")
            return
        if self._facts is None:
            return
        known = {name: one.value for name, one in self._facts.settings.items()}
        name = list(known)[event.row]

        def take(line: str | None) -> None:
            if line is None:
                return
            value, why = split_why(line)
            assignment = f"{name}={value}"
            option = f" --why {_braced(why)}" if why else ""
            self._decide(
                partial(commands.set_hyperparameter, assignment=assignment, why=why),
                f"wl set --run {{run}} {_braced(assignment)}{option}",
            )

        self.app.push_screen(SettingScreen(name, known), take)

    @on(VirtualTable.Highlighted)
    @on(VirtualTable.Ordered)
    def _not_for_others(self, event: VirtualTable.Highlighted | VirtualTable.Ordered) -> None:
        event.stop()

    def command(self, run: str) -> str:
        """What does what was done last; else what prints the settings, or the state."""
        path = shlex.quote(run)
        if self._done:
            return self._done.format(run=path)
        if self.query_one(SettingsTable).has_focus:
            return f"wl set --run {path}{self.at_step_option}"
        return f"wl info {path}{self.at_step_option}"


def _braced(text: str) -> str:
    """As a word of a command that `str.format` will be applied to."""
    return shlex.quote(text).replace("{", "{{").replace("}", "}}")
