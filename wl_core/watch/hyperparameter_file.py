"""The YAML file that hyperparameters come from: reading it, and looking whether it was edited.

No thread: the session looks at its guards and while it is paused, which costs a look at the clock
as long as the time has not come.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wl_core.errors import SettingRefusedWarning, UsageError
from wl_core.session import Session
from wl_core.setting_values import flatten, read_yaml, same

Signature = tuple[int, int, int]


class HyperparameterFile:
    """A file of hyperparameters, whose names get ``prefix``; ``interval`` is in seconds."""

    def __init__(self, path: Path, prefix: str, interval: float | None) -> None:
        self.path = path.absolute()  # a script may change its directory
        self._prefix = prefix
        self._interval = interval or 0.0
        self._next_look = 0.0
        self._seen: Signature | None = None
        self._said: dict[str, Any] = {}

    def read(self) -> Mapping[str, Any]:
        """What the file says.

        Raises:
            UsageError: it holds no YAML, or no mapping.
        """
        self._seen = self._signature()  # before reading, so that no edit is missed
        found = read_yaml(self.path.read_text(encoding="utf-8"), str(self.path))
        if not isinstance(found, Mapping):
            raise UsageError(
                f"{self.path} must hold a mapping of hyperparameters, not {type(found).__name__}"
            )
        self._said = dict(flatten(self._prefix, found))
        return found

    def _signature(self) -> Signature | None:
        """What changes when the file is edited; None while there is none, as editors do it."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def follow(self, running: Session) -> None:
        """Has that session look at the file from now on."""
        self._next_look = time.monotonic() + self._interval
        running.at_obey.append(lambda: self._look(running))

    def _look(self, running: Session) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + self._interval
        signature = self._signature()
        if signature is None or signature == self._seen:
            return
        before = self._said
        try:
            self.read()
            changed = {
                name: value
                for name, value in self._said.items()
                if name not in before or not same(before[name], value)
            }
            if changed:
                running.settings.change(changed, "file")
        except (UsageError, OSError, UnicodeDecodeError) as error:
            self._said = before  # what is mended next is compared with what was obeyed last
            warnings.warn(
                f"the edit of {self.path.name} is not obeyed, all values are as they were: {error}",
                SettingRefusedWarning,
                stacklevel=2,
            )
