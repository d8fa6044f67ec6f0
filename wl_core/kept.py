"""Kept: results that are made again only when something that they were made of has changed.

A reader that looks four times a second asks for the same table each time, and most of its columns
are what they were.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeVar

Made = TypeVar("Made")


class Kept:
    """By name: a result, and the very objects that it was made of."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[Any, tuple[tuple[object, ...], Any]] = {}

    def get(self, name: Any, made_of: tuple[object, ...], make: Callable[[], Made]) -> Made:
        """The result of that name: what ``make`` gave when it was last made of the same objects.

        Objects that change under the same identity must not be among ``made_of``; what stands for
        the state of one that changes does (``Column.state``).
        """
        before = self._kept.get(name)
        if before is not None and all(map(operator.is_, before[0], made_of)):
            kept: Made = before[1]
            return kept
        made = make()
        self._kept[name] = made_of, made
        return made
