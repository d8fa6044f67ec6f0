"""``flag="optimizer"``: the run remembers the optimizer, draws its learning rate, can change it."""

from __future__ import annotations

import math
from typing import Any

from wl_core.errors import RefusedError, UsageError
from wl_core.session import session

# Counts of LBFGS. Any other number is a real one, though it may be given as 0 or 1.
_WHOLE = frozenset({"max_iter", "max_eval", "history_size"})
_NOT_NEGATIVE = frozenset({"lr", "weight_decay", "momentum", "eps"})


def watch_optimizer(obj: Any, *, name: str = "optimizer") -> Any:
    """Records the optimizer's settings, and returns the very same optimizer.

    Its learning rate becomes a curve, ``NAME/lr`` (``NAME/lr/1``, … for further parameter groups),
    with a value at the first step and whenever a training guard ends with another one.

    Its settings that are numbers, true or false can be set while it trains: ``NAME.lr``,
    ``NAME.weight_decay``, … sets those of all groups, ``NAME.0.lr`` that of the first group where
    there are several. Watching sets nothing. A schedule that computes the learning rate anew from
    its start (``LambdaLR``) undoes an edit at its next step; one that multiplies what is there
    (``StepLR``, ``ExponentialLR``, ``MultiplicativeLR``) goes on from it.

    Args:
        obj: a ``torch.optim.Optimizer``.
        name: what to call it, for scripts with several.

    Raises:
        UsageError: it has no parameter groups.
    """
    if not hasattr(obj, "param_groups"):
        raise UsageError(f"flag='optimizer': expected an Optimizer, got {type(obj).__name__}")
    running = session()
    groups = [
        {key: value for key, value in group.items() if isinstance(value, (bool, int, float, str))}
        for group in obj.param_groups
    ]
    detail = {"class": type(obj).__qualname__, "groups": groups}
    running.settings.include(OptimizerSettings(obj, name), detail)
    running.optimizers[name] = obj
    running.at_step_end.append(_LearningRates(obj, name))
    return obj


class OptimizerSettings:
    """What the parameter groups hold, as `settings` sees it; asked anew each time, for a schedule
    changes it and ``load_state_dict`` replaces the groups.
    """

    role = "optimizer"
    who = "optimizer"

    def __init__(self, optimizer: Any, name: str) -> None:
        self.name = name
        self._optimizer = optimizer

    def values(self) -> dict[str, Any]:
        groups = self._optimizer.param_groups
        found = _settable(f"{self.name}.", groups[0])
        if len(groups) > 1:
            for number, group in enumerate(groups):
                found |= _settable(f"{self.name}.{number}.", group)
        return found

    def short(self) -> dict[str, str]:
        start = f"{self.name}."
        names = _settable("", self._optimizer.param_groups[0])
        return {name: start + name for name in names}

    def check(self, name: str, value: Any) -> None:
        key = name.rpartition(".")[2]
        if isinstance(value, bool):
            return
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise RefusedError(f"{name} must be a finite number, got {value!r}")
        if key in _NOT_NEGATIVE and value < 0:
            raise RefusedError(f"{name} must not be negative, got {value!r}")

    def set(self, name: str, value: Any) -> None:
        self.check(name, value)
        groups, key = self._optimizer.param_groups, name[len(self.name) + 1 :]
        number, _, rest = key.partition(".")
        if rest:
            groups, key = [groups[int(number)]], rest
        for group in groups:
            if hasattr(group[key], "fill_"):  # a tensor, as capturable optimizers have
                group[key].fill_(value)
            else:
                group[key] = value


def _settable(prefix: str, group: dict[str, Any]) -> dict[str, Any]:
    """The numbers and bools of a parameter group, by full name."""
    found: dict[str, Any] = {}
    for key, value in group.items():
        if isinstance(value, bool) or (isinstance(value, int) and key in _WHOLE):
            found[prefix + key] = value
        elif isinstance(value, (int, float)) or (key == "lr" and hasattr(value, "fill_")):
            found[prefix + key] = float(value)
    return found


class _LearningRates:
    """Tells the learning rates that changed since it was asked last."""

    def __init__(self, optimizer: Any, name: str) -> None:
        self._optimizer = optimizer
        self._name = name
        self._known: list[float] = []

    def __call__(self) -> dict[str, float]:
        now = [float(group["lr"]) for group in self._optimizer.param_groups]
        if now == self._known:
            return {}
        before, self._known = self._known, now
        return {
            f"{self._name}/lr" + (f"/{number}" if number else ""): rate
            for number, rate in enumerate(now)
            if number >= len(before) or before[number] != rate
        }
