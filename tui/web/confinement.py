"""What a read-only tab's process cannot do, whatever a pane or a plugin in it tries.

The application refuses to decide and to export when it is read-only. This is the belt to those
braces, for code that does not ask: Python itself refuses, by an audit hook, which stays until the
process ends. It stops mistakes, not code that means harm: that is not let in by a tab, but by
whoever installs a plugin.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_STARTING = {"os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "os.system"}
_STARTING |= {"pty.spawn", "subprocess.Popen"}
_MOVING = {"os.link", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"}
_PATHS = (str, bytes, os.PathLike)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def confine(folders: Iterable[Path]) -> None:
    """From now on this process starts no program, and changes files below these folders alone.

    What else is tried raises PermissionError. It holds for Python code: LMDB opens a log in C.
    """
    below = tuple(f"{_resolved(folder)}{os.sep}" for folder in [*folders, Path("/dev")])

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _STARTING:
            raise PermissionError("read-only: a tab in the browser starts no program")
        if event == "open":
            path, _, flags = arguments
            changed = [path] if flags & _WRITING else []
        elif event in _MOVING:
            changed = list(arguments[:2])
        else:
            return
        for path in changed:
            # A number stands for a file that is open already, or for the folder of a relative one.
            if isinstance(path, _PATHS) and not _resolved(path).startswith(below):
                raise PermissionError(f"read-only: {os.fsdecode(path)} is not to be written")

    sys.addaudithook(check)


def _resolved(path: str | bytes | os.PathLike[str]) -> str:
    return os.path.realpath(os.fsdecode(path))
