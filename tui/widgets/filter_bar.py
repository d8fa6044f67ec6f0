"""The line in which a filter is written: completed from the table, and told what is wrong with it.

The pane whose rows are filtered gives the table by `FilterBar.set_table`, hears
`LineBar.Submitted`, and says with `accept` or `complain` what became of it. What can be completed
is `tui.filter_completion`'s; this file is about when it is said: what is half written is left
alone as long as keys come, and what only lacks its end until Enter.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
from textual import work
from textual.binding import Binding, BindingType
from textual.worker import get_current_worker

from tui.completion import Completion
from tui.filter_completion import MANY, Problem, complete, explained, problem
from tui.screens.ask import AskScreen
from tui.widgets.line_bar import LineBar
from wl_core.errors import FilterError, WlError
from wl_core.filters import Filter
from wl_core.saved_filters import save_filter, saved_filters
from wl_core.table import Table

if TYPE_CHECKING:
    from tui.app import WlApp

KEPT = 50  # filters in the history
COUNTABLE = 0.1  # seconds; what takes longer to count is not counted again
_HISTORY = "filters.history"


class FilterBar(LineBar):
    """Hidden until `open`; stays in sight while a filter is in force."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save filter", id="filter.save")
    ]

    def __init__(self) -> None:
        super().__init__(" / ", "train_bce/sample > 0.5 and not discarded")
        self._table = Table(())
        self._uncomputed: frozenset[str] = frozenset()
        self._saved: Mapping[str, str] = {}
        self._problem: Problem | None = None
        self._in_force = ""  # what the rows are filtered by
        self._too_many = 0  # rows from which counting takes too long

    # For the pane

    def set_table(self, table: Table, uncomputed: frozenset[str] = frozenset()) -> None:
        """What is filtered now; cells of the ``uncomputed`` columns are not there yet."""
        self._table, self._uncomputed = table, uncomputed

    def open(self) -> None:
        super().open()
        self.history = list(self._wl_app.memory.get(_HISTORY, []))
        try:
            self._saved = saved_filters()
        except WlError as error:
            self._saved = {}
            self.remark(str(error))

    def complain(self, error: FilterError) -> None:
        """Point at what is wrong and let the user go on writing."""
        self.open()
        self._say_problem(explained(error, self.text, self._table))

    def accept(self) -> None:
        """The filter is in force: leave it in sight and give the focus back."""
        self.remark("")
        self._in_force = self.text.strip()
        self._remember(self._in_force)
        self.set_class(bool(self._in_force), "-open")
        self.leave()

    @property
    def _wl_app(self) -> WlApp:
        return cast("WlApp", self.app)

    def _remember(self, text: str) -> None:
        if text:
            before = [one for one in self._wl_app.memory.get(_HISTORY, []) if one != text]
            self._wl_app.memory.set(_HISTORY, [*before, text][-KEPT:])

    # The line

    def complete(self, line: str, cursor: int) -> Completion:
        return complete(line, cursor, self._table, self._saved)

    def is_complete(self, line: str) -> bool:
        return problem(line, self._table) is None

    def remark(self, text: str, at: int | None = None, *, wrong: bool = True) -> None:
        self._problem = None
        super().remark(text, at, wrong=wrong)

    def rested(self, line: str) -> None:
        found = problem(line, self._table)
        if found is None:
            self._count(line)
        elif not (found.is_unfinished or self.is_offering):
            self._say_problem(found)

    def _say_problem(self, found: Problem) -> None:
        said = found.message
        if found.instead:
            is_named = found.instead.strip("`") in said
            said += " (tab)" if is_named else f" (tab: {found.instead})"
        self.remark(said, found.offset)
        self._problem = found

    def line_take(self) -> None:
        """Tab: the marked choice, else the remedy of what is wrong."""
        found = self._problem
        if found is None or not found.instead or self.is_offering:
            super().line_take()
            return
        line = self.text
        mended = line[: found.offset] + found.instead + line[found.end :]
        self.write(mended, found.offset + len(found.instead))
        self.remark("")

    def submitted(self, text: str) -> None:
        if not text.strip():
            self.accept()

    def escaped(self) -> None:
        """Escape: back to the table with the filter that is in force; none in an empty line."""
        if not self.text.strip() and self._in_force:
            self.post_message(self.Submitted(""))
            self.accept()
            return
        self.write(self._in_force)
        self.remark("")
        self.set_class(bool(self._in_force), "-open")
        self.leave()

    def line_clear(self) -> None:
        """No filter any more, and an empty line to write the next one in."""
        self.write("")
        if self._in_force:
            self._in_force = ""
            self.post_message(self.Submitted(""))

    # How many rows it would leave

    def _count(self, line: str) -> None:
        if line.strip() and self._is_countable(Filter.parse(line)):
            self._count_in_thread(line, self._table)

    def _is_countable(self, wanted: Filter) -> bool:
        """Whether it costs little: no cell to compute, no test of a million different texts."""
        named = [self._table.column(name) for name in wanted.columns]
        if self._too_many and len(self._table) >= self._too_many:
            return False
        return not any(
            column.name in self._uncomputed or len(column.categories) > MANY for column in named
        )

    @work(thread=True, exclusive=True, group="count")
    def _count_in_thread(self, line: str, table: Table) -> None:
        worker, began = get_current_worker(), time.perf_counter()
        matching = int(np.count_nonzero(Filter.parse(line).mask(table)))
        took = time.perf_counter() - began
        if not worker.is_cancelled:
            self.app.call_from_thread(self._say_count, line, matching, len(table), took)

    def _say_count(self, line: str, matching: int, total: int, took: float) -> None:
        self._too_many = total if took > COUNTABLE else 0
        if self.is_being_written and self.text == line:
            self.remark(f" matches {matching:,} of {total:,}", wrong=False)

    # Saved filters

    def action_save(self) -> None:
        """Keep what is written under a name."""
        text = self.text.strip()
        found = problem(text, self._table)
        if found is not None:
            self._say_problem(found)
        elif text:
            self.app.push_screen(SaveFilterScreen(text, self._saved), self._saved_as)
        else:
            self.notify("there is no filter to save: write one first")

    def _saved_as(self, name: str | None) -> None:
        if name is None:
            return
        name = name.removeprefix("@")
        try:
            replaced = save_filter(name, self.text.strip())
        except WlError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self._saved = saved_filters()
        did = "replaced" if replaced else "saved"
        self.notify(f"{did} @{name}: for any filter, here and in --where '@{name}'", markup=False)


class SaveFilterScreen(AskScreen):
    """Asks for the name of a filter, and says when it would replace another."""

    def __init__(self, text: str, saved: Mapping[str, str]) -> None:
        super().__init__(f"Save the filter {text}", "a name, to be written as @name")
        self._saved = saved

    def heading(self, line: str) -> str:
        name = line.removeprefix("@")
        if name in self._saved:
            return f"{self._heading}\nin place of @{name}: {self._saved[name]}"
        return self._heading
