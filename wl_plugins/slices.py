"""The command `wl slices`: slices of the data, where they cross, and the worst of them.

What is counted is `wl_core.slices`', what is found `wl_core.slice_finding`'s; here it is asked for
and printed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wl_core.cli_options import at_step_option, json_option, opened, run_options
from wl_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from wl_core.run import Run
    from wl_core.table import Table

_BY_SIZE = ("residual", "effect")  # the strongest first, whatever the sign


@hookimpl
def wl_cli_commands() -> Sequence[click.Command]:
    return [slices]


@click.command()
@run_options
@click.option(
    "--by", multiple=True, metavar="FACET", help="A column to slice by; give two to cross them."
)
@click.option("--against", metavar="FACET", help="Cross all of --by, combined, with this one.")
@click.option("--shape", is_flag=True, help="The same as --against shape.")
@click.option("--signal", help="Average this signal in each slice.")
@click.option(
    "--instances/--samples",
    "of_instances",
    default=None,
    help="What the rows are; by default what --signal has values of.",
)
@click.option("--where", metavar="FILTER", help="Only rows that match.")
@click.option("--find", is_flag=True, help="Find the slices in which --signal is worst.")
@click.option(
    "--worst",
    type=click.Choice(["high", "low"]),
    default="high",
    show_default=True,
    help="With --find: which values are bad.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="With --find: the chance that any slice found is mere chance.",
)
@click.option(
    "--max-columns",
    type=click.IntRange(1, 2),
    default=2,
    show_default=True,
    help="With --find: 2 looks into pairs of facets too.",
)
@click.option(
    "--min-size",
    type=click.IntRange(min=0),
    help="Only slices with so many rows; with --find at least 2, and 20 by default.",
)
@click.option("--sort", help="By this column; residual and effect whatever their sign.")
@click.option("--desc/--asc", "descending", default=True, help="The largest first (--desc).")
@click.option("--limit", type=click.IntRange(min=0), help="Print so many lines at most.")
@click.option("--columns", help="Only these columns, separated by commas.")
@at_step_option
@json_option
def slices(
    run: str | None,
    root: Path,
    at_step: int | None,
    as_json: bool,
    sort: str | None,
    descending: bool,
    limit: int | None,
    columns: str | None,
    **asked: Any,
) -> None:
    """Say how much of the data is in which slice, and how it does there.

    A FACET is a column of `wl samples` or `wl instances` (and, for instances, of their samples):
    each text, flag or tag is a slice. Numbers are cut into quartiles, by size:10 into ten groups
    of like size, by size@0,10,100 at these edges, and by size:each not at all.

    One --by gives a line for each slice. Two, or --against, give one for each cell where they
    cross, with the count that independence would give (expected), the lift over it, and the
    adjusted standardised residual. --find tests slices of one and two columns (Welch, Holm).
    The filter of each line is for --where of `wl samples`, `wl instances --all` and `wl tag`.

    \b
    Examples:
      wl slices --by weather --signal train_bce/instance
      wl slices --by weather --by size:4 --shape --sort count
      wl slices --find --signal train_bce/instance
      wl slices --by tags --columns tags,filter
    """
    with opened(run, root, at_step) as reader:
        reader.refresh()
        table = _asked(reader, **asked)
        _print(_ordered(table, sort, descending), limit, columns, as_json)


def _asked(
    run: Run,
    by: Sequence[str],
    against: str | None,
    shape: bool,
    signal: str | None,
    of_instances: bool | None,
    where: str | None,
    find: bool,
    min_size: int | None,
    worst: Any,
    alpha: float,
    max_columns: Any,
) -> Table:
    import numpy as np

    from wl_core.joined import instances_with_samples
    from wl_core.slice_finding import MIN_SIZE, find_slices
    from wl_core.slices import cross_tab, slice_by

    if shape and against is not None:
        raise _usage("--shape is --against shape: give one of them")
    against = "shape" if shape else against
    if of_instances is None:
        of_instances = signal is not None and _only_instances_have(run, signal)
    rows = instances_with_samples(run) if of_instances else run.samples()
    if find:
        if signal is None or against is not None:
            raise _usage("--find needs --signal, and takes its facets from --by alone")
        found = find_slices(
            rows, signal, list(by) or None, max_columns=max_columns,
            min_size=MIN_SIZE if min_size is None else min_size,
            alpha=alpha, worst=worst, signals=run.signals(), where=where,
        )  # fmt: skip
        if not len(found):
            print("no slice is significantly worse than the rest", file=sys.stderr)
        return found
    facets = [*by, *([against] if against else [])]
    if not facets:
        raise _usage("say what to slice by, such as --by weather, or let it --find the worst")
    if len(facets) == 1:
        found = slice_by(rows, facets, signal, where=where)
    else:
        found = cross_tab(rows, facets[:-1], facets[-1], signal, where=where)
    return found.take(np.flatnonzero(found.column("count").values >= (min_size or 0)))


def _usage(message: str) -> click.UsageError:
    return click.UsageError(message, click.get_current_context())


def _only_instances_have(run: Run, signal: str) -> bool:
    from wl_core.table import normalise_name

    name = normalise_name(signal)
    of_samples = run.view("samples").has_numbers(name)
    return name in run.view("instances").signals and not of_samples


def _ordered(table: Table, sort: str | None, descending: bool) -> Table:
    """By that column; the table is already sorted by what tells most."""
    import numpy as np

    from wl_core.table import TableColumn

    if sort is None:
        return table if descending else table.take(np.arange(len(table))[::-1])
    column = table.column(sort)
    if column.name in _BY_SIZE:
        column = TableColumn(column.name, "number", np.abs(column.values), column.present)
    return table.take(column.order(descending=descending))


def _print(table: Table, limit: int | None, columns: str | None, as_json: bool) -> None:
    import numpy as np

    from wl_core.cli_output import print_table
    from wl_core.table import Table

    if limit is not None:
        table = table.take(np.arange(min(limit, len(table))))
    if columns is not None:
        table = Table(tuple(table.column(name.strip()) for name in columns.split(",")))
    print_table(table, as_json=as_json)
