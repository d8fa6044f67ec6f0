"""What a person sets once for every run: the theme, the mouse, other keys.

A TOML file, ``tui.toml`` in wl's configuration directory::

    theme = "wl-light"
    mouse = false

    [keys]
    "run.pause" = "f5"
    "table.sort" = "s,f2"

``wl tui --help`` says where it is; the ids of keys are in docs/reference/keys.md.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from tui.keys import check_keymap
from wl_core.errors import UsageError, nearest

_SETTINGS: Mapping[str, type] = {"theme": str, "mouse": bool, "keys": dict}


@dataclass(frozen=True, slots=True)
class Config:
    """The settings, each as it is where the file does not name it.

    ``keys`` is ``{binding id: keys}``, the keys separated by commas.
    """

    theme: str = "wl-dark"
    mouse: bool = True
    keys: Mapping[str, str] = field(default_factory=dict)


def config_file() -> Path:
    """Where the file is looked for."""
    return platformdirs.user_config_path("wl") / "tui.toml"


def load_config(file: Path) -> Config:
    """The settings of a file; those by default when there is none.

    Raises:
        UsageError: it is no TOML, or sets what there is not; the nearest name is given.
    """
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Config()
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    for name, value in settings.items():
        _check(file, name, value)
    return Config(**settings)


def check_config(config: Config, themes: Collection[str]) -> None:
    """Raise UsageError when there is no such theme or key; it names the nearest."""
    if config.theme not in themes:
        raise UsageError(
            f"there is no theme {config.theme!r}.{nearest(config.theme, themes)}"
            f" There are {', '.join(sorted(themes))}."
        )
    if config.keys:  # looking for all keys imports all of the TUI
        check_keymap(config.keys)


def _check(file: Path, name: str, value: Any) -> None:
    wanted = _SETTINGS.get(name)
    if wanted is None:
        raise UsageError(f"{file}: there is no setting {name!r}.{nearest(name, _SETTINGS)}")
    if not isinstance(value, wanted):
        raise UsageError(f"{file}: {name} is {value!r}: expected a {wanted.__name__}")
    if isinstance(value, dict):
        wrong = [key for key, keys in value.items() if not isinstance(keys, str)]
        if wrong:
            raise UsageError(f'{file}: the keys of {wrong[0]!r} are no text, such as "f5"')
