"""The instances of an image, of which a picture points out one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tui.widgets.palette import YELLOW
from tui.widgets.pixels import Labels, Overlay

INSTANCE = "instance"


@dataclass(frozen=True, slots=True, eq=False)
class Instances:
    """The instances of an image: ``labels`` ``[H, W]`` holds their ids, in the order of ``ids``.

    ``caption`` says an instance in a few words; it is asked for the chosen one only.
    """

    labels: Labels
    ids: tuple[int, ...]
    caption: Callable[[int], str]

    def overlay(self, annotation_id: int) -> Overlay | None:
        """Where that one is, None when no pixel of it is to be seen."""
        labels = (self.labels == annotation_id).view(np.uint8)  # not copied: it may be large
        return Overlay(INSTANCE, labels, YELLOW, "I", above=True) if labels.any() else None
