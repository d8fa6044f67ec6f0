"""What is kept of each row's way through training: a few numbers, however long it was.

Everything can be taken in at once, in pieces or merged from parts of a log, with the same result to
the last bit (G9). Adding floats up would not do: their sums depend on the grouping. So values
become multiples of a power of two, and their sums are integers. Numbers beyond a part's bounds are
taken as the bound, NaN is left out. Which rows there are is `dynamics_view`'s business.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from wl_core.columns import Digest, Rows, State, array_of, grown
from wl_core.instance_index import ranges
from wl_plugins.dynamics.names import EARLY

LEARNED: Final = math.log(2)  # nats: below it the label's probability is above one half
_NEVER = np.iinfo(np.int32).max

Summary = dict[str, npt.NDArray[Any]]


class Grouped:
    """Values' rows, sorted so that those of one row stand together in the order of the log.

    ``rows`` ``[K]`` are the distinct ones; row ``k`` has ``counts[k]`` values, from ``starts[k]``
    on, of what is taken by ``order`` ``[n]``.
    """

    __slots__ = ("counts", "order", "rows", "starts")

    def __init__(self, rows: Rows) -> None:
        self.order, in_order = _stable_sort(rows)
        new = np.ones(len(rows), np.bool_)
        np.not_equal(in_order[1:], in_order[:-1], out=new[1:])
        self.starts = np.flatnonzero(new)
        self.counts = np.diff(self.starts, append=len(rows))
        self.rows = in_order[self.starts]

    def sums(self, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """The sum ``[K]`` of each row's integers or bools ``[n]``, which are in order."""
        sums: npt.NDArray[np.int64] = np.add.reduceat(values, self.starts, dtype=np.int64)
        return sums


def _stable_sort(rows: Rows) -> tuple[Rows, Rows]:
    """``(order, rows[order])``; row and place are sorted as one integer, which numpy does fast.

    Rows are dense numbers, so both fit.
    """
    bits = len(rows).bit_length()
    keys = rows.astype(np.int64) << bits
    keys |= np.arange(len(rows))
    keys.sort()
    return keys & ((1 << bits) - 1), keys >> bits


class RowState(ABC):
    """Arrays by row, of which `absorb` knows how those of earlier and later values go together."""

    dtypes: ClassVar[Mapping[str, type[np.generic]]]
    widths: ClassVar[Mapping[str, int]] = {}  # numbers for each row, where it is not one

    def __init__(self) -> None:
        self.arrays: Summary = {n: np.zeros(0, dtype) for n, dtype in self.dtypes.items()}

    @abstractmethod
    def summary(self, groups: Grouped, values: npt.NDArray[np.float64]) -> Summary:
        """What the values ``[n]``, in order and none of them NaN, say of each row ``[K]``."""

    @abstractmethod
    def absorb(self, rows: Rows, later: Summary) -> None:
        """Takes in what later values say of these distinct rows."""

    def put(self, rows: Rows, groups: Grouped, values: npt.NDArray[Any], size: int) -> None:
        """Takes in values ``[n]`` of ``rows`` ``[n]``, which ``groups`` has sorted."""
        self.reserve(size)
        if np.isnan(values).any():
            there = ~np.isnan(values)
            groups, values = Grouped(rows[there]), values[there]
        if len(groups.rows):
            in_order = values[groups.order].astype(np.float64)
            self.absorb(groups.rows, self.summary(groups, in_order))

    def merge(self, later: RowState, rows: Rows, size: int) -> None:
        """Takes in a later state, whose row ``i`` is this one's row ``rows[i]``."""
        self.reserve(size)
        theirs = later.of_rows(len(rows))
        there = np.flatnonzero(theirs["counts"])
        self.absorb(rows[there], {name: array[there] for name, array in theirs.items()})

    def reserve(self, size: int) -> None:
        for name, array in self.arrays.items():
            self.arrays[name] = grown(array, size * self.widths.get(name, 1))

    def of_rows(self, size: int) -> Summary:
        """The arrays, each ``[size]`` or ``[size, width]``, sharing this state's memory."""
        self.reserve(size)
        found = {n: a[: size * self.widths.get(n, 1)] for n, a in self.arrays.items()}
        return {n: a.reshape(size, -1) if n in self.widths else a for n, a in found.items()}

    def snapshot(self, prefix: str, size: int, state: State) -> None:
        for name, array in self.of_rows(size).items():
            state[f"{prefix}/{name}"] = array.reshape(-1)

    def restore(self, prefix: str, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        self.arrays = {name: array_of(state, f"{prefix}/{name}") for name in self.dtypes}

    def update(self, digest: Digest, order: Rows) -> None:
        """Adds the content to a digest, all rows in the given order."""
        for name, array in self.of_rows(len(order)).items():
            digest.add(name, array[order])


class Mean(RowState):
    """The mean of a row's values, as the sum of multiples of ``2**-BITS`` between the bounds.

    ``BITS`` and the bounds leave room for 2**21 values of one row.
    """

    dtypes: ClassVar[Mapping[str, type[np.generic]]] = {"counts": np.int32, "sums": np.int64}
    BITS: ClassVar[int] = 20  # values are rounded to 1e-6
    LOW: ClassVar[float] = -(2.0**22)
    HIGH: ClassVar[float] = 2.0**22

    def summary(self, groups: Grouped, values: npt.NDArray[np.float64]) -> Summary:
        return {"counts": groups.counts, "sums": groups.sums(self.multiples(values))}

    def multiples(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        bounded = np.clip(values, self.LOW, self.HIGH)
        bounded *= 2.0**self.BITS
        return np.rint(bounded, out=bounded).astype(np.int64)

    def absorb(self, rows: Rows, later: Summary) -> None:
        for name in ("counts", "sums"):
            self.arrays[name][rows] += later[name].astype(self.dtypes[name])

    def mean(self, size: int) -> npt.NDArray[np.float64]:
        """The mean of each row ``[size]``, NaN where there are no values."""
        found = self.of_rows(size)
        return ratio(found["sums"], found["counts"]) * 2.0**-self.BITS


class MeanAndDeviation(Mean):
    """The mean and standard deviation of values in 0 … 1, rounded to multiples of 2**-24.

    The sums of squares are kept modulo 2**64: what is asked of them, the sum of squared differences
    from an integer near the mean, is less than that for up to `MOST` values of one row, and so it
    is exact.
    """

    dtypes: ClassVar[Mapping[str, type[np.generic]]] = {**Mean.dtypes, "squares": np.int64}
    BITS: ClassVar[int] = 24
    LOW: ClassVar[float] = 0.0
    HIGH: ClassVar[float] = 1.0
    MOST: ClassVar[int] = (1 << 18) - 1

    def summary(self, groups: Grouped, values: npt.NDArray[np.float64]) -> Summary:
        multiples = self.multiples(values)
        return {
            "counts": groups.counts,
            "sums": groups.sums(multiples),
            "squares": groups.sums(multiples * multiples),
        }

    def absorb(self, rows: Rows, later: Summary) -> None:
        super().absorb(rows, later)
        self.arrays["squares"][rows] += later["squares"]

    def deviation(self, size: int) -> npt.NDArray[np.float64]:
        """The population's standard deviation ``[size]``; NaN without or beyond `MOST` values."""
        found = self.of_rows(size)
        counts, sums = found["counts"].astype(np.int64), found["sums"]
        near = sums // np.maximum(counts, 1)
        squares = found["squares"] - 2 * near * sums + counts * near * near  # modulo 2**64
        counts = np.where(counts > self.MOST, 0, counts)
        variance = ratio(squares.view(np.uint64), counts) - ratio(sums - counts * near, counts) ** 2
        return np.sqrt(np.maximum(variance, 0)) * 2.0**-self.BITS


class Bounded(Mean):
    """The mean of values in -2 … 2, rounded to multiples of 2**-24."""

    BITS: ClassVar[int] = 24
    LOW: ClassVar[float] = -2.0
    HIGH: ClassVar[float] = 2.0


class Losses(Mean):
    """The mean loss, and the number of the first observation (from 1) below `LEARNED`; 0: none."""

    dtypes: ClassVar[Mapping[str, type[np.generic]]] = {**Mean.dtypes, "learned": np.int32}

    def summary(self, groups: Grouped, values: npt.NDArray[np.float64]) -> Summary:
        numbers = np.where(values < LEARNED, ranges(groups.counts) + 1, _NEVER)
        first = np.minimum.reduceat(numbers, groups.starts)
        learned = np.where(first == _NEVER, 0, first)
        return {**super().summary(groups, values), "learned": learned}

    def absorb(self, rows: Rows, later: Summary) -> None:
        learned, seen = self.arrays["learned"][rows], self.arrays["counts"][rows]
        now = np.where(later["learned"] > 0, seen + later["learned"], 0)
        self.arrays["learned"][rows] = np.where(learned > 0, learned, now)
        super().absorb(rows, later)


class Answers(RowState):
    """Right and wrong answers, and how often a right one was followed by a wrong one.

    A value above one half is right: a bool as it is, a dense prediction when more than half of its
    pixels are. ``first`` and ``last`` are 2 for right, 1 for wrong, 0 before there is an answer.
    """

    dtypes: ClassVar[Mapping[str, type[np.generic]]] = {
        "counts": np.int32,
        "wrong": np.int32,
        "forgotten": np.int32,
        "first": np.int8,
        "last": np.int8,
    }

    def summary(self, groups: Grouped, values: npt.NDArray[np.float64]) -> Summary:
        right = values > 0.5
        forgotten = np.zeros(len(right), np.bool_)
        np.greater(right[:-1], right[1:], out=forgotten[1:])
        forgotten[groups.starts] = False
        last = groups.starts + groups.counts - 1
        return {
            "counts": groups.counts,
            "wrong": groups.sums(~right),
            "forgotten": groups.sums(forgotten),
            "first": right[groups.starts].astype(np.int8) + np.int8(1),
            "last": right[last].astype(np.int8) + np.int8(1),
        }

    def absorb(self, rows: Rows, later: Summary) -> None:
        mine = self.arrays
        mine["forgotten"][rows] += (mine["last"][rows] == 2) & (later["first"] == 1)
        for name in ("counts", "wrong", "forgotten"):
            mine[name][rows] += later[name].astype(np.int32)
        mine["first"][rows] = np.where(mine["first"][rows], mine["first"][rows], later["first"])
        mine["last"][rows] = later["last"]


class FirstValues(RowState):
    """The first `EARLY` values of each row, float32 in -2 … 2, and how many there were at all."""

    dtypes: ClassVar[Mapping[str, type[np.generic]]] = {"counts": np.int32, "values": np.float32}
    widths: ClassVar[Mapping[str, int]] = {"values": EARLY}

    def summary(self, groups: Grouped, values: npt.NDArray[np.float64]) -> Summary:
        first = np.zeros((len(groups.rows), EARLY), np.float32)
        for number in range(min(EARLY, int(groups.counts.max()))):
            long = np.flatnonzero(groups.counts > number)
            first[long, number] = np.clip(values[groups.starts[long] + number], -2.0, 2.0)
        return {"counts": groups.counts, "values": first}

    def absorb(self, rows: Rows, later: Summary) -> None:
        counts, kept = self.arrays["counts"], self.arrays["values"]
        short = np.flatnonzero(counts[rows] < EARLY)
        if len(short):
            at, more = counts[rows[short]], later["counts"][short]
            for number in range(min(EARLY, int(more.max()))):
                fits = (number < more) & (at + number < EARLY)
                places = rows[short[fits]] * EARLY + at[fits] + number
                kept[places] = later["values"][short[fits], number]
        counts[rows] += later["counts"].astype(np.int32)

    def mean(self, size: int, window: int) -> npt.NDArray[np.float64]:
        """The mean of each row's first ``window`` values ``[size]``, NaN where there are none."""
        found = self.of_rows(size)
        counts = np.minimum(found["counts"], window)
        sums = np.zeros(size)
        for number in range(window):  # one after the other, as a loop over the values would
            sums += np.where(number < counts, found["values"][:, number], 0.0)
        return ratio(sums, counts)


def ratio(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """float64, NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient: npt.NDArray[np.float64] = np.where(below > 0, above / below, np.nan)
    return quotient
