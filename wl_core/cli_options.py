"""Options and arguments that several commands share, and the run that they mean."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from wl_core.run import Run

Command = TypeVar("Command", bound=Callable[..., Any])

root_option = click.option(
    "--root",
    type=click.Path(path_type=Path),
    envvar="WL_ROOT",
    default=Path("wl_runs"),
    help="The folder of the runs; $WL_ROOT, else ./wl_runs, by default.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON array (NaN and infinities as text)."
)

# For commands that list what a run holds; `opened` takes it.
at_step_option = click.option(
    "--at-step",
    type=int,
    metavar="N",
    help="Show the run as it was at the end of step N; steps are counted from 0.",
)

# For commands that list a table; `wl_core.row_order` reads them.
sort_option = click.option(
    "--sort",
    metavar="COLUMN[:desc],...",
    help="Sort by this column, equal rows by the next; empty and NaN cells come last.",
)
descending_option = click.option(
    "--desc/--asc",
    "descending",
    help="The largest or the smallest first (--asc), where --sort does not say.",
)

# For commands whose own arguments are many, which leave no place for RUN.
run_option = click.option(
    "--run", help="The run's name or path; the newest one under --root by default."
)
why_option = click.option("--why", default="", help="The reason; it is kept with the decision.")


def run_options(command: Command) -> Command:
    """Adds the argument RUN and the option ``--root`` to a command."""
    argument = click.argument("run", required=False)
    return argument(root_option(command))


@contextmanager
def opened(run: str | None, root: Path, at_step: int | None = None) -> Iterator[Run]:
    """The run that RUN and ``--root`` mean, open for reading; with a step, as it was then."""
    from wl_core.directory import find_run
    from wl_core.run import open_run

    with open_run(find_run(run, root)) as reader:
        if at_step is None:
            yield reader
            return
        with reader.at(step=at_step) as past:
            if sys.stderr.isatty():
                print(f"{reader.name} as of step {at_step}", file=sys.stderr)
            yield past
