"""Numbers of the model, one per step: those that a script saves, and those of its layers.

What layers are watched for is computed where the layer lies, by hooks that only look on: they give
nothing back, draw no random numbers and leave no trace in a graph. All numbers of a step make one
tensor on the device, which comes to the host as `deferred` says. When a training guard ends is
`session`'s business.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from wl_core.deferred import Numbers
from wl_core.dispatch import at_step, refuse_subscribers
from wl_core.errors import UsageError, nearest
from wl_core.session import Session, current_session, session
from wl_core.table import normalise_name


def save_model_signals(
    signals: Mapping[str, Any], *, step: int | None = None, log: bool = True
) -> None:
    """Records one value of this step for each name: ``{name: number}``.

    Args:
        signals: numbers, or tensors of one element, on whatever device: nobody waits for them, and
            those of one device make the way to the host together.
        step: the step to record at; the current one when left out.
        log: draw them as curves.

    Raises:
        SignalShapeError: something else than one number; nothing of the call is recorded.
    """
    numbers = Numbers({normalise_name(name): value for name, value in signals.items()})
    running = session()
    with at_step(running.recorder, step):
        _record(running, numbers, log=log)


def _record(running: Session, numbers: Numbers, *, log: bool) -> None:
    if not numbers.names:
        return
    recorder = running.recorder
    with recorder.facts():
        for name in numbers.names:
            running.declare(name, "step", "signal", log, {})
            refuse_subscribers(running, name, "step")
        if numbers.arriving:
            recorder.later(numbers.arriving, lambda: recorder.step_values(numbers.land()))
        else:
            recorder.step_values(numbers.land())


def track_model_signals(
    model: nn.Module,
    *,
    every: int = 1,
    activations: bool = True,
    gradients: bool = True,
    weights: bool = True,
    layers: Sequence[str] | None = None,
    name: str = "model",
) -> ModelSignals:
    """Records how the layers of a model fare, in training guards, until ``.remove()`` is called.

    ``NAME/LAYER/…`` for each layer, and ``NAME/…`` for the whole model:

    - ``gradient_norm``: the L2 norm of its parameters' gradients as ``backward`` left them: summed
      over the backward calls so far, before clipping, and with an AMP ``GradScaler`` still scaled.
      ``zero_grad`` before the guard ends takes nothing away. That of the model is the norm of all
      its parameters' norms, as ``torch.nn.utils.clip_grad_norm_`` computes it.
    - ``weight_norm``: the L2 norm of its parameters when the guard is left, after the optimizer.
    - ``activation_mean``, ``activation_std`` (of the population), ``activation_min``,
      ``activation_max``: over all elements of what its ``forward`` returned in this step; of an
      output that is a tuple, list or mapping, over its first floating-point tensor. A layer that
      is called several times in a step (a shared one, or one that activation checkpointing
      computes again) has the statistics of all its calls. That of the model is of its own output.

    A parameter that has no gradient in a step is left out of it. NaN and infinities are recorded as
    they are. Watching changes no bit of the training, and makes nobody wait for a device.

    Args:
        model: any module, on any devices. Compile it before: a compiled model is interrupted at
            each layer whose activations are tracked; ``activations=False`` leaves it whole.
        every: only at steps that this divides; at others the hooks return at once.
        activations, gradients, weights: which of them.
        layers: names of modules or patterns (``"encoder.*"``); left out, all modules that have
            parameters of their own. Of a module that is named, all parameters count.
        name: what the signals' names begin with.

    Raises:
        UsageError: a pattern that no module matches, a lazy parameter that has no shape yet, or
            a model that is tracked under this name already.
    """
    if every < 1:
        raise UsageError(f"every must be at least 1, not {every}")
    model = getattr(model, "_orig_mod", model)  # a compiled model is a shell around its own
    running = session()
    for other in tuple(_tracked):
        if other.run is not running:
            other.remove()  # its run has ended
        elif other.name == name:
            raise UsageError(f"a model is tracked as {name!r} already: choose another name=")
    tracked = ModelSignals(running, name, every, _parts_of(model, layers))
    tracked.start(activations=activations, gradients=gradients, weights=weights)
    return tracked


@dataclass(frozen=True, slots=True)
class _Part:
    """A layer, or the whole model: where its signals' names begin, and what is its own."""

    label: str
    module: nn.Module
    parameters: tuple[nn.Parameter, ...]


def _parts_of(model: nn.Module, patterns: Sequence[str] | None) -> dict[str, _Part]:
    if any(is_lazy(one) for one in model.parameters()):
        raise UsageError("the model has lazy parameters without a shape: call it once before")
    named = {name: one for name, one in model.named_modules() if name}
    if patterns is None:
        own = {name: tuple(one.parameters(recurse=False)) for name, one in named.items()}
        chosen = {name: found for name, found in own.items() if found}
    else:
        names = _matching(named, [patterns] if isinstance(patterns, str) else patterns)
        chosen = {name: tuple(named[name].parameters()) for name in names}
    parts = {name: _Part(f"{name}/", named[name], found) for name, found in chosen.items()}
    return parts | {"": _Part("", model, tuple(model.parameters()))}


def _matching(named: Mapping[str, nn.Module], patterns: Sequence[str]) -> list[str]:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in named):
            hint = nearest(pattern, named)
            raise UsageError(
                f"the model has no layer {pattern!r}.{hint} It has: {', '.join(named)}"
            )
    return [name for name in named if any(fnmatchcase(name, one) for one in patterns)]


_tracked: list[ModelSignals] = []


def forget_model_signals() -> None:
    """Removes all hooks of `track_model_signals`."""
    for one in tuple(_tracked):
        one.remove()


@final
class ModelSignals:
    """What `track_model_signals` gives: the hooks on a model, and what they saw in this step."""

    def __init__(self, run: Session, name: str, every: int, parts: dict[str, _Part]) -> None:
        self.run = run
        self.name = name
        self._every = every
        self._parts = parts
        self._handles: list[Any] = []
        self._weights = False
        self._step = -1  # that of which the following was seen
        self._moments: dict[str, _Moments] = {}
        self._gradients: dict[nn.Parameter, Tensor] = {}

    def start(self, *, activations: bool, gradients: bool, weights: bool) -> None:
        """Hooks itself into the model and the end of its run's steps."""
        self._weights = weights
        if activations:
            for key, part in self._parts.items():
                hook = _ForwardHook(self, key, part.module)
                self._handles.append(part.module.register_forward_hook(hook))
        if gradients:
            for one in self._parts[""].parameters:
                if one.requires_grad:
                    register: Any = one.register_post_accumulate_grad_hook
                    self._handles.append(register(self.look_at_gradient))
        self.run.at_step_end.append(self._tell)
        _tracked.append(self)

    def remove(self) -> None:
        """Takes all hooks out of the model again. Calling it twice is fine."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self in _tracked:
            _tracked.remove(self)
            self.run.at_step_end.remove(self._tell)

    def _is_due(self) -> bool:
        """Is this a step that is tracked? The first question in a step forgets the one before."""
        recorder = self.run.recorder
        if current_session() is not self.run or recorder.phase != "train":
            return False
        if recorder.step % self._every:
            return False
        if self._step != recorder.step:
            self._step = recorder.step
            self._moments.clear()
            self._gradients.clear()
        return True

    # -- what the hooks saw --------------------------------------------------------------------

    def look(self, key: str, output: Any) -> None:
        """At what a layer returned."""
        if not self._is_due():
            return
        found = next(_floating(output), None)
        if found is not None and found.numel():
            with torch.no_grad():
                self._moments.setdefault(key, _Moments()).add(found)

    def look_at_gradient(self, parameter: nn.Parameter) -> None:
        """As `backward` has just left it."""
        if parameter.grad is not None and self._is_due():
            with torch.no_grad():
                self._gradients[parameter] = _norm(parameter.grad)

    def _tell(self) -> dict[str, float]:
        """At the end of a training guard: one tensor of all numbers, on its way to the host."""
        if self._is_due():
            with torch.no_grad():
                found = dict(self._collect())
                numbers = Numbers(found)
            self._moments.clear()
            self._gradients.clear()
            _record(self.run, numbers, log=True)
        return {}

    def _collect(self) -> Iterator[tuple[str, Tensor]]:
        every = self._parts[""].parameters
        weights = {one: _norm(one.detach()) for one in every} if self._weights else {}
        for key, part in self._parts.items():
            label = f"{self.name}/{part.label}"
            for what, norms in (("gradient_norm", self._gradients), ("weight_norm", weights)):
                own = [norms[one] for one in part.parameters if one in norms]
                if own:
                    yield label + what, _joined(own)
            if key in self._moments:
                for what, value in self._moments[key].statistics():
                    yield f"{label}activation_{what}", value


# -- hooks ---------------------------------------------------------------------------------------


def _looks_away(*_: Any) -> None:
    """The hook of a copied or unpickled model, which nobody tracks."""


def _no_hook() -> Callable[..., None]:
    return _looks_away


# Looks, and is called by compiled code as it is: a log is nothing to compile. It is made only where
# torch.compile is in use already, since importing that takes seconds.
_untraced: list[Callable[..., Any]] = []


class _ForwardHook:
    """Sees what a layer returned, and returns nothing."""

    def __init__(self, tracked: ModelSignals, key: str, module: nn.Module) -> None:
        self._tracked = tracked
        self._key = key
        self._module = module

    def __call__(self, module: nn.Module, _: Any, output: Any) -> None:
        if module is self._module:
            if "torch._dynamo" not in sys.modules:
                self._tracked.look(self._key, output)
                return
            if not _untraced:
                disable: Callable[..., Any] = torch.compiler.disable
                _untraced.append(disable(lambda tracked, *seen: tracked.look(*seen)))
            _untraced[0](self._tracked, self._key, output)

    def __reduce__(self) -> Any:
        """A model may be copied and pickled as before; its copies are not tracked."""
        return _no_hook, ()


# -- numbers -------------------------------------------------------------------------------------


class _Moments:
    """Mean, variance and extremes of the tensors of a step, as tensors ``[]`` on their device.

    Several tensors are joined as by Chan, Golub and LeVeque, "Updating formulae and a pairwise
    algorithm for computing sample variances" (1979): sums of squares would cancel.
    """

    __slots__ = ("_count", "_high", "_low", "_mean", "_squares")

    def __init__(self) -> None:
        self._count = 0

    def add(self, tensor: Tensor) -> None:
        values = _wide(tensor.detach())
        count = values.numel()
        variance, mean = torch.var_mean(values, correction=0)
        low, high = torch.aminmax(values)
        if not self._count:
            self._mean, self._squares, self._low, self._high = mean, variance * count, low, high
        else:
            total, apart = self._count + count, mean - self._mean
            self._mean = self._mean + apart * (count / total)
            joined = apart * apart * (self._count * count / total)
            self._squares = self._squares + variance * count + joined
            self._low, self._high = torch.minimum(self._low, low), torch.maximum(self._high, high)
        self._count += count

    def statistics(self) -> Iterator[tuple[str, Tensor]]:
        yield "mean", self._mean
        yield "std", (self._squares / self._count).sqrt()
        yield "min", self._low
        yield "max", self._high


def _floating(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, (tuple, list, Mapping)):
        for one in output.values() if isinstance(output, Mapping) else output:
            yield from _floating(one)


def _wide(tensor: Tensor) -> Tensor:
    """In at least 32 bits: a norm of 16-bit numbers is soon infinite."""
    return tensor.float() if tensor.itemsize < 4 else tensor


def _norm(tensor: Tensor) -> Tensor:
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()  # of an embedding; this alone does wait for a device
    norm: Tensor = torch.linalg.vector_norm(_wide(tensor))
    return norm


def _joined(norms: Sequence[Tensor]) -> Tensor:
    """The norm of all that these are the norms of; on the device of the first."""
    if len(norms) == 1:
        return norms[0]
    first = norms[0].device
    norm: Tensor = torch.linalg.vector_norm(torch.stack([one.to(first) for one in norms]))
    return norm
