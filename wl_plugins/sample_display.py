"""The samples as people see them: the view ``samples`` joined with the view ``instances``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.table import Table, TableColumn
from wl_plugins.instance_view import InstanceView
from wl_plugins.sample_view import SampleView, shown_signal


def display_table(samples: SampleView, instances: InstanceView) -> Table:
    """The samples as people see them: empty cells of signals show their instances' mean.

    A sample's own value is never replaced. Signals that only instances have come after the
    samples' own. ``instances`` is how many instance rows the sample has.
    """
    own = samples.table(instances.signals)
    where = instances.samples.mapped_into(samples.index, create=False)
    ranks = samples.index.ranks()
    at = np.where(where >= 0, ranks[where], -1) if len(ranks) else where
    columns = {column.name: column for column in own}
    others = set(columns) - samples.shown_signals(instances.signals)
    counts = _spread(instances.counts(), at, len(own))
    known = columns["instances"]
    columns["instances"] = TableColumn(
        "instances", "number", np.maximum(known.values, counts), known.present | (counts > 0)
    )
    for name, found in instances.means().items():
        shown = shown_signal(name)
        means = _spread(found.means, at[found.sample_rows], len(own))
        there = _spread(np.ones(len(found.means), np.bool_), at[found.sample_rows], len(own))
        columns[shown] = _fallen_back(shown, columns.get(shown), means, there)
    signals = samples.as_declared(c for c in columns.values() if c.name not in others)
    return Table((*(c for c in columns.values() if c.name in others), *signals))


def _spread(values: npt.NDArray[Any], at: npt.NDArray[np.intp], size: int) -> npt.NDArray[Any]:
    """``values[i]`` at place ``at[i]`` of ``[size]``, zero elsewhere; -1 is no place."""
    spread = np.zeros(size, values.dtype)
    spread[at[at >= 0]] = values[at >= 0]
    return spread


def _fallen_back(
    name: str,
    own: TableColumn | None,
    means: npt.NDArray[np.float64],
    there: npt.NDArray[np.bool_],
) -> TableColumn:
    if own is None:
        return TableColumn(name, "number", means, there, aggregated=there)
    aggregated = there & ~own.present
    values = np.where(aggregated, means, own.values)
    return TableColumn(name, "number", values, own.present | there, aggregated=aggregated)
