"""Running: what the dispatch of signals asks of the run that it records into.

A `Session` is one, in the process that trains; a `Past` (`past`) is another one, in which a log is
played again. Whoever computes signals knows no more than this of either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

from wl_core.arrays import ArrayStore
from wl_core.codec import DamagedFrame, Frame, SampleId
from wl_core.events import Catalogue
from wl_core.recorder import Recorder
from wl_core.values import BatchIds, Instances

if TYPE_CHECKING:
    from wl_core.local import LocalViews
    from wl_core.signal_inputs import Inputs
    from wl_core.signal_memory import SignalMemory


class Log(Protocol):
    """Frames in the order of a log, an `EventLog`'s or those of a moment of the past."""

    @property
    def catalogue(self) -> Catalogue: ...

    @property
    def next_position(self) -> int: ...

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame | DamagedFrame]: ...


class DataItem(Protocol):
    """One item of a data set, taken apart."""

    @property
    def id(self) -> SampleId: ...

    @property
    def data(self) -> Any: ...

    @property
    def target(self) -> Any: ...

    @property
    def metadata(self) -> Mapping[str, Any]: ...

    @property
    def image(self) -> npt.NDArray[Any]: ...


class Data(Protocol):
    """The items of one origin: a `TrackedLoader`'s, or what a log knows of them."""

    @property
    def origin(self) -> str: ...

    def items(self) -> Iterator[Any]: ...

    def item(self, sample_id: SampleId) -> Any: ...

    def instance_counts(self, ids: list[SampleId]) -> list[int] | None: ...


class GivenArrays(Protocol):
    """The arrays that came with values, by field: whose they are, and one for each of them."""

    def of(
        self, name: str
    ) -> tuple[BatchIds | Instances, Sequence[npt.NDArray[Any]] | npt.NDArray[Any]] | None: ...


class Running(Protocol):
    """See the head of this file; the fields are as `Session` describes them."""

    @property
    def writer(self) -> bytes: ...

    @property
    def step(self) -> int: ...

    @property
    def recorder(self) -> Recorder: ...

    @property
    def arrays(self) -> ArrayStore: ...

    @property
    def views(self) -> LocalViews: ...

    @property
    def memory(self) -> SignalMemory: ...

    @property
    def inputs(self) -> Inputs: ...

    @property
    def loaders(self) -> Mapping[str, Data]: ...

    @property
    def value_kinds(self) -> dict[str, str]: ...

    def declare(
        self, signal: str, level: str, role: str, log: bool, detail: dict[str, Any]
    ) -> None: ...

    def flush(self) -> None: ...
