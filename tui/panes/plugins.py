"""All plugins: where they come from, what they add, how they are, and why one is not well."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tui.follow import News
from tui.pane import Pane
from tui.sample_facts import text_column
from tui.screens.trouble import TroubleScreen
from tui.widgets.table import VirtualTable
from wl_core.plugins import PluginState, load_plugins, plugin_report
from wl_core.table import Table

if TYPE_CHECKING:
    from tui.app import WlApp
    from wl_core.run import Parked

_LOOKS = 1.0  # seconds between two looks at how plugins are
_SIGNS = {"ok": "✓ ok", "degraded": "! degraded", "failed": "✗ failed", "parked": "‖ parked"}
_GIVES: Mapping[str, str] = {
    "wl_tui_panes": "pane",
    "wl_columns": "column",
    "wl_instance_columns": "instance column",
    "wl_cli_commands": "command",
    "wl_tui_commands": "palette command",
    "wl_projections": "projection",
    "wl_export_formats": "export format",
    "wl_signals": "signal",
    "wl_event_kinds": "event kind",
    "wl_watch_flags": "watch flag",
}


class PluginRow(NamedTuple):
    """One line: a plugin, or something else that went wrong (``hooks`` and ``adds`` are empty)."""

    name: str
    state: str
    source: str
    adds: Mapping[str, Sequence[str]]
    hooks: Sequence[str]
    detail: str
    traceback: str

    def said(self) -> str:
        """Everything about it but the traceback."""
        lines = [
            f"{self.name} · {_SIGNS[self.state]}" + (f" · {self.source}" if self.source else "")
        ]
        if self.detail:
            lines.append(self.detail)
        if self.hooks:
            lines.append(f"implements {', '.join(self.hooks)}")
        lines += [
            f"{_counted(hook, names)}: {', '.join(names)}"
            for hook, names in self.adds.items()
            if names
        ]
        return "\n".join(lines)


class PluginsPane(Pane):
    """Plugins: where they come from, what they add, how they are, tracebacks of failures."""

    title: ClassVar[str] = "Plugins"

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._parked: Sequence[Parked] = ()
        self._rows: list[PluginRow] = []
        self._has_asked = False

    def compose_body(self) -> ComposeResult:
        yield VirtualTable(opens=True, widget_id="plugins")
        with VerticalScroll(can_focus=False):
            yield Static(id="plugin-detail", markup=False)

    def on_mount(self) -> None:
        self.set_interval(_LOOKS, self._look)

    def run_changed(self, news: News) -> None:
        self._parked = news.parked

    def came_into_sight(self) -> None:
        if not self._has_asked:
            self._has_asked = True
            for hook in ("wl_tui_commands", "wl_export_formats"):  # else asked when used
                load_plugins().mapping(hook)
        self._look()

    def _look(self) -> None:
        if not self.in_sight:
            return
        rows = plugin_rows(plugin_report(), self._parked, cast("WlApp", self.app).trouble_reports())
        if rows != self._rows:
            self._rows = rows
            self.query_one(VirtualTable).set_table(_table(rows))
            self._say()

    def _say(self) -> None:
        unwell = sum(row.state != "ok" for row in self._rows)
        how = f"{unwell} not well" if unwell else "all are well"
        self.set_heading(f"{len(self._rows)} · {how}")
        row = self._row
        text = "" if row is None else f"{row.said()}\n\n{row.traceback}".rstrip()
        self.query_one("#plugin-detail", Static).update(Content(text))

    @property
    def _row(self) -> PluginRow | None:
        at = self.query_one(VirtualTable).cursor_row
        return None if at is None or at >= len(self._rows) else self._rows[at]

    @on(VirtualTable.Highlighted)
    @on(VirtualTable.Ordered)
    def _moved(self, event: VirtualTable.Highlighted | VirtualTable.Ordered) -> None:
        event.stop()
        self._say()

    @on(VirtualTable.Chosen)
    def _chosen(self, event: VirtualTable.Chosen) -> None:
        event.stop()
        row = self._rows[event.row]
        if row.traceback:
            self.app.push_screen(TroubleScreen([(row.said(), row.traceback)]))
        else:
            self.notify(f"{row.name} is well: it has no traceback", markup=False)

    def command(self, run: str) -> str:
        tracebacks = any(row.traceback for row in self._rows)
        return f"wl plugins {shlex.quote(run)}" + (" --tracebacks" if tracebacks else "")


def plugin_rows(
    report: Sequence[PluginState],
    parked: Sequence[Parked],
    troubles: Sequence[tuple[str, str]],
) -> list[PluginRow]:
    """Those that are not well first; then what went wrong that no plugin is known for.

    Args:
        parked: projections that were put out of service, with the positions where that was.
        troubles: ``(heading, traceback)`` of all that is wrong now.
    """
    rows = [_row_of(one, parked) for one in report]
    told = [row.traceback for row in rows]
    rows += [
        PluginRow(heading.removesuffix(":"), "failed", "", {}, (), "", traceback)
        for heading, traceback in troubles
        if not any(traceback in one for one in told)
    ]
    return sorted(rows, key=lambda row: row.state == "ok")


def _row_of(one: PluginState, parked: Sequence[Parked]) -> PluginRow:
    mine = [p for p in parked if p.plugin == one.name]
    where = [f"{p.projection} is parked at position {p.position:,}" for p in mine]
    source = "built in" if one.dist == "wl" else f"{one.dist} {one.version}".strip()
    return PluginRow(
        one.name,
        "parked" if mine else one.state,
        source or "registered by the script",
        one.adds,
        one.hooks,
        "; ".join([*where, one.detail] if one.detail else where),
        one.traceback,
    )


def _table(rows: Sequence[PluginRow]) -> Table:
    return Table(
        (
            text_column("name", [row.name for row in rows]),
            text_column("state", [_SIGNS[row.state] for row in rows]),
            text_column("adds", [", ".join(_summary(row)) for row in rows]),
            text_column("from", [row.source for row in rows]),
            text_column("what is wrong", [row.detail for row in rows]),
        )
    )


def _summary(row: PluginRow) -> Iterator[str]:
    for hook, names in row.adds.items():
        if names:
            yield f"{len(names)} {_counted(hook, names)}"


def _counted(hook: str, names: Sequence[str]) -> str:
    word = _GIVES.get(hook, hook)
    return word if len(names) == 1 else f"{word}s"
