"""Parquet, by pyarrow: every kind of column as `wl_core.arrow` says, texts as plain strings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wl_core.arrow import needed, to_arrow
from wl_core.table import Table


def write_parquet(tables: Iterator[Table], path: Path) -> None:
    """One row group per table that has rows.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    parquet = needed("pyarrow.parquet", "parquet")
    head = next(tables)
    # Parquet has its own dictionaries. What readers make of Arrow's differs from one to another.
    settings = {
        "compression": "zstd",
        "store_schema": False,
        "use_dictionary": [one.name for one in head if not _is_float(one.values.dtype)],
    }
    first = to_arrow(head)
    with parquet.ParquetWriter(path, first.schema, **settings) as writer:
        if len(first):
            writer.write_table(first)
        for table in tables:
            writer.write_table(to_arrow(table))


def _is_float(dtype: object) -> bool:
    return getattr(dtype, "kind", "") == "f"
