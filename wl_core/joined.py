"""Instances beside what is known of their samples: the weather of the image, for each object in it.

The two tables are the views'; here their rows are brought together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wl_core.lazy_column import LazyColumn
from wl_core.table import Table, TableColumn

if TYPE_CHECKING:
    from wl_core.run import Run

Places = npt.NDArray[np.intp]

_IDS = ("origin", "sample_id")


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
        return _taken(column, name, at)

    def load(wanted: Places | None) -> TableColumn:
        if wanted is None:
            return _taken(column.loaded(), name, at)
        return _taken(column, name, at[wanted])

    return LazyColumn(name, column.kind, len(at), load, column.needs)


def _taken(column: TableColumn, name: str, at: Places) -> TableColumn:
    there = at >= 0
    if not there.any():
        values = np.zeros(len(at), column.values.dtype)
        return TableColumn(name, column.kind, values, there, column.categories)
    found = column.take(np.where(there, at, 0))
    return TableColumn(name, column.kind, found.values, found.present & there, column.categories)
