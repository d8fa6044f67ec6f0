"""The dialog for a tag: completed from those that the run has, and saying what Enter will do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tui.completion import Choice, Completion, of_line
from tui.screens.ask import AskScreen
from wl_core.errors import nearest
from wl_core.table import Table


class TagScreen(AskScreen):
    """Gives what is to be done: ``tag``, ``-tag``, ``name=value`` or ``-name=value``.

    Args:
        what: what would be tagged, in a few words.
        tags: those that something in the run has, or had.
    """

    def __init__(self, what: str, tags: Sequence[str]) -> None:
        super().__init__(f"Tag {what}", "a tag; -tag takes it off")
        self._what = what
        self._tags = frozenset(tags)
        self._categories: Mapping[str, Sequence[str]] = {}

    def set_categories(self, categories: Mapping[str, Sequence[str]]) -> None:
        """The values that categorical tags may have."""
        self._categories = categories

    def heading(self, line: str) -> str:
        off, tag = line.startswith("-"), line.removeprefix("-").strip()
        name, is_value, value = tag.partition("=")
        if not tag:
            return f"Tag {self._what}"
        if is_value and name in self._categories:
            return f"{name} {'is empty' if off or not value else f'is {value}'} on {self._what}"
        if off:
            return f"Take {tag} off {self._what}"
        new = "" if tag in self._tags else " (a new tag)"
        return f"Tag {self._what}: {tag}{new}"

    def complete(self, line: str, cursor: int) -> Completion:
        off = "-" if line.startswith("-") else ""
        choices = [Choice(f"{off}{tag}", "tag") for tag in sorted(self._tags)]
        choices += [
            Choice(f"{off}{name}={value}", "categorical tag")
            for name, values in self._categories.items()
            for value in values
        ]
        return of_line(line, choices, cursor)

    def refusal(self, line: str) -> str:
        off, tag = line.startswith("-"), line.removeprefix("-").strip()
        name, is_value, value = tag.partition("=")
        values = self._categories.get(name)
        if not tag:
            return "the name of a tag is missing"
        if values is None:
            return ""
        if not is_value:
            return f"{name} is a categorical tag: write {name}={values[0]}, or -{name}= for none"
        if value and value not in values:
            known = ", ".join(values)
            return f"{value!r} is not one of {known}.{nearest(value, values)}"
        return "" if value or off else f"the value is missing: write -{name}= for none"


def tags_of(*tables: Table) -> list[str]:
    """The tags that rows of these tables have."""
    return sorted(
        {
            tag
            for table in tables
            if "tags" in table.names
            for cell in table.column("tags").categories
            for tag in cell.split(",")
            if tag
        }
    )
