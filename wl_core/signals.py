"""``@wl.signal``: numbers that a user's function makes of a sample.

A static signal is computed from the data alone, by
`static.compute_signals`. A dynamic one subscribes to
another signal and is computed when that is logged, within the same step. What a function raises is
recorded once, warned of once, and does not stop the training, unless ``strict=True``.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from wl_core.codec import SampleId
from wl_core.errors import SignalFailedWarning, UsageError
from wl_core.session import Session, current_session
from wl_core.table import normalise_name
from wl_core.values import BatchIds

if TYPE_CHECKING:
    from wl_core.watch.loader import TrackedLoader

SignalFunction = Callable[["SignalContext"], Any]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """A registered signal; ``subscribe_to`` is None for a static one."""

    name: str
    function: SignalFunction
    subscribe_to: str | None
    compute_every_n_steps: int
    min_step: int
    log: bool
    strict: bool

    @property
    def is_static(self) -> bool:
        return self.subscribe_to is None

    def is_due(self, step: int) -> bool:
        return step >= self.min_step and step % self.compute_every_n_steps == 0


class DataFrameReader:
    """``ctx.dataframe``: the values of this moment, by sample."""

    def get_value(self, origin: str, sample_id: SampleId, column: str) -> Any:
        """The value in one cell, None when there is none.

        ``column`` is a signal's name, also as ``signals_NAME`` or ``signals//NAME``, or a
        metadata column's. A value that was logged earlier in this step is there.
        """
        running = current_session()
        return None if running is None else running.views.value(origin, sample_id, column)


class SignalContext:
    """What a signal's function is told about one sample.

    Attributes:
        sample_id, origin: which sample.
        step: the age of the model.
        subscribed_value: the value that was just logged; None for a static signal.
        logits: the model's output for this sample, where the signal subscribed to is a watched
            criterion (its first argument); else None. Part of the graph: detach what you keep.
        dataframe: other signals' and metadata's values, see `DataFrameReader.get_value`.
    """

    __slots__ = (
        "_item", "_loader", "_outputs", "_place", "origin", "sample_id", "signal", "step",
        "subscribed_value",
    )  # fmt: skip
    dataframe = DataFrameReader()

    def __init__(
        self,
        signal: Signal,
        origin: str,
        sample_id: SampleId,
        step: int,
        subscribed_value: float | None = None,
        loader: TrackedLoader | None = None,
        item: Any = None,
        outputs: Any = None,
        place: int = 0,
    ) -> None:
        self.signal = signal
        self.origin = origin
        self.sample_id = sample_id
        self.step = step
        self.subscribed_value = subscribed_value
        self._loader = loader
        self._item = item
        self._outputs = outputs
        self._place = place

    @property
    def is_static(self) -> bool:
        """True when the function was called for the data itself, not for a logged value."""
        return self.signal.is_static

    @property
    def is_dynamic(self) -> bool:
        """True when a logged value called for it."""
        return not self.signal.is_static

    @property
    def logits(self) -> Any:
        return None if self._outputs is None else self._outputs[self._place]

    def _read(self) -> Any:
        if self._item is None:
            if self._loader is None:
                raise UsageError(
                    f"the data of sample {self.sample_id!r} is not known: its origin"
                    f" {self.origin!r} is not a loader that was watched with flag='data'"
                )
            self._item = self._loader.item(self.sample_id)
        return self._item

    @property
    def data(self) -> Any:
        """The sample's data, as the data set returns it; read again from the data set."""
        return self._read().data

    @property
    def target(self) -> Any:
        """The sample's target, as the data set returns it."""
        return self._read().target

    @property
    def metadata(self) -> dict[str, Any]:
        """The sample's metadata, as the data set returns it."""
        return dict(self._read().metadata)

    @property
    def image(self) -> npt.NDArray[Any]:
        """``data`` as an array ``[H, W]`` or ``[H, W, C]``, channels last.

        Raises:
            UsageError: the data is not an image.
        """
        return as_image(self.data)


def as_image(data: Any) -> npt.NDArray[Any]:
    """An image as ``[H, W]`` or ``[H, W, C]``, from ``[H, W]``, ``[C, H, W]`` or ``[H, W, C]``.

    An axis of at most 4 counts as channels, of two such axes the first in a tensor and the last
    in an array; one channel is dropped. Values are kept as they are.

    Raises:
        UsageError: the data has neither two nor three dimensions.
    """
    is_tensor = hasattr(data, "detach")
    array = np.asarray(data.detach().cpu() if is_tensor else data)
    if array.ndim == 3 and array.shape[0] <= 4 and (is_tensor or array.shape[2] > 4):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3):
        raise UsageError(f"the data is no image: it has shape {list(array.shape)}")
    return array


class _Registry:
    """The signals that this process knows."""

    def __init__(self) -> None:
        self.by_name: dict[str, Signal] = {}
        self._failed: set[tuple[bytes, str]] = set()

    def add(self, signal: Signal) -> None:
        known = self.by_name.get(signal.name)
        if known is not None and known.function.__qualname__ != signal.function.__qualname__:
            raise UsageError(
                f"the signal {signal.name!r} exists already, as {known.function.__qualname__}"
            )
        self._refuse_cycle(signal)
        self.by_name[signal.name] = signal

    def _refuse_cycle(self, signal: Signal) -> None:
        path, name = [signal.name], signal.subscribe_to
        while name is not None:
            path.append(name)
            if name == signal.name:
                raise UsageError("these signals would wait for each other: " + " -> ".join(path))
            found = self.by_name.get(name)
            name = None if found is None else found.subscribe_to

    def subscribers(self, name: str) -> Iterator[Signal]:
        for signal in tuple(self.by_name.values()):
            if signal.subscribe_to == name:
                yield signal

    def fails_first(self, writer: bytes, name: str) -> bool:
        """Notes that a signal failed; True when it is the first time in this run."""
        before = len(self._failed)
        self._failed.add((writer, name))
        return len(self._failed) > before


registry = _Registry()


@overload
def signal(function: F) -> F: ...
@overload
def signal(
    *,
    name: str | None = None,
    subscribe_to: str | None = None,
    compute_every_n_steps: int = 1,
    min_step: int = 0,
    log: bool = False,
    strict: bool = False,
) -> Callable[[F], F]: ...
def signal(
    function: F | None = None,
    *,
    name: str | None = None,
    subscribe_to: str | None = None,
    compute_every_n_steps: int = 1,
    min_step: int = 0,
    log: bool = False,
    strict: bool = False,
) -> F | Callable[[F], F]:
    """Registers ``function(ctx) -> number`` as a signal of every sample.

    Args:
        name: the signal's name; the function's own when it is left out.
        subscribe_to: the per-sample signal whose values call for this one (a dynamic signal);
            without it the signal is static and computed by `compute_signals`.
        compute_every_n_steps: compute only at steps that this divides.
        min_step: compute from this step on.
        log: draw the mean over samples as a curve.
        strict: let what the function raises end the training.

    The function is returned as it is. Returning None leaves the sample without a value.

    Raises:
        UsageError: the name is taken by another function, or signals would wait for each other.
    """

    def register(made: F) -> F:
        if compute_every_n_steps < 1:
            raise UsageError(
                f"compute_every_n_steps must be at least 1, not {compute_every_n_steps}"
            )
        subscribed = None if subscribe_to is None else normalise_name(subscribe_to)
        own = normalise_name(name or made.__name__)
        registry.add(Signal(own, made, subscribed, compute_every_n_steps, min_step, log, strict))
        return made

    return register if function is None else register(function)


def dispatch(
    running: Session, name: str, batch: BatchIds, values: npt.NDArray[Any], outputs: Any = None
) -> None:
    """Computes the dynamic signals that wait for ``name``, whose ``values [B]`` were just logged.

    It is called within `Recorder.facts`, whose frame says at which step.
    """
    for waiting in registry.subscribers(name):
        frame = running.recorder.current
        step = running.step if frame is None else frame.step
        if not waiting.is_due(step):
            continue
        loader = running.loaders.get(batch.origin)
        computed = Computed(running, waiting, batch.origin)
        for place, (one, value) in enumerate(zip(batch.ids, values.tolist(), strict=True)):
            computed.add(
                SignalContext(waiting, batch.origin, one, step, value, loader, None, outputs, place)
            )
        computed.record()


def refuse_subscribers(running: Session, name: str, level: str) -> None:
    """Says of the dynamic signals that wait for ``name`` that they wait in vain."""
    for waiting in registry.subscribers(name):
        error = UsageError(
            f"{waiting.name!r} subscribes to {name!r}, which has one value per {level}; a dynamic"
            " signal needs one per sample: subscribe to a criterion with per_sample=True, or to a"
            " name that save_signals records"
        )
        if waiting.strict:
            raise error
        _report(running, waiting, f"for {name!r}", error)


class Computed:
    """What a signal's function makes of sample after sample, until it is recorded."""

    def __init__(self, running: Session, made: Signal, origin: str) -> None:
        self._running = running
        self._made = made
        self._origin = origin
        self._ids: list[SampleId] = []
        self._values: list[float] = []
        self.count = 0  # how many values have been recorded

    def add(self, context: SignalContext) -> None:
        """Calls the function. What it raises is recorded and warned of once, or passed on."""
        try:
            value = self._made.function(context)
            number = None if value is None else float(value)
        except Exception as error:
            if self._made.strict:
                raise
            _report(self._running, self._made, f"for sample {context.sample_id!r}", error)
            return
        if number is not None:
            self._values.append(number)
            self._ids.append(context.sample_id)

    def record(self) -> None:
        """Records the values since the last time, and computes the signals that wait for them."""
        if not self._ids:
            return
        made, running = self._made, self._running
        batch = BatchIds(self._origin, self._ids)
        values = np.asarray(self._values, np.float64)
        with np.errstate(over="ignore"):
            narrow = values.astype(np.float32)
        if np.array_equal(narrow, values, equal_nan=True):
            values = narrow  # type: ignore[assignment]  # half the bytes where nothing is lost
        self.count += len(self._ids)
        self._ids, self._values = [], []
        with running.recorder.facts():
            running.declare(made.name, "sample", "signal", made.log, detail_of(made))
            running.recorder.values(made.name, made.log, batch, values)
            dispatch(running, made.name, batch, values)


def detail_of(made: Signal) -> dict[str, Any]:
    """What a signal's declaration says of it."""
    kind = "static" if made.is_static else "dynamic"
    return {"computed": kind, "from": made.subscribe_to}


def _report(running: Session, made: Signal, where: str, error: Exception) -> None:
    if not registry.fails_first(running.writer, made.name):
        return
    text = f"{type(error).__name__}: {error}"
    running.recorder.add(
        "signal_failed", made.name, text, "".join(traceback.format_exception(error))
    )
    warnings.warn(
        f"the signal {made.name!r} raised {text} {where}; it is tried again with every sample and"
        " not warned of again. The traceback is in the log: wl events --kind signal_failed",
        SignalFailedWarning,
        stacklevel=2,
    )
