"""The built-in export formats: csv, json and jsonl by the standard library, parquet by pyarrow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from wl_core.hookspecs import hookimpl
from wl_core.table import Table
from wl_plugins.export.parquet import write_parquet
from wl_plugins.export.text import write_csv, write_json, write_json_lines


@hookimpl
def wl_export_formats() -> Mapping[str, Callable[[Iterator[Table], Path], None]]:
    return {
        "parquet": write_parquet,
        "csv": write_csv,
        "json": write_json,
        "jsonl": write_json_lines,
    }
