"""The hooks of training dynamics: the view, and its scores as columns of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wl_core.columns import Rows
from wl_core.hookspecs import hookimpl
from wl_core.projection import Projection
from wl_core.table import Table, TableColumn
from wl_plugins.dynamics.dynamics_view import DynamicsView

if TYPE_CHECKING:
    from wl_core.run import Run


@hookimpl
def wl_projections() -> Sequence[type[Projection]]:
    return [DynamicsView]


@hookimpl
def wl_columns(run: Run, table: Table) -> Sequence[TableColumn]:
    view: DynamicsView = run.view("dynamics")
    if not view.names():
        return []
    index = run.view("samples").index
    rows = view.samples.mapped_into(index, create=False)
    # Views that were not folded equally far yet may differ in what samples they know.
    places = np.where(rows >= 0, index.ranks()[rows], -1) if len(index) else rows
    return _columns(view, places, len(table), instances=False)


def _columns(
    view: DynamicsView, places: Rows, size: int, *, instances: bool
) -> Sequence[TableColumn]:
    """Every score as ``NAME/METHOD``; row ``i`` of the view is at ``places[i]`` of the table.

    A place of -1 is none.
    """
    found = []
    for name in view.names(instances=instances):
        for method, scores in view.scores(name, instances=instances).items():
            found.append(_column(f"{name}/{method}", scores, places, size))
    return found


def _column(name: str, scores: npt.NDArray[np.float64], places: Rows, size: int) -> TableColumn:
    values, present = np.zeros(size), np.zeros(size, np.bool_)
    there = (places >= 0) & ~np.isnan(scores)
    values[places[there]] = scores[there]
    present[places[there]] = True
    return TableColumn(name, "number", values, present)
