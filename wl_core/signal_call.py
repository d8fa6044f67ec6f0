"""Call: what the contexts of one call for a signal share, and how their questions are answered.

What a context offers to a signal's function is `signal_context`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.codec import SampleId
from wl_core.errors import StaleSignalError, UsageError
from wl_core.recorded_arrays import instance_targets
from wl_core.running import Data, DataItem, GivenArrays, Running
from wl_core.signal_memory import Key, Trajectory
from wl_core.signals import Signal
from wl_core.table import normalise_name
from wl_core.values import BatchIds, Instances


class Call:
    """What the contexts of one call for a signal have in common.

    ``owners`` are the samples or instances whose values called for it, None for a static signal;
    ``outputs`` the model's for their batch, and ``facts`` the arrays that were given with them.
    """

    __slots__ = (
        "_given", "_histories", "_item", "_latest", "_masks", "facts", "origin", "outputs",
        "owners", "running", "signal", "step",
    )  # fmt: skip

    def __init__(
        self,
        running: Running,
        signal: Signal,
        step: int,
        origin: str,
        owners: BatchIds | Instances | None = None,
        outputs: Any = None,
        facts: GivenArrays | None = None,
        item: DataItem | None = None,
    ) -> None:
        self.running = running
        self.signal = signal
        self.step = step
        self.origin = origin
        self.owners = owners
        self.outputs = outputs
        self.facts = facts
        self._item = item
        self._masks: list[Any] | None = None
        self._given: dict[str, Any] = {}
        self._histories: dict[str, list[Callable[[int], Trajectory]]] = {}
        self._latest: dict[str, tuple[list[int], list[float]]] = {}

    def item(self, sample_id: SampleId) -> DataItem:
        """The data set's item, which is kept until another one is asked for.

        Raises:
            UsageError: the origin's data is not watched.
        """
        if self._item is None or self._item.id != sample_id:
            self._item = self._loader(sample_id).item(sample_id)
            self._masks = None
        return self._item

    def mask(self, sample_id: SampleId, annotation_id: int) -> Any:
        """The data set's mask of one instance.

        Raises:
            UsageError: the origin's data is not watched, or the item has no such instance.
        """
        item = self.item(sample_id)
        if self._masks is None:
            self._masks = instance_targets(self._loader(sample_id), item)
        if annotation_id > len(self._masks):
            raise UsageError(
                f"the data set lists {len(self._masks)} instances of sample {sample_id!r}, and"
                f" there is no number {annotation_id}: pass targets= where the values are recorded"
            )
        return self._masks[annotation_id - 1]

    def _loader(self, sample_id: SampleId) -> Data:
        loader = self.running.loaders.get(self.origin)
        if loader is None:
            raise UsageError(
                f"the data of sample {sample_id!r} is not known: its origin {self.origin!r} is"
                " not a loader that was watched with flag='data'"
            )
        return loader

    def given(self, field: str, place: int) -> Any:
        """One of the arrays that came with the values, None where none came."""
        if self.facts is None:
            return None
        if field not in self._given:
            self._given[field] = self.facts.of(field)
        if self._given[field] is None:
            return None
        owners, arrays = self._given[field]
        if isinstance(owners, Instances) and not isinstance(self.owners, Instances):
            return [_looked_at(arrays[at]) for at in np.flatnonzero(owners.batch_idx == place)]
        return _looked_at(arrays[place])

    def latest(
        self, name: str, keys: Sequence[Key], default: float, *, require_fresh: bool
    ) -> npt.NDArray[np.float64]:
        """See `SignalContext.latest`: for each key ``[B]``."""
        steps, values = self._found(name, keys)
        if require_fresh and (steps != self.step).any():
            place = int(np.flatnonzero(steps != self.step)[0])
            raise StaleSignalError(_stale(name, keys[place], int(steps[place]), self.step))
        return np.where(steps < 0, default, values)

    def latest_of_one(
        self, name: str, place: int, key: Key, default: float, *, require_fresh: bool
    ) -> float:
        """The same for one of the call's own, for which all of them are looked up at once."""
        if self.owners is None:
            return float(self.latest(name, [key], default, require_fresh=require_fresh)[0])
        if name not in self._latest:
            found = self._found(name, keys_of(self.owners))
            self._latest[name] = found[0].tolist(), found[1].tolist()
        steps, values = self._latest[name]
        if require_fresh and steps[place] != self.step:
            raise StaleSignalError(_stale(name, key, steps[place], self.step))
        return default if steps[place] < 0 else values[place]

    def _found(self, name: str, keys: Sequence[Key]) -> Trajectory:
        """The latest step and value of each; of an instance without one, its sample's."""
        name, memory = normalise_name(name), self.running.memory
        steps, values = memory.latest(name, self.origin, keys)
        if self.signal.level == "instance" and (steps < 0).any():
            of_samples = [key[0] if isinstance(key, tuple) else key for key in keys]
            other_steps, other = memory.latest(name, self.origin, of_samples)
            values = np.where(steps < 0, other, values)
            steps = np.where(steps < 0, other_steps, steps)
        return steps, values

    def check_history(self) -> None:
        """Raises UsageError where the signal was registered without ``include_history=True``."""
        if not self.signal.include_history:
            raise UsageError(
                f"the signal {self.signal.name!r} keeps no history: register it with"
                " include_history=True"
            )

    def history_of_one(self, name: str, place: int) -> Trajectory:
        """That of one of the call's own, for which all of them are looked up at once."""
        if name not in self._histories:
            assert self.owners is not None  # a static signal waits for nothing
            self._histories[name] = self._trails(name, keys_of(self.owners))
        return self._histories[name][place](self.step)

    def histories(self, name: str, keys: Sequence[Key]) -> list[Trajectory]:
        """The steps and values ``[N]`` of each key."""
        return [find(self.step) for find in self._trails(name, keys)]

    def _trails(self, name: str, keys: Sequence[Key]) -> list[Callable[[int], Trajectory]]:
        return self.running.memory.histories(normalise_name(name), self.origin, keys)


def _looked_at(array: Any) -> Any:
    """The array as nobody can change it by this name: its memory may be the script's."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def keys_of(owners: BatchIds | Instances) -> Sequence[Key]:
    """The key of each sample, or of each instance."""
    if isinstance(owners, BatchIds):
        return owners.ids
    at, numbers = owners.batch_idx.tolist(), owners.annotation_ids.tolist()
    return [(owners.batch.ids[place], number) for place, number in zip(at, numbers, strict=True)]


def _stale(name: str, key: Key, found: int, step: int) -> str:
    whose = f"instance {key[1]} of sample {key[0]!r}" if isinstance(key, tuple) else f"{key!r}"
    last = f"its last value is of step {found}" if found >= 0 else "it never had one"
    return (
        f"{name!r} has no value of {whose} at step {step}; {last}. Record it before what this"
        f" signal waits for, or wait for both with inputs=[…, {name!r}]"
    )
