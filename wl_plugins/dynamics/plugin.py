"""The hooks of training dynamics: the view, and its scores as columns of samples and instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wl_core.codec import SampleId
from wl_core.columns import Rows
from wl_core.hookspecs import hookimpl
from wl_core.projection import Projection
from wl_core.table import TableColumn
from wl_plugins.dynamics.dynamics_view import DynamicsView

if TYPE_CHECKING:
    from wl_core.run import Run


@hookimpl
def wl_projections() -> Sequence[type[Projection]]:
    return [DynamicsView]


@hookimpl
def wl_columns(run: Run) -> Sequence[TableColumn]:
    view: DynamicsView = run.view("dynamics")
    if not view.names():
        return []
    index = run.view("samples").index
    rows = index.mapped_into(view.samples, create=False)[index.order()]
    return _columns(view, rows, instances=False)


@hookimpl
def wl_instance_columns(
    run: Run, origin: str | None, sample_id: SampleId | None
) -> Sequence[TableColumn]:
    view: DynamicsView = run.view("dynamics")
    if not view.names(instances=True):
        return []
    shown = run.view("instances")
    here = shown.table_rows(origin, sample_id)
    samples = shown.samples.mapped_into(view.samples, create=False)[shown.index.sample_rows[here]]
    rows = view.instances.find_all(samples, shown.index.annotation_ids[here])
    return _columns(view, rows, instances=True)


def _columns(view: DynamicsView, rows: Rows, *, instances: bool) -> Sequence[TableColumn]:
    """Every score as ``NAME/METHOD``, of these rows of the view; -1 is none."""
    found = []
    for name in view.names(instances=instances):
        for method, scores in view.scores(name, instances=instances).items():
            found.append(_column(f"{name}/{method}", scores, rows))
    return found


def _column(name: str, scores: npt.NDArray[np.float64], rows: Rows) -> TableColumn:
    values = np.append(scores, np.nan)[rows]  # the last one, which -1 means, is of no row
    return TableColumn(name, "number", values, ~np.isnan(values))
