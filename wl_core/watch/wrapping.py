"""How an object that is called comes to be watched, so that nobody who uses it can tell.

A watched object is a shallow copy whose class is a subclass of its class: it shares parameters and
buffers, is an instance of what it was, takes the same arguments, and can be copied and pickled.
What is recorded of a call is `criterion`'s business.
"""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wl_core.watch.criterion import Watch

_OURS = ("batch_ids", "batch_idx", "targets", "preds", "preds_raw", "origin")
_SHARED = frozenset({"batch_ids", "batch_idx"})  # they mean the same to whoever names them


def watched(obj: Any, watch: Watch) -> Any:
    """The object, watched; see the head of this file."""
    if inspect.isroutine(obj) or isinstance(obj, functools.partial):
        return _watched_function(obj, watch)
    if _is_metric(obj):
        return _watched_metric(obj, watch)
    taken = _own_keywords(getattr(obj, "forward", obj))
    kind = type(obj)

    def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
        ours = _take_ours(keywords, taken)
        output = kind.__call__(self, *arguments, **keywords)
        return _record(watch, output, arguments, ours)

    return _shell(obj, watch, call)


def _shell(obj: Any, watch: Watch, call: Callable[..., Any]) -> Any:
    """A shallow copy of ``obj`` that answers calls by ``call``; its copies are watched as well."""
    kind = type(obj)

    def reduce(self: Any, protocol: Any) -> Any:
        """The state under the object's own class: another process has no class made here."""
        unwatched = object.__new__(kind)
        unwatched.__dict__.update(self.__dict__)
        _restore_compute(unwatched)
        return watched, (unwatched, watch)

    body = {
        "__slots__": (),  # the same layout, or the class of an object cannot be changed
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
        "__call__": call,
        "__reduce_ex__": reduce,
    }
    shell = copy.copy(obj)
    shell.__class__ = type(kind.__name__, (kind,), body)
    return shell


def _take_ours(keywords: dict[str, Any], taken: frozenset[str]) -> dict[str, Any]:
    """Takes out of a call's keywords those that are meant for wl."""
    ours = {}
    for name in _OURS:
        if name in keywords:
            if name not in taken:
                ours[name] = keywords.pop(name)
            elif name in _SHARED:
                ours[name] = keywords[name]
    return ours


def _record(watch: Watch, output: Any, arguments: tuple[Any, ...], ours: dict[str, Any]) -> Any:
    inputs = arguments[0] if arguments else None
    if "torch._dynamo" not in sys.modules:
        return watch(output, inputs, ours)
    if not _untraced:
        _make_untraced()
    return _untraced[0](watch, output, inputs, ours)


# Calls a watch, and is called by compiled code as it is: a log is nothing to compile. It is made
# only where torch.compile is in use already, since importing that takes seconds.
_untraced: list[Callable[..., Any]] = []


def _make_untraced() -> None:
    import torch

    disable: Callable[..., Any] = torch.compiler.disable
    _untraced.append(disable(lambda watch, *arguments: watch(*arguments)))


def _watched_function(function: Callable[..., Any], watch: Watch) -> Any:
    taken = _own_keywords(function)

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        ours = _take_ours(keywords, taken)
        output = function(*arguments, **keywords)
        return _record(watch, output, arguments, ours)

    return call


def _own_keywords(function: Any) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # a builtin without a signature has no such keywords
        return frozenset()


# -- torchmetrics ----------------------------------------------------------------------------------


def _is_metric(obj: Any) -> bool:
    return callable(getattr(obj, "compute", None)) and callable(getattr(obj, "update", None))


def _watched_metric(obj: Any, watch: Watch) -> Any:
    """A metric tells a batch's value when it is called, and by ``compute`` that of all batches.

    The latter bears the metric's name, what a single batch gave ``NAME/batch``. A metric that
    gives a value for each sample tells it when it is called; ``compute`` then knows no samples.
    """
    kind = type(obj)
    taken = _own_keywords(obj.update)
    if not taken.isdisjoint({"kwargs", "keywords"}):  # a collection passes on what its metrics take
        taken |= {"preds", "targets"}
    by_step = watch.level == "step"
    per_batch = replace(watch, name=f"{watch.name}/batch") if by_step else watch
    computing = [False]  # forward calls compute for the batch at hand, which is not the metric

    def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
        ours = _take_ours(keywords, taken)
        computing[0] = True
        try:
            output = kind.__call__(self, *arguments, **keywords)
        finally:
            computing[0] = False
        return _record(per_batch, output, arguments, ours)

    shell = _shell(obj, watch, call)
    compute = shell.compute

    @functools.wraps(compute)
    def watched_compute(*arguments: Any, **keywords: Any) -> Any:
        output = compute(*arguments, **keywords)
        if by_step and not computing[0]:
            watch(output, None, {})
        return output

    shell.compute = watched_compute
    return shell


def _restore_compute(unwatched: Any) -> None:
    """Takes `watched_compute` out again: it belongs to the shell, and cannot be pickled."""
    state = unwatched.__dict__
    original = getattr(state.get("compute"), "__wrapped__", None)
    if original is None:
        return
    if getattr(original, "__func__", None) is getattr(type(unwatched), "compute", None):
        del state["compute"]  # it was the class's method, not an attribute of the object
    else:
        state["compute"] = original
