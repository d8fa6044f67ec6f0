"""Backfill: signals that are computed over the past log, as if they had been there.

What they give goes into a file beside the log and enters it when all is there (`staging`). How the
past is played is `past`'s, where signals come from `signal_sources`'.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from wl_core.arrays import ArrayStore
from wl_core.codec import Frame, FrameBuilder
from wl_core.commit import recover
from wl_core.directory import WriterLock, writer_of
from wl_core.errors import RunLockedError, UsageError, nearest
from wl_core.past import Past
from wl_core.past_data import PastData
from wl_core.past_frames import PastLog, moments
from wl_core.run import Run
from wl_core.running import DataItem
from wl_core.signal_sources import SignalSource, registered_apart
from wl_core.signals import Signal
from wl_core.staging import Staging
from wl_core.static import compute_over
from wl_core.table import normalise_name

Progress = Callable[[int, int], Any]
_VALUES = ("values", "instance_values", "labels", "group_values", "step_values")


@dataclass(frozen=True, slots=True)
class Backfilled:
    """How many values each signal got, over how many steps, in how many seconds.

    ``position`` is that of the event that says so, None where nothing was found to append.
    """

    values: Mapping[str, int]
    steps: int
    seconds: float
    position: int | None


def choose_signals(
    run: Run, source: SignalSource, names: Sequence[str] = ()
) -> tuple[dict[str, Signal], dict[str, int]]:
    """The signals to compute, and how many values the run has of those that are left out.

    Without ``names`` all that the run has no values of.

    Raises:
        UnknownNameError: the source registers no signal of that name.
        UsageError: the run has values of one that was named, or of all.
    """
    wanted = [normalise_name(name) for name in names] or list(source.signals)
    for name in wanted:
        if name not in source.signals:
            known = ", ".join(source.signals)
            hint = nearest(name, source.signals)
            raise UsageError(f"{source.name} registers no signal {name!r}, but {known}.{hint}")
    there = set(run.signals()).intersection(wanted)
    recorded = _count_values(run, there) if there else {}
    if recorded and (names or len(recorded) == len(wanted)):
        listed = ", ".join(f"{count:,} values of {name!r}" for name, count in recorded.items())
        raise UsageError(
            f"the run holds {listed}: what was recorded stays as it is. Give the signal another"
            " name to compute it as well"
        )
    return {name: source.signals[name] for name in wanted if name not in recorded}, recorded


def _count_values(run: Run, names: set[str], start: int = 0) -> dict[str, int]:
    """How many values the log holds of each, from that position on."""
    found = dict.fromkeys(sorted(names), 0)
    for frame in run.log.frames(start):
        if isinstance(frame, Frame):
            for event in frame.events:
                if event[0] in _VALUES and event[0] != "step_values" and event[2] in found:
                    kind = run.log.catalogue.get(event[0])
                    assert kind is not None
                    values = event[kind.index("values")]
                    is_list = event[0] == "labels"
                    found[event[2]] += len(values if is_list else frame.vector(values))
                elif event[0] == "step_values":
                    for name in names.intersection(event[2]):
                        found[name] += 1
    return found


def backfill(
    run: Run,
    source: SignalSource,
    signals: Mapping[str, Signal],
    *,
    who: str,
    why: str = "",
    data_sets: Mapping[str, Any] | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Backfilled:
    """Computes these signals over all that the run holds, and appends what they give.

    Static signals are computed first, of every sample that the log names, at step 0. Dynamic ones
    are computed as the log is played again from its beginning: at each value that they wait for,
    with its step and phase, knowing what had happened until then. Their values are appended in the
    order of what they were computed from. Until all is there the log is only read.

    Args:
        signals: some of the source's, by name, see `choose_signals`.
        data_sets: by origin, for functions that ask for the data itself.
        progress: called with how much is done and how much there is: samples, then events.

    Raises:
        RunLockedError: the run is being trained, or another process does the same.
        UsageError: the training went on meanwhile; nothing was appended.
        LogWriteError: the disk refused.
    """
    began = time.monotonic()
    _refuse_living(run)
    if run.last_step is not None:
        raise UsageError("the past cannot be changed: open the run itself to append to it")
    stop = run.log.next_position
    arrays = ArrayStore(run.directory.arrays, create=True)
    with closing(arrays), Staging(run.directory.rank_path) as staging, registered_apart(signals):
        log = PastLog(run.log, stop, staging)
        past = Past(log, staging, arrays)
        readers = {origin: _reader(origin, one) for origin, one in (data_sets or {}).items()}
        _play_static(run, past, list(signals.values()), readers, progress)
        if not all(made.is_static for made in signals.values()):
            _play(run, past, readers, stop, progress)
        position = None
        if staging.count:
            head = _head(source, signals, stop, staging.count, who, why)
            staging.complete(head, run.log.model_age)
            position = _commit(run, staging, arrays, set(signals), stop)
    recorder = past.recorder
    counts = {name: recorder.counts[name] for name in signals}
    return Backfilled(counts, len(recorder.steps), time.monotonic() - began, position)


def _refuse_living(run: Run) -> None:
    writer = writer_of(run.directory.lock)
    if writer is not None:
        raise RunLockedError(
            f"{run.path} is being trained by process {writer.get('pid', 'unknown')}: signals are"
            " computed after the fact once it has ended (`wl stop` ends it)"
        )


def _reader(origin: str, data_set: Any) -> Any:
    """Reads a data set; who gives one has torch."""
    from wl_core.watch.reading import Reader

    return Reader(data_set, origin, hashed=False)


def _data(run: Run, past: Past, readers: Mapping[str, Any], view: Any) -> dict[str, PastData]:
    origins = run.view("samples").index.origins
    return {
        origin: PastData(origin, run, view, past.arrays, readers.get(origin))
        for origin in origins
    }  # fmt: skip


def _play_static(
    run: Run, past: Past, signals: Sequence[Signal], readers: Mapping[str, Any], progress: Progress
) -> None:
    """Of all samples that the run ever names, with what it knows of them at its end."""
    chosen = [made for made in signals if made.is_static]
    if not chosen:
        return
    loaders = _data(run, past, readers, run.view)
    past.loaders = loaders
    counts = dict.fromkeys([made.name for made in chosen], 0)
    total, done = sum(len(data) for data in loaders.values()), 0

    def told(items: Iterable[DataItem]) -> Iterator[DataItem]:
        nonlocal done
        for item in items:
            yield item
            done += 1
            progress(done, total)

    for data in loaders.values():
        compute_over(past, data, told(data.items()), chosen, counts)


def _play(run: Run, past: Past, readers: Mapping[str, Any], stop: int, progress: Progress) -> None:
    past.loaders = _data(run, past, readers, past.views.view)
    for moment in moments(run.log, stop):
        past.play(moment)
        progress(moment.next_position, stop)


def _head(
    source: SignalSource, signals: Mapping[str, Signal], stop: int, frames: int, who: str, why: str
) -> FrameBuilder:
    head = FrameBuilder()
    head.add(
        "backfilled", list(signals), source.name, source.digest, stop, frames, who, why
    )  # fmt: skip
    return head


def _commit(run: Run, staging: Staging, arrays: ArrayStore, names: set[str], stop: int) -> int:
    """Lets all of it into the log, unless the training went on meanwhile."""
    lock = WriterLock(run.directory.lock)
    try:
        _refuse_if_trained(run, names, stop)
        position = run.log.next_position
        staging.publish()
        recover(run.log, arrays, run.directory.rank_path)
    finally:
        lock.release()
    return position


def _refuse_if_trained(run: Run, names: set[str], stop: int) -> None:
    for frame in run.log.frames(stop):
        if isinstance(frame, Frame) and any(one[0] == "run_started" for one in frame.events):
            raise UsageError(
                f"{run.path} was trained further meanwhile, so nothing was appended: try again"
            )
    if any(_count_values(run, names, stop).values()):
        raise UsageError(f"somebody recorded {', '.join(sorted(names))} meanwhile")
