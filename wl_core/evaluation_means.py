"""The means of what an evaluation records, taken from its frames as they are committed."""

from __future__ import annotations

from typing import Any

import numpy as np

from wl_core.codec import Frame
from wl_core.events import CATALOGUE, WireEvent
from wl_core.recorder import OpenFrame

_PER_ITEM = ("values", "instance_values", "group_values")


class Means:
    """Per signal, the mean over all of its values; NaN if one of them is, as numpy has it.

    A signal that has one value per batch counts as often as the batch has samples.
    """

    def __init__(self) -> None:
        self._totals: dict[str, tuple[float, float]] = {}  # sum, count
        self._sizes: dict[OpenFrame, int] = {}

    def weigh(self, opened: OpenFrame | None, samples: int) -> None:
        """That frame holds a batch of so many samples."""
        if opened is not None:
            self._sizes[opened] = self._sizes.get(opened, 0) + samples

    def take(self, frame: Frame, opened: OpenFrame) -> None:
        """Takes in what a committed frame holds."""
        weight = self._sizes.pop(opened, 1)
        for event in frame.events:
            if event[0] in _PER_ITEM:
                values = _vector(frame, event)
                self._add(_field(event, "signal"), float(values.sum()), len(values))
            elif event[0] == "step_values":
                names = _field(event, "names")
                for name, value in zip(names, _vector(frame, event).tolist(), strict=True):
                    self._add(name, value * weight, weight)

    def _add(self, name: str, total: float, count: int) -> None:
        known, seen = self._totals.get(name, (0.0, 0))
        self._totals[name] = known + total, seen + count

    def as_dict(self) -> dict[str, float]:
        return {name: total / count for name, (total, count) in self._totals.items() if count}


def _field(event: WireEvent, name: str) -> Any:
    kind = CATALOGUE.get(event[0])
    assert kind is not None
    return event[kind.index(name)]


def _vector(frame: Frame, event: WireEvent) -> np.ndarray[Any, np.dtype[np.float64]]:
    return frame.vector(_field(event, "values")).astype(np.float64)
