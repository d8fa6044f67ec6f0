"""`wl replay`: rebuilds the views of a run from its log, and says how fast and to what."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wl_core.cli_options import json_option, opened, run_options
from wl_core.cli_progress import progress_bar

if TYPE_CHECKING:
    from wl_core.checkpoints import Checkpoints
    from wl_core.codec import DamagedFrame, Frame
    from wl_core.log import EventLog
    from wl_core.projection import Projector

# For --verify: so many frames at a time, so that folds end where no other fold does.
_SMALL_BITE = 97


class _LogAsOfNow:
    """The log up to where it ends now, whatever is appended meanwhile; counts what is read.

    ``values`` counts logged numbers: per sample, group, instance and step.
    """

    _KINDS = ("values", "group_values", "instance_values", "step_values")

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.next_position = log.next_position
        self.events = 0
        self.values = 0
        self._counted = 0  # up to this position; a frame that is read again counts once

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame | DamagedFrame]:
        from wl_core.codec import DamagedFrame

        end = self.next_position if stop is None else min(stop, self.next_position)
        kinds = [kind for kind in self._log.catalogue if kind.name in self._KINDS]
        at = {kind.name: kind.index("values") for kind in kinds}
        for frame in self._log.frames(start, end):
            if not isinstance(frame, DamagedFrame) and frame.position >= self._counted:
                self._counted = frame.position + frame.count
                self.events += frame.count
                for event in frame.events:
                    if event[0] in at:
                        self.values += len(frame.vector(event[at[event[0]]]))
            yield frame


@click.command()
@run_options
@click.option("--verify", is_flag=True, help="Fold in another way as well and compare digests.")
@click.option("--at-step", type=click.IntRange(min=0), help="Stop at this step, and save nothing.")
@json_option
def replay(run: str | None, root: Path, verify: bool, at_step: int | None, as_json: bool) -> int:
    """Rebuild the views of a run from its log.

    Prints each view's digest, and on stderr how many events and values were folded a second.
    The rebuilt views replace the stored ones; the log is only read.

    With --verify nothing is replaced: the stored views, brought up to date, and a second fold in
    small bites must give the same digests, else the exit status is 1. With --at-step as well, it is
    the milestones of the past that are verified: what `wl samples --at-step` goes on from.

    \b
    Example:
      wl replay --verify && echo the views are what the log says
    """
    from wl_core.checkpoints import Checkpoints
    from wl_core.cli_output import print_rows

    with opened(run, root) as reader:
        stored = Checkpoints(reader.directory.views)
        source = _LogAsOfNow(reader.log)
        keep = None if verify or at_step is not None else stored
        projector, seconds = _rebuilt(source, keep, at_step)
        _say_rates(reader.name, source, seconds)
        rows = [[name, digest] for name, digest in projector.digests().items()]
        names = ["view", "digest"]
        same = True
        if verify:
            others = [_in_small_bites(source, at_step), _from_stored(source, stored, at_step)]
            agree = [all(other.get(name) == digest for other in others) for name, digest in rows]
            rows = [
                [*row, "same" if one else "DIFFERENT"] for row, one in zip(rows, agree, strict=True)
            ]
            names.append("verified")
            same = all(agree)
        print_rows(names, rows, as_json=as_json)
        healthy = _report_trouble(projector)
    return 0 if same and healthy else 1


def _projector(
    source: _LogAsOfNow,
    checkpoints: Checkpoints | None,
    last_step: int | None,
    *,
    milestones: bool = True,
) -> Projector:
    from wl_core.plugins import load_plugins, projections
    from wl_core.projection import Projector

    kinds = projections(load_plugins())
    return Projector(kinds, source, checkpoints, last_step=last_step, milestones=milestones)


def _rebuilt(
    source: _LogAsOfNow, checkpoints: Checkpoints | None, last_step: int | None
) -> tuple[Projector, float]:
    """All views, folded from the first event on, and how many seconds that took."""
    projector = _projector(source, checkpoints, last_step)
    with progress_bar("folding", source.next_position) as progress:
        start = time.perf_counter()
        projector.rebuild(progress)
        return projector, time.perf_counter() - start


def _in_small_bites(source: _LogAsOfNow, last_step: int | None) -> dict[str, str]:
    projector = _projector(source, None, last_step)
    with progress_bar("verifying", source.next_position) as progress:
        while projector.catch_up(limit_frames=_SMALL_BITE):
            progress(projector.position, source.next_position)
    return projector.digests()


def _from_stored(source: _LogAsOfNow, stored: Checkpoints, last_step: int | None) -> dict[str, str]:
    """What readers see, who go on from the stored views."""
    projector = _projector(source, stored, last_step, milestones=False)
    projector.restore()
    projector.catch_up()
    return projector.digests()


def _say_rates(name: str, source: _LogAsOfNow, seconds: float) -> None:
    seconds = max(seconds, 1e-9)
    print(
        f"{name}: {source.events:,} events, {source.values:,} values in {seconds:.2f} s"
        f" ({source.events / seconds:,.0f} events/s, {source.values / seconds:,.0f} values/s)",
        file=sys.stderr,
    )


def _report_trouble(projector: Projector) -> bool:
    """Names damaged frames and failed projections on stderr; True when there are none."""
    sys.stdout.flush()
    for frame in projector.damaged:
        print(
            f"wl: left out the damaged frame at {frame.position}: {frame.reason}", file=sys.stderr
        )
    for one in projector.parked:
        print(
            f"wl: the view {one.projection!r} of plugin {one.plugin!r} failed on the events from"
            f" position {one.position} on:\n{one.traceback}",
            file=sys.stderr,
            end="",
        )
    return not (projector.damaged or projector.parked)


COMMANDS = (replay,)
