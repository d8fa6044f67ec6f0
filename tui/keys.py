"""The keys: which there are, under which ids, and what help, palette and documentation say of them.

Everything is read from the ``BINDINGS`` of the application's own classes, so a key that works is a
key that is told of, and nothing else is.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from textual.binding import ActiveBinding, Binding
from textual.dom import DOMNode
from textual.screen import Screen

import tui
from wl_core.errors import UsageError, nearest

if TYPE_CHECKING:
    from textual.app import App


class KeyRow(NamedTuple):
    """One line of help: where the keys work, how they are written, what they do."""

    where: str
    keys: str
    what: str


def key_rows(screen: Screen[Any]) -> list[KeyRow]:
    """The keys that work now on a screen: those of what has the focus first."""
    rows: dict[tuple[str, str], list[str]] = {}
    for active in screen.active_bindings.values():
        if is_ours(active) and active.enabled:
            what = active.binding.description
            rows.setdefault((_place(active.node), what), []).append(
                screen.app.get_key_display(active.binding)
            )
    return [KeyRow(where, " ".join(keys), what) for (where, what), keys in rows.items()]


def is_ours(active: ActiveBinding) -> bool:
    """Whether it is a key of wl, which all have an id, and none that Textual brings along."""
    return active.binding.id is not None and active.binding.description != ""


def _place(node: DOMNode) -> str:
    return place_name(type(node))


def place_name(kind: type) -> str:
    """What a class with keys is called to a person: ``Samples``, ``Table``."""
    title = getattr(kind, "title", "")
    if isinstance(title, str) and title:
        return title
    name = kind.__name__.removesuffix("Screen").removesuffix("Pane").removeprefix("Wl")
    return _NAMES.get(name, name)


_NAMES = {
    "App": "Everywhere",
    "Main": "Main screen",
    "Deciding": "Rows",
    "Jumping": "Jumps",
    "PaneActions": "What a pane shows",
    "Run": "Screens of a run",
    "ActionList": "Actions",
    "Detail": "Sample",
    "Parted": "Parts of the screen",
    "Ask": "A line that is asked for",
    "Choose": "A list",
    "Pick": "A list to mark in",
    "Compare": "Two runs",
    "Event": "One event",
    "Table": "Samples and instances",
    "VirtualTable": "Table",
    "CrossTable": "Cross table",
    "EventList": "List of events",
    "OverlayImage": "Picture",
    "CurvePlot": "Plot",
    "FilterBar": "Filter line",
    "LineInput": "Line",
    "TimeBar": "Time",
}


def keyed_classes() -> list[type[DOMNode]]:
    """The classes of the TUI that have bindings of their own, in the order of their modules."""
    found: list[type[DOMNode]] = []
    for module in _modules():
        for _, one in inspect.getmembers(importlib.import_module(module), inspect.isclass):
            if one.__module__ == module and issubclass(one, DOMNode) and vars(one).get("BINDINGS"):
                found.append(one)
    return found


def _modules() -> Iterator[str]:
    for module in sorted(m.name for m in pkgutil.walk_packages(tui.__path__, "tui.")):
        if not module.startswith("tui.web"):  # needs an extra, and has no keys of its own
            yield module


def bindings_of(kind: type[DOMNode]) -> list[Binding]:
    """A class's own bindings, each with all its keys separated by commas."""
    bindings = vars(kind).get("BINDINGS", ())
    return [one if isinstance(one, Binding) else Binding(*one) for one in bindings]


def check_keymap(keys: Mapping[str, str]) -> None:
    """Raise UsageError when there is no binding with one of the ids; it names the nearest."""
    known = {one.id for kind in keyed_classes() for one in bindings_of(kind) if one.id}
    for name in keys:
        if name not in known:
            raise UsageError(
                f"there is no key {name!r} to be changed: docs/reference/keys.md lists them."
                f"{nearest(name, known)}"
            )


class PaletteCommand(NamedTuple):
    """A line of the command palette."""

    title: str
    help: str
    run: Callable[[], Any]


def palette_of_keys(app: App[Any], screen: Screen[Any]) -> Iterator[PaletteCommand]:
    """Everything that a key does now, so that it can be found by its name."""
    told: set[tuple[int, str]] = set()
    for active in screen.active_bindings.values():
        node, binding, enabled, _ = active
        hidden = not (is_ours(active) and enabled) or binding.action == "command_palette"
        if hidden or (id(node), binding.action) in told:
            continue
        told.add((id(node), binding.action))
        where, keys = _place(node), app.get_key_display(binding)
        yield PaletteCommand(
            f"{where}: {binding.description}",
            f"key {keys} · {binding.id}",
            _runner(app, binding.action, node),
        )


def _runner(app: App[Any], action: str, node: DOMNode) -> Callable[[], Any]:
    return lambda: app.run_action(action, default_namespace=node)
