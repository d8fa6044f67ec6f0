"""Writes docs/reference/keys.md from the bindings themselves: python docs/keys_reference.py.

A test fails when the page is not what this would write.
"""

from __future__ import annotations

import inspect
from pathlib import Path

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode

from tui.app import summary
from tui.keys import bindings_of, keyed_classes, place_name
from tui.pane import Pane
from tui.plugin import wl_tui_panes

PAGE = Path(__file__).parent / "reference" / "keys.md"
HEAD = """\
# Keys and panes

<!-- Written by docs/keys_reference.py; change the bindings and docstrings instead. -->

`?` lists the keys that work where you are, and `ctrl+p` finds everything that a key does by its
name. Arrow keys and vim's letters both move. A terminal of at least 120 x 30 shows the panes of
the dashboard side by side; a smaller one shows one pane at a time.

Each key has an id, by which it can be changed in `tui.toml` in wl's configuration directory
(on Linux `~/.config/wl`), several keys separated by commas:

```toml
theme = "wl-light"   # wl-dark, wl-light, wl-contrast, or one of Textual's: ansi-dark and ansi-light
                     # use your terminal's own 16 colours
mouse = false        # leave the mouse to the terminal

[keys]
"run.pause" = "f5"
"table.sort" = "s,f2"
```

An id or a setting that there is not is refused with the nearest name.
"""


def page() -> str:
    """The whole page; built-in panes alone, whatever else is installed."""
    return "\n".join([HEAD, _panes(), "## Keys\n", *map(_keys, keyed_classes())])


def _panes() -> str:
    rows = [f"| {number} | {pane.title} | {_described(pane)} |" for number, pane in _numbered()]
    return "\n".join(
        ["## Panes\n", "| key | pane | what it shows |", "| --- | --- | --- |", *rows, ""]
    )


def _numbered() -> list[tuple[int, type[Pane]]]:
    return list(enumerate(wl_tui_panes(), 1))


def _described(kind: type) -> str:
    """A docstring's first line, of the module where the class itself says less."""
    return summary(inspect.getmodule(kind)) or summary(kind)


def _keys(kind: type[DOMNode]) -> str:
    rows = [
        f"| {_display(binding)} | {binding.description} | `{binding.id}` |"
        for binding in bindings_of(kind)
    ]
    head = [f"### {place_name(kind)}\n", f"{summary(kind)}\n", "| keys | what | id |"]
    return "\n".join([*head, "| --- | --- | --- |", *rows, ""])


def _display(binding: Binding) -> str:
    app: App[None] = App()
    keys = binding.key.split(",")
    shown = [app.get_key_display(Binding(key, binding.action)) for key in keys]
    return " ".join(f"`{key}`" for key in shown)


if __name__ == "__main__":
    PAGE.write_text(page())
