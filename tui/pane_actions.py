"""What the main screen does with whatever pane is active: export its rows, say its command, jump.

Decisions about rows are `actions`'; what a pane shows is the pane's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.widgets import Input

from tui.exports import ShownRows, export_command
from tui.follow import News
from tui.jump import Jump, Places
from tui.jumping import JumpingScreen
from tui.pane import Pane
from tui.panes.samples import SamplesPane
from tui.sample_table import RowKey, SampleKey
from tui.screens.ask import AskScreen
from tui.widgets.table import VirtualTable
from wl_core.errors import UsageError, WlError
from wl_core.export import exporter_of


class PaneActionsScreen(JumpingScreen):
    """A screen with panes, one of which is ``active``."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # It has priority because what is typed ahead of the line that it opens must end there.
        Binding("x", "export", "Export to a file", show=False, priority=True, id="rows.export"),
    ]

    panes: list[Pane]
    active: Pane

    def show_pane(self, pane: Pane) -> None:
        """Bring it to the front and give it the keys."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What opens a line is no action while one is written."""
        if action == "export" and (isinstance(self.focused, Input) or self._table is None):
            return False  # a pane without rows may have a key of its own for what it shows
        return super().check_action(action, parameters)

    @property
    def _table(self) -> VirtualTable | None:
        """The table of the active pane, the one that is looked at if there are several."""
        tables = list(self.active.query(VirtualTable))
        return next((one for one in tables if one.has_focus), tables[0] if tables else None)

    def command(self, run: str) -> str:
        """The command that prints what the active pane shows."""
        return self.active.command(run)

    # Exporting

    def action_export(self) -> None:
        """Ask for a file and write the rows to it as they are shown."""
        if self.wl_app.read_only:
            self.notify("read-only: no file can be written from here", severity="error")
            return
        table = self._table
        if table is None or not table.row_count:
            self.notify(f"there are no rows to export in {self.active.title}")
            return
        news = self.wl_app.news
        shown = ShownRows.of(table, news.uncomputed if news else frozenset())
        listing = "" if shown.marked else self.active.command(str(self.wl_app.path))
        name = f"{self.active.title.lower().replace(' ', '-')}.csv"
        asking = ExportScreen(len(shown), marked=shown.marked, text=name)

        def take(file: str | None) -> None:
            if file is not None:
                self._export(shown, Path(file).expanduser(), export_command(listing, file))

        self.app.push_screen(asking, take)

    @work(group="export")
    async def _export(self, shown: ShownRows, file: Path, command: str) -> None:
        tell = self._progress(file)
        try:
            rows = await asyncio.to_thread(shown.write, file, tell)
        except WlError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        without = ", ".join(shown.left_out)
        said = [
            f"{rows:,} row{'' if rows == 1 else 's'} in {file}"
            + (f", without {without}" if without else ""),
            command,
        ]
        self.notify("\n".join(part for part in said if part), markup=False)

    def _progress(self, file: Path) -> Callable[[int, int], object]:
        """Tells of a long export, at each tenth; called in the exporting thread."""
        told = 0

        def tell(done: int, total: int) -> None:
            nonlocal told
            tenth = 10 * done // total
            if told < tenth < 10:
                told = tenth
                said = f"writing {file.name}: {10 * tenth} %"
                self.app.call_from_thread(self.notify, said, timeout=1, markup=False)

        return tell

    # Jumping

    def places(self, news: News) -> Places:
        columns = [] if self._table is None else [one.name for one in self._table.shown]
        titles = [pane.title for pane in self.panes]
        return Places.of(titles, news.samples, columns, news.status.step)

    def go_within(self, to: Jump) -> None:
        if to.kind == "pane":
            self.show_pane(next(pane for pane in self.panes if pane.title == to.name))
        else:
            self._go_within_table(to)

    def _go_within_table(self, to: Jump) -> None:
        table = self._table
        if table is None:
            self.notify(f"{self.active.title} has no rows to go to")
        elif to.kind == "column":
            names = [one.name for one in table.shown]
            table.action_move_column(names.index(to.name) - table.cursor_column)
        else:
            table.action_move(to.number - 1 - table.cursor)

    def show_sample(self, sample: SampleKey) -> None:
        """To its row in the table of samples."""
        for pane in self.panes:
            if isinstance(pane, SamplesPane):
                self.show_pane(pane)
                pane.neighbours.stand_on(RowKey(*sample))
                if pane.sample_at_cursor != sample:
                    self.notify(f"{sample} is left out by the filter", markup=False)
                return


class ExportScreen(AskScreen):
    """Asks for a file; one that is there already is asked for twice."""

    def __init__(self, rows: int, *, marked: bool, text: str) -> None:
        which = "marked " if marked else ""
        super().__init__(
            f"Export {rows:,} {which}row{'' if rows == 1 else 's'} to",
            "a file that ends in .csv, .parquet, .json, .jsonl, …",
            text,
        )
        self._warned = ""  # of the file that would be replaced

    def heading(self, line: str) -> str:
        if line and Path(line).expanduser().is_file():
            return f"{self._heading}\n{line} is there already: enter twice replaces it"
        return f"{self._heading}\n(in {os.getcwd()})"

    def refusal(self, line: str) -> str:
        file = Path(line).expanduser()
        try:
            exporter_of(file, None)
        except UsageError as error:
            return str(error)
        if not file.absolute().parent.is_dir():
            return f"there is no folder {file.absolute().parent}"
        if file.exists() and self._warned != line:
            self._warned = line
            return f"{file.name} is there already: enter again replaces it"
        return ""
