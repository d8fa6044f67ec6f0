"""What the TUI remembers of a run between two visits: columns, layout, what was hidden.

It is about the eyes of one person, so it stands in that person's state directory and not in the
run: nothing here is needed to read a run, and a file that cannot be read is a layout to be made
again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import platformdirs

from wl_core.errors import WlError


class MemoryWarning(WlError):
    """The layout could not be kept; everything else works."""


def memory_file(run: Path) -> Path:
    """Where the layout of the run at that path is kept."""
    name = hashlib.blake2b(str(run.resolve()).encode(), digest_size=8).hexdigest()
    return platformdirs.user_state_path("wl") / "tui" / f"{run.name}-{name}.json"


class Memory:
    """Values by key, ``"<area>.<what>"``; anything that JSON holds.

    Args:
        file: where they are kept; made when there is something to keep.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._values: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            values = json.loads(file.read_text(encoding="utf-8"))
            self._values = values if isinstance(values, dict) else {}
        self._kept = dict(self._values)

    def get(self, key: str, default: Any = None) -> Any:
        return self._values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Remembers it; None forgets the key."""
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value

    def keep(self) -> None:
        """Writes what changed since the last time, whole or not at all.

        Raises:
            MemoryWarning: the state directory cannot be written.
        """
        if self._values == self._kept:
            return
        beside = self._file.with_suffix(".new")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(self._values, indent=1), encoding="utf-8")
            beside.replace(self._file)
        except OSError as error:
            raise MemoryWarning(f"the layout was not kept: {error}") from error
        self._kept = dict(self._values)
