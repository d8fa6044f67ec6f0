"""The samples as people see them: the view ``samples`` joined with the view ``instances``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wl_core.kept import Kept
from wl_core.table import Table, TableColumn
from wl_plugins.instance_view import InstanceMeans, InstanceView

if TYPE_CHECKING:
    from wl_plugins.sample_view import SampleView

OWN = ("origin", "sample_id", "times_seen", "last_step", "instances", "discarded", "tags")


def shown_signal(signal: str) -> str:
    """The name of the column of a signal that has numbers."""
    return f"signals/{signal}" if signal in OWN else signal


class Displayed:
    """Makes the table again and again: what the views have not changed since is as it was."""

    def __init__(self) -> None:
        self._kept = Kept()

    def table(self, samples: SampleView, instances: InstanceView) -> Table:
        """The samples as people see them: empty cells of signals show their instances' mean.

        A sample's own value is never replaced. Signals that only instances have come after the
        samples' own. ``instances`` is how many instance rows the sample has.
        """
        own = samples.table(instances.signals)
        columns = {column.name: column for column in own}
        others = set(columns) - samples.shown_signals(instances.signals)
        at = self._places(samples, instances)
        if len(instances):
            counts, known = instances.counts(), columns["instances"]
            columns["instances"] = self._kept.get(
                "instances", (counts, known, at), partial(_counted, known, counts, at)
            )
        for name, found in instances.means().items():
            shown = shown_signal(name)
            before = columns.get(shown)
            columns[shown] = self._kept.get(
                ("mean", shown),
                (before, found, at),
                partial(_fallen_back, shown, before, found, at, len(own)),
            )
        signals = samples.as_declared(c for c in columns.values() if c.name not in others)
        return Table((*(c for c in columns.values() if c.name in others), *signals))

    def _places(self, samples: SampleView, instances: InstanceView) -> npt.NDArray[np.intp]:
        """Where each sample that the instances know stands in the table; -1: nowhere."""

        def make() -> npt.NDArray[np.intp]:
            where = instances.samples.mapped_into(samples.index, create=False)
            ranks = samples.index.ranks()
            return np.where(where >= 0, ranks[where], -1) if len(ranks) else where

        return self._kept.get("places", (samples.index.state, instances.samples.state), make)


def _spread(values: npt.NDArray[Any], at: npt.NDArray[np.intp], size: int) -> npt.NDArray[Any]:
    """``values[i]`` at place ``at[i]`` of ``[size]``, zero elsewhere; -1 is no place."""
    spread = np.zeros(size, values.dtype)
    spread[at[at >= 0]] = values[at >= 0]
    return spread


def _counted(
    known: TableColumn, counts: npt.NDArray[np.int64], at: npt.NDArray[np.intp]
) -> TableColumn:
    found = _spread(counts, at, len(known))
    return TableColumn(
        "instances", "number", np.maximum(known.values, found), known.present | (found > 0)
    )


def _fallen_back(
    name: str,
    own: TableColumn | None,
    found: InstanceMeans,
    at: npt.NDArray[np.intp],
    size: int,
) -> TableColumn:
    places = at[found.sample_rows]
    means = _spread(found.means, places, size)
    there = _spread(np.ones(len(places), np.bool_), places, size)
    if own is None:
        return TableColumn(name, "number", means, there, aggregated=there)
    aggregated = there & ~own.present
    values = np.where(aggregated, means, own.values)
    return TableColumn(name, "number", values, own.present | there, aggregated=aggregated)
