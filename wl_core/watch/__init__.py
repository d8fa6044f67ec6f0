"""``watch_or_edit``: one way to watch anything. One file per kind of object; this one chooses."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from wl_core.errors import nearest
from wl_core.plugins import load_plugins

Handler = Callable[..., Any]

# Flag -> (module, function, arguments that the flag itself gives). Modules are imported on first
# use: a process that watches only a dict of hyperparameters need not wait for torch.
_BUILTIN: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "data": ("data", "watch_data", ()),
    "dataset": ("data", "watch_data", ()),
    "dataloader": ("data", "watch_data", ()),
    "loss": ("criterion", "watch_criterion", ("loss",)),
    "criterion": ("criterion", "watch_criterion", ("loss",)),
    "metric": ("criterion", "watch_criterion", ("metric",)),
    "signal": ("criterion", "watch_criterion", ("signal",)),
    "model": ("model", "watch_model", ()),
    "optimizer": ("optimizer", "watch_optimizer", ()),
    "hyperparameters": ("hyperparameters", "watch_hyperparameters", ()),
    "hp": ("hyperparameters", "watch_hyperparameters", ()),
}


def watch_or_edit(obj: Any, *, flag: str, **options: Any) -> Any:
    """Watches an object and returns what to use in its place.

    ========================================  ==================================================
    flag                                      object, and where its options are described
    ========================================  ==================================================
    ``data``, ``dataset``, ``dataloader``     `wl_core.watch.data.watch_data`
    ``loss``, ``criterion``, ``metric``,      `wl_core.watch.criterion.watch_criterion`
    ``signal``
    ``model``                                 `wl_core.watch.model.watch_model`
    ``optimizer``                             `wl_core.watch.optimizer.watch_optimizer`
    ``hyperparameters``, ``hp``               `wl_core.watch.hyperparameters.watch_hyperparameters`
    ========================================  ==================================================

    Plugins add flags by the hook ``wl_watch_flags``. What is returned behaves as the object does;
    watching changes no result bit of a training.

    Raises:
        TypeError: an unknown flag or option; the nearest valid name is given.
    """
    handler, given = _handler(flag)
    parameters = inspect.signature(handler).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    known = [p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY]
    for option in options:
        if option not in known and not open_ended:
            raise TypeError(
                f"watch_or_edit(flag={flag!r}) has no option {option!r}.{nearest(option, known)}"
                f" It has: {', '.join(known)}"
            )
    return handler(obj, *given, **options)


def _handler(flag: str) -> tuple[Handler, tuple[str, ...]]:
    if flag in _BUILTIN:
        module, function, given = _BUILTIN[flag]
        found = __import__(f"wl_core.watch.{module}", fromlist=[function])
        return getattr(found, function), given
    added: dict[str, Handler] = load_plugins().mapping("wl_watch_flags")
    if flag in added:
        return added[flag], ()
    flags = (*_BUILTIN, *added)
    raise TypeError(
        f"watch_or_edit has no flag {flag!r}.{nearest(flag, flags)} Flags: {', '.join(flags)}"
    )
