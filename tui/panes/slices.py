"""Slices: where two facets of the data cross, what is in each cell, and the worst slices.

What is counted is `wl_core.slices`'; what it looks like, `tui.slicing`'s and the cross table's.
A slice is a filter: Enter asks for its rows, which another pane shows.
"""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from tui.follow import News
from tui.pane import Pane
from tui.screens.choose import ChooseScreen
from tui.slice_rows import (
    Rows,
    crossed,
    facets_of,
    first_question,
    load_rows,
    signals_of,
    values_of,
    with_value,
    worst,
)
from tui.slicing import LEGEND, Asked, Cross
from tui.widgets.cross_table import CrossTable
from tui.widgets.filter_bar import FilterBar
from tui.widgets.line_bar import LineBar
from tui.widgets.table import VirtualTable
from tui.words import age
from wl_core.errors import FilterError, WlError
from wl_core.filters import Filter
from wl_core.table import Table

if TYPE_CHECKING:
    from tui.app import WlApp

MEMORY = "slices.asked"
EVERY = 3.0  # seconds between two counts of a run that goes on, at least
SHARE = 10  # … and so many times what the last one took
LOOK = 1.0
NOTHING = (
    "Nothing to slice by yet. The data set can say what it knows of a sample (a dict as its last"
    " element: weather, camera, …), samples can be tagged (t), a signal can be cut into groups (b)."
    " See docs/howto/slices.md."
)
FREE = "narrow the list, or write a facet such as size:10 or size@0,10,100"
_FOUND = ("slice", "effect", "p_adjusted", "count", "mean", "rest_mean")


class Remark(Static, can_focus=True):
    """Said in place of a table; takes the focus, so that the pane's keys work."""


class SlicesPane(Pane):
    """The cross table, or the list of the worst slices."""

    title: ClassVar[str] = "Slices"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b", "choose_rows", "Rows by", id="slices.rows"),
        Binding("a", "choose_columns", "Against", id="slices.columns"),
        Binding("v", "choose_value", "Value", id="slices.value"),
        Binding("f", "find", "Find the worst / cross table", show=False, id="slices.find"),
        Binding("i", "switch_rows", "Instances / samples", show=False, id="slices.instances"),
        Binding("w", "swap", "Swap rows and columns", show=False, id="slices.swap"),
        Binding("o", "switch_bad", "High / low values are bad", show=False, id="slices.bad"),
        Binding("r", "recount", "Count again", show=False, id="slices.recount"),
    ]

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.asked: Asked | None = None
        self._rows: Rows | None = None
        self._found = Table(())
        self._news: News | None = None
        self._counting = False
        self._counted_at = 0.0
        self._took = 0.0
        self._counted: tuple[int, int | None] = (-1, None)  # position and moment of the last count

    def compose_body(self) -> ComposeResult:
        yield FilterBar()
        yield CrossTable(widget_id="cross")
        yield VirtualTable(fixed=1, opens=True, widget_id="worst")
        yield Remark(NOTHING, id="slices-nothing", markup=False)
        yield Static(id="slices-cell", markup=False)
        yield Static(LEGEND, id="slices-legend", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.asked = Asked.from_memory(self.wl_app.memory.get(MEMORY, {}))
        self._show_part("slices-nothing")
        self._tell_nothing("counting …")
        self.set_interval(LOOK, self._keep_up)

    @property
    def wl_app(self) -> WlApp:
        return cast("WlApp", self.app)

    @property
    def cross_table(self) -> CrossTable:
        return self.query_one(CrossTable)

    @property
    def worst_table(self) -> VirtualTable:
        return self.query_one("#worst", VirtualTable)

    # Keeping up with the run

    def run_changed(self, news: News) -> None:
        self._news = news
        self._keep_up()

    def came_into_sight(self) -> None:
        self._keep_up()

    def _keep_up(self) -> None:
        """Counts again when what is shown is old enough, at once where another moment is shown."""
        news = self._news
        if news is None or not self.in_sight or self._counting:
            return
        now = news.position if news.moment is None else -1, news.moment
        rested = time.monotonic() - self._counted_at > max(EVERY, SHARE * self._took)
        if now != self._counted and (rested or now[1] != self._counted[1]):
            self._count()
        else:
            self._say()

    def action_recount(self) -> None:
        self._count()

    @work(exclusive=True, group="slices")
    async def _count(self) -> None:
        self._counting = True
        try:
            await self._count_all()
        finally:
            self._counting = False

    async def _count_all(self) -> None:
        news, began = self._news, time.monotonic()
        if news is not None:
            self._counted = news.position if news.moment is None else -1, news.moment
        rows = await self._load()
        if rows is None:
            return
        if self.asked is None:
            self.asked = await asyncio.to_thread(first_question, rows)
            if self.asked is None:
                self._tell_nothing(NOTHING)
                return
            rows = await self._load()
        if rows is not None and await self._show_rows(rows, self.asked):
            self.wl_app.memory.set(MEMORY, self.asked.to_memory())
        self._counted_at = time.monotonic()
        self._took = self._counted_at - began

    async def _load(self) -> Rows | None:
        """The rows; what takes long to be prepared lets the follower breathe in between."""
        asked = self.asked
        while True:
            try:
                rows = await self.wl_app.ask(lambda run: load_rows(run, asked))
            except (WlError, OSError) as error:
                self._tell_nothing(str(error))
                return None
            if rows is not None:
                self._rows = rows
                return rows
            self.set_heading("folding the history …")

    async def _show_rows(self, rows: Rows, asked: Asked) -> bool:
        """Whether that could be counted."""
        try:
            if asked.find:
                self._show_worst(await asyncio.to_thread(worst, rows, asked))
            else:
                self._show_cross(await asyncio.to_thread(crossed, rows, asked))
        except FilterError as error:
            self.query_one(FilterBar).complain(error)
            return False
        except WlError as error:
            self._tell_nothing(str(error))
            return False
        self._say()
        return True

    # Showing

    def _show_part(self, shown: str) -> None:
        """One of the cross table, the list, and a text in their place."""
        for part in ("cross", "worst", "slices-nothing"):
            self.query_one(f"#{part}").display = part == shown
        for part in ("slices-cell", "slices-legend"):
            self.query_one(f"#{part}").display = shown == "cross"

    def _show_cross(self, cross: Cross) -> None:
        if cross.is_empty:
            self._tell_nothing("no row is left: nothing is in any slice (/ filters)")
            return
        self.cross_table.show(cross)
        self._show_instead("cross")
        self._say_cell()

    def _show_worst(self, found: Table) -> None:
        self._found = found
        if not len(found):
            self._tell_nothing(
                f"No slice is significantly worse in {self._bad_said()}: of 20 rows or more, after"
                " correction for all that were tried. o takes the other values for bad, v another"
                " signal, f goes back to the cross table."
            )
            return
        shown = Table(tuple(found.column(name) for name in _FOUND))
        self.worst_table.show_other(shown)
        self._show_instead("worst")

    def _show_instead(self, part: str) -> None:
        had = self.has_focus_within and not self.query_one(FilterBar).is_being_written
        self._show_part(part)
        if had or (self._active and self.screen.focused is None):
            self.focus_body()

    def _tell_nothing(self, text: str) -> None:
        self.query_one("#slices-nothing", Remark).update(text)
        self._show_instead("slices-nothing")

    def _say(self) -> None:
        """What is shown, of how many rows, and how old it is."""
        asked, rows = self.asked, self._rows
        if asked is None or rows is None:
            return
        kind = "instances" if rows.instances else "samples"
        if asked.find:
            said = [f"the worst slices of {len(rows.table):,} {kind}, by {self._bad_said()}"]
        else:
            said = [f"{asked.rows} × {asked.columns} · {asked.value_said} · {kind}"]
            said += [f"where {asked.where}"] if asked.where else []
        if self._news is not None and self.moment is None and self._counted_at:
            old = self._news.position > rows.position
            steps = self._news.step - rows.step
            if old:
                said.append(f"{age(steps, time.monotonic() - self._counted_at)} (r)")
        self.set_heading(" · ".join(said))

    def _bad_said(self) -> str:
        asked = self.asked
        return "" if asked is None else f"{'low' if asked.low_is_bad else 'high'} {asked.signal}"

    @on(CrossTable.Moved)
    def _say_cell(self) -> None:
        table = self.cross_table
        if table.cross is not None:
            said = table.cross.said(table.row, table.column)
            self.query_one("#slices-cell", Static).update(said)

    def command(self, run: str) -> str:
        if self.asked is not None:
            return self.asked.command(run) + self.at_step_option
        return f"wl slices {shlex.quote(run)} --by origin{self.at_step_option}"

    # Drilling

    @on(CrossTable.Drilled)
    def _drill(self, event: CrossTable.Drilled) -> None:
        cross = self.cross_table.cross
        if cross is not None:
            self._want(cross.filter(event.row, event.column))

    @on(VirtualTable.Chosen, "#worst")
    def _drill_found(self, event: VirtualTable.Chosen) -> None:
        event.stop()
        found = self._found.column("filter").cell(event.row)
        self._want(None if found is None else str(found))

    def _want(self, text: str | None) -> None:
        if text is None:
            self.notify("the filter language has no words for this slice", severity="warning")
        elif self.asked is not None:
            self.post_message(self.FilterWanted(text, instances=self.asked.instances))

    @on(VirtualTable.Highlighted, "#worst")
    @on(VirtualTable.Ordered, "#worst")
    def _not_for_others(self, event: VirtualTable.Highlighted | VirtualTable.Ordered) -> None:
        event.stop()

    # Asking for something else

    def _ask_for(self, asked: Asked) -> None:
        self.asked = asked
        self._count()

    @work(exclusive=True, group="choose slices")
    async def _choose(
        self,
        heading: str,
        names: Callable[[Rows], Sequence[str]],
        now: str,
        take: Callable[[Asked, str], Asked],
        hint: str = FREE,
    ) -> None:
        if self._rows is None:
            return
        choices = await asyncio.to_thread(names, self._rows)
        screen = ChooseScreen(heading, choices, now, hint, free=hint == FREE)
        chosen = await self.app.push_screen_wait(screen)
        asked = self.asked or Asked(self._rows.instances, "origin", "origin")
        if chosen is not None:
            self._ask_for(take(asked, chosen))

    def action_choose_rows(self) -> None:
        now = "" if self.asked is None else self.asked.rows
        self._choose(
            "Rows by", facets_of, now, lambda asked, facet: replace(asked, rows=facet, find=False)
        )

    def action_choose_columns(self) -> None:
        now = "" if self.asked is None else self.asked.columns
        self._choose(
            "Against",
            facets_of,
            now,
            lambda asked, facet: replace(asked, columns=facet, find=False),
        )

    def action_choose_value(self) -> None:
        asked = self.asked
        if asked is not None and asked.find:
            self._choose(
                "Find the slices that are worst in", signals_of, asked.signal or "",
                lambda asked, signal: replace(asked, signal=signal), "narrow the list",
            )  # fmt: skip
        else:
            now = "" if asked is None else asked.value
            self._choose("Each cell says", values_of, now, with_value, "narrow the list")

    def action_find(self) -> None:
        asked = self.asked
        if asked is None or self._rows is None:
            return
        signals = signals_of(self._rows)
        if not signals:
            self.notify("there is no signal of these rows yet, by which one could be the worst")
            return
        signal = asked.signal if asked.signal in signals else signals[0]
        self._ask_for(replace(asked, find=not asked.find, signal=signal))

    def action_switch_rows(self) -> None:
        if self.asked is not None:
            # A facet of a sample may have another name beside those of instances.
            self._ask_for(replace(self.asked, instances=not self.asked.instances))

    def action_swap(self) -> None:
        if self.asked is not None:
            self._ask_for(self.asked.swapped())

    def action_switch_bad(self) -> None:
        if self.asked is not None and self.asked.find:
            self._ask_for(replace(self.asked, low_is_bad=not self.asked.low_is_bad))

    # Filtering

    def search(self) -> None:
        self.query_one(FilterBar).open()

    @on(LineBar.Submitted)
    def _filter_submitted(self, event: LineBar.Submitted) -> None:
        event.stop()
        where = event.text.strip() or None
        try:
            if where is not None:
                Filter.parse(where)
        except FilterError as error:
            self.query_one(FilterBar).complain(error)
            return
        self.query_one(FilterBar).accept()
        if self.asked is not None:
            self._ask_for(replace(self.asked, where=where))

    @on(LineBar.Left)
    def _filter_left(self, event: LineBar.Left) -> None:
        event.stop()
        self._focus_shown()

    def _focus_shown(self) -> None:
        parts = (self.cross_table, self.worst_table, self.query_one(Remark))
        next(part for part in parts if part.display).focus()
