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
from tui.instance_table import load_instances
from tui.lazy import is_prepared
from tui.sample_table import BOOKKEEPING, WHO, SampleKey, sample_rows
from tui.scene import ANNOTATION_ID, Scene, load_scene
from tui.widgets.cells import format_cell
from tui.widgets.sparkline import sparkline
from tui.words import clock
from wl_core.lazy_column import LazyColumn
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
    ``computed`` are its cells in lazy columns, such as ``shape``.
    """

    scene: Scene
    instances: Table
    trajectories: Mapping[str, Trajectory]
    of_instance: Mapping[str, Trajectory]
    computed: Mapping[str, str]
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
    computed = _computed(run, sample) if complete else {}
    return Detail(scene, instances, own, inner, computed, complete, *_decided(run, sample))


def _computed(run: Run, sample: SampleKey) -> dict[str, str]:
    """Its cells in lazy columns: of one row, they take no time."""
    row = sample_rows(run).row_of(sample)
    if row is None:
        return {}
    lazy = [one for one in run.samples() if isinstance(one, LazyColumn) and is_prepared(run, one)]
    cells = {one.name: format_cell(one.take(np.array([row])), 0) for one in lazy}
    return {name: text for name, text in cells.items() if text}


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


def standing_of_instance(instances: Table, annotation_id: int) -> str:
    """The same of one of its instances, with its number; or nothing."""
    rows = np.flatnonzero(instances.column(ANNOTATION_ID).values == annotation_id)
    if not len(rows):
        return ""
    row = int(rows[0])
    tags = _cell(instances, "tags", row)
    discarded = "✗ discarded" if _cell(instances, "discarded", row) == "yes" else ""
    said = " · ".join(filter(None, (discarded, f"tags: {tags}" if tags else "")))
    return f"instance {annotation_id}: {said}" if said else ""


def who_when_why(decision: Decision) -> str:
    why = f": {decision.why}" if decision.why else ""
    return f"by {decision.who} at step {decision.step}, {clock(decision.time)}{why}"


def _cell(table: Table, name: str, row: int) -> str:
    return format_cell(table.column(name), row) if name in table.names else ""


def facts_table(news: News, sample: SampleKey, detail: Detail | None) -> Table:
    """One row for each filled cell of the sample's row, signals first, with their trajectories.

    Who the sample is, is said above it.
    """
    cells = _cells(news, sample)
    if detail is not None:
        cells.update(detail.computed)
    names = sorted(cells, key=lambda name: _rank(name, news, detail))
    values = [cells[name] for name in names]
    found = [None if detail is None else detail.trajectories.get(name) for name in names]
    ready = detail is not None and detail.complete
    waiting = [not ready and name in news.signals for name in names]
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


def _cells(news: News, sample: SampleKey) -> dict[str, str]:
    """The filled cells of its row by column, read one by one: the table may be a long one."""
    row = news.sample_rows.row_of(sample)
    if row is None:
        return {}
    found = {name: _cell(news.samples, name, row) for name in news.samples.names}
    return {name: text for name, text in found.items() if text and name not in WHO}


def _rank(name: str, news: News, detail: Detail | None) -> int:
    """Signals first, then what is computed of them, what the data set says, the bookkeeping."""
    if name in BOOKKEEPING:
        return 3
    if detail is not None and name in detail.computed:
        return 1
    return 0 if name in news.signals else 2


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
