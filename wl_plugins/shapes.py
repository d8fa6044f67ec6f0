"""The column ``shape`` of samples and instances, and the built-in classifier behind it.

``shape`` is that of the first loss, ``shape/SIGNAL`` that of each other loss. Both are lazy: of a
few rows each history is read by itself; of all rows the signal's history is read whole, and only
rows that got values since the last time are classified again. What a shape is and how it is found
is said in `wl_core.shapes`; who classifies, in `wl_core.shape_classifiers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from wl_core.hookspecs import hookimpl
from wl_core.instance_index import ranges
from wl_core.lazy_column import LazyColumn, Rows
from wl_core.plugins import load_plugins
from wl_core.shape_classifiers import Classifier, registry, shapes_of
from wl_core.shapes import LOSS_SHAPES, Shapes, classify_all
from wl_core.table import Table, TableColumn
from wl_core.trajectories import Trajectories

if TYPE_CHECKING:
    from wl_core.row_index import SampleIndex
    from wl_core.run import Run

COLUMN = "shape"
_FEW = 64  # rows whose histories are read one by one, in less time than all of them at once


@hookimpl(trylast=True)
def wl_classify_trajectories(trajectories: Trajectories) -> Shapes:
    return Shapes(classify_all(trajectories), LOSS_SHAPES)


@hookimpl
def wl_columns(run: Run, table: Table) -> Sequence[TableColumn]:
    view = run.view("samples")
    rows = view.index.order()
    owners = _Owners(view.index, rows, np.zeros(len(rows), np.int64))
    return list(_columns(run, "sample", view.has_numbers, view.signals, owners, table))


@hookimpl
def wl_instance_columns(
    run: Run, table: Table, origin: str | None, sample_id: int | str | None
) -> Sequence[TableColumn]:
    view = run.view("instances")
    rows = view.table_rows(origin, sample_id)
    index = view.index
    owners = _Owners(view.samples, index.sample_rows[rows], index.annotation_ids[rows])
    return list(_columns(run, "instance", lambda _: True, view.signals, owners, table))


@dataclass(frozen=True, slots=True, eq=False)
class _Owners:
    """Who stands in the rows of a table: rows ``[n]`` of ``samples``, annotation_ids ``[n]``."""

    samples: SampleIndex
    sample_rows: npt.NDArray[np.integer[Any]]
    annotation_ids: npt.NDArray[np.int64]

    def take(self, rows: Rows) -> _Owners:
        return _Owners(self.samples, self.sample_rows[rows], self.annotation_ids[rows])


def _keys(
    sample_rows: npt.NDArray[np.integer[Any]], annotation_ids: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """One integer for each; below 0 where the sample's row is -1."""
    keys: npt.NDArray[np.int64] = (sample_rows.astype(np.int64) << 32) | annotation_ids
    return keys


def _columns(
    run: Run,
    level: str,
    has_numbers: Callable[[str], bool],
    signals: Sequence[str],
    owners: _Owners,
    table: Table,
) -> Iterator[TableColumn]:
    """One lazy column for each signal that has a shape to be shown."""
    declared = run.view("samples").declared
    there = [name for name in signals if has_numbers(name)]
    losses = [
        name
        for name, (of_level, role, _) in declared.items()
        if (of_level, role) == (level, "loss") and name in there
    ]
    first = losses[:1] or there[:1]
    others = [*losses[1:], *(name for name in there if registry.has_own(name))]
    for name in dict.fromkeys([*first, *others]):
        column = COLUMN if [name] == first else f"{COLUMN}/{name}"
        if column not in table.names:
            load = _Load(run, name, level == "instance", column, owners)
            yield LazyColumn(column, "text", len(owners.sample_rows), load, ["history"])


@dataclass(frozen=True, slots=True, eq=False)
class _Load:
    """Computes a column of shapes, or some rows of it."""

    run: Run
    signal: str
    instances: bool
    column: str
    owners: _Owners

    def __call__(self, rows: Rows | None) -> TableColumn:
        owners = self.owners if rows is None else self.owners.take(rows)
        known = _known(self.run, self.signal, self.instances)
        if len(owners.sample_rows) <= _FEW and not known.is_current(self.run):
            found = self._one_by_one(owners)
        else:
            known.catch_up(self.run)
            found = known.of(self.run, owners)
        codes = found.codes.astype(np.int32)
        return TableColumn(self.column, "text", codes, codes >= 0, found.labels)

    def _one_by_one(self, owners: _Owners) -> Shapes:
        history, samples = self.run.view("history"), owners.samples
        numbers = owners.annotation_ids.tolist()
        parts = [
            history.history(self.signal, samples.origin(row), samples.sample_id(row), number)
            for row, number in zip(owners.sample_rows.tolist(), numbers, strict=True)
        ]
        codes = np.full(len(parts), -1, np.int64)
        there = np.array([len(steps) > 0 for steps, _ in parts], np.bool_)
        if not there.any():
            return Shapes(codes, ())
        steps, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        counts = [len(steps) for steps, _ in parts if len(steps)]
        found = Trajectories(
            owners.sample_rows[there].astype(np.int64),
            owners.annotation_ids[there],
            np.cumsum([0, *counts]),
            steps,
            values,
        )
        shapes = shapes_of(load_plugins(), self.signal, found)
        codes[there] = shapes.codes
        return Shapes(codes, shapes.labels)


@dataclass(slots=True)
class _Known:
    """The shapes of a signal's trajectories as they were when the run had so many events.

    ``keys`` ``[R]`` are sorted; ``counts`` is how many values each trajectory had.
    """

    signal: str
    instances: bool
    classifier: Classifier | None
    position: int = -1
    keys: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    codes: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    labels: list[str] = field(default_factory=list)

    def is_current(self, run: Run) -> bool:
        return self.position == run.position

    def catch_up(self, run: Run) -> None:
        """Classifies what got values since the last time."""
        history = run.view("history")  # which folds it, where it was not folded before
        if self.is_current(run):
            return
        empty = np.empty(0, np.int64)
        parts = [(empty, empty, empty)]
        for some in history.ranges(self.signal, instances=self.instances):
            keys = _keys(some.sample_rows, some.annotation_ids)
            parts.append((keys, some.counts, self._codes(keys, some)))
        self.keys, self.counts, self.codes = map(np.concatenate, zip(*parts, strict=True))
        self.position = run.position

    def _codes(self, keys: npt.NDArray[np.int64], now: Trajectories) -> npt.NDArray[np.int64]:
        """The known codes of trajectories that have as many values as before, new ones else."""
        at, same = _find(keys, self.keys)
        codes = np.full(len(keys), -1, np.int64)
        if len(self.keys):
            same &= self.counts[at] == now.counts
            codes[same] = self.codes[at[same]]
        grown = np.flatnonzero(~same)
        if len(grown):
            found = shapes_of(load_plugins(), self.signal, some_of(now, grown))
            codes[grown] = self._renumbered(found)
        return codes

    def _renumbered(self, found: Shapes) -> npt.NDArray[np.int64]:
        """The codes as indices of ``labels``, which grow by what is new."""
        self.labels += [label for label in found.labels if label not in self.labels]
        numbers = [*(self.labels.index(label) for label in found.labels), -1]  # at -1: no shape
        codes: npt.NDArray[np.int64] = np.array(numbers, np.int64)[found.codes]
        return codes

    def of(self, run: Run, owners: _Owners) -> Shapes:
        """The shapes of the rows of a table."""
        in_history = owners.samples.mapped_into(run.view("history").index, create=False)
        at, there = _find(_keys(in_history[owners.sample_rows], owners.annotation_ids), self.keys)
        codes = np.full(len(at), -1, np.int64)
        codes[there] = self.codes[at[there]]
        return Shapes(codes, tuple(self.labels))


_known_of: WeakKeyDictionary[Run, dict[tuple[str, bool], _Known]] = WeakKeyDictionary()


def _known(run: Run, signal: str, instances: bool) -> _Known:
    """What is known of that signal's shapes; nothing when another classifier answers now."""
    of_run, classifier = _known_of.setdefault(run, {}), registry.of(signal)
    known = of_run.get((signal, instances))
    if known is None or known.classifier is not classifier:
        known = of_run[signal, instances] = _Known(signal, instances, classifier)
    return known


def _find(
    wanted: npt.NDArray[np.int64], keys: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Where each wanted key stands in the sorted ``keys``, and whether it does."""
    if not len(keys):
        return np.zeros(len(wanted), np.intp), np.zeros(len(wanted), np.bool_)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return at, keys[at] == wanted


def some_of(trajectories: Trajectories, rows: npt.NDArray[np.intp]) -> Trajectories:
    """Those rows alone; the same object when that is all of them."""
    if len(rows) == len(trajectories):
        return trajectories
    counts = trajectories.counts[rows]
    at = np.repeat(trajectories.offsets[rows], counts) + ranges(counts)
    return Trajectories(
        trajectories.sample_rows[rows],
        trajectories.annotation_ids[rows],
        np.concatenate([[0], np.cumsum(counts)]),
        trajectories.steps[at],
        trajectories.values[at],
    )
