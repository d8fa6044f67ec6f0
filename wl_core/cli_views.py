"""`wl info`, `wl samples` and `wl instances`: what the views of a run hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wl_core.cli_options import (
    at_step_option,
    descending_option,
    json_option,
    opened,
    run_options,
    sort_option,
)

if TYPE_CHECKING:
    from wl_core.run import Run
    from wl_core.table import Table

Command = TypeVar("Command", bound=Callable[..., Any])


def _table_options(command: Command) -> Command:
    """What a table can be asked for: which rows, in which order, how many, which columns."""
    for option in (
        click.option("--columns", help="Only these columns, separated by commas."),
        click.option("--limit", type=click.IntRange(min=0), help="Print so many rows at most."),
        click.option(
            "--where", help="Only rows that match: train_bce/sample > 0.5 and not discarded"
        ),
        descending_option,
        sort_option,
    ):
        command = option(command)
    return command


@click.command()
@run_options
@at_step_option
@json_option
def info(run: str | None, root: Path, at_step: int | None, as_json: bool) -> None:
    """Say what a run is and how it is: its state, its data, its signals, its views.

    With --json the one object of it, in no array.

    \b
    Example:
      wl info --json | jq .state
    """
    from wl_core.cli_output import local_time, shown, to_json

    with opened(run, root, at_step) as reader:
        facts = _facts(reader)
    if as_json:
        print(to_json(facts))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        said = local_time(value) if name == "since" and value else value
        if name == "hyperparameters":
            said = [f"{one} {shown(setting)}" for one, setting in value.items()]
        for line in said if isinstance(said, list) else [said]:
            print(f"{name:<{width}}  {shown(line)}".rstrip())
            name = ""  # noqa: PLW2901 - the name stands beside the first line alone


def _facts(reader: Run) -> dict[str, Any]:
    reader.refresh()
    status, table = reader.status(), reader.samples()
    origin = table.column("origin")
    counts = {text: int((origin.values == n).sum()) for n, text in enumerate(origin.categories)}
    return {
        "name": reader.name,
        "path": str(reader.path),
        "state": status.state,
        "detail": status.detail,
        "step": status.step,
        "since": status.since,
        "host": status.host,
        "pid": status.pid,
        "events": reader.position,
        "log_bytes": reader.log.bytes_used,
        "samples": counts,
        "signals": list(reader.signals()),
        "hyperparameters": reader.hyperparameters(),
        "last_evaluation": _last_evaluation(reader),
        "views": list(reader.views),
        "parked": [f"{one.projection} of {one.plugin} at {one.position}" for one in reader.parked],
    }


def _last_evaluation(reader: Run) -> dict[str, Any] | None:
    found = reader.evaluations()
    if not found:
        return None
    last = found[-1]
    return {
        "step": last.step,
        "origin": last.name,
        "samples": last.samples,
        "means": dict(last.means),
        "cancelled": last.cancelled,
        "failed": bool(last.error),
    }


@click.command()
@run_options
@at_step_option
@_table_options
@json_option
def samples(run: str | None, root: Path, at_step: int | None, as_json: bool, **asked: Any) -> None:
    """Print one row per sample.

    Where a sample has no value of its own, the mean of its instances stands in; on a terminal it
    is marked with ~. The filter language is explained in the reference; backquotes hold column
    names with spaces.

    \b
    Examples:
      wl samples --sort train_bce/sample --desc --limit 10
      wl samples --sort origin,train_bce/sample:desc
      wl samples --where "train_dice/sample < 0.5 and tags contains 'blurry'" --columns path
      wl samples --at-step 500 --sort train_bce/sample --desc
    """
    with opened(run, root, at_step) as reader:
        reader.refresh()
        _print_asked(reader.samples(), as_json, **asked)


@click.command()
@click.argument("sample", required=False)
@run_options
@click.option("--origin", help="The loader of the sample, where several have one of that id.")
@click.option(
    "--all",
    "of_all",
    is_flag=True,
    help="The instances of all samples, with their samples' columns.",
)
@at_step_option
@_table_options
@json_option
def instances(
    sample: str | None,
    run: str | None,
    root: Path,
    origin: str | None,
    of_all: bool,
    at_step: int | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Print one row per instance of a sample.

    SAMPLE is the data set's own id, as `wl samples` prints it; a number that is no text id is
    taken as a number. With --all there is no SAMPLE, and RUN is what stands alone; what is known
    of an instance's sample is beside it, and filters may ask for it.

    \b
    Examples:
      wl instances tile-07 --sort train_dice/instance --columns annotation_id,train_dice/instance
      wl instances --all --where "weather == 'rainy' and train_dice/instance < 0.5"
    """
    if of_all and run is not None:
        raise _usage("--all takes no SAMPLE: it prints the instances of every one")
    if not of_all and sample is None:
        raise _usage("SAMPLE is missing: a sample's id, or --all for every sample")
    with opened(sample if of_all else run, root, at_step) as reader:
        reader.refresh()
        table = _all_instances(reader, origin) if of_all else reader.instances(sample, origin)
        _print_asked(table, as_json, **asked)


def _usage(message: str) -> click.UsageError:
    return click.UsageError(message, click.get_current_context())


def _all_instances(run: Run, origin: str | None) -> Table:
    import numpy as np

    from wl_core.joined import instances_with_samples

    table = instances_with_samples(run)
    if origin is None:
        return table
    column = table.column("origin")
    known = column.categories.index(origin) if origin in column.categories else -1
    return table.take(np.flatnonzero(column.values == known))


def _print_asked(
    table: Table,
    as_json: bool,
    sort: str | None,
    descending: bool,
    where: str | None,
    limit: int | None,
    columns: str | None,
) -> None:
    """Prints the rows and columns that the options ask for; those they speak of come first."""
    import numpy as np

    from wl_core.cli_output import print_table
    from wl_core.filters import Filter
    from wl_core.row_order import sort_table
    from wl_core.table import Table

    ids = ("origin", "sample_id", "annotation_id")
    first = [name for name in table.names if name in ids]
    if where is not None:
        chosen = Filter.parse(where)
        table = table.take(np.flatnonzero(chosen.mask(table)))
        first += [table.column(name).name for name in chosen.columns]
    if sort is not None:
        table, sorted_by = sort_table(table, sort, descending=descending)
        first += sorted_by
    elif descending:
        raise _usage("--desc needs --sort COLUMN")
    if limit is not None:
        table = table.take(np.arange(min(limit, len(table))))
    if columns is not None:
        table = Table(tuple(table.column(name.strip()) for name in columns.split(",")))
        first = []
    else:  # what is only computed for those who ask was asked for by its name, or not at all
        table = Table(tuple(one for one in table if one.is_ready or one.name in first))
    print_table(table, as_json=as_json, first=first)


COMMANDS = (info, samples, instances)
