"""Instances beside what is known of their samples: the weather of the image, for each object in it.

The two tables are the views'; here their rows are brought together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wl_core.lazy_column import LazyColumn
from wl_core.table import Cell, Table, TableColumn

if TYPE_CHECKING:
    from wl_core.run import Run

Places = npt.NDArray[np.intp]

_IDS = ("origin", "sample_id")


class JoinedColumn(TableColumn):
    """A column whose cell ``i`` is cell ``at[i]`` of another column, empty where that is -1.

    A look at one cell reads that cell alone; ``values`` and ``present`` are made on the first look
    at them, and kept. No cell stands for others (``aggregated``).
    """

    __slots__ = ("_at", "_column", "_made")

    _at: Places
    _column: TableColumn
    _made: TableColumn | None

    def __init__(self, column: TableColumn, name: str, at: Places) -> None:
        fields = {"name": name, "kind": column.kind, "_column": column, "_at": at, "_made": None}
        for field, value in fields.items():
            object.__setattr__(self, field, value)  # tables do not change, for those who read them

    def __len__(self) -> int:
        return len(self._at)

    def _all(self) -> TableColumn:
        if self._made is None:
            object.__setattr__(self, "_made", _taken(self._column, self.name, self._at))
        assert self._made is not None
        return self._made

    @property
    def values(self) -> npt.NDArray[Any]:
        return self._all().values

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        return self._all().present

    @property
    def categories(self) -> Sequence[Any]:
        return self._column.categories

    @property
    def aggregated(self) -> None:
        return None

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._column.dtype

    @property
    def filled(self) -> int:
        return self._all().filled if self._column.filled else 0

    @property
    def extremes(self) -> tuple[Any, Any] | None:
        return self._column.extremes if len(self) else None

    def is_filled(self, row: int) -> bool:
        return bool(self._at[row] >= 0) and self._column.is_filled(int(self._at[row]))

    def cell(self, row: int) -> Cell:
        return self._column.cell(int(self._at[row])) if self._at[row] >= 0 else None

    def is_aggregated(self, row: int) -> bool:
        return False

    def take(self, rows: Places) -> TableColumn:
        return _taken(self._column, self.name, self._at[rows])


def instances_with_samples(run: Run) -> Table:
    """One row per instance, as ``run.instances()`` has them, with the columns of its sample after.

    A column of the sample whose name an instance's column has already is ``sample/<name>``
    (``sample/tags``, ``sample/discarded``), except where it is but the mean of the instances.
    """
    instances, samples = run.instances(), run.samples()
    at = _sample_places(run)
    taken = set(instances.names)
    columns = list(instances)
    for column in samples:
        name = column.name
        if name in _IDS or (name in taken and _only_of_instances(column)):
            continue
        while name in taken:
            name = f"sample/{name}"
        taken.add(name)
        columns.append(_at(column, name, at))
    return Table(tuple(columns))


def _sample_places(run: Run) -> Places:
    """For each row of ``run.instances()`` that of its sample in ``run.samples()``; -1 for none."""
    instances, samples = run.view("instances"), run.view("samples")
    rows = instances.samples.mapped_into(samples.index, create=False)
    places = np.full(len(rows), -1, np.intp)
    places[rows >= 0] = samples.index.ranks()[rows[rows >= 0]]
    found: Places = places[instances.index.sample_rows[instances.table_rows()]]
    return found


def _only_of_instances(column: TableColumn) -> bool:
    """Whether every cell is a mean of instances."""
    return column.aggregated is not None and bool((column.aggregated == column.present).all())


def _at(column: TableColumn, name: str, at: Places) -> TableColumn:
    """The column's cells at these places, empty at -1; what is lazy stays so."""
    if not isinstance(column, LazyColumn):
        return JoinedColumn(column, name, at)

    def load(wanted: Places | None) -> TableColumn:
        if wanted is None:
            return _taken(column.loaded(), name, at)
        return _taken(column, name, at[wanted])

    return LazyColumn(name, column.kind, len(at), load, column.needs)


def _taken(column: TableColumn, name: str, at: Places) -> TableColumn:
    there = at >= 0
    if not there.any():
        values = np.zeros(len(at), column.dtype)
        return TableColumn(name, column.kind, values, there, column.categories)
    found = column.take(np.where(there, at, 0))
    return TableColumn(name, column.kind, found.values, found.present & there, column.categories)
