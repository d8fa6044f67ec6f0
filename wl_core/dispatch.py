"""Dispatch: a signal was logged, so those that wait for it are computed.

It is called within `Recorder.facts` or, for values that come late, with the step that they belong
to. What a function raises is recorded once, warned of once, and does not stop the training, unless
``strict=True``. What it is told is `signal_context`'s.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.codec import SampleId, pack_index, pack_vector
from wl_core.errors import SignalFailedWarning, SignalShapeError, UsageError
from wl_core.labels import Label, Plain, as_labels, check_kind, plain_value, record_values
from wl_core.recorder import Recorder
from wl_core.running import GivenArrays, Running
from wl_core.signal_call import Call, keys_of
from wl_core.signal_context import BatchSignalContext, SignalContext
from wl_core.signals import Signal, registry, wrong_level
from wl_core.values import BatchIds, Instances, as_array, per_sample

Owners = BatchIds | Instances


def dispatch(
    running: Running,
    name: str,
    owners: Owners,
    values: npt.NDArray[Any],
    outputs: Any = None,
    facts: GivenArrays | None = None,
    *,
    step: int | None = None,
) -> None:
    """Computes the dynamic signals that wait for ``name``, whose ``values [N]`` were just recorded.

    Args:
        owners: the samples or instances that they belong to.
        outputs: the model's output for the batch, where it is known.
        facts: the arrays that were given with the values.
        step: theirs; that of the open frame when left out.
    """
    waiting = registry.subscribers.get(name)
    if waiting is None:
        return
    level = "instance" if isinstance(owners, Instances) else "sample"
    at = _step(running) if step is None else step
    logged = _Logged(running, name, owners, values, at)
    for made in waiting:
        if made.level != level:
            _refuse(running, made, name, level)
        elif made.is_due(at):
            logged.compute(made, outputs, facts)


def refuse_subscribers(running: Running, name: str, level: str) -> None:
    """Says of the dynamic signals that wait for ``name`` that they wait in vain."""
    for waiting in registry.subscribers.get(name, ()):
        _refuse(running, waiting, name, level)


def _refuse(running: Running, waiting: Signal, name: str, level: str) -> None:
    error = UsageError(wrong_level(waiting, name, level))
    if waiting.strict:
        raise error
    report(running, waiting, f"for {name!r}", error)


def _step(running: Running) -> int:
    frame = running.recorder.current
    return running.step if frame is None else frame.step


class _Logged:
    """What was just recorded, and what came with it."""

    def __init__(
        self, running: Running, name: str, owners: Owners, values: npt.NDArray[Any], step: int
    ) -> None:
        self._running = running
        self._name = name
        self._owners = owners
        self._step = step
        self._values = np.asarray(values, np.float64)
        self._ids, self._numbers, self._batch_idx = _whose(owners)

    def compute(self, made: Signal, outputs: Any, facts: GivenArrays | None) -> None:
        """Calls the function for all that have what it waits for; records what it returned."""
        ready = self._ready(made)
        places: Sequence[int] = range(len(self._ids)) if ready is None else list(ready)
        if not places:
            return
        call = Call(
            self._running, made, self._step, _batch(self._owners).origin,
            self._owners, outputs, facts,
        )  # fmt: skip
        values: Sequence[Plain] | npt.NDArray[Any] | None
        if made.batched:
            values = _result_of_batch(call, self._batch_context(call, places, ready))
            if values is None:
                return
        else:
            which, values = results(call, self._contexts(call, places, ready))
            places = [places[at] for at in which]
        record(self._running, made, self._step, _some(self._owners, places), values)

    def _ready(self, made: Signal) -> dict[int, dict[str, float]] | None:
        """The inputs of those that have all of them now, by place; None without inputs."""
        if not made.inputs:
            return None
        return self._running.inputs.complete(
            made, self._step, _batch(self._owners).origin, self._name,
            keys_of(self._owners), self._values.tolist(),
        )  # fmt: skip

    def _contexts(
        self, call: Call, places: Sequence[int], ready: dict[int, dict[str, float]] | None
    ) -> Iterable[SignalContext]:
        numbers = self._numbers or [0] * len(self._ids)
        if ready is None:
            values = self._values.tolist()
            return map(SignalContext, repeat(call), places, self._ids, numbers, values)
        return (
            SignalContext(call, at, self._ids[at], numbers[at], None, inputs)
            for at, inputs in ready.items()
        )

    def _batch_context(
        self, call: Call, places: Sequence[int], ready: dict[int, dict[str, float]] | None
    ) -> BatchSignalContext:
        numbers, at = self._numbers, np.asarray(places, np.intp)
        some = [self._ids[place] for place in places]
        some_numbers = None if numbers is None else [numbers[place] for place in places]
        if ready is None:
            # A copy: it may be the script's own memory, and a function may count in place.
            return BatchSignalContext(
                call, some, some_numbers, self._batch_idx, self._values.copy()
            )
        inputs = {
            name: np.asarray([one[name] for one in ready.values()], np.float64)
            for name in call.signal.inputs
        }
        return BatchSignalContext(call, some, some_numbers, self._batch_idx[at], None, inputs)


def results(call: Call, contexts: Iterable[SignalContext]) -> tuple[list[int], list[Plain]]:
    """What the function makes of each: which of them got a value, and the values.

    What it raises is recorded and warned of once, or passed on by a strict signal. This loop is
    the price of a signal: tests/benchmarks/bench_signals.py measures it.
    """
    function, name = call.signal.function, call.signal.name
    which: list[int] = []
    values: list[Plain] = []
    for at, context in enumerate(contexts):
        try:
            value = function(context)
            if value is not None:
                values.append(value if type(value) is float else plain_value(name, value))
                which.append(at)
        except Exception as error:
            if call.signal.strict:
                raise
            report(call.running, call.signal, f"for sample {context.sample_id!r}", error)
    return which, values


def _result_of_batch(call: Call, context: BatchSignalContext) -> npt.NDArray[Any] | None:
    try:
        found = call.signal.function(context)
        return None if found is None else _checked(call.signal, found, len(context))
    except Exception as error:
        if call.signal.strict:
            raise
        report(call.running, call.signal, f"for a batch of {call.origin!r}", error)
        return None


def _checked(made: Signal, found: Any, count: int) -> npt.NDArray[Any]:
    array = as_array(found)
    if array.shape != (count,) or array.dtype.kind not in "biuf":
        raise SignalShapeError(
            f"the signal {made.name!r} is batched: expected its function to return {count} numbers"
            f" (shape [{count}]), got {array.dtype} of shape {list(array.shape)}"
        )
    return array


def record(
    running: Running,
    made: Signal,
    step: int,
    owners: Owners,
    values: Sequence[Plain] | npt.NDArray[Any],
) -> None:
    """Records a signal's ``values [N]`` of a step, and computes the signals that wait for it."""
    if not len(owners):
        return
    try:
        kept = _alike(running, made, owners, values)
    except SignalShapeError as error:
        if made.strict:
            raise
        report(running, made, f"for {len(owners)} values", error)
        return
    with at_step(running.recorder, step), running.recorder.facts():
        running.declare(made.name, made.level, "signal", made.log, made.described())
        if isinstance(owners, Instances):
            assert isinstance(kept, np.ndarray)
            running.recorder.instance_values(made.name, made.log, owners, kept)
        else:
            record_values(running, made.name, made.log, owners, kept)
        if isinstance(kept, list):
            refuse_subscribers(running, made.name, "label")
        else:
            dispatch(running, made.name, owners, kept, step=step)


def _alike(
    running: Running, made: Signal, owners: Owners, values: Sequence[Plain] | npt.NDArray[Any]
) -> npt.NDArray[Any] | list[Label]:
    """The values as they are recorded: labels, bools, or the narrowest floats that hold them.

    Raises:
        SignalShapeError: a function that returns numbers for some and labels for others, or
            labels for instances.
    """
    labels = as_labels(made.name, values, len(owners))
    if labels is not None and isinstance(owners, Instances):
        raise SignalShapeError(f"signal {made.name!r}: texts and lists are of samples alone")
    check_kind(running, made.name, "number" if labels is None else "label")
    if labels is not None:
        return labels
    array = per_sample(made.name, values, len(owners))
    if array.dtype.kind == "b":
        return array
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    # half the bytes where nothing is lost
    return narrow if np.array_equal(narrow, array, equal_nan=True) else array


@contextmanager
def at_step(recorder: Recorder, step: int | None) -> Iterator[None]:
    """Records at that step: where it is not the current one, in a frame of its own."""
    current = recorder.current
    if step is None or step == (recorder.step if current is None else current.step):
        yield
        return
    recorder.begin(recorder.phase, step)
    try:
        yield
    finally:
        recorder.end()


# -- samples and instances ---------------------------------------------------------------------


def _batch(owners: Owners) -> BatchIds:
    return owners.batch if isinstance(owners, Instances) else owners


def _whose(owners: Owners) -> tuple[list[SampleId], list[int] | None, npt.NDArray[np.int64]]:
    """The sample of each, the number of each instance, and its sample's place in the batch."""
    if isinstance(owners, BatchIds):
        return owners.ids, None, np.arange(len(owners))
    ids = [owners.batch.ids[at] for at in owners.batch_idx.tolist()]
    return ids, owners.annotation_ids.tolist(), owners.batch_idx


def _some(owners: Owners, places: Sequence[int]) -> Owners:
    """Those at these places."""
    if len(places) == len(owners):
        return owners
    if isinstance(owners, BatchIds):
        return BatchIds(owners.origin, [owners.ids[place] for place in places])
    at = np.asarray(places, np.intp)
    return numbered(owners.batch, owners.batch_idx[at], owners.annotation_ids[at])


def numbered(
    batch: BatchIds, batch_idx: npt.NDArray[np.int64], annotation_ids: npt.NDArray[np.int64]
) -> Instances:
    """Some instances of a batch's samples, by their numbers."""
    at, numbers = pack_index(batch_idx), pack_index(annotation_ids)
    return Instances(batch, batch_idx, pack_vector(at), pack_vector(numbers))


# -- failures ----------------------------------------------------------------------------------


def report(running: Running, made: Signal, where: str, error: Exception) -> None:
    """Records and warns of what a signal's function raised, if it is the first time in this run."""
    if not registry.fails_first(running.writer, made.name):
        return
    text = f"{type(error).__name__}: {error}"
    running.recorder.add(
        "signal_failed", made.name, text, "".join(traceback.format_exception(error))
    )
    warnings.warn(
        f"the signal {made.name!r} raised {text} {where}; it is tried again the next time and not"
        " warned of again. The traceback is in the log: wl events --kind signal_failed",
        SignalFailedWarning,
        stacklevel=2,
    )
