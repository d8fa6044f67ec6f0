"""Dialogs of the control pane: another value for a hyperparameter, how many steps, ending it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tui.control_facts import type_said
from tui.screens.ask import AskScreen
from wl_core.errors import UsageError
from wl_core.setting_values import read_assignments, shown


class SettingScreen(AskScreen):
    """Gives the value as it was written, and ``# why`` behind it, once it may be taken.

    Args:
        name: the hyperparameter's.
        known: all that there are, with the values that they have.
    """

    def __init__(self, name: str, known: Mapping[str, Any]) -> None:
        kind, now = type_said(known[name]), shown(known[name])
        heading = f"{name} ({kind}), now {now}\nreason, if any, behind a # after the value"
        super().__init__(heading, "a value, as YAML", now)
        self._name = name
        self._known = known

    def refusal(self, line: str) -> str:
        try:
            read_assignments([f"{self._name}={line}"], self._known)
        except UsageError as error:
            return str(error)
        return ""


class StepsScreen(AskScreen):
    """Gives a whole number of at least 1, as text."""

    def __init__(self) -> None:
        super().__init__("Do how many steps, and then wait?", "how many", "1")

    def refusal(self, line: str) -> str:
        if line.isdecimal() and int(line) >= 1:
            return ""
        return f"expected a whole number of at least 1, got {line!r}"


class StopScreen(AskScreen):
    """Gives a reason, which may be empty; Escape lets the training go on."""

    def __init__(self, run: str, step: int) -> None:
        super().__init__(
            f"End the training of {run}, at step {step:,}?\n"
            "It ends in order; only its script, run again, goes on.\n"
            "enter: end it · esc: let it go on",
            "why? it is kept with the run",
            may_be_empty=True,
        )


def split_why(line: str) -> tuple[str, str]:
    """``(value, why)`` of ``0.01 # the loss jumps``; a # within quotes or a word begins no why."""
    quote = ""
    for place, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and line[place - 1 : place] in (" ", "\t"):
            return line[:place].strip(), line[place + 1 :].strip()
    return line.strip(), ""
