"""The view ``hyperparameters``: what is set, by whom, since when; and every change of it.

An edit that the training refused does not count. A learning rate that a schedule changed is known
from its curve (``optimizer/lr``), and is newer than what was said of ``optimizer.lr`` before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy.typing as npt

from wl_core.batches import EventBatch, EventGroup
from wl_core.columns import Digest, State, pack, unpack
from wl_core.hookspecs import hookimpl
from wl_core.projection import Projection
from wl_core.setting_values import flatten

_RATE = re.compile(r"(.+)/lr(?:/(\d+))?")
_FIELDS = ("position", "step", "who", "why", "values")


@hookimpl
def wl_projections() -> Sequence[type[Projection]]:
    return [HyperparameterView]


class Change(NamedTuple):
    """One event: these names have these values from that position and step on."""

    position: int
    step: int
    who: str
    why: str
    values: Mapping[str, Any]


class Setting(NamedTuple):
    """What a name is set to, and the change that did it; None for one that is gone."""

    value: Any
    who: str
    why: str
    step: int
    position: int


class HyperparameterView(Projection):
    """Every hyperparameter, and setting of a watched optimizer or loader, by its full name."""

    name: ClassVar[str] = "hyperparameters"
    version: ClassVar[int] = 1
    kinds: ClassVar[frozenset[str]] = frozenset({"hyperparameters", "obeyed", "step_values"})

    def __init__(self) -> None:
        self._changes: list[Change] = []
        self._refused: dict[int, str] = {}
        self._rates: dict[str, tuple[int, int, float]] = {}  # curve -> position, step, rate

    def fold(self, batch: EventBatch) -> None:
        for group in batch.groups("hyperparameters"):
            columns = zip(
                group.positions.tolist(),
                group.steps.tolist(),
                *(group.field(name) for name in _FIELDS[2:]),
                strict=True,
            )
            for position, step, who, why, values in columns:
                if isinstance(values, Mapping):  # what else a plugin may have appended is no change
                    self._changes.append(Change(position, step, who, why, _flat(values)))
        for group in batch.groups("obeyed"):
            asked = zip(group.field("request"), group.field("refused"), strict=True)
            self._refused.update((position, why) for position, why in asked if why)
        for group in batch.groups("step_values"):
            self._fold_rates(group)

    def _fold_rates(self, group: EventGroup) -> None:
        values = None
        lengths = group.lengths("values")
        ends = lengths.cumsum()
        for number, names in enumerate(group.field("names")):
            for place, name in enumerate(names):
                if "/lr" in name and _RATE.fullmatch(name):
                    values = group.vector("values") if values is None else values
                    rate = float(values[ends[number] - lengths[number] + place])
                    at = int(group.positions[number]), int(group.steps[number])
                    self._rates[name] = (*at, rate)

    def merge(self, later: Self) -> None:
        self._changes += later._changes
        self._refused |= later._refused
        self._rates |= later._rates

    # -- checkpoints -------------------------------------------------------

    def snapshot(self) -> State:
        state = [list(map(list, self._changes)), self._refused, self._rates]
        return {"settings": pack(state)}

    def restore(self, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        changes, self._refused, rates = unpack(state, "settings")
        self._changes = [
            Change(position, step, who, why, _flat(values))
            for position, step, who, why, values in changes
        ]
        self._rates = dict(rates)

    def digest(self) -> str:
        digest = Digest()
        digest.add(self.name, self.version)
        for change in self._changes:
            digest.add(*change[:4], *map(repr, change.values.items()))
        for position in sorted(self._refused):
            digest.add(position, self._refused[position])
        for name in sorted(self._rates):
            digest.add(name, *map(repr, self._rates[name]))
        return digest.hexdigest()

    # -- reading -----------------------------------------------------------

    def changes(self, name: str | None = None) -> list[Change]:
        """Every change that was not refused, of that name or of any, in the order of the log."""
        return [
            change
            for change in self._changes
            if change.position not in self._refused and (name is None or name in change.values)
        ]

    def settings(self) -> dict[str, Setting]:
        """What each name is set to, in the order in which they were first heard of."""
        found: dict[str, Setting] = {}
        for position, step, who, why, values in self.changes():
            for name, value in values.items():
                found[name] = Setting(value, who, why, step, position)
        for curve, (position, step, rate) in self._rates.items():
            for name in _names_of(curve):
                said = found.get(name)
                if said is not None and said.position < position and said.value != rate:
                    found[name] = Setting(rate, "optimizer", "a schedule", step, position)
        return found

    def values(self) -> dict[str, Any]:
        """What each name is set to, and nothing more."""
        return {name: one.value for name, one in self.settings().items()}


def _names_of(curve: str) -> list[str]:
    """``optimizer.lr`` for ``optimizer/lr``, ``optimizer.1.lr`` for ``optimizer/lr/1``."""
    matched = _RATE.fullmatch(curve)
    assert matched is not None
    optimizer, group = matched.groups()
    return [f"{optimizer}.{group}.lr"] if group else [f"{optimizer}.lr", f"{optimizer}.0.lr"]


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """By full name, and lists as lists: what is unpacked has tuples."""
    return dict(flatten("", values))
