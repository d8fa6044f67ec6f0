"""Saved filters: expressions that a person keeps by name, for every run, and writes as ``@name``.

They stand in ``filters.toml`` in that person's configuration directory, one ``name = "expression"``
a line, and may be edited there. What an ``@name`` means within an expression is `filters`'.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from wl_core.durability import bring_to_disk
from wl_core.errors import FilterError, UnknownNameError, UsageError, WlError, nearest

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:-+[A-Za-z0-9_]+)*")
_HEAD = "# Filters by name: what stands here may be written as @name in any filter of wl.\n"


def filters_file() -> Path:
    """Where they are kept."""
    import platformdirs

    return platformdirs.user_config_path("wl") / "filters.toml"


def saved_filters(file: Path | None = None) -> dict[str, str]:
    """The expressions by name, as they stand in the file; none when there is no file.

    Raises:
        UsageError: the file cannot be read, or holds what is no filter by name.
    """
    file = filters_file() if file is None else file
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    for name, text in found.items():
        if not NAME.fullmatch(name) or not isinstance(text, str):
            raise UsageError(f'{file}: {name} = {text!r}: expected name = "a filter expression"')
    return found


def save_filter(name: str, text: str, file: Path | None = None) -> bool:
    """Keeps an expression under a name; gives whether one of that name was replaced.

    Raises:
        UsageError: no name that can be written after an ``@``.
        FilterError: the expression cannot be read, or leads back to its own name.
    """
    from wl_core.filters import Filter

    if not NAME.fullmatch(name):
        raise UsageError(
            f"a saved filter's name is letters, digits, _ and -, and begins with a letter;"
            f" got {name!r}"
        )
    file = filters_file() if file is None else file
    before = saved_filters(file)
    now = {**before, name: text.strip()}
    Filter.parse(text, saved=now)
    try:
        Filter.parse(f"@{name}", saved=now)
    except FilterError as error:
        raise FilterError(error.message, text, 0) from error
    _write(file, name, now)
    return name in before


def remove_filter(name: str, file: Path | None = None) -> str:
    """Forgets a saved filter; gives its expression.

    Raises:
        UnknownNameError: there is none of that name; the nearest is given.
        UsageError: another saved filter needs it.
    """
    file = filters_file() if file is None else file
    now = saved_filters(file)
    if name not in now:
        raise UnknownNameError(f"there is no saved filter {name!r}.{nearest(name, now)}")
    text = now.pop(name)
    needing = [other for other, said in now.items() if re.search(rf"@{name}(?![\w-])", said)]
    if needing:
        raise UsageError(f"@{name} stands in @{', @'.join(needing)}: remove that first")
    _write(file, name, now)
    return text


def _write(file: Path, name: str, wanted: Mapping[str, str]) -> None:
    """The file with that one line changed, whole or not at all; comments of its owner stay."""
    old = file.read_text(encoding="utf-8") if file.exists() else _HEAD
    text = _with_line(old, name, wanted.get(name))
    if not _says(text, wanted):  # an entry of several lines was cut: written anew altogether
        text = _HEAD + "".join(_line(*entry) for entry in wanted.items())
    beside = file.with_suffix(".new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        bring_to_disk(beside)
        beside.replace(file)
    except OSError as error:
        raise WlError(f"{file} cannot be written: {error.strerror or error}") from error


def _says(text: str, wanted: Mapping[str, str]) -> bool:
    try:
        return tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        return False


def _with_line(old: str, name: str, text: str | None) -> str:
    """``old`` with the line of that name replaced, added at the end, or (None) left out."""
    line = re.compile(rf"""^[ \t]*["']?{name}["']?[ \t]*=.*\n?""", re.MULTILINE)
    new = "" if text is None else _line(name, text)
    if line.search(old):
        return line.sub(lambda _: new, old, count=1)
    return old + ("" if old.endswith("\n") or not old else "\n") + new


def _line(name: str, text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"{name} = {quoted}\n"
