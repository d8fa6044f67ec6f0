"""The filter language: `train_bce/sample > 0.5 and not discarded`, evaluated without eval.

A filter makes a mask of a `Table`. Its grammar is in `wl_core.filter_parser`; where tables come
from and what is done with the rows is left to others.

An empty cell matches no comparison, ``!=`` among them. NaN compares as in numpy, except that
``== nan`` finds it. ``not`` turns a whole mask around, and so matches empty cells as well.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.errors import FilterError, UnknownNameError
from wl_core.filter_parser import (
    Column,
    Comparison,
    Constant,
    Junction,
    Named,
    Node,
    Not,
    Parser,
    Test,
    within,
)
from wl_core.saved_filters import saved_filters
from wl_core.table import Table, TableColumn, list_key

Mask = npt.NDArray[np.bool_]
Compare = Callable[[Any, Any], Any]
Side = TableColumn | Constant

COMPARE: dict[str, Compare] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter expression, parsed. Make one with `parse`."""

    text: str
    columns: tuple[str, ...]
    _root: Node

    @classmethod
    def parse(cls, text: str, *, saved: Mapping[str, str] | None = None) -> Filter:
        """Reads an expression; ``columns`` are those that it names, in order, as written.

        ``saved`` says what an ``@name`` in it means; by default the filters that the person who
        runs this has saved, which are looked up only when one is named.

        Raises:
            FilterError: it cannot be read; the error points at the first thing that is wrong.
        """
        parser = Parser(text, saved_filters if saved is None else lambda: saved)
        root = parser.parse()
        return cls(text, tuple(dict.fromkeys(parser.columns)), root)

    def mask(self, table: Table) -> Mask:
        """bool ``[n]``: which rows of the table match.

        Raises:
            FilterError: a column does not exist, or is compared with what it cannot be.
        """
        return _Evaluator(self.text, table).mask(self._root)


@dataclass(frozen=True, slots=True)
class _Evaluator:
    """Masks of one expression over one table."""

    text: str
    table: Table

    def mask(self, node: Node) -> Mask:
        match node:
            case Junction():
                combine = np.logical_and if node.all else np.logical_or
                result: Mask = combine.reduce([self.mask(part) for part in node.parts])
                return result
            case Not():
                return ~self.mask(node.part)
            case Comparison():
                return self._compare(node)
            case Test():
                return self._test(node)
            case Named():
                return self._named(node)

    def _named(self, node: Named) -> Mask:
        try:
            return _Evaluator(node.text, self.table).mask(node.part)
        except FilterError as error:
            raise within(error, node.name, self.text, node.offset) from error

    def _column(self, column: Column) -> TableColumn:
        try:
            return self.table.column(column.name)
        except UnknownNameError as error:
            message = str(error)
            if column.name.lower() in ("true", "false"):
                message = f"there is no column {column.name!r}; {_FLAGS_DO}"
            raise FilterError(message, self.text, column.offset) from error

    def _compare(self, node: Comparison) -> Mask:
        left = self._column(node.column)
        right = self._column(node.right) if isinstance(node.right, Column) else node.right
        self._check_comparable(left, right, node.offset)
        if left.kind == "list" and node.operator not in ("==", "!="):
            message = f"{left.name} is a list, which has no order: {_LISTS_DO}"
            raise FilterError(message, self.text, node.offset)
        mask = _COMPARING[left.kind](left, right, COMPARE[node.operator]) & left.present
        return mask & right.present if isinstance(right, TableColumn) else mask

    def _check_comparable(self, left: TableColumn, right: Side, offset: int) -> None:
        kinds = (left.kind, _kind(right))
        if "flag" in kinds:
            message = _FLAGS_DO
        elif kinds[0] != kinds[1]:
            message = f"{_said(left)}, but {_said(right)}"
            if left.kind == "list":
                message += f": {_LISTS_DO}"
            elif kinds[1] == "list" and isinstance(right, Constant):
                message += f": write {left.name} in [...] to find one of several"
        else:
            return
        raise FilterError(message, self.text, offset)

    def _test(self, node: Test) -> Mask:
        column = self._column(node.column)
        match node.kind:
            case "empty":
                return ~column.present
            case "flag":
                return self._flag(column, node)
            case "contains":
                return self._contains(column, node)
            case "in":
                return self._is_one_of(node)

    def _flag(self, column: TableColumn, node: Test) -> Mask:
        if column.kind != "flag":
            advice = _LISTS_DO if column.kind == "list" else "compare it with something"
            raise FilterError(f"{_said(column)}, not a flag: {advice}", self.text, node.offset)
        mask: Mask = column.values & column.present
        return mask

    def _contains(self, column: TableColumn, node: Test) -> Mask:
        wanted = node.values[0]
        if column.kind == "list":
            (key,) = list_key([wanted])
            return _where_category(column, lambda one: key in list_key(one)) & column.present
        if column.kind != "text":
            message = f"contains looks into text and lists, but {_said(column)}"
            raise FilterError(message, self.text, node.offset)
        if not isinstance(wanted, str):
            message = f"{_said(column)}: what it contains is a text in quotes, not {_shown(wanted)}"
            raise FilterError(message, self.text, node.offset)
        return _where_category(column, lambda text: wanted in text) & column.present

    def _is_one_of(self, node: Test) -> Mask:
        column = self._column(node.column)
        if column.kind == "list":
            message = f"in finds one of several values, but {_said(column)}: {_LISTS_DO}"
            raise FilterError(message, self.text, node.offset)
        equal = [
            self._compare(Comparison(node.column, "==", node.offset, Constant(value, node.offset)))
            for value in node.values
        ]
        mask: Mask = np.logical_or.reduce(equal)
        return mask


_FLAGS_DO = "a flag is not compared: write its name alone, or not and its name"
_LISTS_DO = "a list is asked for what it contains (contains 3), or compared by == and != ([1, 3])"


def _kind(side: Side) -> str:
    if isinstance(side, TableColumn):
        return side.kind
    if isinstance(side.value, tuple):
        return "list"
    if isinstance(side.value, bool):
        return "flag"
    return "text" if isinstance(side.value, str) else "number"


def _said(side: Side) -> str:
    what = side.name if isinstance(side, TableColumn) else _shown(side.value)
    return f"{what} is a {_kind(side)}"


def _shown(value: object) -> str:
    """A constant as it is written in a filter."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return repr(value).lower() if isinstance(value, bool) else repr(value)


def _compare_numbers(left: TableColumn, right: Side, compare: Compare) -> Mask:
    values = right.values if isinstance(right, TableColumn) else right.value
    mask: Mask
    if compare in (operator.eq, operator.ne) and isinstance(values, float) and np.isnan(values):
        # "== nan" is how one looks for NaN, though to numpy it equals nothing.
        mask = np.isnan(left.values) == (compare is operator.eq)
    else:
        # A number beyond float32 is as good as inf beside a float32 column.
        with np.errstate(over="ignore"):
            mask = compare(left.values, values)
    return mask


def _compare_texts(left: TableColumn, right: Side, compare: Compare) -> Mask:
    if isinstance(right, Constant):
        return _where_category(left, lambda text: bool(compare(text, right.value)))
    both = sorted({*left.categories, *right.categories})
    rank = {text: number for number, text in enumerate(both)}
    a, b = (_per_row(side, [rank[text] for text in side.categories]) for side in (left, right))
    mask: Mask = compare(a, b)
    return mask


def _compare_lists(left: TableColumn, right: Side, compare: Compare) -> Mask:
    """Only for ``==`` and ``!=``; as a whole, in order, see `list_key`."""
    if isinstance(right, Constant):
        assert isinstance(right.value, tuple)
        wanted = list_key(right.value)
        return _where_category(left, lambda one: bool(compare(list_key(one), wanted)))
    numbers: dict[Any, int] = {}
    a, b = (
        _per_row(side, [numbers.setdefault(list_key(one), len(numbers)) for one in side.categories])
        for side in (left, right)
    )
    mask: Mask = compare(a, b)
    return mask


_COMPARING: dict[str, Callable[[TableColumn, Side, Compare], Mask]] = {
    "number": _compare_numbers,
    "text": _compare_texts,
    "list": _compare_lists,
}


def _where_category(column: TableColumn, test: Callable[[Any], bool]) -> Mask:
    """Rows whose text or list passes, asked once per different one."""
    return _per_row(column, [test(text) for text in column.categories]).astype(np.bool_)


def _per_row(column: TableColumn, per_category: Sequence[int]) -> npt.NDArray[np.int64]:
    if not per_category:
        return np.zeros(len(column), np.int64)
    # Where a cell is empty its index may be anything: it is clipped here, and masked by the caller.
    rows = np.clip(column.values, 0, len(per_category) - 1)
    result: npt.NDArray[np.int64] = np.asarray(per_category, np.int64)[rows]
    return result
