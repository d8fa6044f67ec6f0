"""Questions about the past: what values a signal had, and those of one sample or instance.

They are asked of an opened run, of a run by its name, or of the run that this process records:
that one is opened once beside the recording, on the same LMDB environment, and folded on from
question to question. What is recorded is there once its guard has been left. How the answers are
written to files is `export`'s business; how histories are kept, the view ``history``'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from wl_core.codec import SampleId
from wl_core.directory import find_run
from wl_core.errors import LogWriteError, UnknownNameError, nearest
from wl_core.long_form import Keys, LongForm
from wl_core.run import Run, open_run
from wl_core.session import Session, current_session
from wl_core.table import Table, normalise_name

AnyRun: TypeAlias = Run | Path | str | None
Trajectory: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


def query_signal_history(
    signal: str,
    *,
    run: AnyRun = None,
    instances: bool = False,
    where: str | None = None,
    at_step: int | None = None,
) -> Table:
    """All values that a signal of samples, or of instances, ever had.

    Args:
        signal: its name; ``groups/NAME`` for values of groups where samples have a ``NAME`` too.
        run: an opened run, or a run's name or path. By default the run that this process records,
            else the newest under ``$WL_ROOT`` or ``./wl_runs``.
        instances: the values of instances instead of those of samples.
        where: a filter over the rows of ``run.samples()``, or of ``run.instances()``, as they are
            now: the history of those that match.
        at_step: the run as it was at the end of that step.

    Returns:
        One row per value, with the columns ``origin``, ``sample_id``, ``annotation_id`` (0 for
        samples), ``step`` (int64) and ``value`` (float64): samples in the order in which they are
        shown, the values of each in the order of the log. ``table.column("value").values`` is an
        array; `Table.to_arrow` and `Table.to_pandas` convert the whole.

    Raises:
        UnknownNameError: no sample and no instance has ever had a value of that name.
        FilterError: ``where`` cannot be read, or names no column.
        RunNotFoundError: there is no such run.
    """
    with reading(run, at_step) as reader:
        history = reader.view("history")
        name = known_signal(reader, signal)
        keys = None if where is None else Keys.matching(reader, where, instances=instances)
        return LongForm(history, name, keys, instances=instances).whole()


def query_sample_history(
    sample_id: SampleId,
    *,
    signal: str | None = None,
    origin: str | None = None,
    run: AnyRun = None,
) -> dict[str, Trajectory]:
    """All values that one sample ever had: ``{signal: (steps int64 [N], values float64 [N])}``.

    Args:
        sample_id: the data set's own id.
        signal: this signal alone, also where the sample has no value of it; by default every
            signal that it has a value of.
        origin: the loader of the sample, where several have one of that id.
        run: see `query_signal_history`.

    Raises:
        UnknownNameError: no such sample, or no such signal.
        UsageError: several origins have the sample and none was named.
    """
    with reading(run) as reader:
        origin, sample_id = reader.find_sample(sample_id, origin)
        return _of_one(reader, signal, origin, sample_id, 0)


def query_instance_history(
    sample_id: SampleId,
    annotation_id: int,
    *,
    signal: str | None = None,
    origin: str | None = None,
    run: AnyRun = None,
) -> dict[str, Trajectory]:
    """All values that one instance ever had; see `query_sample_history`.

    Raises:
        UnknownNameError: no such sample, instance or signal.
        UsageError: several origins have the sample and none was named.
    """
    with reading(run) as reader:
        origin, sample_id = reader.find_sample(sample_id, origin)
        known = reader.view("instances").annotation_ids(origin, sample_id)
        if annotation_id not in known:
            has = ", ".join(map(str, known)) or "none"
            raise UnknownNameError(
                f"sample {sample_id!r} has no instance {annotation_id}; its annotation_ids: {has}"
            )
        return _of_one(reader, signal, origin, sample_id, annotation_id)


def _of_one(
    reader: Run, signal: str | None, origin: str, sample_id: SampleId, annotation_id: int
) -> dict[str, Trajectory]:
    history = reader.view("history")
    if signal is not None:
        names = [known_signal(reader, signal)]
    else:
        names = history.names()
    found = {name: history.history(name, origin, sample_id, annotation_id) for name in names}
    return {name: one for name, one in found.items() if len(one[0]) or signal is not None}


# -- which run -------------------------------------------------------------------


@contextmanager
def reading(run: AnyRun = None, at_step: int | None = None) -> Iterator[Run]:
    """The run that a question means; see `query_signal_history`. An opened run is not refreshed.

    Raises:
        RunNotFoundError: there is none.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(run, Run):
            reader = run
        elif run is None and (running := current_session()) is not None:
            reader = own_reader(running)
        else:
            reader = stack.enter_context(open_run(find_run(run)))
        yield reader if at_step is None else stack.enter_context(reader.at(step=at_step))


def own_reader(running: Session) -> Run:
    """The run that this process records, up to the last step whose guard was left."""
    with contextlib.suppress(LogWriteError):  # what the disk took can still be asked for
        running.flush()
    if running.reader is None:
        running.reader = open_run(running.directory.path)
    running.reader.refresh()
    return running.reader


def known_signal(reader: Run, signal: str) -> str:
    """The signal's one name.

    Raises:
        UnknownNameError: nothing of samples or instances was recorded under it.
    """
    name, known = normalise_name(signal), reader.view("history").names()
    if name in known or name.removeprefix("groups/") in known:
        return name
    if name in reader.view("curves").signals():
        hint = " It is a signal of steps: see run.curves()."
    else:
        hint = nearest(name, known)
    raise UnknownNameError(f"there are no values of a signal {signal!r}.{hint}")
