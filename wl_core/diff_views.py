"""What the views of two runs differ in: settings, decisions, curves, samples.

Where the runs part is `diff`'s business; how it is printed is `cli_branch`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from wl_core.codec import SampleId
from wl_core.curve import Curve
from wl_core.decisions import Categories
from wl_core.errors import UnknownNameError, nearest
from wl_core.past_settings import PastSettings
from wl_core.run import Run
from wl_core.table import Table

Owner = tuple[str, SampleId]  # origin, sample_id


# -- settings and decisions ------------------------------------------------------------------------


def settings(run: Run) -> dict[str, Any]:
    """The hyperparameters as they are now, edits included, by dotted name."""
    past = PastSettings(run.log.decisions())
    return {**past.said, **{name: edit.value for name, edit in past.edits.items()}}


def settings_that_differ(one: Run, other: Run) -> list[tuple[str, Any, Any]]:
    """``(name, value, value)`` of each hyperparameter that is not the same in both."""
    mine, theirs = settings(one), settings(other)
    names = sorted(mine.keys() | theirs.keys())
    return [
        (name, mine.get(name), theirs.get(name))
        for name in names
        if repr(mine.get(name)) != repr(theirs.get(name)) or (name in mine) != (name in theirs)
    ]


@dataclass(frozen=True, slots=True)
class DecisionDiff:
    """A tag, or the discards: on how many samples, and which have it in one run alone."""

    name: str
    counts: tuple[int, int]
    alone: tuple[list[Owner], list[Owner]]


def decisions_that_differ(one: Run, other: Run) -> list[DecisionDiff]:
    mine, theirs = _decided(one), _decided(other)
    found = []
    for name in sorted(mine.keys() | theirs.keys()):
        here, there = mine.get(name, []), theirs.get(name, [])
        only = _without(here, there), _without(there, here)
        if any(only):
            found.append(DecisionDiff(name, (len(here), len(there)), only))
    return found


def _decided(run: Run) -> dict[str, list[Owner]]:
    """The samples of each tag, of each choice of a categorical tag and those discarded."""
    view = run.view("samples")
    found: dict[str, list[Owner]] = {"discarded": view.discarded()}
    found |= {f"tag {tag}": view.tagged(tag) for tag in view.tags}
    table = run.samples()
    for name in Categories.of(run.log.decisions()):
        column = table.column(f"tag/{name}" if f"tag/{name}" in table.names else name)
        for row in np.flatnonzero(column.present).tolist():
            found.setdefault(f"{name}={column.cell(row)}", []).append(_owner(table, row))
    return found


def _owner(table: Table, row: int) -> Owner:
    sample_id: Any = table.column("sample_id").cell(row)
    return str(table.column("origin").cell(row)), sample_id


def _without(these: list[Owner], those: list[Owner]) -> list[Owner]:
    gone = set(those)
    return [one for one in these if one not in gone]


# -- curves ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CurveDiff:
    """How two curves of a signal differ; None for a run that has no such curve.

    ``last`` are the last values. Over the steps that both have: ``first_step`` is the first one at
    which they differ, None for nowhere; ``greatest`` the greatest distance, at ``greatest_step``.
    """

    signal: str
    last: tuple[float | None, float | None]
    first_step: int | None = None
    greatest: float | None = None
    greatest_step: int | None = None


def curves_that_differ(one: Run, other: Run) -> list[CurveDiff]:
    """One of each signal that has not the same curve in both runs, by name."""
    mine, theirs = one.curves(), other.curves()
    found = []
    for name in sorted(mine.keys() | theirs.keys()):
        here, there = mine.get(name), theirs.get(name)
        if here is None or there is None:
            found.append(CurveDiff(name, (_last(here), _last(there))))
        elif diff := _curve_diff(here, there):
            found.append(diff)
    return found


def _last(curve: Curve | None) -> float | None:
    return None if curve is None or not len(curve.mean) else float(curve.mean[-1])


def _curve_diff(one: Curve, other: Curve) -> CurveDiff | None:
    steps, here, there = np.intersect1d(
        one.steps, other.steps, assume_unique=True, return_indices=True
    )
    mine, theirs = one.mean[here], other.mean[there]
    apart = ~((mine == theirs) | (np.isnan(mine) & np.isnan(theirs)))
    last = _last(one), _last(other)
    if not apart.any():
        same_length = len(one.steps) == len(other.steps) == len(steps)
        return None if same_length else CurveDiff(one.name, last)
    distances = _distances(mine, theirs)
    at = int(distances.argmax())
    return CurveDiff(one.name, last, int(steps[apart][0]), float(distances[at]), int(steps[at]))


def _distances(mine: Any, theirs: Any) -> Any:
    """``|a - b|``; a NaN is as far from a number as can be, and infinities from each other 0."""
    with np.errstate(invalid="ignore"):
        found = np.abs(mine - theirs)
    alike = (mine == theirs) | (np.isnan(mine) & np.isnan(theirs))
    return np.where(alike, 0.0, np.where(np.isnan(found), np.inf, found))


# -- samples ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SampleDiffs:
    """The samples whose signal differs most, and those that one run alone has a value of.

    ``worst`` are ``(origin, sample_id, value, value, distance)``, the farthest first; ``differing``
    is how many differ at all.
    """

    signal: str
    differing: int
    worst: list[tuple[str, Any, float, float, float]]
    alone: tuple[list[Owner], list[Owner]]


def chosen_signal(one: Run, other: Run, name: str | None) -> str | None:
    """The signal to compare samples by: the one named, else the first loss of samples.

    Without a loss, the first signal of numbers that both have; None when there is none.

    Raises:
        UnknownNameError: no such signal of numbers in either run.
    """
    columns = [_numbers(run.samples()) for run in (one, other)]
    both = [name for name in columns[0] if name in columns[1]]
    if name is not None:
        found = next((column for run in (one, other) for column in _named(run, name)), None)
        if found is None:
            known = [*columns[0], *columns[1]]
            raise UnknownNameError(f"there is no signal {name!r} of numbers.{nearest(name, known)}")
        return found
    declared = one.view("samples").declared
    losses = [n for n, (level, role, _) in declared.items() if (level, role) == ("sample", "loss")]
    return next((n for n in (*losses, *both) if n in both), None)


def _named(run: Run, name: str) -> Iterator[str]:
    try:
        column = run.samples().column(name)
    except UnknownNameError:
        return
    if column.kind == "number":
        yield column.name


_OWN = frozenset({"sample_id", "times_seen", "last_step", "instances"})


def _numbers(table: Table) -> list[str]:
    return [one.name for one in table if one.kind == "number" and one.name not in _OWN]


def samples_that_differ(one: Run, other: Run, signal: str, count: int) -> SampleDiffs:
    """Compares the latest values of a signal, sample by sample; gives the ``count`` farthest."""
    mine, theirs = _values(one.samples(), signal), _values(other.samples(), signal)
    common = [owner for owner in mine if owner in theirs]
    here = np.asarray([mine[owner] for owner in common], np.float64)
    there = np.asarray([theirs[owner] for owner in common], np.float64)
    distances = _distances(here, there)
    order = np.argsort(-distances, kind="stable")[:count]
    worst = [
        (*common[at], float(here[at]), float(there[at]), float(distances[at]))
        for at in order.tolist()
        if distances[at] > 0
    ]
    alone = [owner for owner in mine if owner not in theirs], [o for o in theirs if o not in mine]
    return SampleDiffs(signal, int((distances > 0).sum()), worst, alone)


def _values(table: Table, signal: str) -> dict[Owner, float]:
    if signal not in table.names:
        return {}
    values = table.column(signal)
    rows = np.flatnonzero(values.present).tolist()
    return {_owner(table, row): values.values[row].item() for row in rows}
