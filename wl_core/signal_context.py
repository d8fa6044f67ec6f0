"""What a signal's function is told: about one sample or instance, or about a batch of them.

When functions are called is `dispatch`'s and `static`'s. A context is made for every sample of
every step, so it holds only what is its own; the rest it shares with those of the same `Call`, and
works out when it is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.codec import SampleId
from wl_core.errors import UsageError
from wl_core.recorded_arrays import latest_array
from wl_core.running import Running
from wl_core.session import current_session
from wl_core.signal_call import Call
from wl_core.signal_memory import Key, Trajectory
from wl_core.signals import Signal
from wl_core.values import Instances

_NO_INPUTS: Mapping[str, Any] = MappingProxyType({})


class DataFrameReader:
    """``ctx.dataframe``: the values of this moment, by sample."""

    __slots__ = ("_running",)

    def __init__(self, running: Running | None) -> None:
        self._running = running

    def get_value(
        self, origin: str, sample_id: SampleId, column: str, annotation_id: int = 0
    ) -> Any:
        """The value in one cell, None when there is none.

        ``column`` is a signal's name, also as ``signals_NAME`` or ``signals//NAME``, or a
        metadata column's. A value that was logged earlier in this step is there. An
        ``annotation_id`` from 1 on asks for the cell of that instance.
        """
        if self._running is None:
            return None
        return self._running.views.value(origin, sample_id, column, annotation_id)


class _ReaderOfRun:
    """Gives a reader of the context's own run; by the class, that of the run which is recorded."""

    def __get__(self, context: SignalContext | None, _: object) -> DataFrameReader:
        return DataFrameReader(current_session() if context is None else context._call.running)


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

    dataframe = _ReaderOfRun()
    __slots__ = ("_call", "_place", "annotation_id", "inputs", "sample_id", "subscribed_value")

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
        is read when it is asked for: an array where it was given, else as the data set returns it.

        Raises:
            UsageError: nothing was given and the data is not watched, or has no such instance.
        """
        found = self._call.given("target", self._place)
        if found is not None:
            return found
        if self.annotation_id:
            return self._call.mask(self.sample_id, self.annotation_id)
        return self._call.item(self.sample_id).target

    @property
    def prediction(self) -> npt.NDArray[Any] | None:
        """The prediction: what was given as ``preds=``, else the last one that was recorded.

        None when none ever was. It is read when it is asked for.
        """
        call = self._call
        found = call.given("prediction", self._place)
        if found is not None:
            array: npt.NDArray[Any] = found
            return array
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
        return self._call.item(self.sample_id).image

    @property
    def _key(self) -> Key:
        return (self.sample_id, self.annotation_id) if self.annotation_id else self.sample_id

    def latest(self, name: str, default: float = math.nan, require_fresh: bool = False) -> float:
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
        call, made = self._call, self._call.signal
        call.check_history()
        if made.subscribe_to is not None:
            return call.history_of_one(made.subscribe_to, self._place)
        return {name: call.history_of_one(name, self._place) for name in made.inputs}


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

        It needs no ``include_history=True``: the call asks for it.

        Raises:
            UsageError: the signal has several inputs and none was named.
        """
        chosen = name or self._call.signal.subscribe_to
        if chosen is None:
            known = ", ".join(map(repr, self._call.signal.inputs))
            raise UsageError(f"which history? Name one of the inputs: {known}")
        return self._call.histories(chosen, self._keys)
