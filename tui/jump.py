"""Jumps: what may be written after ``:`` and where it leads.

A sample, ``#500`` for a row, ``step 500`` for a moment, a pane, a column. Who goes there is the
screen's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tui.completion import Choice, Completion, of_line
from tui.filter_completion import MANY
from tui.screens.ask import AskScreen
from wl_core.errors import UnknownNameError, UsageError, nearest
from wl_core.table import Table

Kind = Literal["quit", "row", "step", "live", "pane", "column", "sample"]


@dataclass(frozen=True, slots=True)
class Jump:
    """Where to go: ``name`` is that of a pane, a column or a sample, ``number`` a row or a step.

    Rows are counted from 1, as they are shown; a sample's ``origin`` is None where it was not said.
    """

    kind: Kind
    name: str = ""
    number: int = 0
    origin: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """What there is to jump to."""

    panes: Sequence[str] = ()
    columns: Sequence[str] = ()
    origins: Sequence[str] = ()
    samples: Sequence[str] | None = None  # None: too many to list, the run knows
    steps: int = 0

    @classmethod
    def of(cls, panes: Sequence[str], samples: Table, columns: Sequence[str], step: int) -> Places:
        """The places of a run that has these ``samples``, of which ``columns`` are shown."""
        if "sample_id" not in samples.names:
            return cls(panes, columns, steps=step)
        ids, origin = samples.column("sample_id"), samples.column("origin")
        names: Sequence[str] | None = None
        if len(samples) <= MANY:
            names = [str(ids.cell(row)) for row in range(len(samples))]
        return cls(panes, columns, origin.categories, names, step)

    def choices(self) -> list[Choice]:
        """All of them, as they are completed."""
        found = [Choice(f"{pane}", "pane") for pane in self.panes]
        found += [Choice("step ", f"0 to {self.steps}"), Choice("live", "back to now")]
        found += [Choice(column, "column") for column in self.columns]
        found += [Choice(one, "sample") for one in dict.fromkeys(self.samples or ())]
        return [*found, Choice("#", "a row by its number"), Choice("q", "quit")]

    def parse(self, line: str) -> Jump:
        """Where that leads.

        Raises:
            UsageError: it is no number where one is needed.
            UnknownNameError: there is nothing of that name; the nearest is given.
        """
        word, _, rest = line.strip().partition(" ")
        if line in ("q", "q!", "quit", "qa"):
            return Jump("quit")
        if word.startswith("#"):
            return Jump("row", number=_number(line[1:], "the number of a row, such as #500"))
        if word == "step" and rest != "live":
            return Jump("step", number=_number(rest, "a step, such as step 500"))
        if line in ("live", "step live"):
            return Jump("live")
        return self._named(line.strip())

    def _named(self, name: str) -> Jump:
        for pane in self.panes:
            if pane.lower() == name.lower():
                return Jump("pane", pane)
        if name in self.columns:
            return Jump("column", name)
        origin, slash, inner = name.partition("/")
        if slash and origin in self.origins:
            return Jump("sample", inner, origin=origin)
        if self.samples is None or name in self.samples:
            return Jump("sample", name)
        known = [*self.panes, *self.columns, *self.samples, "step", "live"]
        hint = nearest(name, known)
        raise UnknownNameError(f"there is no pane, column or sample {name!r}.{hint}")


def _number(text: str, what: str) -> int:
    digits = text.strip().replace(",", "").replace("_", "")
    if not digits.isdecimal():
        raise UsageError(f"expected {what}, got {text.strip()!r}")
    return int(digits)


class JumpScreen(AskScreen):
    """Gives a line that `Places.parse` can read."""

    def __init__(self, places: Places) -> None:
        super().__init__("Jump to", "a sample, #row, step 500, a pane, a column")
        self._places = places
        self._choices = places.choices()

    def complete(self, line: str, cursor: int) -> Completion:
        return of_line(line, self._choices, cursor)

    def refusal(self, line: str) -> str:
        try:
            self._places.parse(line)
        except UsageError as error:  # unknown names as well
            return str(error)
        return ""
