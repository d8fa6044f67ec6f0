"""`wl export`: the samples, the instances or the whole history of a run, in a file."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from wl_core.cli_options import (
    at_step_option,
    descending_option,
    opened,
    root_option,
    run_option,
    sort_option,
)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@run_option
@root_option
@click.option(
    "--instances/--samples",
    default=None,
    help="One row per instance, or per sample (the default; with --history both).",
)
@click.option("--history", is_flag=True, help="One row per value that was ever recorded.")
@click.option("--signal", "signals", multiple=True, help="With --history: only this signal.")
@click.option("--where", help="Only rows that match: train_bce/sample > 0.5 and not discarded")
@click.option("--columns", help="Only these columns, separated by commas.")
@sort_option
@descending_option
@click.option("--format", "format_name", help="Instead of what FILE ends in.")
@at_step_option
def export(
    file: Path,
    run: str | None,
    root: Path,
    instances: bool | None,
    history: bool,
    signals: tuple[str, ...],
    where: str | None,
    columns: str | None,
    sort: str | None,
    descending: bool,
    format_name: str | None,
    at_step: int | None,
) -> None:
    """Write the samples of a run to FILE, or its instances, or its history.

    The format is what FILE ends in: .parquet, .csv, .json, .jsonl, or that of a plugin. FILE is
    replaced once the new one is whole. For - the file goes to stdout, and --format says what it is.

    With --history there is a row per value, with the columns signal, origin, sample_id,
    annotation_id (0 for samples), step and value; --where then chooses samples by what they are
    now, or instances with --instances.

    \b
    Examples:
      wl export samples.parquet --where "not discarded" --sort loss --desc
      wl export history.parquet --history --signal loss
      wl export - --format csv --columns sample_id,loss | column -s, -t
    """
    from wl_core.export import write_dataframe, write_history

    _check(history, signals, columns, sort, descending)
    with opened(run, root, at_step) as reader, _place(file, format_name) as path:
        if history:
            rows = write_history(
                path,
                signals=signals or None,
                where=where,
                instances=instances,
                format=format_name,
                run=reader,
            )
        else:
            rows = write_dataframe(
                path,
                where=where,
                columns=columns and [name.strip() for name in columns.split(",")],
                instances=bool(instances),
                sort=sort,
                descending=descending,
                format=format_name,
                run=reader,
            )
    if path == file:
        print(f"{rows:,} rows in {file}")


def _check(
    history: bool,
    signals: tuple[str, ...],
    columns: str | None,
    sort: str | None,
    descending: bool,
) -> None:
    if signals and not history:
        raise click.UsageError("--signal needs --history", click.get_current_context())
    if history and (columns is not None or sort is not None or descending):
        raise click.UsageError(
            "a history has columns and an order of its own: --columns, --sort and --desc are for"
            " samples and instances",
            click.get_current_context(),
        )
    if descending and sort is None:
        raise click.UsageError("--desc needs --sort COLUMN", click.get_current_context())


@contextmanager
def _place(file: Path, format_name: str | None) -> Iterator[Path]:
    """The file itself; for - one that is copied to stdout once it is whole."""
    if str(file) != "-":
        yield file
        return
    if format_name is None:
        raise click.UsageError("- needs --format", click.get_current_context())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "stdout")
        yield path
        with path.open("rb") as whole:
            shutil.copyfileobj(whole, sys.stdout.buffer)
        sys.stdout.buffer.flush()


COMMANDS = (export,)
