"""The view ``curves``: how each logged signal went over the steps, all samples together.

One row is kept for each event (sum, extremes, counts of its values), and steps are put together
when somebody asks: appending is associative, adding floats is not, and a view must not depend on
how its log was cut (G9). A value of a group counts once, however many members that has; of bools
the mean is the share that is true; labels have no curve. Single samples are `history`'s business.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from wl_core.batches import EventBatch, EventGroup
from wl_core.columns import Digest, GrowingArray, State, array_of, pack, unpack
from wl_core.curve import Curve, Evaluation
from wl_core.errors import UnknownNameError, nearest
from wl_core.hookspecs import hookimpl
from wl_core.projection import Projection
from wl_core.table import normalise_name

# One event: the sum and extremes of its values, how many they are and how many not finite.
_COLUMNS = {
    "step": np.int64,
    "sum": np.float64,
    "low": np.float64,
    "high": np.float64,
    "count": np.int64,
    "nonfinite": np.int64,
}
_EVALUATED = "evaluation_finished"


@hookimpl
def wl_projections() -> Sequence[type[Projection]]:
    return [Curves]


class _Series:
    """The events of one signal and origin, in the order of the log."""

    __slots__ = ("columns",)

    def __init__(self) -> None:
        self.columns = {name: GrowingArray(dtype) for name, dtype in _COLUMNS.items()}

    def extend(self, *columns: npt.NDArray[Any]) -> None:
        for mine, more in zip(self.columns.values(), columns, strict=True):
            mine.extend(more)

    @property
    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        return tuple(column.array for column in self.columns.values())


class Curves(Projection):
    """Per step: mean, extremes and number of the values of every signal logged as a curve."""

    name: ClassVar[str] = "curves"
    version: ClassVar[int] = 3
    kinds: ClassVar[frozenset[str]] = frozenset(
        {"values", "group_values", "instance_values", "step_values", "evaluation_finished"}
    )

    def __init__(self) -> None:
        # By signal, then kind of event and origin ("" for the step's own values): only within
        # these is the order of the log known to a fold.
        self._series: dict[str, dict[tuple[str, str], _Series]] = {}
        self.evaluations: list[Evaluation] = []  # in the order of the log

    def fold(self, batch: EventBatch) -> None:
        for kind in ("values", "group_values", "instance_values"):
            for group in batch.groups(kind):
                self._fold_values(group)
        for group in batch.groups("step_values"):
            self._fold_step_values(group)
        for group in batch.groups(_EVALUATED):
            self._fold_evaluations(group)

    def _fold_values(self, group: EventGroup) -> None:
        logged = group.field("log")
        if not any(logged):
            return
        lengths = group.lengths("values")
        kept = np.asarray(logged, np.bool_) & (lengths > 0)
        if kept.any():
            rows = _summaries(group.vector("values"), lengths, group.steps)
            signal, origin = group.key
            series = self._of(signal, (group.kind.name, origin))
            series.extend(*(row[kept[lengths > 0]] for row in rows))

    def _fold_step_values(self, group: EventGroup) -> None:
        values = group.vector("values").astype(np.float64)
        names = [name for event in group.field("names") for name in event]
        steps = np.repeat(group.steps, group.lengths("values"))
        finite = np.isfinite(values)
        for name in dict.fromkeys(names):
            at = np.asarray([index for index, one in enumerate(names) if one == name])
            ones = np.ones(len(at), np.int64)
            row = steps[at], values[at], values[at], values[at], ones, 1 - finite[at]
            self._of(name, ("step_values", "")).extend(*row)

    def _fold_evaluations(self, group: EventGroup) -> None:
        """Each is kept as it was; the means of those that went to their end are points as well."""
        names = ("origin", "tag", "samples", "means", "cancelled", "error")
        columns = [group.field(name) for name in names]
        for step, *said in zip(group.steps.tolist(), *columns, strict=True):
            done = Evaluation(step, *said)
            self.evaluations.append(done)
            if not done.cancelled and not done.error:
                self._add_means(done)

    def _add_means(self, done: Evaluation) -> None:
        step, one = np.asarray([done.step]), np.ones(1, np.int64)
        for signal, mean in done.means.items():
            value = np.asarray([mean], np.float64)
            series = self._of(f"evaluation/{done.name}/{signal}", (_EVALUATED, done.origin))
            series.extend(step, value, value, value, one, 1 - np.isfinite(value))

    def _of(self, signal: str, source: tuple[str, str]) -> _Series:
        sources = self._series.setdefault(signal, {})
        if source not in sources:
            sources[source] = _Series()
        return sources[source]

    def merge(self, later: Self) -> None:
        for signal, sources in later._series.items():
            for source, series in sources.items():
                self._of(signal, source).extend(*series.arrays)
        self.evaluations += later.evaluations

    # -- checkpoints -------------------------------------------------------

    def snapshot(self) -> State:
        names = [(signal, source) for signal in self._series for source in self._series[signal]]
        evaluations = [dataclasses.astuple(one) for one in self.evaluations]
        state: State = {"names": pack(names), "evaluations": pack(evaluations)}
        for number, (signal, source) in enumerate(names):
            for column, values in self._series[signal][source].columns.items():
                state[f"{number}/{column}"] = values.array
        return state

    def restore(self, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        for number, (signal, source) in enumerate(unpack(state, "names")):
            self._of(signal, source).extend(
                *(array_of(state, f"{number}/{column}") for column in _COLUMNS)
            )
        self.evaluations = [Evaluation(*fields) for fields in unpack(state, "evaluations")]

    def digest(self) -> str:
        digest = Digest()
        digest.add(self.name, self.version)
        for signal in sorted(self._series):
            for source in sorted(self._series[signal]):
                digest.add(signal, source, *self._series[signal][source].arrays)
        for one in self.evaluations:
            said = (one.step, one.origin, one.tag, one.samples, one.cancelled, one.error)
            means = np.asarray(list(one.means.values()), np.float64)
            digest.add(said, list(one.means), means)
        return digest.hexdigest()

    # -- reading -----------------------------------------------------------

    def names(self) -> list[str]:
        """The names of all curves, sorted: of signals, and of what evaluations made of them."""
        return sorted(self._series)

    def signals(self) -> list[str]:
        """The signals that have a curve, sorted."""
        return sorted(
            name
            for name, sources in self._series.items()
            if any(kind != _EVALUATED for kind, _ in sources)
        )

    def origins(self, name: str) -> list[str]:
        """The origins whose samples the signal was measured on, sorted; ``""`` for the step."""
        return sorted({origin for _, origin in self._series.get(normalise_name(name), ())})

    def curve(self, name: str, origin: str | None = None) -> Curve:
        """The curve of a signal, over all its origins or over one.

        Raises:
            UnknownNameError: no such signal was logged as a curve, or not of that origin.
        """
        found = self._series.get(normalise_name(name))
        if found is None:
            raise UnknownNameError(f"there is no curve {name!r}.{nearest(name, self._series)}")
        series = [found[source] for source in sorted(found) if origin in {None, source[1]}]
        if not series:
            raise UnknownNameError(
                f"the curve {name!r} has nothing of origin {origin!r}."
                f"{nearest(str(origin), self.origins(name))}"
            )
        columns = [np.concatenate(parts) for parts in zip(*(s.arrays for s in series), strict=True)]
        return _curve(normalise_name(name), *columns)


def _summaries(
    values: npt.NDArray[Any], lengths: npt.NDArray[np.int64], steps: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[Any], ...]:
    """The columns of `_Series` for each event that has values ``[E]``.

    The sum of an event must come out the same to the bit whatever stands around it, so it is taken
    over float64 that are contiguous before ``reduceat`` sees them: a cast of its own would happen
    in buffers, and sums would depend on where those end.
    """
    wide = values.astype(np.float64, copy=False)
    there = lengths > 0
    counts = lengths[there]
    starts = np.cumsum(counts) - counts
    with np.errstate(invalid="ignore", over="ignore"):  # inf - inf; more than float64 holds
        sums = np.add.reduceat(wide, starts)
    nonfinite = np.zeros(len(counts), np.int64)
    if not np.isfinite(sums).all():
        nonfinite = np.add.reduceat(~np.isfinite(wide), starts, dtype=np.int64)
    low, high = np.fmin.reduceat(wide, starts), np.fmax.reduceat(wide, starts)
    return steps[there], sums, low, high, counts, nonfinite


def _curve(name: str, *columns: npt.NDArray[Any]) -> Curve:
    order = np.argsort(columns[0], kind="stable")
    step, total, low, high, count, nonfinite = (column[order] for column in columns)
    starts = np.flatnonzero(np.concatenate([[True], step[1:] != step[:-1]]))
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.add.reduceat(total, starts) / np.add.reduceat(count, starts)
    return Curve(
        name,
        step[starts],
        mean,
        np.fmin.reduceat(low, starts),
        np.fmax.reduceat(high, starts),
        np.add.reduceat(count, starts),
        np.add.reduceat(nonfinite, starts),
    )
