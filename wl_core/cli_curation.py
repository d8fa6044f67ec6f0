"""`wl tag`, `wl discard`, `wl restore`, `wl undo`, `wl redo`, `wl history-of`: deciding about data.

The decisions are `decide`'s, which samples are meant `chosen`'s; here they are asked for and said.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wl_core.cli_options import (
    at_step_option,
    json_option,
    opened,
    root_option,
    run_option,
    why_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wl_core.decide import Chosen, Decider
    from wl_core.run import Run
    from wl_core.undoing import Decision

Command = TypeVar("Command", bound=Callable[..., Any])
_SECONDS = 5.0  # to wait for the training to say that it obeyed


def _which(command: Command) -> Command:
    """The samples or instances that a decision is about, and what every decision takes."""
    for option in (
        why_option,
        click.option("--dry-run", is_flag=True, help="List them; decide nothing."),
        click.option("--origin", help="The loader of the samples."),
        click.option(
            "--instance", type=click.IntRange(min=1), help="This instance of each sample alone."
        ),
        click.option(
            "--instances",
            is_flag=True,
            help="--where chooses among instances, by the columns of `wl instances --all`.",
        ),
        click.option("--where", metavar="FILTER", help="Those that match: loss > 2 and not odd"),
        click.argument("samples", metavar="[SAMPLE]...", nargs=-1),
        run_option,
        root_option,
    ):
        command = option(command)
    return command


@click.command()
@click.argument("tag")
@_which
@click.option("--remove", is_flag=True, help="Take the tag off.")
@click.option("--set", "only", is_flag=True, help="Take every other tag off as well.")
@click.option("--categories", help="Register a categorical tag: its values, with commas between.")
def tag(
    tag: str,
    run: str | None,
    root: Path,
    remove: bool,
    only: bool,
    categories: str | None,
    why: str,
    **which: Any,
) -> None:
    """Tag samples or instances, in a run that trains or in one that is over.

    TAG is any text, or NAME=VALUE for a categorical tag, of which a sample has one value or, after
    NAME= alone, none. A categorical tag is registered once, by --categories or by the script, and
    is a column to filter by.

    \b
    Examples:
      wl tag hard --where 'train_bce/sample > 2 and not discarded'
      wl tag 'cut off' tile-07 --instance 3
      wl tag weather --categories rainy,dry
      wl tag weather=rainy tile-07 tile-09
    """
    name, is_value, value = tag.partition("=")
    if is_value and (remove or only):
        raise _usage("--remove and --set are for plain tags; `wl tag NAME= SAMPLE` takes a value")
    if remove and only:
        raise _usage("--remove and --set exclude each other")
    with opened(run, root) as reader:
        decider = _decider(reader)
        if categories is not None:
            _register(decider, name, categories, why)
            if not is_value:
                return
        elif not is_value and name in decider.registered():
            raise _usage(f"{name} is a categorical tag: write {name}=VALUE, or {name}= for none")
        chosen = _chosen(reader, **which)
        if chosen and is_value:
            _categorise(reader, decider, chosen, name, value or None, why)
        elif chosen:
            _tag(
                reader, decider, chosen, tag, "remove" if remove else "set" if only else "add", why
            )


def _register(decider: Decider, name: str, categories: str, why: str) -> None:
    listed = [one.strip() for one in categories.split(",")]
    decider.register(name, listed, why)
    print(f"{name} is one of {', '.join(listed)}")


def _categorise(
    reader: Run, decider: Decider, chosen: list[Chosen], name: str, value: str | None, why: str
) -> None:
    from wl_core.chosen import categorised

    already = categorised(reader, chosen, name, value)
    position = decider.categorise(chosen, name, value, why)
    _say(f"{name} is {value or 'empty'} on", chosen, already, position)


def _tag(
    reader: Run, decider: Decider, chosen: list[Chosen], tag: str, mode: Any, why: str
) -> None:
    from wl_core.chosen import tagged

    had = tagged(reader, chosen, tag)
    already = sum(map(len, chosen)) - had if mode == "remove" else had
    position = decider.tag(chosen, tag, mode, why)
    said = {"add": "tagged", "remove": "untagged", "set": "tagged, as their only tag,"}[mode]
    _say(f"{tag}: {said}", chosen, 0 if mode == "set" else already, position)


@click.command()
@_which
def discard(run: str | None, root: Path, why: str, **which: Any) -> None:
    """Discard samples or instances: the training goes on without them.

    A discarded sample disappears from the batches of a training loader from the next one on, and
    counts nothing in a watched loss. It stays in the views, marked, and `wl restore` or `wl undo`
    brings it back.

    \b
    Examples:
      wl discard tile-07 --why "wrong label"
      wl discard --where 'train_bce/sample > 2 and tags contains "blurry"'
      wl discard --instances --where 'train_dice/instance < 0.1'
    """
    _discard(run, root, True, why, **which)


@click.command()
@_which
def restore(run: str | None, root: Path, why: str, **which: Any) -> None:
    """Take discarded samples or instances in again.

    \b
    Examples:
      wl restore tile-07
      wl restore --where discarded
    """
    _discard(run, root, False, why, **which)


def _discard(run: str | None, root: Path, discarded: bool, why: str, **which: Any) -> None:
    from wl_core import chosen as choosing

    with opened(run, root) as reader:
        chosen = _chosen(reader, **which)
        if not chosen:
            return
        were = choosing.discarded(reader, chosen)
        already = were if discarded else sum(map(len, chosen)) - were
        position = _decider(reader).discard(chosen, discarded, why)
        _say("discarded" if discarded else "restored", chosen, already, position)
        _tell_obedience(reader, position)


def _turn_options(command: Command) -> Command:
    for option in (
        why_option,
        click.option(
            "--event",
            type=click.IntRange(min=0),
            help="The decision at this position instead, as `wl history-of` prints it.",
        ),
        click.argument("count", metavar="[N]", type=click.IntRange(min=1), default=1),
        run_option,
        root_option,
    ):
        command = option(command)
    return command


@click.command()
@_turn_options
def undo(count: int, event: int | None, run: str | None, root: Path, why: str) -> None:
    """Take back the last N decisions about data (1), whoever made them.

    What one command or call decided is taken back whole. Nothing is erased: the undo is an event
    as well, and `wl redo` makes the decision count again.

    \b
    Examples:
      wl undo
      wl undo 3 --why "too strict"
      wl undo --event 1204
    """
    with opened(run, root) as reader:
        position, found = _decider(reader).undo(count, event, why)
        _say_turned(reader, "undone", "undo", position, found)


@click.command()
@_turn_options
def redo(count: int, event: int | None, run: str | None, root: Path, why: str) -> None:
    """Let the last N decisions that were undone (1) count again.

    Each takes its old place: what was decided after it still comes after it.

    \b
    Example:
      wl redo
    """
    with opened(run, root) as reader:
        position, found = _decider(reader).redo(count, event, why)
        _say_turned(reader, "redone", "redo", position, found)


def _say_turned(reader: Run, did: str, verb: str, position: int, found: Sequence[Decision]) -> None:
    if not found:
        print(f"there is nothing to {verb}")
        return
    for one in found:
        print(f"{did}: {one.what} (event {one.position}, by {one.who})")
    _tell_obedience(reader, position)


@click.command("history-of")
@click.argument("sample")
@click.option("--origin", help="The loader of the sample, where several have one of that id.")
@click.option("--instance", type=click.IntRange(min=1), help="Of this instance alone.")
@run_option
@root_option
@at_step_option
@json_option
def history_of(
    sample: str,
    origin: str | None,
    instance: int | None,
    run: str | None,
    root: Path,
    at_step: int | None,
    as_json: bool,
) -> None:
    """List every decision on a sample and on its instances, also those that were undone.

    TIME is in seconds since 1970 but on a terminal. UNDONE says that a decision does not count.

    \b
    Example:
      wl history-of tile-07 --json | jq '.[] | select(.undone)'
    """
    from wl_core.cli_output import for_a_person, local_time, print_rows
    from wl_core.undoing import History

    names = ("position", "step", "time", "who", "what", "why", "undone")
    with opened(run, root, at_step) as reader:
        found = reader.find_sample(sample, origin)
        end = reader.end
        decisions = (frame for frame in reader.log.decisions() if frame.position < end)
        history = History(decisions).of_sample(*found, instance)
    rows: list[tuple[Any, ...]] = [
        (one.position, one.step, one.time, one.who, one.what, one.why, one.undone)
        for one in history
    ]
    if for_a_person() and not as_json:
        rows = [(*row[:2], local_time(row[2]), *row[3:]) for row in rows]
    print_rows(names, rows, as_json=as_json)


# -- what they share -------------------------------------------------------------------------------


def _usage(message: str) -> click.UsageError:
    return click.UsageError(message, click.get_current_context())


def _decider(reader: Run) -> Decider:
    from wl_core.ask import whoever_asks
    from wl_core.decide import Decider

    return Decider.of_run(reader, whoever_asks())


def _chosen(
    reader: Run,
    samples: tuple[str, ...],
    where: str | None,
    origin: str | None,
    instance: int | None,
    instances: bool,
    dry_run: bool,
) -> list[Chosen]:
    """Those that are meant; none if none is, or if they were only to be listed."""
    from wl_core.chosen import matching, named, owners

    if bool(samples) == (where is not None):
        raise _usage("name samples, or choose them with --where FILTER")
    if instances and (where is None or instance is not None):
        raise _usage("--instances goes with --where and without --instance")
    if where is not None:
        chosen = matching(reader, where, origin, instance, instances=instances)
    else:
        chosen = named(reader, samples, origin, instance)
    if dry_run:
        _list(owners(chosen), inner=instances or instance is not None)
        return []
    if not chosen:
        print("nothing matches, nothing was decided")
    return chosen


def _list(found: list[Any], *, inner: bool) -> None:
    from wl_core.cli_output import print_rows

    names = ("origin", "sample_id", "annotation_id")[: 3 if inner else 2]
    print_rows(names, [one[: len(names)] for one in found], as_json=False)
    sys.stdout.flush()
    print(f"{_count(len(found), inner)} would be meant; nothing was decided", file=sys.stderr)


def _count(count: int, inner: bool) -> str:
    return f"{count} {'instance' if inner else 'sample'}{'' if count == 1 else 's'}"


def _say(did: str, chosen: Sequence[Chosen], already: int, position: int) -> None:
    counts = [_count(len(some), some.annotation_ids is not None) for some in chosen]
    parts = [f"{count} of {some.origin}" for count, some in zip(counts, chosen, strict=True)]
    so = f", {already} of them before" if already else ""
    print(f"{did} {', '.join(parts)}{so} (event {position})")


def _tell_obedience(reader: Run, position: int) -> None:
    """Whether the training has heard of it, if there is one."""
    from wl_core.ask import answer
    from wl_core.status import ALIVE

    if reader.status().state not in ALIVE:
        return
    sys.stdout.flush()
    heard = answer(reader, position, seconds=_SECONDS)
    if heard is None:
        print("the training has not answered yet: it obeys at its next guard")
    else:
        print(f"the training obeyed at step {heard.step}, after {heard.seconds * 1000:.0f} ms")


COMMANDS = (tag, discard, restore, undo, redo, history_of)
