"""``compute_signals``: static signals, over the whole data of the watched loaders.

What a signal is, is `signals`'; how a function's values become one, `dispatch`'s.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wl_core.codec import SampleId
from wl_core.dispatch import Owners, numbered, record, report, results
from wl_core.errors import UsageError
from wl_core.labels import Plain
from wl_core.recorded_arrays import instance_targets
from wl_core.running import Data, DataItem, Running
from wl_core.session import session
from wl_core.signal_call import Call
from wl_core.signal_context import SignalContext
from wl_core.signals import Signal, registry
from wl_core.table import normalise_name
from wl_core.values import BatchIds

if TYPE_CHECKING:
    from wl_core.watch.loader import TrackedLoader

_SAMPLES_A_FRAME = 64


def compute_signals(
    loader: TrackedLoader | None = None, *, signals: list[str] | None = None
) -> dict[str, int]:
    """Computes static signals over the whole data of one watched loader, or of all of them.

    Shows its progress on a terminal. Ctrl-C stops it; what was computed stays.

    Args:
        loader: what ``watch_or_edit(…, flag="data")`` returned; all of them when left out.
        signals: names of static signals; all of them when left out.

    Returns:
        How many values each signal got.

    Raises:
        UsageError: one of ``signals`` is not a static signal, or nothing is watched.
    """
    running = session()
    chosen = _static_signals(signals)
    counts = {made.name: 0 for made in chosen}
    loaders = list(running.loaders.values()) if loader is None else [loader]
    if not loaders:
        raise UsageError("there is no data to compute on: watch a data set with flag='data' first")
    if not hasattr(loaders[0], "items"):
        raise UsageError(
            f"expected what watch_or_edit(…, flag='data') returned, got {type(loader).__name__}"
        )
    try:
        for one in loaders:
            compute_over(running, one, _shown(one), chosen, counts)
    except KeyboardInterrupt:
        done = ", ".join(f"{name}: {count}" for name, count in counts.items())
        print(f"stopped; values computed so far: {done}", file=sys.stderr)
    return counts


def _static_signals(names: list[str] | None) -> list[Signal]:
    if names is None:
        return [made for made in registry.by_name.values() if made.is_static]
    chosen = []
    for name in names:
        made = registry.by_name.get(normalise_name(name))
        if made is None or not made.is_static:
            static = ", ".join(s.name for s in registry.by_name.values() if s.is_static) or "none"
            raise UsageError(f"{name!r} is not a static signal; static signals: {static}")
        chosen.append(made)
    return chosen


def compute_over(
    running: Running,
    data: Data,
    items: Iterable[DataItem],
    chosen: Sequence[Signal],
    counts: dict[str, int],
) -> None:
    """Computes static signals of these items of ``data``; adds to ``counts``, by signal.

    What was computed is recorded every few samples, and also when an item cannot be read.
    """
    if not chosen:
        return
    all_computed = [_Computed(running, made, data) for made in chosen]
    try:
        for number, item in enumerate(items, 1):
            for computed in all_computed:
                computed.add(item)
            if number % _SAMPLES_A_FRAME == 0:
                _record(all_computed)
    finally:  # also what was computed before the data set raised, or Ctrl-C was pressed
        _record(all_computed)
        for computed in all_computed:
            counts[computed.signal.name] += computed.count


def _record(all_computed: list[_Computed]) -> None:
    for computed in all_computed:
        computed.record()


class _Computed:
    """What a signal's function makes of item after item, until it is recorded."""

    def __init__(self, running: Running, signal: Signal, data: Data) -> None:
        self._running = running
        self._data = data
        self.signal = signal
        self.count = 0  # how many values have been recorded
        self._forget()

    def _forget(self) -> None:
        self._ids: list[SampleId] = []
        self._batch_idx: list[int] = []
        self._numbers: list[int] = []
        self._values: list[Plain] = []

    def add(self, item: DataItem) -> None:
        """Calls the function for the item, or for each of its instances."""
        running, data = self._running, self._data
        call = Call(running, self.signal, running.step, data.origin, item=item)
        if self.signal.level == "sample":
            which, values = results(call, [SignalContext(call, 0, item.id)])
            self._ids += [item.id] * len(which)
        else:
            places = range(self._count_masks(item))
            which, values = results(
                call, (SignalContext(call, at, item.id, at + 1) for at in places)
            )
            self._batch_idx += [len(self._ids)] * len(which)
            self._numbers += [at + 1 for at in which]
            self._ids.append(item.id)
        self._values += values

    def _count_masks(self, item: DataItem) -> int:
        try:
            return len(_masks(self._data, item))
        except Exception as error:  # what a log knows of an item may lack them
            if self.signal.strict:
                raise
            report(self._running, self.signal, f"for sample {item.id!r}", error)
            return 0

    def record(self) -> None:
        """Records the values since the last time, and computes the signals that wait for them."""
        batch = BatchIds(self._data.origin, self._ids)
        owners: Owners = batch
        if self.signal.level == "instance":
            at, numbers = (np.asarray(one, np.int64) for one in (self._batch_idx, self._numbers))
            owners = numbered(batch, at, numbers)
        record(self._running, self.signal, self._running.step, owners, self._values)
        self.count += len(self._values)
        self._forget()


def _masks(data: Data, item: DataItem) -> list[Any]:
    """The item's instances; none where it lists none."""
    return instance_targets(data, item) if isinstance(item.target, (list, tuple)) else []


def _shown(loader: TrackedLoader) -> Iterator[Any]:
    """The loader's items, with a bar on the terminal, if there is one, of how many are done."""
    if not sys.stderr.isatty():
        yield from loader.items()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        total = len(loader.dataset) if hasattr(loader.dataset, "__len__") else None
        yield from progress.track(loader.items(), total, description=f"signals of {loader.origin}")
