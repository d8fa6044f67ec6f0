"""Completion: what could stand where the cursor is, in a line that is being written.

Here is what every such line shares; the words of the filter language are `filter_completion`'s.
No widget: `LineBar` shows the choices.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

MOST = 200  # choices beyond that nobody looks at


class Choice(NamedTuple):
    """``text`` is written in the line; ``note`` says what it is."""

    text: str
    note: str = ""


class Completion(NamedTuple):
    """``line[start:end]`` may become any of the choices, the likeliest first.

    ``eager``: they are worth showing before anybody asks for them.
    """

    start: int
    end: int
    choices: tuple[Choice, ...] = ()
    eager: bool = True

    def taken(self, line: str, choice: Choice) -> tuple[str, int]:
        """The line with that choice in it, and where the cursor is then."""
        return line[: self.start] + choice.text + line[self.end :], self.start + len(choice.text)


def matching(prefix: str, choices: Iterable[Choice]) -> tuple[Choice, ...]:
    """Those that begin with what is written, then those that hold it, whatever the case.

    A single one that is written in full already is no choice any more.
    """
    wanted = prefix.lower()
    first: list[Choice] = []
    other: list[Choice] = []
    for choice in choices:
        text = choice.text.lower()
        if text.startswith(wanted):
            first.append(choice)
        elif wanted in text:
            other.append(choice)
    found = (*first, *other)[:MOST]
    return () if len(found) == 1 and found[0].text.rstrip() == prefix else found


def of_line(line: str, choices: Iterable[Choice], cursor: int | None = None) -> Completion:
    """Completion of a line that is one word altogether."""
    end = len(line) if cursor is None else cursor
    return Completion(0, len(line), matching(line[:end], choices), eager=bool(line))
