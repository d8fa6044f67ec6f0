"""The batch size of a tracked loader, as a setting that can be changed while the training runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wl_core.errors import RefusedError
from wl_core.settings import BATCH_SIZE

if TYPE_CHECKING:
    from wl_core.watch.loader import TrackedLoader


class LoaderSettings:
    """The batch size of the loader of that name among the session's ``loaders``.

    It is looked up there each time: nothing else may keep a loader from being freed.
    """

    role = "data"
    who = "loader"

    def __init__(self, loaders: dict[str, TrackedLoader], name: str) -> None:
        self.name = name
        self._loaders = loaders
        self._full = f"{name}.{BATCH_SIZE}"

    def values(self) -> dict[str, Any]:
        loader = self._loaders.get(self.name)
        size = None if loader is None else loader.batch_size
        return {} if size is None else {self._full: size}  # None: a batch sampler makes the batches

    def short(self) -> dict[str, str]:
        loader = self._loaders.get(self.name)
        return {BATCH_SIZE: self._full} if loader is not None and loader.is_training else {}

    def check(self, name: str, value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise RefusedError(f"{name} must be a whole number of at least 1, got {value!r}")

    def set(self, name: str, value: Any) -> None:
        self.check(name, value)
        self._loaders[self.name].set_batch_size(value)
