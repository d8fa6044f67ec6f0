"""The view ``samples``: what is known of each sample now, one row per sample.

Facts of instances are `instance_view`'s; here a sample only learns that it has them. What a
signal was before its last value is `history`'s, its curve `curves`'. `sample_display` joins this
view with the instances, as people see it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from wl_core.batches import EventBatch, EventGroup
from wl_core.codec import SampleId
from wl_core.columns import CodedColumn, Column, Digest, Rows, State, pack, shared_of, unpack
from wl_core.count_column import CountColumn
from wl_core.hookspecs import hookimpl
from wl_core.kept import Kept
from wl_core.label_column import LabelColumn
from wl_core.projection import Projection
from wl_core.references import Reference, read_array_events
from wl_core.row_index import SampleIndex
from wl_core.table import Cell, Scalar, Table, TableColumn, normalise_name
from wl_plugins.decided import DECISIONS, decisions
from wl_plugins.instance_view import InstanceView
from wl_plugins.other_signals import OtherSignals
from wl_plugins.row_facts import RowFacts
from wl_plugins.sample_display import OWN, Displayed, shown_signal

_PREFIX = re.compile("^(signals|groups|labels)/")


@hookimpl
def wl_projections() -> Sequence[type[Projection]]:
    return [SampleView]


class SampleView(Projection):
    """Per sample: every signal's last value, exposures, decisions, metadata, array references.

    ``times_seen`` counts how often the sample was handed to the model and ``last_step`` is the
    greatest step at which it was; both know nothing of values that were saved without that.
    """

    name: ClassVar[str] = "samples"
    version: ClassVar[int] = 2
    kinds: ClassVar[frozenset[str]] = DECISIONS | frozenset(
        {
            "values",
            "group_values",
            "labels",
            "instance_values",
            "exposed",
            "metadata",
            "instances_found",
            "arrays",
            "signal_declared",
        }
    )

    def __init__(self) -> None:
        self.index = SampleIndex()
        self._facts = RowFacts()
        self._others = OtherSignals()
        self._metadata: dict[str, CodedColumn] = {}
        self._times_seen = CountColumn(0)
        self._last_step = CountColumn(-1)
        self._instances = CountColumn(-1)
        self._declared: dict[str, tuple[str, str, bool]] = {}
        self._kept = Kept()
        self._displayed = Displayed()

    def __len__(self) -> int:
        return len(self.index)

    # -- folding -----------------------------------------------------------

    def fold(self, batch: EventBatch) -> None:
        for group in batch.groups("values"):
            self._fold_values(batch, group)
        for group in batch.groups("group_values"):
            rows = self.index.rows_of(batch, group, group.key[1])
            self._others.put_groups(group.key[0], rows, group, len(self.index))
        for group in batch.groups("labels"):
            rows = self.index.rows_of(batch, group, group.key[1])
            self._others.put_labels(group.key[0], rows, group, len(self.index))
        for group in batch.groups("exposed"):
            self._fold_exposed(batch, group)
        for group in batch.groups("instances_found"):
            self._fold_found(batch, group)
        for group in batch.groups("instance_values"):
            self.index.rows_of(batch, group, group.key[1])
        for group in batch.groups("arrays"):
            self._fold_arrays(batch, group)
        self._fold_metadata(batch)
        for event in decisions(batch):
            self._fold_decision(batch, event)
        for group in batch.groups("signal_declared"):
            fields = [group.field(name) for name in ("signal", "level", "role", "log")]
            for signal, level, role, log in zip(*fields, strict=True):
                self._declared[signal] = (level, role, log)

    def _fold_values(self, batch: EventBatch, group: EventGroup) -> None:
        signal, origin = group.key
        rows = self.index.rows_of(batch, group, origin)
        self._facts.put_values(signal, rows, group.vector("values"), len(self.index))

    def _fold_exposed(self, batch: EventBatch, group: EventGroup) -> None:
        rows = self.index.rows_of(batch, group, group.key[0])
        steps = np.repeat(group.steps, group.ids().lengths)
        np.add.at(self._times_seen.writable(len(self.index)), rows, 1)
        np.maximum.at(self._last_step.writable(len(self.index)), rows, steps)

    def _fold_found(self, batch: EventBatch, group: EventGroup) -> None:
        rows = self.index.rows_of(batch, group, group.key[0])
        counts = group.vector("counts").astype(np.int64)
        np.maximum.at(self._instances.writable(len(self.index)), rows, counts)

    def _fold_arrays(self, batch: EventBatch, group: EventGroup) -> None:
        field, origin = group.key
        rows = self.index.rows_of(batch, group, origin)
        found = read_array_events(group)
        own = found.annotation_ids == 0
        if own.any():
            self._facts.put_arrays(field, rows[found.id_index[own]], found, own, len(self.index))

    def _fold_metadata(self, batch: EventBatch) -> None:
        """In the order of the log across origins, which the order of the columns follows."""
        events: list[tuple[int, dict[str, list[Any]], Rows]] = []
        for group in batch.groups("metadata"):
            rows = self.index.rows_of(batch, group, group.key[0])
            parts = np.split(rows, group.ids().starts[1:])
            events += zip(group.positions.tolist(), group.field("columns"), parts, strict=True)
        for _, columns, rows in sorted(events, key=lambda event: event[0]):
            for name, scalars in columns.items():
                column = self._metadata.setdefault(name, CodedColumn())
                column.put(rows, scalars, len(self.index))

    def _fold_decision(self, batch: EventBatch, event: EventGroup) -> None:
        """Decisions on samples; those with annotation_ids are on instances."""
        if event.kind.name in ("undone", "category_registered"):
            self._facts.decided.take(event)
            return
        rows = self.index.rows_of(batch, event, event.field("origin")[0])
        if event.field("annotation_ids")[0] is None:
            self._facts.decided.take(event, rows)

    def merge(self, later: Self) -> None:
        rows = later.index.mapped_into(self.index)
        size = len(self.index)
        self._facts.merge(later._facts, rows, size)
        self._others.merge(later._others, rows, size)
        for name, coded in later._metadata.items():
            self._metadata.setdefault(name, CodedColumn()).merge(coded, rows, size)
        self._declared.update(later._declared)
        self._times_seen.writable(size)[rows] += later._times_seen.array(len(rows))
        for mine, theirs in (
            (self._last_step, later._last_step),
            (self._instances, later._instances),
        ):
            values = mine.writable(size)
            values[rows] = np.maximum(values[rows], theirs.array(len(rows)))

    def _counts(self) -> tuple[npt.NDArray[np.int64], ...]:
        """``times_seen``, ``last_step``, ``instances`` ``[n]``; -1 is "unknown" in the last two."""
        columns = (self._times_seen, self._last_step, self._instances)
        return tuple(column.array(len(self.index)) for column in columns)

    # -- checkpoints -------------------------------------------------------

    def snapshot(self) -> State:
        state: State = {}
        size = len(self.index)
        self.index.snapshot("index", state)
        self._facts.snapshot("facts", size, state)
        self._others.snapshot("others", size, state)
        state["names"] = pack((list(self._metadata), self._declared))
        for number, column in enumerate(self._metadata.values()):
            column.snapshot(f"metadata/{number}", size, state)
        state["times_seen"], state["last_step"], state["instances"] = self._counts()
        return state

    def restore(self, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        self.index.restore("index", state)
        self._facts.restore("facts", state)
        self._others.restore("others", state)
        metadata, declared = unpack(state, "names")
        self._declared = dict(declared)
        for number, name in enumerate(metadata):
            self._metadata[name] = CodedColumn()
            self._metadata[name].restore(f"metadata/{number}", state)
        self._times_seen.restore(shared_of(state, "times_seen"))
        self._last_step.restore(shared_of(state, "last_step"))
        self._instances.restore(shared_of(state, "instances"))

    def digest(self) -> str:
        digest, order = Digest(), self.index.order()
        digest.add(self.name, self.version, *self.index.identities(order))
        digest.add(*(counts[order] for counts in self._counts()))
        self._facts.update(digest, order)
        self._others.update(digest, order)
        digest.add(sorted(self._declared.items()), list(self._metadata))
        for column in self._metadata.values():
            column.update(digest, order)
        return digest.hexdigest()

    # -- reading -----------------------------------------------------------

    @property
    def signals(self) -> tuple[str, ...]:
        """The signals that samples have values of: numbers, groups' numbers, labels.

        Each in the order in which they came.
        """
        others = (*self._others.groups, *self._others.labels)
        return tuple(dict.fromkeys((*self._facts.signals, *others)))

    def has_numbers(self, signal: str) -> bool:
        """Whether samples have numbers or bools of their own under that name."""
        return signal in self._facts.signals

    @property
    def declared(self) -> Mapping[str, tuple[str, str, bool]]:
        """``{signal: (level, role, log)}`` of every signal that was declared, of any level."""
        return self._declared

    @property
    def nan_counts(self) -> Mapping[str, int]:
        """How many NaN or infinite values were recorded of each signal, ever."""
        return {**self._others.nonfinite, **self._facts.nonfinite}

    @property
    def tags(self) -> tuple[str, ...]:
        """Every tag that was put on a sample and not undone, sorted."""
        return tuple(sorted(self._facts.decided.tags))

    def value(self, origin: str, sample_id: SampleId, column: str) -> Cell:
        """One cell, None when the sample or the column is unknown or the cell is empty.

        A list's is a list.
        ``signals_x`` and ``signals//x`` mean the signal ``x`` and nothing else; a bare name is
        looked for among the signals first. A few µs.
        """
        row = self.index.find(origin, sample_id)
        if row < 0:
            return None
        name = normalise_name(column)
        signal = self._facts.signals.get(name) or self._others.find(name)
        if signal is not None and (name not in OWN or name != column):
            return signal.cell(row)
        if name != column:
            return None
        return self._own_cell(row, name) if name in OWN else self._metadata_cell(row, name)

    def _own_cell(self, row: int, name: str) -> Scalar:
        if name == "origin":
            return self.index.origin(row)
        if name == "sample_id":
            return self.index.sample_id(row)
        if name == "discarded":
            return self._facts.decided.discarded.cell(row)
        if name == "tags":
            return self._facts.decided.tags_of(row)
        times_seen, last_step, instances = self._counts()
        if name == "times_seen":
            return int(times_seen[row])
        known = int((last_step if name == "last_step" else instances)[row])
        return None if known < 0 else known

    def _metadata_cell(self, row: int, name: str) -> Scalar:
        column = self._metadata.get(name) or self._metadata.get(name.removeprefix("metadata/"))
        if column is not None:
            return column.cell(row)
        choice = self._facts.decided.choice(name)
        return None if choice is None else choice.cell(row)

    def tags_on(self, origin: str, ids: Sequence[SampleId]) -> dict[str, list[int]]:
        """For each tag that some of these samples have, which ``[k]`` of them have it."""
        rows = np.asarray([self.index.find(origin, one) for one in ids], np.intp)
        found = self._facts.decided.tags_on(rows, len(self.index))
        return {tag: np.flatnonzero(on).tolist() for tag, on in found.items()}

    def owners(self, places: Iterable[int]) -> list[tuple[str, SampleId, int]]:
        """``(origin, sample_id, 0)`` of these rows of the `table`."""
        rows = self.index.order()[np.asarray(list(places), np.intp)].tolist()
        return [(self.index.origin(row), self.index.sample_id(row), 0) for row in rows]

    def tagged(self, tag: str) -> list[tuple[str, SampleId]]:
        """``(origin, sample_id)`` of the samples that have the tag, in the canonical order."""
        state = self._facts.decided.tags.get(tag)
        return [] if state is None else self._where(state.on(len(self.index)))

    def discarded(self) -> list[tuple[str, SampleId]]:
        """``(origin, sample_id)`` of the samples that are discarded, in the canonical order."""
        return self._where(self._facts.decided.discarded.on(len(self.index)))

    def _where(self, on: npt.NDArray[np.bool_]) -> list[tuple[str, SampleId]]:
        order = self.index.order()
        rows = order[on[order]].tolist()
        return [(self.index.origin(row), self.index.sample_id(row)) for row in rows]

    def is_discarded(self, origin: str, sample_id: SampleId) -> bool:
        """Whether the sample is discarded now."""
        return self._facts.decided.discarded.cell(self.index.find(origin, sample_id))

    def get_ref(self, origin: str, sample_id: SampleId, field: str) -> Reference | None:
        """``(content hash, dtype, shape)`` of the sample's latest array of that field, or None."""
        return self._facts.reference(field, self.index.find(origin, sample_id))

    @property
    def array_fields(self) -> tuple[str, ...]:
        """The fields (``prediction``, …) that some sample has an array of, sorted."""
        return tuple(sorted(self._facts.arrays))

    def live_refs(self) -> set[bytes]:
        """The content hashes of all arrays that a sample names now."""
        return self._facts.live_refs()

    def table(self, others: Collection[str] = ()) -> Table:
        """One row per sample, in the canonical order: own columns, categories, metadata, signals.

        Metadata with the name of one of the view's own columns or of a signal is shown as
        ``metadata/<name>``, a signal with the name of an own column as ``signals/<name>``, and a
        categorical tag whose name is taken by any of these, or is among ``others`` (signals of
        instances), as ``tag/<name>``. Where samples have both numbers and labels of one name, the
        labels are ``labels/<name>``; groups' values likewise ``groups/<name>``.
        """
        order, size = self.index.order(), len(self.index)
        signals = {*self.signals, *others}
        metadata = (
            self._shown(f"metadata/{name}" if name in OWN or name in signals else name, column)
            for name, column in self._metadata.items()
        )
        taken = {*OWN, *self._metadata, *signals}
        chosen = self._facts.decided.choice_columns(taken, order, size)
        measured = self.as_declared(self._signal_columns(others, order, size))
        return Table((*self._own_columns(order), *chosen, *metadata, *measured))

    def _signal_columns(
        self, others: Collection[str], order: Rows, size: int
    ) -> Iterator[TableColumn]:
        yield from self._facts.signal_columns(OWN, order, size)
        for name, column in self._others.named({*OWN, *self._facts.signals, *others}):
            yield self._shown(name, column)

    def _shown(self, name: str, column: Column | CodedColumn | LabelColumn) -> TableColumn:
        """The column as a table shows it; the same as before where nothing of it changed."""
        order, size = self.index.order(), len(self.index)
        return self._kept.get(
            name, (column.state, order), lambda: column.table_column(name, order, size)
        )

    def shown_signals(self, others: Collection[str] = ()) -> set[str]:
        """The names of those columns of `table` that are signals'."""
        taken = {*OWN, *self._facts.signals, *others}
        own = {shown_signal(name) for name in self._facts.signals}
        return own | {name for name, _ in self._others.named(taken)}

    def as_declared(self, signals: Iterable[TableColumn]) -> list[TableColumn]:
        """Columns of signals in the order in which the script named them, the others after."""
        ranks = {name: rank for rank, name in enumerate(self._declared)}

        def rank(column: TableColumn) -> int:
            bare = _PREFIX.sub("", column.name)
            return ranks.get(column.name, ranks.get(bare, len(ranks)))

        return sorted(signals, key=rank)

    def display(self, instances: InstanceView) -> Table:
        """The table as people see it, see `sample_display`."""
        return self._displayed.table(self, instances)

    def metadata(self, origin: str, sample_id: SampleId) -> dict[str, Scalar]:
        """What the data set said of the sample, without empty cells."""
        row = self.index.find(origin, sample_id)
        if row < 0:
            return {}
        cells = {name: column.cell(row) for name, column in self._metadata.items()}
        return {name: value for name, value in cells.items() if value is not None}

    def _own_columns(self, order: Rows) -> tuple[TableColumn, ...]:
        size = len(order)
        decided = self._facts.decided
        made_of = decided.state, order
        return (
            *self.index.table_columns(order),
            self._times_seen.table_column("times_seen", order),
            self._last_step.table_column("last_step", order),
            self._instances.table_column("instances", order),
            self._kept.get("discarded", made_of, lambda: decided.discarded_column(order, size)),
            self._kept.get("tags", made_of, lambda: decided.tags_column(order, size)),
        )
