"""The samples: sorted and filtered, one of them chosen for the other panes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.timer import Timer

from tui.follow import News
from tui.neighbours import TableNeighbours
from tui.pane import Pane
from tui.sample_table import RowKey, SampleKey, SampleRows, arranged, column_order
from tui.widgets.filter_bar import FilterBar
from tui.widgets.table import VirtualTable
from tui.words import age
from wl_core.errors import FilterError
from wl_core.filters import Filter

if TYPE_CHECKING:
    from tui.app import WlApp

LOOK = 0.5  # seconds between looks at which columns are in sight
REST = 0.06  # seconds that the cursor must rest on a row before the other panes load it


class SamplesPane(Pane):
    """The table of samples with its filter line."""

    title: ClassVar[str] = "Samples"
    dashboard: ClassVar[int | None] = 0

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._rest: Timer | None = None
        self._filter: Filter | None = None
        self._rows: SampleRows | None = None
        self._columns: list[str] = []
        self._uncomputed: frozenset[str] = frozenset()
        self._awaited: frozenset[str] = frozenset()  # what filter and sort wait for

    def compose_body(self) -> ComposeResult:
        yield FilterBar()
        yield VirtualTable(fixed=2, opens=True, widget_id="samples")

    @property
    def table(self) -> VirtualTable:
        return self.query_one("#samples", VirtualTable)

    @property
    def filter_bar(self) -> FilterBar:
        return self.query_one(FilterBar)

    @property
    def sample_at_cursor(self) -> SampleKey | None:
        """The sample under the cursor, chosen or not yet."""
        row = self.table.cursor_row
        return None if row is None or self._rows is None else self._rows.key(row)

    @property
    def neighbours(self) -> TableNeighbours:
        """What comes before and after a sample as the table stands."""
        return TableNeighbours(self.table, lambda: self._rows)

    def run_changed(self, news: News) -> None:
        self._rows = news.sample_rows
        # Columns move when one comes or goes, not when cells fill.
        if frozenset(self._columns) != frozenset(news.samples.names):
            self._columns = column_order(news.samples, news.signals, news.uncomputed)
        table = arranged(news.samples, self._columns)
        self.table.set_table(table, news.sample_rows.ids, news.step)
        self.filter_bar.set_table(table, news.uncomputed)
        self._uncomputed = news.uncomputed
        if self._awaited and not self._awaited & news.uncomputed:
            self._awaited = frozenset()
            self.table.reorder()
        self._want_what_is_seen()
        self._say()

    def on_mount(self) -> None:
        # Scrolling, a wider terminal, a cursor that moves: all of it brings columns into sight.
        self.set_interval(LOOK, self._want_what_is_seen)

    def _want_what_is_seen(self) -> None:
        self._want(self.table.columns_in_sight)

    def _want(self, names: Iterable[str]) -> frozenset[str]:
        """Has lazy columns computed; gives those that are not there yet."""
        missing = self._uncomputed & frozenset(names)
        if missing:
            cast("WlApp", self.app).follower.lazy.want(missing)
        return missing

    def _say(self) -> None:
        """How many rows, in what order, and how old that order is."""
        table, said = self.table, []
        shown, total = table.row_count, len(table.table)
        said.append(f"{shown} of {total}" if self._filter else f"{total}")
        if table.sort_keys:
            said.append(f"sorted by {table.sort_keys[0].column}")
        elif table.column_under_cursor is not None:
            said.append(f"s sorts by {table.column_under_cursor.name}")
        if table.order_age is not None and table.order_age[0]:
            new = f", {table.rows_not_ordered} new" if table.rows_not_ordered else ""
            said.append(f"order {age(*table.order_age)}{new}: r re-sorts")
        if self._awaited:
            said.append(f"computing {', '.join(sorted(self._awaited))} …")
        self.set_heading(" · ".join(said))

    # Choosing

    @on(VirtualTable.Highlighted, "#samples")
    def _row_highlighted(self, event: VirtualTable.Highlighted) -> None:
        event.stop()
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(REST, self._choose)

    def _choose(self) -> None:
        self.post_message(self.SampleChosen(self.sample_at_cursor))

    @on(VirtualTable.Chosen, "#samples")
    def _row_chosen(self, event: VirtualTable.Chosen) -> None:
        event.stop()
        if self._rows is not None:
            self.post_message(self.SampleOpened(self._rows.key(event.row), self.neighbours))

    # Filtering

    def search(self) -> None:
        self.filter_bar.open()

    def chosen_rows(self) -> Sequence[RowKey]:
        sample = self.sample_at_cursor
        return () if sample is None else (RowKey(*sample),)

    @on(FilterBar.Submitted)
    def _filter_submitted(self, event: FilterBar.Submitted) -> None:
        event.stop()
        try:
            wanted = Filter.parse(event.text) if event.text.strip() else None
        except FilterError as error:
            self.filter_bar.complain(error)
            return
        self._filter = wanted
        if wanted is not None:
            self._awaited |= self._want(wanted.columns)
        self.table.set_filter(None if wanted is None else wanted.mask)

    @on(FilterBar.Left)
    def _filter_left(self, event: FilterBar.Left) -> None:
        event.stop()
        self.table.focus()

    @on(VirtualTable.Ordered, "#samples")
    def _ordered(self, event: VirtualTable.Ordered) -> None:
        event.stop()
        if isinstance(event.error, FilterError):
            self._filter = None
            self.table.set_filter(None)
            self.filter_bar.complain(event.error)
        elif event.error is not None:
            self.notify(str(event.error), severity="error", markup=False)
        elif self.filter_bar.is_being_written and self._filter is not None:
            self.filter_bar.accept()
        self._awaited |= self._want(key.column for key in self.table.sort_keys)
        self._say()
