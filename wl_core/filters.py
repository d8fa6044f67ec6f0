"""The filter language: `train_bce/sample > 0.5 and not discarded`, evaluated without eval.

A filter makes a mask of a `Table`. Its grammar is in `wl_core.filter_parser`; where tables come
from and what is done with the rows is left to others.

An empty cell matches no comparison, ``!=`` among them. NaN compares as in numpy, except that
``== nan`` finds it. ``not`` turns a whole mask around, and so matches empty cells as well.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.errors import FilterError, UnknownNameError
from wl_core.filter_parser import Column, Comparison, Constant, Junction, Node, Not, Parser, Test
from wl_core.table import Table, TableColumn

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
    def parse(cls, text: str) -> Filter:
        """Reads an expression; ``columns`` are those that it names, in order, as written.

        Raises:
            FilterError: it cannot be read; the error points at the first thing that is wrong.
        """
        parser = Parser(text)
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

    def _column(self, column: Column) -> TableColumn:
        try:
            return self.table.column(column.name)
        except UnknownNameError as error:
            raise FilterError(str(error), self.text, column.offset) from error

    def _compare(self, node: Comparison) -> Mask:
        left = self._column(node.column)
        right = self._column(node.right) if isinstance(node.right, Column) else node.right
        self._check_comparable(left, right, node.offset)
        compare = _compare_texts if left.kind == "text" else _compare_numbers
        mask = compare(left, right, COMPARE[node.operator]) & left.present
        return mask & right.present if isinstance(right, TableColumn) else mask

    def _check_comparable(self, left: TableColumn, right: Side, offset: int) -> None:
        kinds = (left.kind, _kind(right))
        if "flag" in kinds:
            message = "a flag is not compared: write its name alone, or not and its name"
        elif kinds[0] != kinds[1]:
            message = f"{_said(left)}, but {_said(right)}"
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
            raise FilterError(
                f"{_said(column)}, not a flag: compare it with something", self.text, node.offset
            )
        mask: Mask = column.values & column.present
        return mask

    def _contains(self, column: TableColumn, node: Test) -> Mask:
        if column.kind != "text":
            raise FilterError(
                f"contains looks into text, but {_said(column)}", self.text, node.offset
            )
        wanted = str(node.values[0])
        return _where_category(column, lambda text: wanted in text) & column.present

    def _is_one_of(self, node: Test) -> Mask:
        equal = [
            self._compare(Comparison(node.column, "==", node.offset, Constant(value, node.offset)))
            for value in node.values
        ]
        mask: Mask = np.logical_or.reduce(equal)
        return mask


def _kind(side: Side) -> str:
    if isinstance(side, TableColumn):
        return side.kind
    return "text" if isinstance(side.value, str) else "number"


def _said(side: Side) -> str:
    what = f"{side.name} is" if isinstance(side, TableColumn) else f"{side.value!r} is"
    return f"{what} a {_kind(side)}"


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


def _where_category(column: TableColumn, test: Callable[[str], bool]) -> Mask:
    """Rows whose text passes, asked once per different text."""
    return _per_row(column, [test(text) for text in column.categories]).astype(np.bool_)


def _per_row(column: TableColumn, per_category: Sequence[int]) -> npt.NDArray[np.int64]:
    if not per_category:
        return np.zeros(len(column), np.int64)
    # Where a cell is empty its index may be anything: it is clipped here, and masked by the caller.
    rows = np.clip(column.values, 0, len(per_category) - 1)
    result: npt.NDArray[np.int64] = np.asarray(per_category, np.int64)[rows]
    return result
