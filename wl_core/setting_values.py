"""Which value may take the place of which, and how a value is read from text or from YAML.

Who holds settings and obeys edits of them is `settings`' business. A process that only asks for an
edit (``wl set``) checks it by the same functions before it asks.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from wl_core.errors import RefusedError, UnknownNameError, UsageError, nearest

if TYPE_CHECKING:
    import yaml

# YAML 1.2 takes 1e-4 for a number; YAML 1.1, which PyYAML reads, for a text.
_SCIENTIFIC = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)[eE][-+]?\d+$")
_LARGEST = 2**63  # what an event can hold


def same(one: Any, other: Any) -> bool:
    """Whether these are the same value of the same type; NaN is itself."""
    if type(one) is not type(other):
        return False
    return bool(one == other) or (one != one and other != other)  # noqa: PLR0124 - NaN


def plain(value: Any) -> Any:
    """The value as an event holds it: None, bool, number, text or a list of those."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return str(value)


def flatten(prefix: str, values: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    """``(name, value)`` of every value; names within names are joined by dots."""
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += flatten(f"{prefix}{name}.", value)
        else:
            found.append((f"{prefix}{name}", plain(value)))
    return found


def fitting(name: str, old: Any, new: Any) -> Any:
    """``new``, as it may take the place of ``old``.

    A bool stays a bool and a text a text; a number may become any number, but a whole number only
    a whole one; a list becomes a list; nothing (None) becomes anything.

    Raises:
        RefusedError: it may not; the message names both.
    """
    if isinstance(new, Mapping):
        raise RefusedError(f"{name} is one value: name what it holds as {name}.NAME")
    number = isinstance(new, (int, float)) and not isinstance(new, bool)
    if number and isinstance(new, int) and not -_LARGEST <= new < _LARGEST:
        raise RefusedError(f"{name} cannot be {new}: an event holds numbers of 64 bits")
    if old is None or type(old) is type(new):
        return new
    if number and isinstance(old, float):
        return float(new)
    if number and type(old) is int and float(new).is_integer():
        return int(new)
    raise RefusedError(f"{name} is {_described(old)}, got {_said(new)}")


def _described(old: Any) -> str:
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return f"{kinds.get(type(old), 'a list')} ({shown(old)})"


def _said(new: Any) -> str:
    if new is None:
        return "nothing (null)"
    if isinstance(new, str):
        return f"the text {new!r}"
    if isinstance(new, (int, float)) and not isinstance(new, bool):
        return f"the number {new}"
    return shown(new) if isinstance(new, bool) else f"{type(new).__name__} {new}"


def shown(value: Any) -> str:
    """A value as somebody writes it who sets it: exact, ``true``, ``null``."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


@functools.cache
def _loader() -> type[yaml.SafeLoader]:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML's safe subset, with the scientific numbers of YAML 1.2."""

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _SCIENTIFIC, list("-+0123456789."))
    return Loader


def read_yaml(text: str, where: str) -> Any:
    """What the YAML text says; ``1e-4`` is a number. Nothing in it is ever executed.

    Raises:
        UsageError: it is no YAML; the message names ``where`` and the line.
    """
    import yaml

    try:
        return yaml.load(text, _loader())  # a safe one
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise UsageError(f"{where} cannot be read as YAML: {said}") from error


def read_assignments(assignments: Iterable[str], known: Mapping[str, Any]) -> dict[str, Any]:
    """What ``NAME=VALUE`` texts ask for, if each value may take the place of the one in ``known``.

    Raises:
        UsageError: one of them is no ``NAME=VALUE`` in YAML, or a name is given twice.
        UnknownNameError: a name is not known.
        RefusedError: a value is not of the type of the one that is known.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not name or not equals:
            raise UsageError(f"expected NAME=VALUE, got {assignment!r}")
        if name in values:
            raise UsageError(f"{name} is given twice")
        if name not in known:
            raise UnknownNameError(f"there is no hyperparameter {name!r}.{nearest(name, known)}")
        values[name] = fitting(name, known[name], _one(name, text))
    return values


def _one(name: str, text: str) -> Any:
    value = read_yaml(text, f"the value of {name}")
    return value if isinstance(value, Mapping) else plain(value)
