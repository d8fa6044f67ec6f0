"""What panes with a table of rows of a run have in common: filter, marks, columns, trajectories.

Subclasses say what the rows are and load them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, cast, overload

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer

from tui.lazy import LazyColumns
from tui.pane import Pane
from tui.sample_table import RowKey
from tui.screens.columns import ColumnsScreen
from tui.trajectories import Trajectories, reading
from tui.widgets.column_layout import layout_of_json
from tui.widgets.filter_bar import FilterBar
from tui.widgets.ordering import Rows
from tui.widgets.table import VirtualTable
from tui.words import age, fitting
from wl_core.decide import Chosen
from wl_core.errors import FilterError
from wl_core.filters import Filter
from wl_core.row_order import parse_sort

if TYPE_CHECKING:
    from tui.app import WlApp
    from tui.memory import Memory

LOOK = 0.5  # seconds between looks at what is in sight
REST = 0.06  # seconds that the cursor must rest on a row before the other panes load it


class Keys(Protocol):
    """Who stands in the rows of a table as it was: nobody changes it any more."""

    def row_key(self, row: int) -> RowKey:
        """Who stands in that row."""

    def chosen(self, rows: Rows) -> list[Chosen]:
        """Who stands in those rows, as they are decided upon."""


class ChosenRows(Sequence[RowKey]):
    """Who stands in these rows of a table; of a million rows only those asked for are looked up.

    They are looked up later, in another thread, when newer rows may be shown.
    """

    def __init__(self, rows: Rows, keys: Keys) -> None:
        self._rows = rows
        self._keys = keys

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> RowKey: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[RowKey]: ...
    def __getitem__(self, at: int | slice) -> RowKey | Sequence[RowKey]:
        if isinstance(at, slice):
            return ChosenRows(self._rows[at], self._keys)
        return self._keys.row_key(int(self._rows[at]))

    def __iter__(self) -> Iterator[RowKey]:
        return map(self._keys.row_key, self._rows.tolist())

    def by_origin(self) -> list[Chosen]:
        """All of them, an element for each origin."""
        return self._keys.chosen(self._rows)


class TablePane(Pane):
    """A table with its filter line; subclasses give it rows by `_show_rows`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "show_all", "Show all rows", show=False, id="rows.show_all"),
    ]
    kind: ClassVar[str] = ""  # what the rows are, also where the layout is remembered
    fixed: ClassVar[int] = 1

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._rest: Timer | None = None
        self._stood_on: str | None = None  # the column that the cursor was put on to begin with
        self._filter: Filter | None = None
        self._filter_is_new = False  # and in force as soon as the rows are ordered by it
        self._uncomputed: frozenset[str] = frozenset()
        self._awaited: frozenset[str] = frozenset()  # what filter and sort wait for
        self._has_recalled = False  # by what the rows were sorted
        self._trajectories = Trajectories()
        self._position = 0
        self._moment: int | None = None

    def compose_body(self) -> ComposeResult:
        yield FilterBar()
        yield VirtualTable(fixed=self.fixed, opens=True, edited=True, widget_id=self.kind)

    @property
    def table(self) -> VirtualTable:
        return self.query_one(VirtualTable)

    @property
    def filter_bar(self) -> FilterBar:
        return self.query_one(FilterBar)

    # For subclasses

    def keys(self) -> Keys:
        """Who stands in the rows of the table as it is now."""
        raise NotImplementedError

    def key(self, row: int) -> RowKey:
        """Who stands in that row of the table."""
        return self.keys().row_key(row)

    def lazy_columns(self) -> LazyColumns:
        """Those that are computed once they are wanted."""
        raise NotImplementedError

    def row_rests(self) -> None:
        """The cursor has come to rest."""

    def row_opened(self, row: int) -> None:
        """Enter, on that row."""

    def words(self) -> str:
        """What the title line says first: what the rows are."""
        return self._count()

    def hint(self) -> str:
        """What the title line says last, where there is room: what a key does next."""
        return ""

    # What is in sight

    def on_mount(self) -> None:
        self.table.draw_trajectory = self._draw_trajectory
        self._recall_layout()
        # Scrolling, a wider terminal, a cursor that moves: all of it brings columns into sight.
        self.set_interval(LOOK, self._look)

    def _draw_trajectory(self, row: int, signal: str) -> str:
        return self._trajectories.text(int(self.table.ids[row]), signal)

    def on_resize(self) -> None:
        if self.table.table.names:
            self.say()

    def _stand_on_signal(self) -> None:
        """To what people come for, so that ``s`` at once shows the worst first."""
        table = self.table
        names = [one.name for one in table.shown]
        first = next((name for name in names if name in table.signals), None)
        stands_on = table.shown_under_cursor
        is_moved = stands_on is None or stands_on.name not in (self._stood_on or names[0], first)
        if first is None or is_moved or table.sort_keys:
            return  # nothing to stand on, or somebody chose
        self._stood_on = first  # losses may come later, and then before it
        table.action_move_column(names.index(first) - table.cursor_column)

    def _shown_now(self, uncomputed: frozenset[str]) -> None:
        """The table shows newer rows; ``uncomputed`` columns are still empty."""
        self._stand_on_signal()
        self._uncomputed = uncomputed
        self.filter_bar.set_table(self.table.table, uncomputed)
        self._recall_sort()
        if self._awaited and not self._awaited & uncomputed:
            self._awaited = frozenset()
            self.table.reorder()
        self._look()
        self.say()

    def _look(self) -> None:
        self._want(self.table.columns_in_sight)
        self._read_trajectories()

    def _want(self, names: Iterable[str]) -> frozenset[str]:
        """Has lazy columns computed; gives those that are not there yet."""
        missing = self._uncomputed & frozenset(names)
        if missing:
            self.lazy_columns().want(missing)
        return missing

    def _read_trajectories(self) -> None:
        table, signals = self.table, self.table.trajectories_in_sight
        if not signals or not self.in_sight:
            return
        rows = {int(table.ids[row]): row for row in table.rows_in_sight}
        self._trajectories.show_moment(self._moment)
        due = self._trajectories.due(rows, signals, self._position)
        if due:
            self._trajectories.is_reading = True
            self._read({one: self.key(rows[one[0]]) for one in due}, self._position)

    @work(group="trajectories")
    async def _read(self, wanted: dict[tuple[int, str], RowKey], position: int) -> None:
        moment = self._moment
        try:
            found = await self.ask(reading(wanted))
        finally:
            self._trajectories.is_reading = False
        if found is not None and moment == self._moment:
            texts, took = found
            if self._trajectories.put(texts, position, took):
                self.table.redraw()

    def say(self) -> None:
        """How many rows, how many are marked, in what order, and how old that order is."""
        count = self.table.marks.count
        said = [(0, self.words()), (0, f"{count:,} marked" if count else "")]
        if self.table.is_stale and self.table.order_age is not None:
            said.append((1, self._said_of_age(*self.table.order_age)))
        if self._awaited:
            said.append((1, f"computing {', '.join(sorted(self._awaited))} …"))
        said += [
            (2, self._said_of_order()),  # an arrow in the header says it as well
            (3, self._said_of_sort_key()),
            (4, self.hint()),
            (1, "esc takes the marks off" if count else ""),
        ]
        self.set_heading(fitting(said, self.heading_width))

    def _count(self) -> str:
        """``12`` or, with a filter, ``3 of 12``."""
        shown, total = self.table.row_count, len(self.table.table)
        return f"{shown:,} of {total:,}" if self._filter else f"{total:,}"

    def _said_of_order(self) -> str:
        arrows = (f"{k.column}{'▼' if k.descending else '▲'}" for k in self.table.sort_keys)
        return f"sorted by {', '.join(arrows)}" if self.table.sort_keys else ""

    def _said_of_sort_key(self) -> str:
        column, keys = self.table.column_under_cursor, self.table.sort_keys
        is_sorted = column is not None and [key.column for key in keys] == [column.name]
        return "" if column is None or is_sorted else f"s sorts by {column.name}"

    def _said_of_age(self, steps: int, seconds: float) -> str:
        new = self.table.rows_not_ordered
        what, again = ("order", "re-sorts") if self.table.sort_keys else ("filter", "filters again")
        old = age(steps, seconds) if steps else "from before a change"
        return f"{what} {old}{f', {new:,} new' if new else ''}: r {again}"

    # Rows

    def chosen_rows(self) -> Sequence[RowKey]:
        rows = self.table.rows_acted_on
        return ChosenRows(rows, self.keys()) if len(rows) else ()

    @on(VirtualTable.Highlighted)
    def _row_highlighted(self, event: VirtualTable.Highlighted) -> None:
        event.stop()
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(REST, self._rested)

    def _rested(self) -> None:
        self.row_rests()
        self._look()

    @on(VirtualTable.Chosen)
    def _row_chosen(self, event: VirtualTable.Chosen) -> None:
        event.stop()
        self.row_opened(event.row)

    @on(VirtualTable.Marked)
    def _marked(self, event: VirtualTable.Marked) -> None:
        event.stop()
        self.say()
        self.refresh_bindings()

    # Columns

    @property
    def _memory(self) -> Memory:
        return cast("WlApp", self.app).memory

    @property
    def _memory_key(self) -> str:
        return f"{self.table.id}.columns"

    def _recall_layout(self) -> None:
        self.table.set_layout(layout_of_json(self._memory.get(self._memory_key)))

    @on(VirtualTable.LaidOut)
    def _laid_out(self, event: VirtualTable.LaidOut) -> None:
        event.stop()
        layout = self.table.column_layout.to_json()
        self._memory.set(self._memory_key, layout)
        self._look()

    @on(VirtualTable.ColumnsWanted)
    def _columns_wanted(self, event: VirtualTable.ColumnsWanted) -> None:
        event.stop()
        self.app.push_screen(ColumnsScreen(self.table))

    # Filtering

    def search(self) -> None:
        self.filter_bar.open()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape takes the filter off, once no row is marked."""
        if action == "show_all":
            return self._filter is not None
        return super().check_action(action, parameters)

    def action_show_all(self) -> None:
        self._show_filter("")
        self.notify("all rows are shown: the filter is off")

    def _show_filter(self, text: str) -> None:
        """Filter by what nobody has written into the line."""
        self.filter_bar.write(text)
        self._filter_by(text)
        if not text:
            self.filter_bar.accept()

    @on(FilterBar.Submitted)
    def _filter_submitted(self, event: FilterBar.Submitted) -> None:
        event.stop()
        self._filter_by(event.text)

    def _filter_by(self, text: str) -> None:
        try:
            wanted = Filter.parse(text) if text.strip() else None
        except FilterError as error:
            self.filter_bar.complain(error)
            return
        self._filter, self._filter_is_new = wanted, wanted is not None
        if wanted is not None:
            self._awaited |= self._want(wanted.columns)
        columns = () if wanted is None else wanted.columns
        self.table.set_filter(None if wanted is None else wanted.mask, columns)

    @on(FilterBar.Left)
    def _filter_left(self, event: FilterBar.Left) -> None:
        event.stop()
        self.table.focus()

    @on(VirtualTable.Ordered)
    def _ordered(self, event: VirtualTable.Ordered) -> None:
        event.stop()
        if isinstance(event.error, FilterError):
            self._filter = None
            self.table.set_filter(None)
            self.filter_bar.complain(event.error)
        elif event.error is not None:
            self.notify(str(event.error), severity="error", markup=False)
        elif self._filter_is_new:
            self.filter_bar.accept()
        self._filter_is_new = False
        self._awaited |= self._want(key.column for key in self.table.sort_keys)
        self._remember_sort()
        self.say()

    def _recall_sort(self) -> None:
        """As rows were sorted at the last visit; a filter, which would hide some, is not recalled.

        Once there are columns, of which some may be gone.
        """
        names = self.table.table.names
        if self._has_recalled or not names:
            return
        self._has_recalled = True
        kept = str(self._memory.get(f"{self.kind}.sort", ""))
        keys = [key for key in parse_sort(kept, names) if key.column in names]
        if keys:
            self.table.sort_by(*keys)

    def _remember_sort(self) -> None:
        if self._has_recalled:
            kept = ",".join(map(str, self.table.sort_keys))
            self._memory.set(f"{self.kind}.sort", kept or None)

    # The command line

    def listing(self, *words: str) -> str:
        """``wl`` with these words, then the options that print what the table shows."""
        table, options = self.table, list(words)
        if self._filter is not None:
            options += ["--where", self._filter.text]
        if table.sort_keys:
            options += ["--sort", ",".join(map(str, table.sort_keys))]
        if table.column_layout.order or table.column_layout.hidden:
            names = (one.name for one in table.placed if not one.hidden and one.signal is None)
            options += ["--columns", ",".join(names)]
        if self._moment is not None:
            options += ["--at-step", str(self._moment)]
        return shlex.join(["wl", *options])
