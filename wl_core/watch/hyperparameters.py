"""``flag="hyperparameters"``: the run remembers its settings, and every change of them.

What else follows a change (optimizers, loaders, the pace) is `settings`' business; the file that
they may come from is looked after by `hyperparameter_file`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from wl_core.errors import UsageError
from wl_core.session import current_session, session, start_run
from wl_core.setting_values import flatten
from wl_core.watch.hyperparameter_file import HyperparameterFile

ROOT_KEY = "root_log_dir"


class HyperParameters(dict[str, Any]):
    """The hyperparameters: a live dict whose changes are recorded, also those of dicts within it.

    Names within names are joined by dots: ``hp["optimizer"]["lr"] = 0.1`` records
    ``optimizer.lr``, and ``hp["optimizer.lr"]`` is the same value. What is deleted is recorded as
    None. A copy, also one that is pickled for another process, is a plain dict that records
    nothing. Lists are values: appending to one is not seen, assigning a new one is.
    """

    def __init__(self, values: Mapping[str, Any], prefix: str = "") -> None:
        self._prefix = prefix
        super().__init__({name: self._nested(name, value) for name, value in values.items()})

    def _nested(self, name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return HyperParameters(value, f"{self._prefix}{name}.")
        return value

    def _tell(self, values: Mapping[str, Any]) -> None:
        """Records these changes of its own, if there is a run to record them in."""
        running = current_session()
        flat = dict(flatten(self._prefix, values))
        if running is not None and flat:
            running.settings.edited(flat)

    # -- names with dots -----------------------------------------------------------

    def find(self, name: Any) -> tuple[HyperParameters, Any] | None:
        """The dict that the value of that name lies in, and its name there."""
        if dict.__contains__(self, name):
            return self, name
        for key, value in self.items():
            if str(key) == name:
                return self, key
            if isinstance(value, HyperParameters) and str(name).startswith(f"{key}."):
                found = value.find(str(name)[len(str(key)) + 1 :])
                if found is not None:
                    return found
        return None

    def place(self, name: Any) -> tuple[HyperParameters, Any]:
        """As `find`; for a new name, the innermost dict that it names, and the rest of the name."""
        found = self.find(name)
        if found is not None:
            return found
        for key, value in self.items():
            if isinstance(value, HyperParameters) and str(name).startswith(f"{key}."):
                return value.place(str(name)[len(str(key)) + 1 :])
        return self, name

    def put(self, name: str, value: Any) -> None:
        """Sets the value of that name and records nothing; one that is new goes into dicts."""
        inner, key = self.place(name)
        while "." in str(key) and key not in inner:
            head, _, key = key.partition(".")
            made = HyperParameters({}, f"{inner._prefix}{head}.")
            dict.__setitem__(inner, head, made)
            inner = made
        dict.__setitem__(inner, key, value)

    def __missing__(self, name: str) -> Any:
        found = self.find(name)
        if found is None:
            raise KeyError(name)
        return dict.__getitem__(*found)

    def __contains__(self, name: object) -> bool:
        return self.find(name) is not None

    def get(self, name: str, default: Any = None) -> Any:
        found = self.find(name)
        return default if found is None else dict.__getitem__(*found)

    # -- changing ------------------------------------------------------------------

    def __setitem__(self, name: str, value: Any) -> None:
        inner, key = self.place(name)
        dict.__setitem__(inner, key, inner._nested(key, value))
        inner._tell({key: value})

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def __ior__(self, values: Any) -> Self:  # type: ignore[override,misc]  # as dict's own does
        self.update(values)
        return self

    def update(self, *arguments: Any, **values: Any) -> None:
        changes = dict(*arguments, **values)
        for name, value in changes.items():
            inner, key = self.place(name)
            dict.__setitem__(inner, key, inner._nested(key, value))
        self._tell(changes)

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]

    def pop(self, name: str, *default: Any) -> Any:
        found = self.find(name)
        if found is None:
            return super().pop(name, *default)
        inner, key = found
        value = dict.pop(inner, key)
        inner._tell(_emptied({key: value}))
        return value

    def popitem(self) -> tuple[str, Any]:
        name, value = super().popitem()
        self._tell(_emptied({name: value}))
        return name, value

    def clear(self) -> None:
        before = dict(self)
        super().clear()
        self._tell(_emptied(before))

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (dict(self),)


def _emptied(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same names, each with None for its value."""
    return {
        name: _emptied(value) if isinstance(value, Mapping) else None
        for name, value in values.items()
    }


class MappingSettings:
    """The mapping, as `settings` sees it: its values by their full names."""

    role = "hyperparameters"
    who = "script"

    def __init__(self, mapping: HyperParameters, name: str) -> None:
        self.name = name
        self._mapping = mapping
        self._prefix = f"{name}." if name else ""

    def values(self) -> dict[str, Any]:
        return dict(flatten(self._prefix, self._mapping))

    def short(self) -> dict[str, str]:
        return {}

    def check(self, name: str, value: Any) -> None:
        """A mapping takes anything."""

    def set(self, name: str, value: Any) -> None:
        self._mapping.put(name[len(self._prefix) :], value)


def watch_hyperparameters(
    obj: Mapping[str, Any] | str | Path,
    *,
    name: str = "",
    defaults: Mapping[str, Any] | None = None,
    poll_interval: float | None = 1.0,
) -> HyperParameters:
    """Records the hyperparameters, and returns them as a live dict.

    Changes are recorded, whoever makes them: the script in this dict, ``wl set`` and other
    processes, an edit of the file. Those of others are obeyed at the next guard, and what a watched
    optimizer or tracked loader has of the same name follows; so it does of a name without dots
    (``lr``, ``weight_decay``) if there is one optimizer only, and ``batch_size`` is that of the
    loaders of the training, from their next epoch on. With ``is_training: false`` among them the
    training begins paused; later it says whether the training is paused, and pauses and resumes it.

    When a run is continued, an edit still holds if the script says what it said before; where the
    script says something else, the script is right.

    ``root_log_dir`` among them is the directory that this script's runs go to, if nothing has been
    recorded yet.

    Args:
        obj: a mapping, or the path of a YAML file that holds one (``1e-4`` is a number).
        name: a prefix, for scripts with several.
        defaults: values for names that ``obj`` lacks, also within dicts within it.
        poll_interval: how often, in seconds, the YAML file is looked at, at guards and while the
            training is paused; None for never again. An edit of it that cannot be read, or of which
            a value does not fit, is warned of once and leaves all values as they were.

    Raises:
        UsageError: neither a mapping nor a file that holds one, or a ``poll_interval`` below 0.
    """
    if poll_interval is not None and not poll_interval >= 0:
        raise UsageError(f"poll_interval must be seconds or None, not {poll_interval}")
    prefix = f"{name}." if name else ""
    file = None
    if isinstance(obj, (str, Path)):
        file = HyperparameterFile(Path(obj), prefix, poll_interval)
    given = obj if file is None else file.read()
    if not isinstance(given, Mapping):
        raise UsageError(
            "flag='hyperparameters': expected a mapping or the path of a YAML file, got"
            f" {type(obj).__name__}"
        )
    values = HyperParameters(_completed(given, defaults or {}), prefix)
    if current_session() is None:
        start_run(root=values.get(ROOT_KEY))
    running = session()
    detail = {"file": None if file is None else str(file.path)}
    running.settings.include(MappingSettings(values, name), detail)
    if file is not None and poll_interval is not None:
        file.follow(running)
    return values


def _completed(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """``given``, and what it lacks of the defaults."""
    found = {**defaults, **given}
    for name, default in defaults.items():
        mine = found[name]
        if isinstance(mine, Mapping) and isinstance(default, Mapping):
            found[name] = _completed(mine, default)
    return found


def set_hyperparameters(values: Mapping[str, Any], why: str = "") -> None:
    """Sets hyperparameters, and what is bound to them, as ``wl set`` does from outside.

    Unlike an assignment in the watched mapping, each name must be known (that of a hyperparameter,
    ``OPTIMIZER.lr``, ``LOADER.batch_size``) and each value fit the type of the old one; else
    nothing is set. It is recorded as one event; ``why`` is kept with it.

    Raises:
        RefusedError: a name is not known, or a value does not fit.
    """
    session().settings.change(dict(flatten("", values)), "script", why)
