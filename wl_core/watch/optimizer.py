"""``flag="optimizer"``: the run remembers the optimizer and draws its learning rate."""

from __future__ import annotations

from typing import Any

from wl_core.errors import UsageError
from wl_core.session import session


def watch_optimizer(obj: Any, *, name: str = "optimizer") -> Any:
    """Records the optimizer's settings, and returns the very same optimizer.

    Its learning rate becomes a curve, ``NAME/lr`` (``NAME/lr/1``, … for further parameter groups),
    with a value at the first step and whenever a training guard ends with another one.

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
    running.recorder.add("object_described", "optimizer", name, detail)
    running.optimizers[name] = obj
    running.at_step_end.append(_LearningRates(obj, name))
    return obj


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
