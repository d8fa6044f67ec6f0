"""``compute_signals``: static signals, over the whole data of the watched loaders.

What a signal is, and how a function's value becomes one, is `signals`'.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from wl_core.errors import UsageError
from wl_core.session import Session, session
from wl_core.signals import Computed, Signal, SignalContext, registry
from wl_core.table import normalise_name

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
            _compute_over(running, one, chosen, counts)
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


def _compute_over(
    running: Session, loader: TrackedLoader, chosen: list[Signal], counts: dict[str, int]
) -> None:
    if not chosen:
        return
    all_computed = [Computed(running, made, loader.origin) for made in chosen]
    try:
        for number, item in enumerate(_shown(loader), 1):
            for made, computed in zip(chosen, all_computed, strict=True):
                computed.add(
                    SignalContext(made, loader.origin, item.id, running.step, None, loader, item)
                )
            if number % _SAMPLES_A_FRAME == 0:
                _record(all_computed)
    finally:  # also what was computed before the data set raised, or Ctrl-C was pressed
        _record(all_computed)
        for made, computed in zip(chosen, all_computed, strict=True):
            counts[made.name] += computed.count


def _record(all_computed: list[Computed]) -> None:
    for computed in all_computed:
        computed.record()


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
