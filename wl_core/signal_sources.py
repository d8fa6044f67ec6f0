"""Finds the signals that a module, a file or a plugin registers, without letting them join others.

What is found is kept apart from the signals that this process records with; who computes them is
`backfill`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from wl_core.errors import UsageError, nearest
from wl_core.plugins import load_plugins
from wl_core.session import current_session, finish
from wl_core.signals import Signal, registry


@dataclass(frozen=True, slots=True)
class SignalSource:
    """Signals by name, what they were asked for by, and the SHA-256 of the source they are in."""

    name: str
    digest: str
    signals: Mapping[str, Signal]


def find_signals(name: str) -> SignalSource:
    """The signals of a ``.py`` file, of a plugin, or of a module that is imported by that name.

    What the import prints goes to stderr.

    Raises:
        UsageError: there is no such thing, it registers no signal, or it began to record a run.
    """
    with redirect_stdout(sys.stderr):
        if name.endswith(".py") or "/" in name:
            found = _of_file(Path(name))
        elif name in _plugins():
            found = _of_plugin(name)
        else:
            found = _of_module(name)
    if not found.signals:
        raise UsageError(f"{name} registers no signal: put @wl.signal(…) above a function in it")
    return found


def load_object(name: str) -> Any:
    """What ``MODULE:NAME`` means: an attribute of a module or ``.py`` file; a function is called.

    Raises:
        UsageError: there is no such thing.
    """
    module_name, _, attribute = name.rpartition(":")
    if not module_name or not attribute:
        raise UsageError(f"expected MODULE:NAME or FILE.py:NAME, got {name!r}")
    with redirect_stdout(sys.stderr), registered_apart():
        is_file = module_name.endswith(".py")
        module = _loaded_file(Path(module_name)) if is_file else _imported(module_name)
        if not hasattr(module, attribute):
            raise UsageError(
                f"{module_name} has no {attribute!r}.{nearest(attribute, dir(module))}"
            )
        found = getattr(module, attribute)
        return found() if callable(found) and not hasattr(found, "__getitem__") else found


@contextmanager
def registered_apart(signals: Mapping[str, Signal] | None = None) -> Iterator[None]:
    """For a while this process knows these signals only."""
    before = registry.replace(signals or {})
    try:
        yield
    finally:
        registry.replace(before)


def _plugins() -> list[str]:
    return [one.name for one in load_plugins().report() if one.state != "failed"]


def _of_plugin(name: str) -> SignalSource:
    with registered_apart():
        functions = [
            one for plugin, one in load_plugins().collect_named("wl_signals") if plugin == name
        ]
        known = dict(registry.by_name)
    chosen = {**registry.by_name, **known}
    mine = {n: made for n, made in chosen.items() if any(made.function is f for f in functions)}
    module = sys.modules.get(getattr(functions[0], "__module__", "")) if functions else None
    return SignalSource(name, _digest(module), mine)


def _of_file(path: Path) -> SignalSource:
    with registered_apart():
        module = _loaded_file(path)
        return SignalSource(str(path), _digest(module), dict(registry.by_name))


def _of_module(name: str) -> SignalSource:
    before = registry.by_name
    with registered_apart():
        module = _imported(name)
        found = dict(registry.by_name)
    if not found:  # imported before
        found = {n: made for n, made in before.items() if made.function.__module__ == name}
    return SignalSource(name, _digest(module), found)


def _imported(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    with _recording_nothing(name):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            hint = nearest(name, _plugins())
            raise UsageError(
                f"there is no module and no plugin {name!r}, looked for from {here}.{hint}"
            ) from error


def _loaded_file(path: Path) -> ModuleType:
    """The file, executed anew, as a module by its name that finds its neighbours."""
    whole = path.resolve()
    spec = importlib.util.spec_from_file_location(whole.stem, whole)
    if not whole.is_file() or spec is None or spec.loader is None:
        raise UsageError(f"there is no Python file {path}")
    module = importlib.util.module_from_spec(spec)
    if str(whole.parent) not in sys.path:
        sys.path.insert(0, str(whole.parent))
    sys.modules.setdefault(whole.stem, module)  # what it pickles or hands to workers is found
    with _recording_nothing(str(path)):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _recording_nothing(name: str) -> Iterator[None]:
    """A script that trains when it is imported is no module of signals."""
    before = current_session()
    yield
    running = current_session()
    if running is not None and running is not before:
        where = running.directory.path
        finish()
        raise UsageError(
            f"importing {name} began to record a run, into {where}: put the functions into a"
            " module of their own, or what trains under `if __name__ == '__main__':`"
        )


def _digest(module: ModuleType | None) -> str:
    file = getattr(module, "__file__", None)
    if file is None or not Path(file).is_file():
        return ""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
