"""The instances of a sample, or of the whole run, as the screen shows them: loaded, and who is who.

Loading runs in the follower's thread; what was loaded does not change any more.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tui.lazy import LazyColumns, is_prepared
from tui.sample_table import (
    WHO,
    RowKey,
    SampleKey,
    arranged,
    column_order,
    roles_of,
    without_empty,
)
from wl_core.decide import Chosen
from wl_core.instance_index import InstanceIndex
from wl_core.joined import instances_with_samples
from wl_core.lazy_column import LazyColumn
from wl_core.row_index import SampleIndex
from wl_core.table import Table

if TYPE_CHECKING:
    from wl_core.run import Run

ANNOTATION_ID = "annotation_id"
_KEPT = (*WHO, ANNOTATION_ID, "discarded")


@dataclass(frozen=True, slots=True, eq=False)
class InstanceRows:
    """Who stands in which row; ``ids[i]`` is the number of that instance, which never changes."""

    ids: npt.NDArray[np.intp]
    _samples: SampleIndex
    _instances: InstanceIndex

    def row_key(self, row: int) -> RowKey:
        """The instance in that row.

        Asks the view's indices from the event loop: who a numbered instance is never changes.
        """
        number = int(self.ids[row])
        sample = int(self._instances.sample_rows[number])
        annotation_id = int(self._instances.annotation_ids[number])
        return RowKey(self._samples.origin(sample), self._samples.sample_id(sample), annotation_id)

    def find(self, key: RowKey) -> int | None:
        """Where that instance stands, None when it is not in this table."""
        if key.annotation_id is None:
            return None
        number = self._instances.find(self._samples.find(*key.sample), key.annotation_id)
        rows = np.flatnonzero(self.ids == number)
        return int(rows[0]) if number >= 0 and len(rows) else None

    def chosen(self, rows: npt.NDArray[np.intp]) -> list[Chosen]:
        """The instances in those rows, as they are decided upon."""
        numbers = self.ids[rows]
        annotation_ids = self._instances.annotation_ids[numbers]
        found = self._samples.by_origin(self._instances.sample_rows[numbers])
        return [Chosen(origin, ids, annotation_ids[at].tolist()) for origin, at, ids in found]


@dataclass(frozen=True, slots=True, eq=False)
class Instances:
    """What there is to show. ``took``: seconds that it took to load."""

    table: Table
    rows: InstanceRows
    signals: Mapping[str, str]  # with their roles
    uncomputed: frozenset[str]
    took: float


def load_instances(run: Run, sample: SampleKey, *, lazy: bool = False) -> Table:
    """The instances of one sample, without what names the sample and what none of them has.

    ``lazy`` columns only where they are wanted and what they need is there.
    """
    shown = [c for c in run.instances(sample.sample_id, sample.origin) if c.name not in WHO]
    table = Table(
        tuple(c for c in shown if not isinstance(c, LazyColumn) or (lazy and is_prepared(run, c)))
    )
    return without_empty(table, _KEPT)


def load_rows(run: Run, sample: SampleKey | None, lazy: LazyColumns) -> Instances:
    """Those of one sample, without what names the sample and what none of them has; None: all.

    All of them stand beside what is known of their samples, so that filters can speak of it.
    """
    began = time.monotonic()
    view = run.view("instances")
    own = frozenset(view.signals)
    if sample is None:
        rows, table = view.table_rows(), instances_with_samples(run)
        signals = (own | frozenset(run.view("samples").signals)) & frozenset(table.names)
    else:
        rows = view.table_rows(*sample)
        table, signals = run.instances(sample.sample_id, sample.origin), own
        table = Table(tuple(column for column in table if column.name not in WHO))
    table, uncomputed = lazy.shown(run, table)
    table = without_empty(table, {*_KEPT, *uncomputed})
    roles = roles_of(run, signals)
    table = _in_order(table, own, roles, uncomputed)
    who = InstanceRows(rows, view.samples, view.index)
    return Instances(table, who, roles, uncomputed, time.monotonic() - began)


def _in_order(
    table: Table, own: frozenset[str], signals: Mapping[str, str], lazy: frozenset[str]
) -> Table:
    """Who, the instances' own signals, then those of their samples, then the rest."""
    names = column_order(table, signals, lazy)
    first = [ANNOTATION_ID, *(name for name in names if name in own)]
    at = sum(name in WHO for name in names)
    rest = [name for name in names[at:] if name not in first]
    return arranged(table, [*names[:at], *first, *rest])
