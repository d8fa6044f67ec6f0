"""A projection that a Projector holds: where it stands, and how it is saved and taken over again.

Which of them are folded, saved and restored, and when, is `projection`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wl_core.checkpoints import Checkpoint, Checkpoints
from wl_core.view_files import ViewFiles

if TYPE_CHECKING:
    from wl_core.projection import Projection


@dataclass(frozen=True, slots=True)
class Parked:
    """A projection that raised in a fold and is left out since.

    ``position`` is that of the first event of the batch in which it happened.
    """

    plugin: str
    projection: str
    position: int
    error: Exception
    traceback: str


@dataclass(slots=True)
class Held:
    """A projection and where it stands."""

    plugin: str
    projection: Projection
    position: int = 0
    last_step: int = -1  # the greatest step that was folded
    weight: int = 0  # what was folded, as `EventBatch.weight` has it
    parked: Parked | None = field(default=None)
    views: Path | None = None  # the directory of the checkpoints
    files: ViewFiles | None = None
    saved: int = 0  # the weight at its checkpoint

    def __post_init__(self) -> None:
        if self.views is not None:
            self.files = ViewFiles(self.views, self.projection.name)
            self.projection.attach(self.files)

    def reset(self) -> None:
        self.projection, self.position, self.parked = type(self.projection)(), 0, None
        self.last_step, self.weight, self.saved = -1, 0, 0
        self.__post_init__()

    @property
    def keeps_files(self) -> bool:
        return self.files is not None and self.files.directory.exists()

    def to_save(self, identity: bytes) -> Checkpoint | None:
        """The checkpoint of this moment; None when a file of it was removed under it."""
        projection, sizes = self.projection, {}
        names = projection.files()
        if names and self.files is not None:
            found = self.files.sizes(names)
            if found is None:
                return None
            self.files.sync(names)
            sizes = found
        return Checkpoint(
            projection.name,
            projection.version,
            self.position,
            identity,
            projection.snapshot(),
            sizes,
            self.last_step,
            self.weight,
        )

    def collect(self, checkpoints: Checkpoints) -> None:
        if self.files is not None:
            self.files.collect(checkpoints.files(self.projection.name))

    def restore(self, found: Checkpoint) -> bool:
        """Takes over a checkpoint; False, having folded nothing, when its files are not there."""
        self.reset()
        if found.files and (self.files is None or self.files.sizes(found.files) != found.files):
            return False
        try:
            self.projection.restore(found.state)
        except FileNotFoundError:
            self.reset()
            return False
        self.position, self.last_step = found.position, found.last_step
        self.weight = self.saved = found.weight
        return True
