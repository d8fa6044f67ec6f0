"""The instances of the chosen sample, or those of the whole run: one row per object."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.binding import Binding, BindingType

from tui.follow import News
from tui.instance_table import InstanceRows, Instances, load_rows
from tui.lazy import LazyColumns
from tui.neighbours import TableNeighbours
from tui.panes.table_pane import TablePane
from tui.sample_table import SampleKey, metrics_of

if TYPE_CHECKING:
    from wl_core.run import Run

SHARE = 10  # all instances are loaded again after so many times what that took
ALL = "all samples"  # in place of a sample


class InstancesPane(TablePane):
    """Follows the chosen sample, or shows all instances and chooses it; loads only in sight."""

    title: ClassVar[str] = "Instances"
    dashboard: ClassVar[int | None] = 2
    kind: ClassVar[str] = "instances"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "switch_all", "All/one", id="instances.all"),
    ]

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._of_all = False
        self._shown: tuple[SampleKey | str, int | None] | None = None  # … at which moment
        self._loaded: Instances | None = None
        self._lazy = LazyColumns()
        self._filter_to_come: str | None = None  # to be in force once all instances are there
        self._step = 0
        self._loading = False
        self._rest_until = 0.0

    @property
    def annotation_id(self) -> int | None:
        """The instance under the cursor."""
        row = self.table.cursor_row
        if row is None or self._shown is None or self._shown[0] != self._wanted:
            return None
        return self.key(row).annotation_id

    @property
    def _wanted(self) -> SampleKey | str | None:
        return ALL if self._of_all else self.sample

    def keys(self) -> InstanceRows:
        assert self._loaded is not None  # there is no row before
        return self._loaded.rows

    def lazy_columns(self) -> LazyColumns:
        return self._lazy

    def words(self) -> str:
        return "" if self._shown is None else f"{self._count()} of {self._shown[0]}"

    def hint(self) -> str:
        return "o shows this sample's" if self._of_all else "o shows all"

    # Loading

    def run_changed(self, news: News) -> None:
        moved = news.moment != self._moment
        self._step, self._position, self._moment = news.step, news.position, news.moment
        if moved:
            self._load_if_seen()
        else:
            self.paced(self._load_again)

    def sample_chosen(self, sample: SampleKey | None) -> None:
        if not self._of_all:
            self._load_if_seen()

    def came_into_sight(self) -> None:
        self._load_if_seen()

    def _look(self) -> None:
        super()._look()
        if self._lazy.is_due and not self._loading:
            self._load_if_seen()

    def _load_again(self) -> None:
        """Of newer rows; later, where that takes so long that it would be all that is done."""
        if self._loading or time.monotonic() < self._rest_until:
            self.paced(self._load_again)
        else:
            self._load_if_seen()

    def _load_if_seen(self) -> None:
        if self.in_sight and self._wanted is not None:
            self._loading = True
            self._load(self._wanted)

    @work(exclusive=True, group="instances")
    async def _load(self, wanted: SampleKey | str) -> None:
        what, lazy = (wanted, self._moment), self._lazy
        is_other = what != self._shown
        sample = wanted if isinstance(wanted, SampleKey) else None
        if is_other:
            self.set_heading(f"loading those of {wanted} …")

        def load(run: Run) -> Instances:
            if is_other:
                lazy.forget()
            return load_rows(run, sample, lazy)

        found = await self.ask(load)
        self._loading = False
        if found is not None:
            self._rest_until = time.monotonic() + (0 if sample else SHARE * found.took)
            self._show(found, what)

    def _show(self, found: Instances, what: tuple[SampleKey | str, int | None]) -> None:
        before, self._shown, self._loaded = self._shown, what, found
        self.table.signals = frozenset(found.signals)
        self.table.worst_low = metrics_of(found.signals)
        if before is not None and before[0] == what[0]:
            self.table.set_table(found.table, found.rows.ids, self._step)
        else:
            self._trajectories.forget()
            self.table.show_other(found.table, found.rows.ids, self._step)
        self._shown_now(found.uncomputed)
        if self._filter_to_come is not None:
            text, self._filter_to_come = self._filter_to_come, None
            self._show_filter(text)

    # Of one sample, or all

    @property
    def _memory_key(self) -> str:
        return "all_instances.columns" if self._of_all else "instances.columns"

    def action_switch_all(self) -> None:
        self._switch(of_all=not self._of_all)

    def _switch(self, *, of_all: bool) -> None:
        """A filter of the others may not fit these: it goes."""
        self._of_all = of_all
        self._rest_until = 0.0
        if self._filter is not None:
            self._show_filter("")
        self.table.pinned_first = 3 if of_all else 1
        self._recall_layout()
        self._load_if_seen()

    def filter_rows(self, text: str, *, instances: bool) -> bool:
        if not instances:
            return False
        if self._of_all and self._shown is not None and self._shown[0] == ALL:
            self._show_filter(text)
        else:
            self._switch(of_all=True)
            self._filter_to_come = text
        return True

    # Choosing

    def set_active(self, active: bool) -> None:
        was = self._active
        super().set_active(active)
        if active and self.is_mounted:
            self.row_rests()
        elif was:
            self.post_message(self.InstanceChosen(None))

    def row_rests(self) -> None:
        """Pointed out once somebody looks at instances: else it would hide the prediction."""
        row = self.table.cursor_row
        if not self._active or row is None or self.annotation_id is None:
            return
        if self._of_all and self.key(row).sample != self.sample:
            self.post_message(self.SampleChosen(self.key(row).sample))
        self.post_message(self.InstanceChosen(self.annotation_id))

    def row_opened(self, row: int) -> None:
        key = self.key(row)
        neighbours = TableNeighbours(self.table, self._known_rows)
        self.post_message(self.SampleOpened(key.sample, neighbours, key.annotation_id))

    def _known_rows(self) -> InstanceRows | None:
        return None if self._loaded is None else self._loaded.rows

    def command(self, run: str) -> str:
        if self._of_all:
            return self.listing("instances", "--all", run)
        if self.sample is None:
            return ""
        origin, sample_id = self.sample
        return self.listing("instances", str(sample_id), run, "--origin", origin)
