"""`wl backfill`: computes signals that were written after the run over its whole past."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wl_core.cli_options import opened, root_option, run_option, why_option
from wl_core.cli_progress import progress_bar

if TYPE_CHECKING:
    from wl_core.backfill import Backfilled
    from wl_core.signals import Signal


@click.command()
@click.argument("source", metavar="MODULE_OR_PLUGIN")
@click.option(
    "--signal", "names", multiple=True, help="Compute this one only; can be given several times."
)
@click.option(
    "--data",
    "data_sets",
    multiple=True,
    metavar="ORIGIN=MODULE:NAME",
    help="The data set of an origin, or a function that gives it, for functions that ask for the"
    " data itself; can be given several times.",
)
@run_option
@root_option
@why_option
def backfill(
    source: str,
    names: tuple[str, ...],
    data_sets: tuple[str, ...],
    run: str | None,
    root: Path,
    why: str,
) -> None:
    """Compute signals over a run that has ended, as if they had been there.

    MODULE_OR_PLUGIN is a .py file, a module that can be imported, or a plugin's name. Its
    @wl.signal functions are called for what the log holds, with the context that they would have
    had, and their values are appended to the log. Without --signal all of them are computed that
    the run has no values of.

    \b
    Examples:
      wl backfill after.py --signal log_loss
      wl backfill after.py --data train_loader=dataset.py:training_set
    """
    from wl_core import ask
    from wl_core.backfill import backfill as compute
    from wl_core.backfill import choose_signals
    from wl_core.signal_sources import find_signals

    data = _loaded(data_sets)
    with opened(run, root) as reader:
        found = find_signals(source)
        signals, left_out = choose_signals(reader, found, names)
        for name, count in left_out.items():
            print(f"wl: {name} is left out: the run holds {count:,} values", file=sys.stderr)
        total = reader.log.next_position
        with progress_bar("computing", total) as shown, redirect_stdout(sys.stderr):
            done = compute(
                reader,
                found,
                signals,
                who=ask.whoever_asks(),
                why=why,
                data_sets=data,
                progress=_seldom(shown),
            )
        _tell(done, signals, reader.signals())


def _loaded(data_sets: Sequence[str]) -> dict[str, Any]:
    from wl_core.signal_sources import load_object

    found = {}
    for text in data_sets:
        origin, equals, name = text.partition("=")
        if not equals:
            raise click.UsageError(f"--data: expected ORIGIN=MODULE:NAME, got {text!r}")
        found[origin] = load_object(name)
    return found


def _seldom(shown: Any) -> Any:
    """A bar is drawn a few times a second: told of every frame it would cost more than these."""
    last = -1

    def told(done: int, total: int) -> None:
        nonlocal last
        part = 500 * done // max(1, total)
        if part != last:
            last = part
            shown(done, total)

    return told


def _tell(done: Backfilled, signals: Mapping[str, Signal], known: Sequence[str]) -> None:
    total = sum(done.values.values())
    rate = total / max(done.seconds, 1e-9)
    print(
        f"{total:,} values over {done.steps:,} steps in {done.seconds:.1f} s ({rate:,.0f} a second)"
    )
    for name, count in done.values.items():
        print(f"  {name}: {count:,}")
        missing = [one for one in signals[name].sources if one not in {*known, *signals}]
        if missing:
            print(
                f"wl: {name} waits for {', '.join(missing)}, of which the run has no values",
                file=sys.stderr,
            )


COMMANDS = (backfill,)
