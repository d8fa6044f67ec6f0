"""``@wl.signal``: the signals that a user's functions make, and who waits for whom.

A static signal is computed from the data alone, by `static.compute_signals`. A dynamic one
subscribes to other signals and is computed when they are logged, within the same step, by
`dispatch`. What its function is told is `signal_context`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeVar, overload

from wl_core.errors import UsageError, nearest
from wl_core.table import normalise_name

F = TypeVar("F", bound=Callable[..., Any])
Level = Literal["sample", "instance"]
_LEVELS = ("sample", "instance")


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """A registered signal. A dynamic one waits for ``subscribe_to`` or for ``inputs``."""

    name: str
    function: Callable[[Any], Any]
    subscribe_to: str | None = None
    inputs: tuple[str, ...] = ()
    batched: bool = False
    level: Level = "sample"
    include_history: bool = False
    compute_every_n_steps: int = 1
    min_step: int = 0
    log: bool = False
    strict: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        """The signals that this one waits for."""
        return self.inputs if self.subscribe_to is None else (self.subscribe_to,)

    @property
    def is_static(self) -> bool:
        return self.subscribe_to is None and not self.inputs

    def is_due(self, step: int) -> bool:
        return step >= self.min_step and step % self.compute_every_n_steps == 0

    def described(self) -> dict[str, Any]:
        """What the signal's declaration in the log says of it."""
        computed = "static" if self.is_static else "dynamic"
        return {"computed": computed, "from": list(self.inputs) or self.subscribe_to}


class _Registry:
    """The signals that this process knows.

    ``subscribers`` are those that wait for a name: a lookup and not a search, since it is asked
    for every signal of every step.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, Signal] = {}
        self._failed: set[tuple[bytes, str]] = set()
        self.subscribers: dict[str, tuple[Signal, ...]] = {}

    @property
    def by_name(self) -> Mapping[str, Signal]:
        return MappingProxyType(self._by_name)

    def add(self, signal: Signal) -> None:
        known = self._by_name.get(signal.name)
        if known is not None and known.function.__qualname__ != signal.function.__qualname__:
            raise UsageError(
                f"the signal {signal.name!r} exists already, as {known.function.__qualname__}"
            )
        self._refuse_cycle(signal)
        self._refuse_other_levels(signal)
        self.replace({**self._by_name, signal.name: signal})

    def replace(self, signals: Mapping[str, Signal]) -> Mapping[str, Signal]:
        """Knows these signals and no others; gives those that it knew before."""
        before, self._by_name = self._by_name, dict(signals)
        subscribers: dict[str, tuple[Signal, ...]] = {}
        for signal in self._by_name.values():
            for name in signal.sources:
                subscribers[name] = (*subscribers.get(name, ()), signal)
        self.subscribers = subscribers
        return before

    def clear(self) -> None:
        """Forgets all signals."""
        self.replace({})

    def _refuse_cycle(self, signal: Signal) -> None:
        """Whatever is registered last closes a cycle, so it is enough to look from there."""
        path = self._path(signal.sources, signal.name, set())
        if path is not None:
            whole = " -> ".join([signal.name, *path])
            raise UsageError(f"these signals would wait for each other: {whole}")

    def _path(self, names: Sequence[str], to: str, met: set[str]) -> list[str] | None:
        """The names from one of ``names`` to ``to``, each waiting for the next."""
        for name in names:
            if name == to:
                return [name]
            if name in met or name not in self._by_name:
                continue
            met.add(name)
            rest = self._path(self._by_name[name].sources, to, met)
            if rest is not None:
                return [name, *rest]
        return None

    def _refuse_other_levels(self, signal: Signal) -> None:
        """Of what it waits for and of what waits for it."""
        for name in signal.sources:
            source = self._by_name.get(name)
            if source is not None and source.level != signal.level:
                raise UsageError(wrong_level(signal, name, source.level))
        for waiting in self.subscribers.get(signal.name, ()):
            if waiting.level != signal.level:
                raise UsageError(wrong_level(waiting, signal.name, signal.level))

    def fails_first(self, writer: bytes, name: str) -> bool:
        """Notes that a signal failed; True when it is the first time in this run."""
        before = len(self._failed)
        self._failed.add((writer, name))
        return len(self._failed) > before


registry = _Registry()


def wrong_level(waiting: Signal, name: str, level: str) -> str:
    """Why a signal waits in vain for ``name``, which has a value per ``level``, and what to do.

    The level ``label`` is that of texts and lists.
    """
    if level == "label":
        return (
            f"{waiting.name!r} waits for {name!r}, which is a text or a list for each sample; a"
            " signal waits for numbers: let it wait for one, and read the label with"
            " ctx.dataframe.get_value"
        )
    advice = {
        "instance": "pass level='instance', or record one number per sample (the mean of its"
        " instances, say) with save_signals and subscribe to that",
        "sample": "leave level='instance' out, or record one value per instance with"
        " save_instance_signals; a function of an instance reads its sample's values with"
        " ctx.latest",
        "group": "record the groups' values with save_signals or save_instance_signals as well,"
        " under another name, and subscribe to that",
        "step": "subscribe to a criterion with per_sample=True or per_instance=True, or to a name"
        " that save_signals records",
    }
    return (
        f"{waiting.name!r} waits for {name!r}, which has one value per {level}; a signal with"
        f" level={waiting.level!r} needs one per {waiting.level}: {advice[level]}"
    )


@overload
def signal(function: F) -> F: ...
@overload
def signal(
    *,
    name: str | None = None,
    subscribe_to: str | None = None,
    inputs: Sequence[str] | None = None,
    batched: bool = False,
    level: Level = "sample",
    include_history: bool = False,
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
    inputs: Sequence[str] | None = None,
    batched: bool = False,
    level: Level = "sample",
    include_history: bool = False,
    compute_every_n_steps: int = 1,
    min_step: int = 0,
    log: bool = False,
    strict: bool = False,
) -> F | Callable[[F], F]:
    """Registers ``function(ctx) -> number`` as a signal of every sample, or of every instance.

    Args:
        name: the signal's name; the function's own when it is left out.
        subscribe_to: the signal whose values call for this one (a dynamic signal). Without it and
            without ``inputs`` the signal is static and computed by `compute_signals`.
        inputs: several signals. The function is called for a sample as soon as all of them have a
            value of it at this step, in whatever order or batches they came, and then waits for
            new ones; it finds them in ``ctx.inputs``.
        batched: call the function once for a batch, with a `BatchSignalContext`; it returns an
            array ``[B]``.
        level: ``"sample"``, or ``"instance"`` for one value per instance: of a per-instance signal
            that it subscribes to, or static of each mask that a data set's item lists.
        include_history: give ``ctx.history``. The values of what it waits for are then kept in
            memory from the first time that it is asked for, when the log is read once: about 18
            bytes a value and 120 a sample.
        compute_every_n_steps: compute only at steps that this divides.
        min_step: compute from this step on.
        log: draw the mean over samples as a curve.
        strict: let what the function raises end the training.

    The function is returned as it is. Returning None leaves the sample without a value. Discarded
    samples have their signals computed like any other.

    Raises:
        UsageError: the name is taken by another function, signals would wait for each other, one
            waits for a signal of another level, or the arguments exclude each other.
    """

    def register(made: F) -> F:
        found = Signal(
            normalise_name(name or made.__name__),
            made,
            None if subscribe_to is None else normalise_name(subscribe_to),
            _names(inputs),
            batched,
            level,
            include_history,
            compute_every_n_steps,
            min_step,
            log,
            strict,
        )
        _check(found)
        registry.add(found)
        return made

    return register if function is None else register(function)


def _names(inputs: Sequence[str] | None) -> tuple[str, ...]:
    if inputs is None:
        return ()
    if isinstance(inputs, str) or not all(isinstance(one, str) for one in inputs):
        raise UsageError(f"inputs must be a list of the names of signals, got {inputs!r}")
    names = tuple(normalise_name(one) for one in inputs)
    if not names or len(set(names)) < len(names):
        raise UsageError(f"inputs must name at least one signal and each once, got {inputs!r}")
    return names


def _check(made: Signal) -> None:
    if made.subscribe_to is not None and made.inputs:
        raise UsageError(f"signal {made.name!r}: pass subscribe_to= or inputs=, not both")
    if made.level not in _LEVELS:
        hint = nearest(str(made.level), _LEVELS)
        raise UsageError(f"level must be 'sample' or 'instance', not {made.level!r}.{hint}")
    if made.compute_every_n_steps < 1:
        raise UsageError(
            f"compute_every_n_steps must be at least 1, not {made.compute_every_n_steps}"
        )
    if made.is_static and (made.batched or made.include_history):
        option = "batched" if made.batched else "include_history"
        raise UsageError(
            f"signal {made.name!r}: {option}=True needs subscribe_to= or inputs=; a static signal"
            " is computed from one item of the data set at a time"
        )
