"""Writes docs/reference/cli.md from the commands themselves: python docs/cli_reference.py.

A test fails when the page is not what this would write.
"""

from __future__ import annotations

from pathlib import Path

import click

from wl_core.cli import group
from wl_core.plugins import BUILTIN_PLUGINS, Plugins

PAGE = Path(__file__).parent / "reference" / "cli.md"
HEAD = """\
# The command line

<!-- Written by docs/cli_reference.py; change the commands' own help instead. -->

`wl` looks at runs; plugins add commands to it. What it prints depends on where it goes:

- On a **terminal**: aligned columns and numbers to 4 digits. Columns that do not fit are named on
  stderr, and `~` marks the mean of a sample's instances.
- In a **pipe or file**: tab-separated with a header line, numbers in full, empty cells empty.
  Within a text, `\\t`, `\\n`, `\\r` and `\\\\` stand for these characters.
- With **`--json`**: one JSON array of objects. An empty cell is `null`, and numbers that JSON lacks
  are the texts `"NaN"`, `"Infinity"` and `"-Infinity"`.

Times are seconds since 1970 but on a terminal. Messages go to stderr. The exit status is 0 when
all went well, 1 when something failed or damage was found, 2 when the call was wrong, 130 after
Ctrl-C.
"""


def page() -> str:
    """The whole page; built-in commands alone, whatever else is installed."""
    top = click.Context(group, info_name="wl", max_content_width=88, **group.context_settings)
    overview = group.get_help(top).split("\n\nCommands:")[0]
    sections = [HEAD, _section(group, "wl", overview)]
    for name, command in sorted(_commands().items()):
        context = click.Context(command, info_name=name, parent=top)
        sections.append(_section(command, f"wl {name}", command.get_help(context)))
        for inner, one in sorted(getattr(command, "commands", {}).items()):
            below = click.Context(one, info_name=inner, parent=context)
            sections.append(_section(one, f"wl {name} {inner}", one.get_help(below)))
    return "\n".join(sections)


def _commands() -> dict[str, click.Command]:
    plugins = Plugins(BUILTIN_PLUGINS, installed=False)
    added = {command.name: command for command in plugins.collect("wl_cli_commands")}
    return {**group.commands, **added}


def _section(command: click.Command, name: str, text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return f"## {name}\n\n{command.get_short_help_str(200)}\n\n```text\n{lines}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page())
