"""The view ``instances``: what is known of each instance now, one row per instance.

Rows 1..N of a sample exist from the moment on that the data set said it has N instances. Facts of
whole samples are `sample_view`'s; `InstanceView.means` is what that view's display falls back to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from wl_core.batches import EventBatch, EventGroup
from wl_core.codec import SampleId
from wl_core.columns import Column, Digest, Rows, State
from wl_core.hookspecs import hookimpl
from wl_core.instance_index import InstanceIndex, ranges
from wl_core.kept import Kept
from wl_core.projection import Projection
from wl_core.references import Reference, read_array_events
from wl_core.row_index import SampleIndex
from wl_core.table import Scalar, Table, TableColumn, normalise_name
from wl_plugins.decided import DECISIONS, decisions
from wl_plugins.row_facts import RowFacts

_OWN = ("origin", "sample_id", "annotation_id", "discarded", "tags")


@hookimpl
def wl_projections() -> Sequence[type[Projection]]:
    return [InstanceView]


@dataclass(frozen=True, slots=True, eq=False)
class InstanceMeans:
    """One signal's mean over the instances of each sample.

    ``sample_rows`` ``[k]`` are rows of the instance view's own `SampleIndex`, those of samples of
    which some instance has a value; ``means`` and ``counts`` belong to them.
    """

    sample_rows: Rows
    means: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]


class InstanceView(Projection):
    """Per instance: every signal's last value, decisions, array references."""

    name: ClassVar[str] = "instances"
    version: ClassVar[int] = 2
    kinds: ClassVar[frozenset[str]] = DECISIONS | frozenset(
        {"instance_values", "instances_found", "arrays"}
    )

    def __init__(self) -> None:
        self.samples = SampleIndex()
        self.index = InstanceIndex()
        self._facts = RowFacts()
        self._kept = Kept()

    def __len__(self) -> int:
        return len(self.index)

    # -- folding -----------------------------------------------------------

    def fold(self, batch: EventBatch) -> None:
        for group in batch.groups("instances_found"):
            counts = group.vector("counts").astype(np.int64)
            rows = np.repeat(self.samples.rows_of(batch, group, group.key[0]), counts)
            self.index.rows(rows, ranges(counts) + 1)
        for group in batch.groups("instance_values"):
            self._fold_values(batch, group)
        for group in batch.groups("arrays"):
            self._fold_arrays(batch, group)
        for event in decisions(batch):
            self._fold_decision(batch, event)

    def _fold_values(self, batch: EventBatch, group: EventGroup) -> None:
        signal, origin = group.key
        rows = self._instance_rows(batch, group, origin)
        self._facts.put_values(signal, rows, group.vector("values"), len(self.index))

    def _instance_rows(self, batch: EventBatch, group: EventGroup, origin: str) -> Rows:
        """The row of every value; made once for all groups that speak of the same instances."""
        samples = self.samples.rows_of(batch, group, origin)
        ids, batch_idx = group.ids(), group.vector("batch_idx")
        annotation_ids = group.vector("annotation_ids")

        def make(_: object) -> Rows:
            at = np.repeat(ids.starts, group.lengths("batch_idx")) + batch_idx
            return self.index.rows(samples[at], annotation_ids)

        key = ("instances", id(self.index), origin, id(ids), id(batch_idx), id(annotation_ids))
        return batch.shared(key, make, None)

    def _fold_arrays(self, batch: EventBatch, group: EventGroup) -> None:
        field, origin = group.key
        samples = self.samples.rows_of(batch, group, origin)
        found = read_array_events(group)
        mine = found.annotation_ids > 0
        if mine.any():
            rows = self.index.rows(samples[found.id_index[mine]], found.annotation_ids[mine])
            self._facts.put_arrays(field, rows, found, mine, len(self.index))

    def _fold_decision(self, batch: EventBatch, event: EventGroup) -> None:
        """Decisions on instances; those without annotation_ids are on samples."""
        if event.kind.name in ("undone", "category_registered"):
            self._facts.decided.take(event)
        elif event.field("annotation_ids")[0] is not None:
            samples = self.samples.rows_of(batch, event, event.field("origin")[0])
            rows = self.index.rows(samples, event.vector("annotation_ids"))
            self._facts.decided.take(event, rows)

    def merge(self, later: Self) -> None:
        samples = later.samples.mapped_into(self.samples)
        rows = self.index.rows(samples[later.index.sample_rows], later.index.annotation_ids)
        self._facts.merge(later._facts, rows, len(self.index))

    # -- checkpoints -------------------------------------------------------

    def snapshot(self) -> State:
        state: State = {}
        self.samples.snapshot("samples", state)
        self.index.snapshot("index", state)
        self._facts.snapshot("facts", len(self.index), state)
        return state

    def restore(self, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        self.samples.restore("samples", state)
        self.index.restore("index", state)
        self._facts.restore("facts", state)

    def digest(self) -> str:
        digest, order = Digest(), self._order()
        digest.add(self.name, self.version, *self.samples.identities(self.samples.order()))
        digest.add(self.samples.ranks()[self.index.sample_rows[order]])
        digest.add(self.index.annotation_ids[order])
        self._facts.update(digest, order)
        return digest.hexdigest()

    # -- reading -----------------------------------------------------------

    @property
    def signals(self) -> tuple[str, ...]:
        """The signals that instances have values of, in the order in which they came."""
        return tuple(self._facts.signals)

    @property
    def nan_counts(self) -> Mapping[str, int]:
        """How many NaN or infinite values were recorded of each signal, ever."""
        return self._facts.nonfinite

    @property
    def tags(self) -> tuple[str, ...]:
        """Every tag that was put on an instance and not undone, sorted."""
        return tuple(sorted(self._facts.decided.tags))

    def annotation_ids(self, origin: str, sample_id: SampleId) -> list[int]:
        """The annotation_ids of one sample's instances, ascending."""
        rows = self.index.of_sample(self.samples.find(origin, sample_id))
        ids: list[int] = self.index.annotation_ids[rows].tolist()
        return ids

    def value(self, origin: str, sample_id: SampleId, annotation_id: int, column: str) -> Scalar:
        """A cell of one instance (a signal, or what was decided), None where there is none."""
        row = self.index.find(self.samples.find(origin, sample_id), annotation_id)
        if row < 0:
            return None
        if column == "discarded":
            return self._facts.decided.discarded.cell(row)
        if column == "tags":
            return self._facts.decided.tags_of(row)
        signal = self._facts.signals.get(normalise_name(column))
        if signal is not None:
            return signal.cell(row)
        choice = self._facts.decided.choice(column)
        return None if choice is None else choice.cell(row)

    def owners(self, places: Iterable[int]) -> list[tuple[str, SampleId, int]]:
        """``(origin, sample_id, annotation_id)`` of these rows of the `table` of all."""
        rows = self._order()[np.asarray(list(places), np.intp)]
        numbers = self.index.annotation_ids[rows].tolist()
        samples = self.index.sample_rows[rows].tolist()
        return [
            (self.samples.origin(sample), self.samples.sample_id(sample), number)
            for sample, number in zip(samples, numbers, strict=True)
        ]

    def tags_on(
        self, origin: str, ids: Sequence[SampleId], annotation_ids: Sequence[int]
    ) -> dict[str, list[int]]:
        """For each tag that some of these instances have, which ``[k]`` of them have it."""
        pairs = zip(ids, annotation_ids, strict=True)
        rows = [self.index.find(self.samples.find(origin, one), number) for one, number in pairs]
        found = self._facts.decided.tags_on(np.asarray(rows, np.intp), len(self.index))
        return {tag: np.flatnonzero(on).tolist() for tag, on in found.items()}

    def is_discarded(self, origin: str, sample_id: SampleId, annotation_id: int) -> bool:
        """Whether the instance is discarded now."""
        row = self.index.find(self.samples.find(origin, sample_id), annotation_id)
        return self._facts.decided.discarded.cell(row)

    def get_ref(
        self, origin: str, sample_id: SampleId, annotation_id: int, field: str
    ) -> Reference | None:
        """``(content hash, dtype, shape)`` of the instance's latest array, or None."""
        row = self.index.find(self.samples.find(origin, sample_id), annotation_id)
        return self._facts.reference(field, row)

    @property
    def array_fields(self) -> tuple[str, ...]:
        """The fields (``target``, …) that some instance has an array of, sorted."""
        return tuple(sorted(self._facts.arrays))

    def live_refs(self) -> set[bytes]:
        """The content hashes of all arrays that an instance names now."""
        return self._facts.live_refs()

    def _order(self) -> Rows:
        ranks = self.samples.ranks()
        return self._kept.get(
            "order", (self.index.state, ranks), lambda: self.index.order(self.samples.ranks())
        )

    def table_rows(self, origin: str | None = None, sample_id: SampleId | None = None) -> Rows:
        """The rows of ``index`` that `table` shows for the same arguments, in its order."""
        if origin is None:
            return self._order()
        if sample_id is not None:
            return self.index.of_sample(self.samples.find(origin, sample_id))
        order = self._order()
        return order[self.samples.of_origin(origin)[self.index.sample_rows[order]]]

    def table(self, origin: str | None = None, sample_id: SampleId | None = None) -> Table:
        """One row per instance in the canonical order: own columns, categories, then signals.

        Only one sample's instances when ``sample_id`` is given; that needs its origin.
        """
        order = self.table_rows(origin, sample_id)
        size = len(self.index)
        everywhere = np.ones(len(order), np.bool_)
        taken = {*_OWN, *self._facts.signals}
        return Table(
            (
                *self.samples.table_columns(self.index.sample_rows[order]),
                TableColumn(
                    "annotation_id", "number", self.index.annotation_ids[order], everywhere
                ),
                self._facts.decided.discarded_column(order, size),
                self._facts.decided.tags_column(order, size),
                *self._facts.decided.choice_columns(taken, order, size),
                *self._facts.signal_columns(_OWN, order, size),
            )
        )

    def counts(self) -> npt.NDArray[np.int64]:
        """The number of instances of each sample row ``[n]`` of ``samples``."""
        return self._kept.get(
            "counts",
            (self.index.state, self.samples.state),
            lambda: np.bincount(self.index.sample_rows, minlength=len(self.samples)),
        )

    def means(self) -> dict[str, InstanceMeans]:
        """Every signal's mean over each sample's instances that have a value.

        A NaN that was recorded makes the mean NaN; an instance without a value does not count.
        Values are added by annotation_id, so that the mean is the same however the log was folded.
        """
        order = self._order()
        return {
            name: self._kept.get(
                ("mean", name), (column.state, order), partial(self._means_of, column, order)
            )
            for name, column in self._facts.signals.items()
        }

    def _means_of(self, column: Column, order: Rows) -> InstanceMeans:
        values, present = (array[order] for array in column.arrays(len(self.index)))
        rows = self.index.sample_rows[order][present]
        starts = np.flatnonzero(np.concatenate([rows[:1] >= 0, rows[1:] != rows[:-1]]))
        counts = np.diff(starts, append=len(rows))
        if not len(rows):
            return InstanceMeans(rows, np.empty(0), counts)
        with np.errstate(invalid="ignore", over="ignore"):
            sums = np.add.reduceat(values[present].astype(np.float64), starts)
        return InstanceMeans(rows[starts], sums / counts, counts)
