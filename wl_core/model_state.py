"""What a saved model consists of: the states of objects in plain types, taken and put back.

    {"models":     {name: {"class": text, "state": what state_dict() gave}},
     "optimizers": the same,
     "extra":      the same, of whatever else has a state (a scheduler, a GradScaler, a Generator),
     "random":     {"python", "numpy", "torch", "cuda"}}

Only tensors and plain types go in, so that ``torch.load(weights_only=True)``, which executes
nothing, gives it back. Files, events and which of them is the newest are `model_checkpoints`'.
"""

from __future__ import annotations

import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from wl_core.errors import UsageError

# What ``weights_only`` knows beside tensors. Exact types: a subclass would need its class.
_PLAIN = frozenset({type(None), bool, int, float, str, bytes, bytearray, complex})


@dataclass(frozen=True, slots=True)
class Parts:
    """The objects whose states belong together, by name."""

    models: Mapping[str, Any]
    optimizers: Mapping[str, Any]
    extra: Mapping[str, Any]

    def items(self) -> list[tuple[str, Mapping[str, Any]]]:
        return [(field.name, getattr(self, field.name)) for field in fields(self)]


def take_state(parts: Parts) -> dict[str, Any]:
    """The state of all parts and of the random numbers.

    Raises:
        UsageError: a state holds something that could not be loaded again without executing code;
            the message says where.
    """
    state: dict[str, Any] = {}
    for group, objects in parts.items():
        state[group] = {
            name: {
                "class": type(inner(one)).__qualname__,
                "state": _loadable(_state_of(one), f"{group}[{name!r}]"),
            }
            for name, one in objects.items()
        }
    state["random"] = random_state()
    return state


def inner(obj: Any) -> Any:
    """The model within a compiled one, whose state has other names for the same tensors."""
    return getattr(obj, "_orig_mod", obj)


def _state_of(obj: Any) -> Any:
    import torch

    return obj.get_state() if isinstance(obj, torch.Generator) else inner(obj).state_dict()


def _put_into(obj: Any, state: Any) -> None:
    import torch

    if isinstance(obj, torch.Generator):
        obj.set_state(state)
    else:
        inner(obj).load_state_dict(state)


def has_state(obj: Any) -> bool:
    import torch

    return isinstance(obj, torch.Generator) or all(
        callable(getattr(obj, name, None)) for name in ("state_dict", "load_state_dict")
    )


def _loadable(value: Any, path: str) -> Any:
    """``value`` with numpy's numbers as Python's; refused with its path if it cannot be loaded."""
    import torch

    kind = type(value)
    if kind in _PLAIN or kind in {torch.Tensor, torch.nn.Parameter, torch.Size}:
        return value
    if kind in {torch.device, torch.dtype}:
        return value
    if isinstance(value, np.generic) and type(value.item()) in _PLAIN:
        return value.item()
    if kind in {list, tuple, set}:
        return kind(_loadable(one, f"{path}[{number}]") for number, one in enumerate(value))
    if kind in {dict, OrderedDict, Counter}:
        made = {_key(key, path): _loadable(one, f"{path}[{key!r}]") for key, one in value.items()}
        return made if kind is dict else _like(value, made)
    raise _refusal(value, path)


def _key(key: Any, path: str) -> Any:
    if type(key) not in _PLAIN:
        raise _refusal(key, f"{path}: the key {key!r}")
    return key


def _like(value: Any, made: dict[Any, Any]) -> Any:
    """A Counter, or an OrderedDict with what is attached to it: modules note their versions so."""
    copy = type(value)(made)
    vars(copy).update(vars(value))
    return copy


def _refusal(value: Any, path: str) -> UsageError:
    kind = type(value)
    return UsageError(
        f"checkpoint: {path} is a {kind.__module__}.{kind.__qualname__}, which could not be loaded"
        " again without executing code: its state must be of tensors, numbers, text, lists and"
        " dicts"
    )


# -- taking it back --------------------------------------------------------------------------------


def misfits(parts: Parts, state: Mapping[str, Any]) -> list[str]:
    """Why the state cannot be put into these parts; empty when it can."""
    found = []
    for group, objects in parts.items():
        saved = state[group]
        found += [f"{group}[{name!r}] is not in the file" for name in objects if name not in saved]
        found += [
            f"{group}[{name!r}] is in the file alone" for name in saved if name not in objects
        ]
        for name in objects.keys() & saved.keys():
            check = _CHECKS[group]
            found += [f"{group}[{name!r}]: {why}" for why in check(objects[name], saved[name])]
    return found


def _model_misfits(model: Any, saved: Mapping[str, Any]) -> list[str]:
    from torch.nn.parameter import is_lazy

    now, then = inner(model).state_dict(), saved["state"]
    found = [f"{key} is not in the file" for key in now if key not in then]
    found += [f"{key} is in the file alone" for key in then if key not in now]
    for key in now.keys() & then.keys():
        one, other = getattr(now[key], "shape", None), getattr(then[key], "shape", None)
        if not is_lazy(now[key]) and one != other:
            found.append(f"{key} is {_shape(one)}, in the file {_shape(other)}")
    return found


def _shape(shape: Any) -> str:
    return "no tensor" if shape is None else str(list(shape))


def _class_misfits(obj: Any, saved: Mapping[str, Any]) -> list[str]:
    name = type(inner(obj)).__qualname__
    return [] if name == saved["class"] else [f"it is a {name}, in the file a {saved['class']}"]


def _optimizer_misfits(optimizer: Any, saved: Mapping[str, Any]) -> list[str]:
    if found := _class_misfits(optimizer, saved):
        return found
    now = [len(group["params"]) for group in optimizer.param_groups]
    then = [len(group["params"]) for group in saved["state"]["param_groups"]]
    return [] if now == then else [f"its groups have {now} parameters, in the file {then}"]


_CHECKS: dict[str, Callable[[Any, Mapping[str, Any]], list[str]]] = {
    "models": _model_misfits,
    "optimizers": _optimizer_misfits,
    "extra": _class_misfits,
}


def put_back(parts: Parts, state: Mapping[str, Any]) -> None:
    """Loads a state that fits, in place; those that nobody could check come first."""
    for group, objects in reversed(parts.items()):
        for name, one in objects.items():
            _put_into(one, state[group][name]["state"])
    set_random_state(state["random"])


# -- random numbers --------------------------------------------------------------------------------


def random_state() -> dict[str, Any]:
    """The state of the generators of Python, numpy (legacy) and torch; looking changes none."""
    import torch

    version, internal, gauss = random.getstate()
    numpy: dict[str, Any] = dict(np.random.get_state(legacy=False))
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return {
        "python": (version, internal, gauss),
        "numpy": (
            str(numpy["bit_generator"]),
            numpy["state"]["key"].tolist(),
            int(numpy["state"]["pos"]),
            int(numpy["has_gauss"]),
            float(numpy["gauss"]),
        ),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if started else [],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    import torch

    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.asarray(keys, np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    for device, one in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(one, device)
