"""`wl events` and `wl verify`: the log itself, event by event."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wl_core.cli_options import at_step_option, json_option, opened, run_options

if TYPE_CHECKING:
    from wl_core.codec import DamagedFrame, Event, Frame
    from wl_core.event_filter import EventFilter
    from wl_core.run import Run

# What --follow shows of the past when --from does not say, as `tail -f` does.
_LAST = 10


@click.command()
@run_options
@click.option("--follow", "-f", is_flag=True, help="Go on with new events as they come (Ctrl-C).")
@click.option("--kind", "kinds", multiple=True, help="Only this kind; may be given several times.")
@click.option("--signal", "signals", multiple=True, help="Only what is said of this signal.")
@click.option("--sample", "samples", multiple=True, help="Only what names this sample.")
@click.option("--origin", "origins", multiple=True, help="Only what is about this origin.")
@click.option("--text", "texts", multiple=True, help="Only events that say this, in any case.")
@click.option(
    "--from",
    "start",
    type=click.IntRange(min=0),
    help=f"Begin at this position; 0, or the last {_LAST} events with --follow, by default.",
)
@click.option("--limit", type=click.IntRange(min=0), help="Stop after so many events.")
@at_step_option
@json_option
def events(
    run: str | None,
    root: Path,
    follow: bool,
    kinds: tuple[str, ...],
    signals: tuple[str, ...],
    samples: tuple[str, ...],
    origins: tuple[str, ...],
    texts: tuple[str, ...],
    start: int | None,
    limit: int | None,
    at_step: int | None,
    as_json: bool,
) -> int:
    """Print the events of a run, in the order of its log.

    TIME is in seconds since 1970 but on a terminal. A damaged frame is named on stderr and makes
    the exit status 1. Several of --kind, --signal, --sample or --origin mean any of them, several
    of --text all.

    \b
    Examples:
      wl events --kind hyperparameters
      wl events --sample tile_03 --kind tagged --kind discarded
      wl events --follow --kind values --json | jq -c '[.step, .data.signal]'
    """
    from wl_core.event_filter import EventFilter

    wanted = EventFilter(kinds, signals, samples, origins, texts)
    if follow and at_step is not None:
        raise click.UsageError("the past has no end to --follow", click.get_current_context())
    with opened(run, root, at_step) as reader:
        wanted.check(reader.log.catalogue)
        if start is None:
            start = max(0, reader.log.next_position - _LAST) if follow else 0
        damage: list[DamagedFrame] = []
        found = _limited(_chosen(_frames(reader, start, follow), start, wanted, damage), limit)
        count = _print_events(found, as_json, follow)
        if not count and limit != 0:
            _say_unknown(reader, wanted)
    return 1 if damage else 0


def _say_unknown(reader: Run, wanted: EventFilter) -> None:
    """Nothing was found: there may be no such signal or sample, which is an error then."""
    from wl_core.errors import UnknownNameError
    from wl_core.event_filter import unknown_names

    unknown = unknown_names(reader, wanted)
    if unknown:
        sys.stdout.flush()
        raise UnknownNameError("; ".join(unknown))


def _frames(reader: Run, start: int, follow: bool) -> Iterable[Frame | DamagedFrame]:
    return reader.log.follow(start) if follow else reader.log.frames(start, reader.end)


def _chosen(
    frames: Iterable[Frame | DamagedFrame],
    start: int,
    wanted: EventFilter,
    damage: list[DamagedFrame],
) -> Iterator[Event]:
    """Events from ``start`` on (a frame may begin before it) that were asked for."""
    from wl_core.codec import DamagedFrame, frame_events

    for frame in frames:
        if isinstance(frame, DamagedFrame):
            damage.append(frame)
            sys.stdout.flush()
            print(f"wl: {_said(frame.position, frame.reason)}", file=sys.stderr)
            continue
        places = frozenset(wanted.places(frame))
        for place, event in enumerate(frame_events(frame) if places else ()):
            if place in places and event.position >= start:
                yield event


def _limited(found: Iterator[Event], limit: int | None) -> Iterator[Event]:
    """The first ``limit``, without waiting for one more, as `itertools.islice` also does not."""
    if limit is None:
        yield from found
        return
    for _ in range(limit):
        event = next(found, None)
        if event is None:
            return
        yield event


def _print_events(found: Iterator[Event], as_json: bool, follow: bool) -> int:
    """Print them; gives how many there were."""
    from wl_core import cli_output

    count = 0

    def counted() -> Iterator[Event]:
        nonlocal count
        for event in found:
            count += 1
            yield event

    names = ("position", "step", "time", "phase", "kind", "failed", "data")
    rows = (
        (one.position, one.step, one.time, one.phase, one.kind, one.failed, one.data)
        for one in counted()
    )
    if as_json:
        cli_output.print_json_array(
            (dict(zip(names, row, strict=True)) for row in rows), flush=follow
        )
    elif cli_output.for_a_person():
        for row in rows:
            print(_line(row))
    else:
        cli_output.print_tsv(names, rows, flush=follow)
    return count


def _line(row: tuple[Any, ...]) -> str:
    """One event for a person; vectors are shortened."""
    from wl_core.cli_output import local_time, shown

    position, step, seconds, phase, kind, failed, data = row
    mark = "!" if failed else " "
    head = f"{position:>8} {local_time(seconds)[11:]} step {step:<6} {phase:<7}{mark} {kind:<16}"
    return f"{head} {shown(data)}"


def _said(position: int, reason: str) -> str:
    return f"the frame at position {position} is damaged: {reason}"


@click.command()
@run_options
@json_option
def verify(run: str | None, root: Path, as_json: bool) -> int:
    """Read every frame of a run's log and list those that are damaged.

    The exit status is 1 when there are any. Events in whole frames stay readable; what a damaged
    frame held is lost. Damage of the file's pages has no position; the frames are not read then.

    \b
    Example:
      wl verify && echo the log is whole
    """
    from wl_core.cli_output import print_rows
    from wl_core.directory import find_run

    path = find_run(run, root)
    findings: list[tuple[int | None, str]] = [(None, reason) for reason in _damaged_pages(path)]
    events_read = 0
    if not findings:
        with opened(str(path), root) as reader:
            for found in reader.log.verify():
                if isinstance(found, int):
                    events_read = found
                else:
                    findings.append((found.position, found.reason))
    if findings or as_json:
        print_rows(("position", "reason"), findings, as_json=as_json)
    summary = f"{len(findings)} damages found" if findings else "no damage"
    sys.stdout.flush()
    print(f"{path.resolve().name}: {events_read:,} events read, {summary}", file=sys.stderr)
    return 1 if findings else 0


def _damaged_pages(path: Path) -> list[str]:
    """Asked before anything opens the log, since LMDB trusts its pages.

    While somebody writes, pages may seem damaged that are not; `EventLog.verify` asks again then.
    """
    from wl_core.directory import RunDirectory, writer_of
    from wl_core.environment import structural_damage

    directory = RunDirectory(path)
    return [] if writer_of(directory.lock) else structural_damage(directory.log)


COMMANDS = (events, verify)
