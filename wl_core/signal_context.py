"""What a signal's function is told: about one sample or instance, or about a batch of them.

When functions are called is `dispatch`'s and `static`'s. A context is made for every sample of every
step, so it holds only what is its own; the rest it shares with those of the same `Call`, and works
out when it is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wl_core.codec import SampleId
from wl_core.errors import StaleSignalError, UsageError
from wl_core.recorded_arrays import instance_target, latest_array
from wl_core.session import Session, current_session
from wl_core.signal_memory import Key, Trajectory
from wl_core.signals import Signal
from wl_core.table import normalise_name
from wl_core.values import BatchIds, Instances, as_array, flatten

if TYPE_CHECKING:
    from wl_core.watch.items import Item

_NO_INPUTS: Mapping[str, Any] = MappingProxyType({})


class DataFrameReader:
    """``ctx.dataframe``: the values of this moment, by sample."""

    def get_value(
        self, origin: str, sample_id: SampleId, column: str, annotation_id: int = 0
    ) -> Any:
        """The value in one cell, None when there is none.

        ``column`` is a signal's name, also as ``signals_NAME`` or ``signals//NAME``, or a
        metadata column's. A value that was logged earlier in this step is there. An
        ``annotation_id`` from 1 on asks for the cell of that instance.
        """
        running = current_session()
        if running is None:
            return None
        return running.views.value(origin, sample_id, column, annotation_id)


class Call:
    """What the contexts of one call for a signal have in common.

    ``outputs``, ``targets`` and ``preds`` are what came with the values, as they were given; the
    model's outputs are of ``owners``' batch, the others of ``owners`` themselves.
    """

    __slots__ = (
        "_flat", "_item", "_latest", "origin", "outputs", "owners", "preds", "running", "signal", "step",
        "targets",
    )  # fmt: skip

    def __init__(
        self,
        running: Session,
        signal: Signal,
        step: int,
        origin: str,
        owners: BatchIds | Instances | None = None,
        outputs: Any = None,
        targets: Any = None,
        preds: Any = None,
        item: Item | None = None,
    ) -> None:
        self.running = running
        self.signal = signal
        self.step = step
        self.origin = origin
        self.owners = owners
        self.outputs = outputs
        self.targets = targets
        self.preds = preds
        self._item = item
        self._flat: dict[str, Any] = {}
        self._latest: dict[str, tuple[list[int], list[float]]] = {}

    def item(self, sample_id: SampleId) -> Item:
        """The data set's item, which is kept until another one is asked for.

        Raises:
            UsageError: the origin's data is not watched.
        """
        if self._item is None or self._item.id != sample_id:
            loader = self.running.loaders.get(self.origin)
            if loader is None:
                raise UsageError(
                    f"the data of sample {sample_id!r} is not known: its origin {self.origin!r} is"
                    " not a loader that was watched with flag='data'"
                )
            self._item = loader.item(sample_id)
        return self._item

    def given(self, name: str, place: int) -> Any:
        """One of the arrays that came with the values, None where none came."""
        if name not in self._flat:
            arrays = getattr(self, name)
            nested = arrays is not None and isinstance(self.owners, Instances)
            self._flat[name] = flatten(arrays, self.owners) if nested else arrays
        found = self._flat[name]
        return None if found is None else found[place]

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

    def histories(self, name: str, keys: Sequence[Key]) -> list[Trajectory]:
        if not self.signal.include_history:
            raise UsageError(
                f"the signal {self.signal.name!r} keeps no history: register it with"
                " include_history=True"
            )
        memory = self.running.memory
        return memory.histories(normalise_name(name), self.origin, keys, self.step)


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


class SignalContext:
    """What a signal's function is told about one sample, or one instance of it.

    Attributes:
        sample_id: which sample.
        annotation_id: which of its instances, counted from 1; 0 for the sample itself.
        subscribed_value: the value that was just logged; None for a static signal, and for one
            with ``inputs``.
        inputs: this step's value of each signal in ``inputs=[…]``, by name.
        dataframe: other signals' and metadata's values, see `DataFrameReader.get_value`.
    """

    __slots__ = ("_call", "_place", "annotation_id", "inputs", "sample_id", "subscribed_value")
    dataframe = DataFrameReader()

    def __init__(
        self,
        call: Call,
        place: int,
        sample_id: SampleId,
        annotation_id: int = 0,
        subscribed_value: float | None = None,
        inputs: Mapping[str, float] = _NO_INPUTS,
    ) -> None:
        self._call = call
        self._place = place
        self.sample_id = sample_id
        self.annotation_id = annotation_id
        self.subscribed_value = subscribed_value
        self.inputs = inputs

    @property
    def signal(self) -> Signal:
        return self._call.signal

    @property
    def origin(self) -> str:
        """The name of the data that the sample belongs to."""
        return self._call.origin

    @property
    def step(self) -> int:
        """The step that the value was logged at: the age of the model."""
        return self._call.step

    @property
    def is_static(self) -> bool:
        """True when the function was called for the data itself, not for a logged value."""
        return self._call.signal.is_static

    @property
    def is_dynamic(self) -> bool:
        """True when a logged value called for it."""
        return not self._call.signal.is_static

    @property
    def logits(self) -> Any:
        """The model's output for this sample (for an instance: for its sample), else None.

        It is there where the signal subscribed to is a watched criterion: its first argument. It
        is part of the graph: detach what you keep.
        """
        call = self._call
        if call.outputs is None:
            return None
        at = self._place
        return call.outputs[call.owners.batch_idx[at] if isinstance(call.owners, Instances) else at]

    @property
    def data(self) -> Any:
        """The sample's data, as the data set returns it; read again from the data set."""
        return self._call.item(self.sample_id).data

    @property
    def target(self) -> Any:
        """The target: what was given as ``targets=`` with the value, else the data set's own.

        For an instance its mask, which is found by its number in the data set's list of masks. It
        is read when it is first asked for.

        Raises:
            UsageError: nothing was given and the data is not watched, or has no such instance.
        """
        found = self._call.given("targets", self._place)
        if found is not None:
            return found
        item = self._call.item(self.sample_id)
        if not self.annotation_id:
            return item.target
        loader = self._call.running.loaders[self._call.origin]
        return instance_target(loader, item, self.annotation_id)

    @property
    def prediction(self) -> npt.NDArray[Any] | None:
        """The prediction: what was given as ``preds=``, else the last one that was recorded.

        None when none ever was. It is read when it is first asked for.
        """
        call = self._call
        found = call.given("preds", self._place)
        if found is not None:
            return as_array(found)
        return latest_array(
            call.running, "prediction", call.origin, self.sample_id, self.annotation_id
        )

    @property
    def metadata(self) -> dict[str, Any]:
        """The sample's metadata, as the data set returns it."""
        return dict(self._call.item(self.sample_id).metadata)

    @property
    def image(self) -> npt.NDArray[Any]:
        """``data`` as an array ``[H, W]`` or ``[H, W, C]``, channels last.

        Raises:
            UsageError: the data is not an image.
        """
        return as_image(self.data)

    @property
    def _key(self) -> Key:
        return (self.sample_id, self.annotation_id) if self.annotation_id else self.sample_id

    def latest(
        self, name: str, default: float = math.nan, require_fresh: bool = False
    ) -> float:
        """The most recent value of another signal of this sample or instance, at any step so far.

        For an instance without a value of that name, its sample's. ``default`` where there is none.

        Args:
            name: the other signal.
            default: what is given where it has no value.
            require_fresh: demand one that was logged at this very step.

        Raises:
            StaleSignalError: ``require_fresh``, and there is none of this step.
        """
        return self._call.latest_of_one(
            name, self._place, self._key, default, require_fresh=require_fresh
        )

    @property
    def history(self) -> Any:
        """``(steps int64 [N], values float64 [N])`` of the signal subscribed to, for this sample.

        In the order of the log, up to and including this step. With ``inputs=[…]`` a dict of such
        pairs by name. It is kept from the first time on that it is asked for; see `signal`.

        Raises:
            UsageError: the signal was registered without ``include_history=True``.
        """
        made = self._call.signal
        found = {name: self._call.histories(name, [self._key])[0] for name in made.sources}
        return found if made.subscribe_to is None else found[made.subscribe_to]


class BatchSignalContext:
    """What the function of a signal with ``batched=True`` is told: all of it as arrays ``[B]``.

    B is the number of samples (of instances, with ``level="instance"``) that the call is about.

    Attributes:
        sample_ids: the sample of each, a list.
        annotation_ids: the number of each instance, a list; None at the level of samples.
        subscribed_values: float64 ``[B]``, what was just logged; None with ``inputs``.
        inputs: this step's values ``[B]`` of each signal in ``inputs=[…]``, by name.
        batch_idx: int64 ``[B]``, the place of each in ``logits``.
    """

    __slots__ = (
        "_call", "annotation_ids", "batch_idx", "inputs", "sample_ids", "subscribed_values",
    )  # fmt: skip

    def __init__(
        self,
        call: Call,
        sample_ids: list[SampleId],
        annotation_ids: list[int] | None,
        batch_idx: npt.NDArray[np.int64],
        subscribed_values: npt.NDArray[np.float64] | None,
        inputs: Mapping[str, npt.NDArray[np.float64]] = _NO_INPUTS,
    ) -> None:
        self._call = call
        self.sample_ids = sample_ids
        self.annotation_ids = annotation_ids
        self.batch_idx = batch_idx
        self.subscribed_values = subscribed_values
        self.inputs = inputs

    def __len__(self) -> int:
        return len(self.sample_ids)

    @property
    def origin(self) -> str:
        """The name of the data that the samples belong to."""
        return self._call.origin

    @property
    def step(self) -> int:
        """The step that the values were logged at: the age of the model."""
        return self._call.step

    @property
    def logits(self) -> Any:
        """The model's whole output, the first argument of a watched criterion, else None.

        Sample or instance ``i`` is at ``logits[batch_idx[i]]``. It is part of the graph.
        """
        return self._call.outputs

    @property
    def _keys(self) -> Sequence[Key]:
        if self.annotation_ids is None:
            return self.sample_ids
        return list(zip(self.sample_ids, self.annotation_ids, strict=True))

    def latest(
        self, name: str, default: float = math.nan, require_fresh: bool = False
    ) -> npt.NDArray[np.float64]:
        """What `SignalContext.latest` gives, of each ``[B]``.

        Raises:
            StaleSignalError: ``require_fresh``, and one of them has no value of this step.
        """
        return self._call.latest(name, self._keys, default, require_fresh=require_fresh)

    def history(self, name: str | None = None) -> list[Trajectory]:
        """``(steps [N], values [N])`` of each, of the signal subscribed to or the one named.

        Raises:
            UsageError: the signal was registered without ``include_history=True``, or it has
                several inputs and none was named.
        """
        chosen = name or self._call.signal.subscribe_to
        if chosen is None:
            known = ", ".join(map(repr, self._call.signal.inputs))
            raise UsageError(f"which history? Name one of the inputs: {known}")
        return self._call.histories(chosen, self._keys)


def as_image(data: Any) -> npt.NDArray[Any]:
    """An image as ``[H, W]`` or ``[H, W, C]``, from ``[H, W]``, ``[C, H, W]`` or ``[H, W, C]``.

    An axis of at most 4 counts as channels, of two such axes the first in a tensor and the last
    in an array; one channel is dropped. Values are kept as they are.

    Raises:
        UsageError: the data has neither two nor three dimensions.
    """
    is_tensor = hasattr(data, "detach")
    array = np.asarray(data.detach().cpu() if is_tensor else data)
    if array.ndim == 3 and array.shape[0] <= 4 and (is_tensor or array.shape[2] > 4):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3):
        raise UsageError(f"the data is no image: it has shape {list(array.shape)}")
    return array
