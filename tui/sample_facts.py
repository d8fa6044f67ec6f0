"""What is known of one sample: its row, the trajectory of every signal, what was decided on it.

`load_detail` runs in the follower's thread; `facts_table` makes what is shown of it. The picture is
`scene`'s, the events that made all this are `sample_events`'.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tui.follow import News
from tui.panes.instances import load_instances
from tui.sample_table import WHO, SampleKey, column_order
from tui.scene import ANNOTATION_ID, Scene, load_scene
from tui.widgets.cells import format_cell
from tui.widgets.sparkline import sparkline
from tui.words import clock
from wl_core.requests import requests_of
from wl_core.table import Table, TableColumn
from wl_core.undoing import Decision, History

if TYPE_CHECKING:
    from wl_core.codec import Frame
    from wl_core.run import Run

# So long, in seconds, a look works on the view of histories; of a long log it takes several.
PATIENCE = 0.05
SPARK_WIDTH = 20
AVERAGED = 64  # instances of a sample, at most, whose trajectories are averaged


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """All values of one signal of one thing: ``steps`` ascending and ``values``, both ``[N]``."""

    steps: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]

    @classmethod
    def of(cls, steps: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> Trajectory:
        """From a history, whose values stand in the order of the log: later ones may be older."""
        order = np.argsort(steps, kind="stable")
        return cls(steps[order].astype(np.float64), values[order])

    @classmethod
    def mean_of(cls, several: Sequence[Trajectory]) -> Trajectory:
        """Their mean at each step at which any of them has a value."""
        steps, where = np.unique(np.concatenate([t.steps for t in several]), return_inverse=True)
        values = np.concatenate([t.values for t in several])
        sums = np.bincount(where, values, len(steps))
        return cls(steps, sums / np.bincount(where, minlength=len(steps)))


@dataclass(frozen=True, slots=True, eq=False)
class Detail:
    """What the sample screen shows at one moment.

    ``trajectories`` are those of the sample by signal, ``of_instance`` those of the instance that
    was asked for; empty as long as not ``complete``, when the histories are not folded yet.
    """

    scene: Scene
    instances: Table
    trajectories: Mapping[str, Trajectory]
    of_instance: Mapping[str, Trajectory]
    complete: bool
    decisions: Sequence[Decision]
    discarded_by: Decision | None


def load_detail(
    run: Run, sample: SampleKey, annotation_id: int | None, before: Scene | None
) -> Detail:
    """Read all that is known of a sample, as of the moment that ``run`` is of."""
    complete = run.prepare("history", budget_seconds=PATIENCE)
    instances = load_instances(run, sample, lazy=complete)
    own: dict[str, Trajectory] = {}
    inner: dict[str, Trajectory] = {}
    if complete:
        own = {**_averages(run, sample, instances), **_trajectories(run, sample, 0)}
        inner = {} if annotation_id is None else _trajectories(run, sample, annotation_id)
    scene = load_scene(run, sample, before)
    return Detail(scene, instances, own, inner, complete, *_decided(run, sample))


def _trajectories(run: Run, sample: SampleKey, annotation_id: int) -> dict[str, Trajectory]:
    found = {}
    for signal in run.view("instances" if annotation_id else "samples").signals:
        steps, values = run.signal_history(signal, *sample, annotation_id)
        if len(steps):
            found[signal] = Trajectory.of(steps, values)
    return found


def _averages(run: Run, sample: SampleKey, instances: Table) -> dict[str, Trajectory]:
    """What the cells show that the sample has from its instances: their mean."""
    several: dict[str, list[Trajectory]] = {}
    for number in instances.column(ANNOTATION_ID).values[:AVERAGED].tolist():
        for signal, trajectory in _trajectories(run, sample, number).items():
            several.setdefault(signal, []).append(trajectory)
    return {signal: Trajectory.mean_of(those) for signal, those in several.items()}


def _decided(run: Run, sample: SampleKey) -> tuple[list[Decision], Decision | None]:
    """All decisions on a sample and its instances, and the one by which it is discarded or not."""
    end = run.end
    frames = [frame for frame in run.log.decisions() if frame.position < end]
    decisions = History(frames).of_sample(*sample)
    own = _discarded_at(frames, sample)
    last = [one for one in decisions if not one.undone and own.intersection(one.positions)]
    return decisions, last[-1] if last else None


def _discarded_at(frames: Sequence[Frame], sample: SampleKey) -> set[int]:
    """Positions of the events that discard or restore the sample itself."""
    return {
        request.position
        for frame in frames
        for request in requests_of(frame)
        if request.kind.name == "discarded"
        and request.field("origin") == sample.origin
        and request.field("annotation_ids") is None
        and sample.sample_id in request.ids()
    }


def standing(news: News, sample: SampleKey, detail: Detail | None) -> str:
    """Whether it is discarded, by whom, when and why, and its tags, on one line; or nothing."""
    said = []
    row = news.sample_rows.row_of(sample)
    if row is None:
        return ""
    if _cell(news.samples, "discarded", row) == "yes":
        by = detail.discarded_by if detail is not None else None
        said.append("✗ discarded" + ("" if by is None else f" {who_when_why(by)}"))
    tags = _cell(news.samples, "tags", row)
    if tags:
        said.append(f"tags: {tags}")
    return " · ".join(said)


def who_when_why(decision: Decision) -> str:
    why = f": {decision.why}" if decision.why else ""
    return f"by {decision.who} at step {decision.step}, {clock(decision.time)}{why}"


def _cell(table: Table, name: str, row: int) -> str:
    return format_cell(table.column(name), row) if name in table.names else ""


def facts_table(
    news: News, sample: SampleKey, trajectories: Mapping[str, Trajectory], *, complete: bool
) -> Table:
    """One row for each filled cell of the sample's row, signals first, with their trajectories.

    Who the sample is, is said above it.
    """
    row = news.sample_rows.row_of(sample)
    names, values = [], []
    for name in [] if row is None else column_order(news.samples, news.signals, news.uncomputed):
        text = _cell(news.samples, name, row) if row is not None else ""
        if text and name not in WHO:
            names.append(name)
            values.append(text)
    found = [trajectories.get(name) for name in names]
    waiting = [not complete and name in news.signals for name in names]
    lines = [
        "…" if wait else "" if one is None else sparkline(one.values, SPARK_WIDTH)
        for one, wait in zip(found, waiting, strict=True)
    ]
    return Table(
        (
            text_column("name", names),
            text_column("over its steps", lines),
            text_column("value", values),
            _numbers("min", [_extreme(one, np.fmin) for one in found]),
            _numbers("max", [_extreme(one, np.fmax) for one in found]),
            _numbers("first step", [None if one is None else int(one.steps[0]) for one in found]),
            _numbers("last step", [None if one is None else int(one.steps[-1]) for one in found]),
            _numbers("values", [None if one is None else len(one.steps) for one in found]),
        )
    )


def _extreme(trajectory: Trajectory | None, of: np.ufunc) -> float | None:
    if trajectory is None:
        return None
    finite = trajectory.values[np.isfinite(trajectory.values)]
    return float(of.reduce(finite)) if len(finite) else None


def text_column(name: str, cells: Collection[str]) -> TableColumn:
    """A column of texts, none of them empty."""
    rows = np.arange(len(cells), dtype=np.int32)
    return TableColumn(name, "text", rows, np.ones(len(cells), np.bool_), list(cells))


def _numbers(name: str, cells: Sequence[float | int | None]) -> TableColumn:
    there = np.array([cell is not None for cell in cells], np.bool_)
    kind = np.int64 if all(isinstance(cell, int | None) for cell in cells) else np.float64
    values = np.array([0 if cell is None else cell for cell in cells], kind)
    return TableColumn(name, "number", values, there)
