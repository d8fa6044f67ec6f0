"""Inputs: the values that signals with ``inputs=[…]`` wait for, until a sample has all of them.

What is complete is handed out once and forgotten; what is not is kept for the last few steps only,
since values of a device arrive a step late and later ones never.
"""

from __future__ import annotations

from collections.abc import Sequence

from wl_core.signal_memory import Key
from wl_core.signals import Signal

_STEPS = 4
_ByKey = dict[Key, dict[str, float]]


class Inputs:
    """The incomplete inputs of every signal, by step."""

    def __init__(self) -> None:
        self._steps: dict[int, dict[tuple[Signal, str], _ByKey]] = {}

    def complete(
        self,
        signal: Signal,
        step: int,
        origin: str,
        name: str,
        keys: Sequence[Key],
        values: Sequence[float],
    ) -> dict[int, dict[str, float]]:
        """Takes in one input's values; gives the inputs of those that now have all, by place."""
        waiting = self._at(step).setdefault((signal, origin), {})
        count = len(signal.inputs)
        done = {}
        last = {key: place for place, key in enumerate(keys)}  # where one comes twice, that counts
        for key, place in last.items():
            found = waiting.get(key)
            if found is None:
                found = waiting[key] = {}
            found[name] = values[place]
            if len(found) == count:
                done[place] = found
                del waiting[key]
        return done

    def _at(self, step: int) -> dict[tuple[Signal, str], _ByKey]:
        found = self._steps.get(step)
        if found is None:
            found = self._steps[step] = {}
            if len(self._steps) > _STEPS:
                del self._steps[min(self._steps)]
        return found
