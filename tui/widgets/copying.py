"""Rows of a table as text for the clipboard: what `wl samples` prints into a pipe or as JSON.

Which rows and columns, and how the text gets to the clipboard, is the table's business.
"""

from __future__ import annotations

from wl_core.cli_output import exact, to_json, tsv_cell
from wl_core.table import Table


def as_tsv(table: Table) -> str:
    """A header line, then a line for each row; numbers whole, empty cells empty."""
    lines = [table.names]
    lines += [tuple(exact(column, row) for column in table) for row in range(len(table))]
    return "".join("\t".join(map(tsv_cell, line)) + "\n" for line in lines)


def as_json_lines(table: Table) -> str:
    """An object for each row, on a line of its own; an empty cell is null."""
    rows = ({c.name: exact(c, row) for c in table} for row in range(len(table)))
    return "".join(to_json(row) + "\n" for row in rows)
