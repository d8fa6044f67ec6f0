"""Writes tables and histories to files, and turns them into DataFrames and Arrow tables.

What the formats are is the business of plugins (`wl_plugins.export` has the built-in ones): here is
what is common to them. A file is written beside its place and renamed, so that it is there whole or
as it was before; what is long is handed over in parts, so that memory stays bounded.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

import numpy as np

from wl_core.arrow import joined, to_pandas
from wl_core.cli_progress import progress_bar
from wl_core.durability import bring_to_disk
from wl_core.errors import UsageError, WlError, nearest
from wl_core.long_form import PART, Keys, LongForm, matching
from wl_core.plugins import load_plugins
from wl_core.query import AnyRun, known_signal, reading
from wl_core.row_order import sort_table
from wl_core.run import Run
from wl_core.table import Table, TableColumn

Exporter: TypeAlias = Callable[[Iterator[Table], Path], None]
# Of what is done, and of how much: gives what is told of each step.
Progress: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[int, int], Any]]]
Destination: TypeAlias = Literal["pandas", "arrow"]


@overload
def write_dataframe(
    path: Path | str,
    *,
    where: str | None = ...,
    columns: Sequence[str] | None = ...,
    instances: bool = ...,
    sort: str | None = ...,
    descending: bool = ...,
    format: str | None = ...,
    run: AnyRun = ...,
    at_step: int | None = ...,
) -> int: ...


@overload
def write_dataframe(
    path: None = ...,
    *,
    to: Destination = ...,
    where: str | None = ...,
    columns: Sequence[str] | None = ...,
    instances: bool = ...,
    sort: str | None = ...,
    descending: bool = ...,
    run: AnyRun = ...,
    at_step: int | None = ...,
) -> Any: ...


def write_dataframe(
    path: Path | str | None = None,
    *,
    to: Destination | None = None,
    where: str | None = None,
    columns: Sequence[str] | None = None,
    instances: bool = False,
    sort: str | None = None,
    descending: bool = False,
    format: str | None = None,  # noqa: A002  # what pandas and others call it
    run: AnyRun = None,
    at_step: int | None = None,
) -> Any:
    """Writes the table of the samples, or of the instances, to a file; or gives it as a DataFrame.

    Args:
        path: the file, which is replaced once the new one is whole. None for no file.
        to: without a path, ``"pandas"`` (the default) or ``"arrow"``.
        where: a filter: only rows that match.
        columns: only these columns, in this order.
        instances: one row per instance instead of one per sample.
        sort: sort by this column; empty and NaN cells come last. ``"origin,loss:desc"``: rows
            that are equal there by the next column.
        descending: the largest first, where ``sort`` does not say.
        format: ``"parquet"``, ``"csv"``, ``"json"``, ``"jsonl"`` or that of a plugin; by default
            what the path ends in.
        run: an opened run, or a run's name or path. By default the run that this process records,
            else the newest under ``$WL_ROOT`` or ``./wl_runs``.
        at_step: the run as it was at the end of that step.

    Returns:
        The number of rows that were written; without a path a ``pandas.DataFrame`` or a
        ``pyarrow.Table``.

    Raises:
        UnknownNameError: there is no such column.
        FilterError: ``where`` cannot be read.
        UsageError: the format is not known.
        MissingExtraError: pyarrow or pandas is needed and not installed.
        WlError: the file cannot be written.
    """
    target = _target(path, format, to)
    with reading(run, at_step) as reader:
        table = reader.instances() if instances else reader.samples()
        table = _chosen(table, where, columns, sort, descending)
        return target(_parts(table))  # here, since some columns are computed when they are read


def _chosen(
    table: Table,
    where: str | None,
    columns: Sequence[str] | None,
    sort: str | None,
    descending: bool,
) -> Table:
    if where is not None:
        table = table.take(matching(table, where))
    if sort is not None:
        table, _ = sort_table(table, sort, descending=descending)
    elif descending:
        raise UsageError("descending=True needs sort=, the column to sort by")
    if columns is None:
        return table
    return Table(tuple(table.column(name) for name in columns))


def _parts(table: Table) -> Iterator[tuple[float, Table]]:
    for start in range(0, max(1, len(table)), PART):
        rows = np.arange(start, min(start + PART, len(table)))
        yield (start + len(rows)) / max(1, len(table)), table.take(rows)


@overload
def write_history(
    path: Path | str,
    *,
    signals: Sequence[str] | str | None = ...,
    where: str | None = ...,
    instances: bool | None = ...,
    format: str | None = ...,
    run: AnyRun = ...,
    at_step: int | None = ...,
) -> int: ...


@overload
def write_history(
    path: None = ...,
    *,
    to: Destination = ...,
    signals: Sequence[str] | str | None = ...,
    where: str | None = ...,
    instances: bool | None = ...,
    run: AnyRun = ...,
    at_step: int | None = ...,
) -> Any: ...


def write_history(
    path: Path | str | None = None,
    *,
    to: Destination | None = None,
    signals: Sequence[str] | str | None = None,
    where: str | None = None,
    instances: bool | None = None,
    format: str | None = None,  # noqa: A002  # as above
    run: AnyRun = None,
    at_step: int | None = None,
) -> Any:
    """Writes all values that signals ever had to a file, one row per value; or gives a DataFrame.

    The columns are ``signal``, ``origin``, ``sample_id``, ``annotation_id`` (0 for samples),
    ``step`` and ``value``. Rows are sorted by signal, then samples before instances, then in the
    order in which samples are shown, the values of each in the order of the log.

    Args:
        path: the file, which is replaced once the new one is whole. None for no file.
        to: without a path, ``"pandas"`` (the default) or ``"arrow"``.
        signals: only these; by default all that samples or instances have values of.
        where: a filter over the rows of ``run.samples()``: the values of samples that match, and of
            their instances. With ``instances=True`` one over ``run.instances()``.
        instances: True for values of instances alone, False for those of samples alone.
        format: as for `write_dataframe`.
        run: as for `write_dataframe`.
        at_step: the run as it was at the end of that step.

    Returns:
        The number of values that were written; without a path a ``pandas.DataFrame`` or a
        ``pyarrow.Table``.

    Raises:
        UnknownNameError: there is no such signal.
        FilterError: ``where`` cannot be read.
        UsageError: the format is not known.
        MissingExtraError: pyarrow or pandas is needed and not installed.
        WlError: the file cannot be written.
    """
    target = _target(path, format, to)
    with reading(run, at_step) as reader:
        if signals is None:
            names = list(reader.view("history").names())
        else:
            asked = [signals] if isinstance(signals, str) else signals
            names = list(dict.fromkeys(known_signal(reader, one) for one in asked))
        keys = None if where is None else Keys.matching(reader, where, instances=bool(instances))
        return target(_history_parts(reader, names, keys, instances))


def _history_parts(
    reader: Run, names: Sequence[str], keys: Keys | None, instances: bool | None
) -> Iterator[tuple[float, Table]]:
    """One signal and level after the other; the first is a table without rows: its columns."""
    history = reader.view("history")
    levels = (False, True) if instances is None else (instances,)
    yield 0.0, _named(LongForm.nothing(history), tuple(names), 0)
    asked = [(code, level) for code in range(len(names)) for level in levels]
    for number, (code, level) in enumerate(asked):
        values = LongForm(history, names[code], keys, instances=level)
        for done, table in values.tables():
            yield (number + done) / len(asked), _named(table, tuple(names), code)


def _named(table: Table, names: tuple[str, ...], code: int) -> Table:
    everywhere = np.ones(len(table), np.bool_)
    signal = TableColumn("signal", "text", np.full(len(table), code, np.int32), everywhere, names)
    return Table((signal, *table))


# -- where it goes -----------------------------------------------------------------


def _target(
    path: Path | str | None, format_name: str | None, to: str | None
) -> Callable[[Iterator[tuple[float, Table]]], Any]:
    """What takes the parts; asked first, so that a wrong call is told before anything is read."""
    if path is not None:
        if to is not None:
            raise UsageError(f"give a path or to={to!r}, not both")
        place = Path(path)
        exporter = exporter_of(place, format_name)
        return lambda parts: write_file(parts, place, exporter)
    if format_name is not None:
        raise UsageError(f"format={format_name!r} needs a path; without one there is to=")
    if to not in (None, "pandas", "arrow"):
        raise UsageError(f"to must be 'pandas' or 'arrow', not {to!r}")
    if to == "arrow":
        return lambda parts: joined(table for _, table in parts)
    return lambda parts: to_pandas(joined(table for _, table in parts))


def exporter_of(path: Path, format_name: str | None) -> Exporter:
    """What writes that format, or the one that the path ends in.

    Raises:
        UsageError: there is none; the formats that there are are named.
    """
    found: dict[str, Exporter] = load_plugins().mapping("wl_export_formats")
    known = ", ".join(found)
    if format_name is not None:
        name = format_name.removeprefix(".")
        if name not in found:
            hint = nearest(name, found)
            raise UsageError(f"there is no format {name!r}; there are {known}.{hint}")
        return found[name]
    endings = [name for name in found if path.name.lower().endswith(f".{name}")]
    if not endings:
        raise UsageError(
            f"{path.name} does not say its format: let it end in one of {known}, or name one"
        )
    return found[max(endings, key=len)]


def write_file(
    parts: Iterator[tuple[float, Table]],
    path: Path,
    exporter: Exporter,
    progress: Progress = progress_bar,
) -> int:
    """Writes the file and gives the number of its rows; ``parts`` say how much is done with them.

    ``progress`` shows it to whoever waits, as `progress_bar` does on stderr.

    Raises:
        WlError: it cannot be written; what was there before is as it was.
    """
    # The ending stays: an exporter may look at it.
    beside = path.with_name(f".{secrets.token_hex(4)}.unfinished.{path.name}")
    written = 0

    def counted() -> Iterator[Table]:
        nonlocal written
        for done, table in parts:
            written += len(table)
            yield table
            show(round(1000 * done), 1000)

    try:
        with progress(f"writing {path.name}", 1000) as show:
            exporter(counted(), beside)
        bring_to_disk(beside)  # a file that is there after a power loss shall be whole
        beside.replace(path)
    except OSError as error:
        raise WlError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
    return written
