"""The samples: sorted and filtered, one of them chosen for the other panes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from tui.follow import News
from tui.lazy import LazyColumns
from tui.neighbours import TableNeighbours
from tui.panes.table_pane import TablePane
from tui.sample_table import NO_ROWS, SampleKey, SampleRows, arranged, column_order, metrics_of

if TYPE_CHECKING:
    from tui.app import WlApp


class SamplesPane(TablePane):
    """The table of samples with its filter line."""

    title: ClassVar[str] = "Samples"
    dashboard: ClassVar[int | None] = 0
    kind: ClassVar[str] = "samples"
    fixed: ClassVar[int] = 2

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._rows: SampleRows | None = None
        self._columns: list[str] = []

    @property
    def sample_at_cursor(self) -> SampleKey | None:
        """The sample under the cursor, chosen or not yet."""
        row = self.table.cursor_row
        return None if row is None or self._rows is None else self._rows.key(row)

    @property
    def neighbours(self) -> TableNeighbours:
        """What comes before and after a sample as the table stands."""
        return TableNeighbours(self.table, lambda: self._rows)

    def keys(self) -> SampleRows:
        return NO_ROWS if self._rows is None else self._rows  # keys ask before the first news

    def lazy_columns(self) -> LazyColumns:
        return cast("WlApp", self.app).follower.lazy

    def run_changed(self, news: News) -> None:
        self._rows, self._position, self._moment = news.sample_rows, news.position, news.moment
        # Columns move when one comes or goes, not when cells fill.
        if frozenset(self._columns) != frozenset(news.samples.names):
            self._columns = column_order(news.samples, news.signals, news.uncomputed)
        self.table.signals = frozenset(news.signals) & frozenset(self._columns)
        self.table.worst_low = metrics_of(news.signals)
        table = arranged(news.samples, self._columns)
        self.table.set_table(table, news.sample_rows.ids, news.step)
        self._shown_now(news.uncomputed)

    def sample_chosen(self, sample: SampleKey | None) -> None:
        """Another pane chose it: the cursor comes along."""
        if self._active or sample is None or self._rows is None or sample == self.sample_at_cursor:
            return
        row = self._rows.row_of(sample)
        if row is not None:
            self.table.go_to(row)

    def row_rests(self) -> None:
        self.post_message(self.SampleChosen(self.sample_at_cursor))

    def row_opened(self, row: int) -> None:
        self.post_message(self.SampleOpened(self.key(row).sample, self.neighbours))

    def filter_rows(self, text: str, *, instances: bool) -> bool:
        if not instances:
            self._show_filter(text)
        return not instances

    def command(self, run: str) -> str:
        return self.listing("samples", run)
