"""``flag="hyperparameters"``: the run remembers its settings, and every change of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from wl_core.errors import UsageError
from wl_core.session import current_session, start_run

ROOT_KEY = "root_log_dir"


class HyperParameters(dict[str, Any]):
    """The hyperparameters: a dict whose changes are recorded, also those of dicts within it.

    Names within names are joined by dots: ``hp["optimizer"]["lr"] = 0.1`` records
    ``optimizer.lr``. What is deleted is recorded as None. A copy, also one that is pickled for
    another process, is a plain dict that records nothing.
    """

    def __init__(self, values: Mapping[str, Any], prefix: str = "") -> None:
        self._prefix = prefix
        super().__init__({name: self._nested(name, value) for name, value in values.items()})

    def _nested(self, name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return HyperParameters(value, f"{self._prefix}{name}.")
        return value

    def record(self, values: Mapping[str, Any]) -> None:
        """Records these of its values, if there is a run to record them in."""
        running = current_session()
        flat = dict(_flatten(self._prefix, values))
        if running is not None and flat:
            running.recorder.add("hyperparameters", flat, "script", "")

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, self._nested(name, value))
        self.record({name: value})

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def __ior__(self, values: Any) -> Self:  # type: ignore[override,misc]  # as dict's own does
        self.update(values)
        return self

    def update(self, *arguments: Any, **values: Any) -> None:
        changes = dict(*arguments, **values)
        super().update({name: self._nested(name, value) for name, value in changes.items()})
        self.record(changes)

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]

    def pop(self, name: str, *default: Any) -> Any:
        there = name in self
        value = super().pop(name, *default)
        if there:
            self.record(_emptied({name: value}))
        return value

    def popitem(self) -> tuple[str, Any]:
        name, value = super().popitem()
        self.record(_emptied({name: value}))
        return name, value

    def clear(self) -> None:
        before = dict(self)
        super().clear()
        self.record(_emptied(before))

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (dict(self),)


def _emptied(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same names, each with None for its value."""
    return {
        name: _emptied(value) if isinstance(value, Mapping) else None
        for name, value in values.items()
    }


def watch_hyperparameters(
    obj: Mapping[str, Any] | str | Path,
    *,
    name: str = "",
    defaults: Mapping[str, Any] | None = None,
) -> HyperParameters:
    """Records the hyperparameters, and returns them as a dict whose changes are recorded too.

    ``root_log_dir`` among them is the directory that this script's runs go to, if nothing has been
    recorded yet.

    Args:
        obj: a mapping, or the path of a YAML file that holds one.
        name: a prefix, for scripts with several.
        defaults: values for names that ``obj`` lacks.

    Raises:
        UsageError: neither a mapping nor a file that holds one.
    """
    given = _read(Path(obj)) if isinstance(obj, (str, Path)) else obj
    if not isinstance(given, Mapping):
        raise UsageError(
            "flag='hyperparameters': expected a mapping or the path of a YAML file, got"
            f" {type(obj).__name__}"
        )
    values = HyperParameters({**(defaults or {}), **given}, f"{name}." if name else "")
    if current_session() is None:
        start_run(root=values.get(ROOT_KEY))
    values.record(values)
    return values


def _read(path: Path) -> Mapping[str, Any]:
    import yaml

    with path.open(encoding="utf-8") as file:
        found = yaml.safe_load(file)
    if not isinstance(found, Mapping):
        raise UsageError(
            f"{path} must hold a mapping of hyperparameters, not {type(found).__name__}"
        )
    return found


def _flatten(prefix: str, values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _flatten(f"{prefix}{name}.", value)
        else:
            found.append((f"{prefix}{name}", _plain(value)))
    return found


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return str(value)
