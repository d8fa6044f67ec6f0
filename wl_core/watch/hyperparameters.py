"""``flag="hyperparameters"``: the run remembers its settings, and every change of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wl_core.errors import UsageError
from wl_core.session import current_session, session, start_run

ROOT_KEY = "root_log_dir"


class HyperParameters(dict[str, Any]):
    """The hyperparameters: a dict whose changes are recorded. Nested names are joined by dots."""

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        _record({name: value})

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        _record({name: None})

    def update(self, *arguments: Any, **values: Any) -> None:
        changes = dict(*arguments, **values)
        super().update(changes)
        _record(changes)

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]


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
        UsageError: the file holds no mapping.
    """
    given = _read(Path(obj)) if isinstance(obj, (str, Path)) else obj
    values = HyperParameters({**(defaults or {}), **given})
    if current_session() is None:
        start_run(root=values.get(ROOT_KEY))
    _record({f"{name}.{key}" if name else key: value for key, value in values.items()})
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


def _record(values: Mapping[str, Any]) -> None:
    flat = dict(_flatten("", values))
    if flat:
        session().recorder.add("hyperparameters", flat, "script")


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
