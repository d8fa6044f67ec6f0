"""Facets: a column of a table, cut into groups of rows.

A facet is written as a column, and how numbers are cut if the default is not meant:

    weather           text, flags, lists: each value is a group. Of a list each element is one,
                      and of `tags` each tag, so that a row may be in several groups.
    size              numbers: four groups of like size (quartiles); but whole numbers of at most
                      20 different values, such as classes, each by itself
    size:10           numbers: ten groups of like size (quantiles)
    size@0,10,100     numbers: below 0, from 0 on and below 10, …, from 100 on
    size:each         numbers: each different one is a group

Rows with an empty cell are the group ``(empty)``, NaN is the group ``NaN``: every row is in some
group. Each group knows the filter that finds exactly its rows. A column whose name holds ``:`` or
``@`` is found by its whole name. What is counted or measured in the groups is `slices`' business.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from wl_core import filter_text as text_of
from wl_core.errors import UnknownNameError, UsageError
from wl_core.grouping import MAX_GROUPS, Grouping, Groups, check_few, combined
from wl_core.table import Table, TableColumn, list_key

EMPTY = "(empty)"
QUANTILES = 4  # groups of like size, where nothing else is asked for
FEW_VALUES = 20  # whole numbers with no more different values are names rather than quantities

_SPECIFICATION = re.compile(r"(?P<column>.+?)(?::(?P<bins>[^:@]*)|@(?P<edges>[^:@]*))", re.DOTALL)
_ADVICE = {
    "shape": (
        " Rows have a shape once a signal of theirs has at least 5 values; docs/howto/shapes.md"
        " says of which signal it is."
    ),
    "class": (
        " A signal makes one: @wl.signal(name='class', level='instance') that returns"
        " ctx.target.max(); of a run that is over, by `wl backfill`."
    ),
}


def cut_all(table: Table, facets: str | Sequence[str]) -> Grouping:
    """The table's rows by one facet, or by the combinations of several; see `cut`."""
    several = [facets] if isinstance(facets, str) else list(facets)
    if not several:
        raise UsageError("expected at least one facet, such as a column's name; got none")
    found = cut(table, several[0])
    for facet in several[1:]:
        found = combined(found, cut(table, facet))
    return found


def cut(table: Table, facet: str) -> Grouping:
    """The table's rows in the groups of a facet, which is written as the module says.

    Raises:
        UnknownNameError: the table has no such column; the nearest is named.
        UsageError: the column cannot be cut in that way, or has more than `MAX_GROUPS` groups.
    """
    column, bins, edges = _read(table, facet)
    if column.kind != "number":
        if bins is not None or edges is not None:
            _refuse(facet, len(column.name), f"{column.name} is a {column.kind} column: only"
                    " numbers are cut into bins")  # fmt: skip
        return _of_categories(column, facet)
    return _of_numbers(column, facet, bins, edges)


def column_of(table: Table, facet: str) -> TableColumn:
    """The column that a facet cuts.

    Raises:
        UnknownNameError: the table has none of that name; the nearest is named.
    """
    return _read(table, facet)[0]


def _read(table: Table, facet: str) -> tuple[TableColumn, str | None, str | None]:
    """The column that a facet names, and how it is to be cut as far as the facet says."""
    match = None if facet in table.names else _SPECIFICATION.fullmatch(facet)
    name, bins, edges = match.group("column", "bins", "edges") if match else (facet, None, None)
    try:
        return table.column(name), bins, edges
    except UnknownNameError as error:
        advice = _ADVICE.get(name.rpartition("/")[2], "")
        _refuse(facet, 0, f"{error}{advice}", UnknownNameError)


def _refuse(facet: str, offset: int, message: str, kind: type[UsageError] = UsageError) -> NoReturn:
    raise kind(f"{message}\n  {facet}\n  {' ' * offset}^")


# -- numbers ---------------------------------------------------------------------


def _of_numbers(column: TableColumn, facet: str, bins: str | None, edges: str | None) -> Grouping:
    values, present = column.values, column.present
    known = values[present & np.isfinite(values)]
    if edges is not None:
        return _binned(column, facet, _edges(facet, edges))
    if bins == "each" or (bins is None and _are_names(known)):
        return _each(column, facet)
    edges_found = quantiles(known, _bins(facet, bins))
    if not edges_found and np.isinf(values[present]).any():
        edges_found = [0]  # nothing finite is there to part the infinities by
    return _binned(column, facet, edges_found)


def _are_names(values: npt.NDArray[Any]) -> bool:
    """Whether they are whole numbers of few different values."""
    if values.dtype.kind == "f" and not np.array_equal(values, np.floor(values)):
        return False
    # Few of many are looked at first: sorting all of them to count them takes its time.
    return all(len(np.unique(part)) <= FEW_VALUES for part in (values[:10_000], values))


def _bins(facet: str, bins: str | None) -> int:
    if bins is None:
        return QUANTILES
    if bins.isascii() and bins.isdigit() and 2 <= int(bins) <= MAX_GROUPS:
        return int(bins)
    _refuse(facet, facet.rindex(":") + 1, f"expected the number of bins, 2 to {MAX_GROUPS:,}, or"
            f" each, got {bins!r}")  # fmt: skip


def _edges(facet: str, edges: str) -> list[float | int]:
    found: list[float | int] = []
    offset = facet.rindex("@") + 1
    for text in edges.split(","):
        try:
            edge = int(text) if text.strip().lstrip("+-").isdigit() else float(text)
        except ValueError:
            edge = math.nan
        if not math.isfinite(edge) or (found and edge <= found[-1]):
            _refuse(facet, offset, "expected numbers that rise, with commas between, such as"
                    f" @0,10,100; got {text!r}")  # fmt: skip
        found.append(edge)
        offset += len(text) + 1
    return found


def quantiles(values: npt.NDArray[Any], bins: int) -> list[float | int]:
    """The lower edges of all but the first of ``bins`` groups of like size, values themselves.

    Equal values are never parted, so there may be fewer. ``values`` ``[k]`` are finite.
    """
    if not len(values):
        return []
    places = [min(len(values) - 1, -(-len(values) * k // bins)) for k in range(1, bins)]
    found = np.unique(np.partition(values, places)[places])
    least = values.min()
    return [_shortest(edge) for edge in found[found > least]] or [_shortest(least)]


def _binned(column: TableColumn, facet: str, edges: Sequence[float | int]) -> Grouping:
    """Compared edge by edge as a filter does it, so that both find the same rows."""
    groups = np.zeros(len(column), np.intp)
    for edge in edges:
        groups += column.values >= edge
    name = text_of.column_text(column.name)
    bounds = [None, *edges, None] if len(edges) else []
    filters = [text_of.between(name, *pair) for pair in itertools.pairwise(bounds)]
    return _with_rest(column, facet, groups, _bin_labels(edges), filters)


def _bin_labels(edges: Sequence[float | int]) -> list[str]:
    """With as many digits as tell the edges apart."""
    if not len(edges):
        return []
    shown: list[str] = []
    for digits in (4, 6, 9, 17):
        shown = [str(e) if isinstance(e, int) else f"{e:.{digits}g}" for e in edges]
        if len(set(shown)) == len(shown):
            break
    inner = [f"{low} .. {high}" for low, high in itertools.pairwise(shown)]
    return [f"< {shown[0]}", *inner, f">= {shown[-1]}"]


def _each(column: TableColumn, facet: str) -> Grouping:
    known = column.present & ~np.isnan(column.values)
    numbers, inverse = np.unique(column.values[known], return_inverse=True)
    check_few(len(numbers), facet)
    groups = np.zeros(len(column), np.intp)
    groups[known] = inverse
    name = text_of.column_text(column.name)
    exact: list[float | int] = [_shortest(number) for number in numbers]
    labels = [str(one) for one in exact]
    return _with_rest(column, facet, groups, labels, [text_of.equals(name, e) for e in exact])


def _shortest(number: Any) -> float | int:
    """A float32 as the shortest decimal that is that float32; a whole number without a point."""
    value = float(str(number)) if number.dtype.kind == "f" else int(number)
    return int(value) if math.isfinite(value) and abs(value) < 2**53 and value % 1 == 0 else value


def _with_rest(
    column: TableColumn,
    facet: str,
    groups: Groups,
    labels: Sequence[str],
    filters: Sequence[str | None],
) -> Grouping:
    """Groups of numbers, with those of NaN and of empty cells after them."""
    name = text_of.column_text(column.name)
    groups[np.isnan(column.values)] = len(labels)
    groups[~column.present] = len(labels) + 1
    return _used(
        facet,
        groups,
        [*labels, "NaN", EMPTY],
        [*filters, text_of.equals(name, math.nan), text_of.is_empty(name)],
    )


def _used(
    facet: str, groups: Groups, labels: Sequence[str], filters: Sequence[str | None]
) -> Grouping:
    """Every row in one group, and no group without a row."""
    used = np.flatnonzero(np.bincount(groups, minlength=len(labels)))
    numbers = np.zeros(len(labels), np.intp)
    numbers[used] = np.arange(len(used))
    kept = used.tolist()
    return Grouping(
        (facet,),
        [(labels[group],) for group in kept],
        [filters[group] for group in kept],
        len(groups),
        numbers[groups],
    )


# -- text, flags, lists ------------------------------------------------------------


def _of_categories(column: TableColumn, facet: str) -> Grouping:
    if column.kind == "flag":
        return _of_flags(column, facet)
    categories, codes = _used_categories(column)
    several = column.kind == "list" or column.name.rpartition("/")[2] == "tags"
    parts = [_parts(column, category) for category in categories]
    keys = {key: value for part in parts for key, value in part.items()}
    ranked = sorted(keys)
    check_few(len(ranked), facet)
    rank = {key: number for number, key in enumerate(ranked)}
    name = text_of.column_text(column.name)
    members = [[rank[key] for key in part] for part in parts]
    values = [keys[key] for key in ranked]
    filters: list[str | None]
    if several:
        find = _finding_element if column.kind == "list" else _finding_tag
        filters = [find(name, value, categories) for value in values]
    else:
        texts = [str(value) for value in values]
        filters = [text_of.equals_text(name, text, texts) for text in texts]
    return _spread(
        facet,
        codes,
        [*members, [len(ranked)]],
        [*map(_label, values), EMPTY],
        [*filters, text_of.is_empty(name)],
    )


def _of_flags(column: TableColumn, facet: str) -> Grouping:
    name = text_of.column_text(column.name)
    groups = np.where(column.present, 1 - column.values.astype(np.intp), 2)
    off = name and (
        f"not {name}" if column.present.all() else f"not {name} and {name} is not empty"
    )
    return _used(facet, groups, ["yes", "no", EMPTY], [name, off, text_of.is_empty(name)])


def _used_categories(column: TableColumn) -> tuple[list[Any], Groups]:
    """The categories that some row has, and each row's number among them; empty is one beyond."""
    used = np.unique(column.values[column.present])
    numbers = np.zeros(len(column.categories) + 1, np.intp)
    numbers[used] = np.arange(len(used))
    codes = np.where(column.present, numbers[np.clip(column.values, 0, None)], len(used))
    return [column.categories[code] for code in used.tolist()], codes


def _parts(column: TableColumn, category: Any) -> dict[Any, Any]:
    """What a row of that category is a member of: ``{what it is sorted by: value}``."""
    if column.kind == "list":
        return {list_key([element]): element for element in category} or {(): ()}
    if column.name.rpartition("/")[2] == "tags":
        return {tag: tag for tag in category.split(",")}
    return {category: category}


def _label(value: Any) -> str:
    if value == ():
        return "[]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _finding_element(name: str | None, value: Any, _: Sequence[Any]) -> str | None:
    if value == ():
        return name and f"{name} == []"
    written = text_of.literal_text(value)
    return None if name is None or written is None else f"{name} contains {written}"


def _finding_tag(name: str | None, tag: str, categories: Sequence[str]) -> str | None:
    """``contains`` looks for a part of a text: it will do if no other tag has this one in it."""
    written = text_of.literal_text(tag)
    having = [one for one in categories if tag in one.split(",")]
    if written is not None and len(having) == sum(tag in one for one in categories):
        return name and f"{name} contains {written}"
    return text_of.is_among(name, having)


def _spread(
    facet: str,
    codes: Groups,
    members: Sequence[Sequence[int]],
    labels: Sequence[str],
    filters: Sequence[str | None],
) -> Grouping:
    """Rows whose code's members are their groups."""
    lengths = np.asarray([len(one) for one in members], np.intp)
    flat = np.asarray([group for one in members for group in one], np.intp)
    starts = np.cumsum(lengths) - lengths
    if (lengths == 1).all():
        return _used(facet, flat[starts[codes]], labels, filters)
    times = lengths[codes]
    rows = np.repeat(np.arange(len(codes)), times)
    nth = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)
    one = _used(facet, flat[starts[codes[rows]] + nth], labels, filters)
    return Grouping(one.facets, one.labels, one.filters, len(codes), one.groups, rows)
