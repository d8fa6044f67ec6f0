"""The instances of the chosen sample: one row per object, with its own signals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult

from tui.follow import News
from tui.lazy import is_prepared
from tui.pane import Pane
from tui.sample_table import WHO, RowKey, SampleKey, without_empty
from tui.widgets.table import VirtualTable
from wl_core.lazy_column import LazyColumn
from wl_core.table import Table

if TYPE_CHECKING:
    from tui.app import WlApp
    from wl_core.run import Run

ANNOTATION_ID = "annotation_id"


def load_instances(run: Run, sample: SampleKey, *, lazy: bool = False) -> Table:
    """The instances of one sample, without what names the sample and what none of them has.

    ``lazy`` columns only where they are wanted and what they need is there.
    """
    table = run.instances(sample.sample_id, sample.origin)
    shown = [column for column in table if column.name not in WHO]
    table = Table(
        tuple(c for c in shown if not isinstance(c, LazyColumn) or (lazy and is_prepared(run, c)))
    )
    return without_empty(table, (ANNOTATION_ID, "discarded"))


class InstancesPane(Pane):
    """Follows the chosen sample; loads only while in sight."""

    title: ClassVar[str] = "Instances"
    dashboard: ClassVar[int | None] = 2

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._shown: SampleKey | None = None
        self._step = 0
        self._loading = False

    def compose_body(self) -> ComposeResult:
        yield VirtualTable(fixed=1, widget_id="instances")

    @property
    def table(self) -> VirtualTable:
        return self.query_one("#instances", VirtualTable)

    @property
    def annotation_id(self) -> int | None:
        """The instance under the cursor."""
        row = self.table.cursor_row
        if row is None or self._shown != self.sample:
            return None
        value = self.table.table.column(ANNOTATION_ID).cell(row)
        return value if isinstance(value, int) else None

    def run_changed(self, news: News) -> None:
        self._step = news.step
        if not self._loading:
            self._load_if_seen()

    def sample_chosen(self, sample: SampleKey | None) -> None:
        self._load_if_seen()

    def came_into_sight(self) -> None:
        self._load_if_seen()

    def set_active(self, active: bool) -> None:
        super().set_active(active)
        self._say_instance()

    def chosen_rows(self) -> Sequence[RowKey]:
        if self.sample is None or self.annotation_id is None:
            return ()
        return (RowKey(*self.sample, self.annotation_id),)

    def _say_instance(self) -> None:
        """Pointed out once somebody looks at instances: else it would hide the prediction."""
        if self.is_mounted:
            self.post_message(self.InstanceChosen(self.annotation_id if self._active else None))

    def _load_if_seen(self) -> None:
        if self.in_sight and self.sample is not None:
            self._loading = True
            self._load(self.sample)

    @work(exclusive=True, group="instances")
    async def _load(self, sample: SampleKey) -> None:
        lazy = cast("WlApp", self.app).follower.lazy.any_wanted
        table = await self.ask(lambda run: load_instances(run, sample, lazy=lazy))
        self._loading = False
        if table is None:
            return
        if sample == self._shown:
            self.table.set_table(table, table.column(ANNOTATION_ID).values, self._step)
        else:
            self._shown = sample
            self.table.show_other(table, table.column(ANNOTATION_ID).values, self._step)
        self.set_heading(f"{len(table)} of {sample}")

    @on(VirtualTable.Highlighted, "#instances")
    def _row_highlighted(self, event: VirtualTable.Highlighted) -> None:
        event.stop()
        self._say_instance()

    @on(VirtualTable.Ordered, "#instances")
    def _ordered(self, event: VirtualTable.Ordered) -> None:
        event.stop()
