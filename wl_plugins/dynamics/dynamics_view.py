"""The view ``dynamics``: one score of each method for each row, from a few numbers kept of it.

It folds the signals that `watching` records, of samples and of instances. How a row's values are
kept is `row_state`'s business; as what columns people see the scores, `plugin`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from wl_core.batches import EventBatch, EventGroup
from wl_core.columns import Digest, Rows, State, pack, unpack
from wl_core.errors import UsageError
from wl_core.instance_index import InstanceIndex
from wl_core.projection import Projection
from wl_core.row_index import SampleIndex
from wl_plugins.dynamics.names import EARLY, METHODS, SET, split_name
from wl_plugins.dynamics.row_state import (
    Answers,
    Bounded,
    FirstValues,
    Grouped,
    Losses,
    Mean,
    MeanAndDeviation,
    RowState,
    ratio,
)

Scores = dict[str, npt.NDArray[np.float64]]

_STATES: dict[str, type[RowState]] = {
    "p_true": MeanAndDeviation,
    "margin": Mean,
    "probability_margin": Bounded,
    "correct": Answers,
    "el2n": FirstValues,
    "loss": Losses,
}


class DynamicsView(Projection):
    """Per sample and per instance: the scores of training dynamics, in constant memory for each.

    Rows of samples are those of ``samples``, rows of instances those of ``instances``, whose
    samples are rows of ``samples`` as well.
    """

    name: ClassVar[str] = "dynamics"
    version: ClassVar[int] = 1
    kinds: ClassVar[frozenset[str]] = frozenset({"values", "instance_values"})

    def __init__(self) -> None:
        self.samples = SampleIndex()
        self.instances = InstanceIndex()
        # By level, then by (set, what); False are samples.
        self._states: dict[bool, dict[tuple[str, str], RowState]] = {False: {}, True: {}}

    # -- folding -----------------------------------------------------------

    def fold(self, batch: EventBatch) -> None:
        for group in batch.groups("values"):
            if key := split_name(group.key[0]):
                rows = self.samples.rows_of(batch, group, group.key[1])
                self._put(False, key, batch, rows, group.vector("values"))
        for group in batch.groups("instance_values"):
            if key := split_name(group.key[0]):
                rows = self._instance_rows(batch, group)
                self._put(True, key, batch, rows, group.vector("values"))

    def _put(
        self,
        instances: bool,
        key: tuple[str, str],
        batch: EventBatch,
        rows: Rows,
        values: npt.NDArray[Any],
    ) -> None:
        if len(values) != len(rows):
            raise ValueError(f"{len(values)} values of {key} cannot belong to {len(rows)} rows")
        if len(rows):
            # Signals of one batch have the same rows, which are sorted once.
            groups = batch.shared(("dynamics", id(rows)), Grouped, rows)
            self._state(instances, key).put(rows, groups, values, self._size(instances))

    def _state(self, instances: bool, key: tuple[str, str]) -> RowState:
        states = self._states[instances]
        if key not in states:
            states[key] = _STATES[key[1]]()
        return states[key]

    def _size(self, instances: bool) -> int:
        return len(self.instances) if instances else len(self.samples)

    def _instance_rows(self, batch: EventBatch, group: EventGroup) -> Rows:
        """The row of every value; made once for all groups that speak of the same instances."""
        samples = self.samples.rows_of(batch, group, group.key[1])
        ids, batch_idx = group.ids(), group.vector("batch_idx")
        numbers = group.vector("annotation_ids")

        def make(_: object) -> Rows:
            at = np.repeat(ids.starts, group.lengths("batch_idx")) + batch_idx
            return self.instances.rows(samples[at], numbers)

        key = ("dynamics rows", id(samples), id(ids), id(batch_idx), id(numbers))
        return batch.shared(key, make, None)

    def merge(self, later: Self) -> None:
        samples = later.samples.mapped_into(self.samples)
        instances = self.instances.rows(
            samples[later.instances.sample_rows], later.instances.annotation_ids
        )
        for level, states in later._states.items():
            rows = instances if level else samples
            for key, state in states.items():
                self._state(level, key).merge(state, rows, self._size(level))

    # -- checkpoints -------------------------------------------------------

    def snapshot(self) -> State:
        state: State = {}
        self.samples.snapshot("samples", state)
        self.instances.snapshot("instances", state)
        state["keys"] = pack([list(states) for states in self._states.values()])
        for level, states in self._states.items():
            for number, one in enumerate(states.values()):
                one.snapshot(f"{int(level)}/{number}", self._size(level), state)
        return state

    def restore(self, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        self.samples.restore("samples", state)
        self.instances.restore("instances", state)
        for level, keys in zip(self._states, unpack(state, "keys"), strict=True):
            for number, key in enumerate(keys):
                self._state(level, tuple(key)).restore(f"{int(level)}/{number}", state)

    def digest(self) -> str:
        digest, order = Digest(), self.samples.order()
        digest.add(self.name, self.version, *self.samples.identities(order))
        by_instance = self.instances.order(self.samples.ranks())
        digest.add(self.samples.ranks()[self.instances.sample_rows[by_instance]])
        digest.add(self.instances.annotation_ids[by_instance])
        for level, states in self._states.items():
            for key in sorted(states):
                digest.add(level, key)
                states[key].update(digest, by_instance if level else order)
        return digest.hexdigest()

    # -- reading -----------------------------------------------------------

    def names(self, *, instances: bool = False) -> list[str]:
        """The sets that rows have values of (``dynamics``, ``head_a/dynamics``), sorted."""
        return sorted({name for name, _ in self._states[instances]})

    def observations(self, name: str = SET, *, instances: bool = False) -> npt.NDArray[np.int64]:
        """How often each row ``[R]`` was observed, NaN left out."""
        size = self._size(instances)
        found = [
            state.of_rows(size)["counts"].astype(np.int64)
            for (one, _), state in self._states[instances].items()
            if one == name
        ]
        return np.max(found, axis=0) if found else np.zeros(size, np.int64)

    def scores(self, name: str = SET, *, instances: bool = False, window: int = EARLY) -> Scores:
        """Each method's score of each row ``[R]``, float64; NaN where there are no observations.

        `methods` says what each is; ``window`` is that of ``early_el2n``, up to `EARLY`. Methods
        whose signal the set does not have are left out.

        Raises:
            UsageError: the window is none, or more than is kept.
        """
        if not 1 <= window <= EARLY:
            raise UsageError(f"window must lie in 1 … {EARLY}, as many are kept; got {window}")
        size, found = self._size(instances), {}
        for (one, _), state in self._states[instances].items():
            if one == name:
                found.update(_scores_of(state, size, window))
        return {method: found[method] for method in METHODS if method in found}


def _scores_of(state: RowState, size: int, window: int) -> Scores:
    """What one signal's state says, by method; see `methods` for the formulas."""
    match state:
        case MeanAndDeviation():
            return {"confidence": state.mean(size), "variability": state.deviation(size)}
        case Losses():
            found = state.of_rows(size)
            learned = np.maximum(found["learned"], 1)
            speed = np.where(found["learned"] > 0, 1 / learned, 0.0)
            speed[found["counts"] == 0] = np.nan
            return {"mean_loss": state.mean(size), "loss_drop_speed": speed}
        case Bounded():
            return {"mean_margin": state.mean(size)}
        case Mean():
            return {"aum": state.mean(size)}
        case FirstValues():
            return {"early_el2n": state.mean(size, window)}
        case Answers():
            return _answers(state.of_rows(size))
    raise TypeError(f"no score of a {type(state).__name__}")


def _answers(found: Mapping[str, npt.NDArray[Any]]) -> Scores:
    counts = found["counts"]
    wrong = np.where(counts > 0, found["wrong"].astype(np.float64), np.nan)
    never = (counts > 0) & (found["wrong"] == counts)
    forgotten = np.where(counts > 0, found["forgotten"].astype(np.float64), np.nan)
    return {
        "correctness": 1 - ratio(found["wrong"], counts),
        "forgetting_events": np.where(never, np.inf, forgotten),
        "wrong_events": wrong,
    }
