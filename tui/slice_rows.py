"""What the slices pane asks of a run: the rows that are sliced, and what they can be sliced by.

`load_rows` runs in the follower's thread, which folds; all the rest needs only the table that it
gave, which nobody changes, and runs in another one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tui.lazy import is_prepared
from tui.slicing import OF_SIGNAL, VALUES, Asked, Cross
from wl_core.facets import column_of
from wl_core.filters import Filter
from wl_core.joined import instances_with_samples
from wl_core.lazy_column import LazyColumn
from wl_core.slice_finding import default_facets, find_slices
from wl_core.slices import cross
from wl_core.table import Table

if TYPE_CHECKING:
    from wl_core.run import Run

SHAPE = "shape"
FEW = 12  # groups of a facet that is taken without being asked for
_SAY_LITTLE = ("origin", "instances", "sample/instances")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Samples or instances of one moment; ``inner`` are the signals that instances have."""

    table: Table
    instances: bool
    signals: tuple[str, ...]
    inner: frozenset[str]
    position: int
    step: int


def load_rows(run: Run, asked: Asked | None) -> Rows | None:
    """The rows to be sliced; None while a column of them needs more work: ask again then."""
    view = run.view("instances")
    instances = bool(len(view.index)) if asked is None else asked.instances
    table = instances_with_samples(run) if instances else run.samples()
    for name in () if asked is None else _named(table, asked):
        column = table.column(name)
        if isinstance(column, LazyColumn):
            if not is_prepared(run, column):
                return None
            column.loaded()
    step = run.status().step if run.last_step is None else run.last_step
    return Rows(table, instances, run.signals(), frozenset(view.signals), run.position, step)


def _named(table: Table, asked: Asked) -> set[str]:
    """The columns that the question is about."""
    facets = () if asked.find else (asked.rows, asked.columns)
    names = {column_of(table, facet).name for facet in facets}
    if asked.where:
        names |= set(Filter.parse(asked.where).columns)
    return names | ({asked.measured} if asked.measured else set())


def first_question(rows: Rows) -> Asked | None:
    """What says something at first sight: what the data is by how it fares; None: nothing does."""
    known = [name for name in facets_of(rows, default_only=True) if name not in _SAY_LITTLE]
    texts = [name for name in known if rows.table.column(name).kind == "text"]
    few = [name for name in [*texts, *known] if _groups(rows.table, name) <= FEW]
    columns = [SHAPE] if SHAPE in rows.table.names else []
    columns += few[1:] + [name for name in known if name not in few] + ["origin"]
    first = next(iter(few or known), None)
    second = next((name for name in columns if name != first), None)
    if first is None or second is None:
        return None
    return Asked(rows.instances, first, second, signal=next(iter(signals_of(rows)), None))


def _groups(table: Table, name: str) -> int:
    column = table.column(name)
    return len(column.categories) if column.is_coded else FEW


def facets_of(rows: Rows, *, default_only: bool = False) -> list[str]:
    """What the rows can be sliced by: what the data is, then shapes, then what is measured."""
    found = default_facets(rows.table, rows.signals)
    if default_only:
        return found
    shapes = [c.name for c in rows.table if not c.is_ready and c.name not in found]
    rest = [
        column.name
        for column in rows.table
        if column.name not in found
        and column.name not in ("sample_id", "annotation_id")
        and column.is_ready
        and (column.kind != "text" or column.name.rpartition("/")[2] == "tags")
    ]
    return [*found, *shapes, *rest]


def signals_of(rows: Rows) -> list[str]:
    """The signals that the rows have numbers of, their own ones first, then those of most rows."""
    there = [
        column
        for column in rows.table
        if column.name in rows.signals and not column.is_coded and column.is_ready
    ]
    mine = rows.inner if rows.instances else frozenset(rows.signals) - rows.inner
    losses = ("loss", "bce", "entropy", "error")
    ranked = sorted(
        there,
        key=lambda one: (
            one.name not in mine,
            not any(word in one.name for word in losses),
            -int(one.present.sum()),
        ),
    )
    return [one.name for one in ranked]


def values_of(rows: Rows) -> list[str]:
    """What a cell can say, as the list of values shows it."""
    measured = [f"{how} of {signal}" for signal in signals_of(rows) for how in OF_SIGNAL]
    return [*VALUES, *measured]


def with_value(asked: Asked, said: str) -> Asked:
    """The same with another value, as `values_of` writes it."""
    how, _, signal = said.partition(" of ")
    return replace(asked, value=how, signal=signal or asked.signal)


def crossed(rows: Rows, asked: Asked) -> Cross:
    """The cross table.

    Raises:
        WlError: what was asked for cannot be had of these rows.
    """
    found = cross(rows.table, asked.rows, asked.columns, asked.measured, where=asked.where)
    return Cross(found, asked.value)


def worst(rows: Rows, asked: Asked) -> Table:
    """The slices in which the signal is worst; see `find_slices`."""
    return find_slices(
        rows.table,
        asked.signal or "",
        signals=rows.signals,
        where=asked.where,
        worst="low" if asked.low_is_bad else "high",
    )
