"""Which dense row belongs to which sample; vectorised. Instances are `instance_index`'s.

Rows are given in the order in which a fold happens to meet samples, so row numbers are a view's
private matter: whatever is shown or digested goes through `order`, which depends on the events
alone. Origins stand in the order in which the log first names them; within an origin, integer ids
come first, ascending, then text ids.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.batches import EventBatch, EventGroup, IdVector
from wl_core.codec import SampleId
from wl_core.columns import GrowingArray, Rows, State, array_of, grown, pack, unpack
from wl_core.kept import Kept
from wl_core.sorting import stable_order
from wl_core.table import TableColumn

# A direct table may always be this long, and longer while about one entry in eight is in use.
_TABLE_FLOOR = 1 << 16
_TABLE_SLACK = 8


class _Origin:
    """The rows of one origin: ``table[id]`` for small integers, a dict for all other ids.

    An integer is in ``others`` only if ``table`` is too short for it.
    """

    __slots__ = ("code", "first_position", "others", "table")

    def __init__(self, code: int, first_position: int) -> None:
        self.code = code
        self.first_position = first_position
        self.table = np.full(0, -1, np.intp)
        self.others: dict[SampleId, int] = {}

    def widen(self, ids: npt.NDArray[np.int64], known: int) -> None:
        """Makes the table long enough for those of the ids that it may hold."""
        limit = max(_TABLE_FLOOR, _TABLE_SLACK * (known + len(ids)))
        fitting = ids[ids < limit]
        if not len(fitting) or fitting.max() < len(self.table):
            return
        self.table = grown(self.table, int(fitting.max()) + 1, -1)
        for one in [o for o in self.others if isinstance(o, int) and 0 <= o < len(self.table)]:
            self.table[one] = self.others.pop(one)


class SampleIndex:
    """``(origin, sample_id)`` -> dense row; ``state`` is another object after every change."""

    def __init__(self) -> None:
        self.state = object()
        self._kept = Kept()
        self._origins: dict[str, _Origin] = {}
        self._origin_codes = GrowingArray(np.int32)
        self._is_text = GrowingArray(np.bool_)
        self._numbers = GrowingArray(np.int64)  # the id itself, or where it stands in _texts
        self._texts: list[str] = []
        self._last_order: Rows = np.empty(0, np.intp)

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def origins(self) -> list[str]:
        """The origins in the order in which the log first names them."""
        return sorted(self._origins, key=lambda name: (self._origins[name].first_position, name))

    def note(self, origin: str, position: int) -> None:
        """Says that an event at that position names the origin; the smallest position counts."""
        found = self._origins.get(origin)
        if found is None:
            self._origins[origin] = _Origin(len(self._origins), position)
            self.state = object()
        elif position < found.first_position:
            found.first_position = position
            self.state = object()

    def rows_of(self, batch: EventBatch, group: EventGroup, origin: str) -> Rows:
        """The row of every id of a group; made once for all groups with the same ids."""
        self.note(origin, group.first_position)
        ids = group.ids()
        key = ("rows", id(self), origin, id(ids))
        return batch.shared(key, lambda vector: self.rows(origin, vector), ids)

    def rows(self, origin: str, ids: IdVector, *, create: bool = True) -> Rows:
        """The row of each id ``[n]``; unknown ids get a new row, or -1 without ``create``."""
        part = self._origins.get(origin)
        if part is None:
            if not create:
                return np.full(len(ids), -1, np.intp)
            part = self._origins[origin] = _Origin(len(self._origins), np.iinfo(np.int64).max)
            self.state = object()
        if ids.integers is None:
            return self._mixed_rows(part, ids.mixed, create)
        return self._integer_rows(part, ids.integers, create)

    def _integer_rows(self, part: _Origin, ids: npt.NDArray[np.int64], create: bool) -> Rows:
        if not len(ids):
            return np.empty(0, np.intp)
        if ids.min() >= 0 and ids.max() < len(part.table):
            rows: Rows = part.table.take(ids)
            if rows.min() >= 0 or not create:
                return rows
        elif create:
            part.widen(ids, len(self))
        rows = np.empty(len(ids), np.intp)
        small = (ids >= 0) & (ids < len(part.table))
        rows[small] = self._table_rows(part, ids[small], create)
        if not small.all():
            rows[~small] = self._dict_rows(part, ids[~small].tolist(), create)
        return rows

    def _table_rows(self, part: _Origin, ids: npt.NDArray[np.int64], create: bool) -> Rows:
        if create:
            new = np.unique(ids[part.table[ids] < 0])
            part.table[new] = np.arange(len(self), len(self) + len(new))
            self._append(part, new)
        rows: Rows = part.table[ids]
        return rows

    def _mixed_rows(self, part: _Origin, ids: Sequence[SampleId], create: bool) -> Rows:
        rows = np.fromiter(map(part.others.get, ids, itertools.repeat(-1)), np.intp, len(ids))
        missing = np.flatnonzero(rows < 0)
        if not len(missing):
            return rows
        # New ones, and integers that the table holds.
        left = [ids[at] for at in missing.tolist()]
        integer = np.asarray([type(one) is int for one in left], np.bool_)
        numbers = np.asarray([one for one in left if type(one) is int], np.int64)
        rows[missing[integer]] = self._integer_rows(part, numbers, create)
        others = [one for one in left if type(one) is not int]
        rows[missing[~integer]] = self._dict_rows(part, others, create)
        return rows

    def _dict_rows(self, part: _Origin, ids: Sequence[SampleId], create: bool) -> Rows:
        others, first = part.others, len(self)
        if not create:
            return np.asarray([others.get(one, -1) for one in ids], np.intp)
        new: list[SampleId] = []
        for one in ids:
            if one not in others:
                if type(one) is not str and type(one) is not int:
                    raise TypeError(f"a sample id must be an int or a str, got {one!r}")
                others[one] = first + len(new)
                new.append(one)
        if new and isinstance(new[0], str):  # the callers never mix the two
            self._append(part, np.arange(len(self._texts), len(self._texts) + len(new)), text=True)
            self._texts.extend(new)  # type: ignore[arg-type]  # all text, as just said
        elif new:
            self._append(part, np.asarray(new, np.int64))
        return np.asarray([others[one] for one in ids], np.intp)

    def _append(self, part: _Origin, numbers: npt.NDArray[Any], *, text: bool = False) -> None:
        if len(numbers):
            self._origin_codes.extend(np.full(len(numbers), part.code, np.int32))
            self._is_text.extend(np.full(len(numbers), text))
            self._numbers.extend(numbers)
            self.state = object()

    def find(self, origin: str, sample_id: SampleId) -> int:
        """The row of one sample, -1 when it is unknown."""
        part = self._origins.get(origin)
        if part is None:
            return -1
        if type(sample_id) is int and 0 <= sample_id < len(part.table):
            return int(part.table[sample_id])
        return part.others.get(sample_id, -1)

    def sample_id(self, row: int) -> SampleId:
        number = int(self._numbers.array[row])
        return self._texts[number] if self._is_text.array[row] else number

    def origin(self, row: int) -> str:
        code = self._origin_codes.array[row]
        return next(name for name, part in self._origins.items() if part.code == code)

    def by_origin(self, rows: Rows) -> list[tuple[str, Rows, list[SampleId]]]:
        """For each origin that some of these rows are of: which ``[k]`` of them, and their ids."""
        codes = self._origin_codes.array[rows]
        text, numbers = self._is_text.array[rows], self._numbers.array[rows]
        found = []
        for name, part in self._origins.items():
            at = np.flatnonzero(codes == part.code)
            if len(at):
                ids: list[SampleId] = numbers[at].tolist()
                for place in np.flatnonzero(text[at]).tolist():
                    ids[place] = self._texts[ids[place]]  # type: ignore[index]  # its number
                found.append((name, at, ids))
        return found

    def of_origin(self, origin: str) -> npt.NDArray[np.bool_]:
        """Which rows ``[n]`` are of that origin."""
        part = self._origins.get(origin)
        mine: npt.NDArray[np.bool_] = self._origin_codes.array == (
            -1 if part is None else part.code
        )
        return mine

    def order(self) -> Rows:
        """All rows ``[n]`` in the order in which they are shown.

        The same array as before as long as nothing changed.
        """
        return self._kept.get("order", (self.state,), self._ordered)

    def _ordered(self) -> Rows:
        new = np.arange(len(self._last_order), len(self))
        if self._texts or len(self._origins) > 1:
            self._last_order = self._sorted_by_all()
        elif len(new):  # ids of one origin alone: the new ones go between those in order already
            numbers = self._numbers.array
            new = new[np.argsort(numbers[new])]
            known = numbers[: len(self._last_order)]
            at = np.searchsorted(known, numbers[new], sorter=self._last_order)
            self._last_order = np.insert(self._last_order, at, new)
        return self._last_order

    def _sorted_by_all(self) -> Rows:
        order = stable_order(self._text_ranks())
        for key in (self._is_text.array, self._origin_ranks()):
            if len(key) and (key != key[0]).any():
                order = order[stable_order(key[order])]
        return order

    def ranks(self) -> npt.NDArray[np.intp]:
        """Where each row stands in `order` ``[n]``."""

        def make() -> npt.NDArray[np.intp]:
            ranks = np.empty(len(self), np.intp)
            ranks[self.order()] = np.arange(len(self))
            return ranks

        return self._kept.get("ranks", (self.state,), make)

    def _origin_ranks(self) -> npt.NDArray[np.intp]:
        ranks = np.zeros(max(1, len(self._origins)), np.intp)
        for rank, name in enumerate(self.origins):
            ranks[self._origins[name].code] = rank
        of_rows: npt.NDArray[np.intp] = ranks[self._origin_codes.array]
        return of_rows

    def _text_ranks(self) -> npt.NDArray[np.int64]:
        """Ids, texts replaced by their rank among all texts."""
        keys = self._numbers.array
        if self._texts:
            rank = {text: number for number, text in enumerate(sorted(set(self._texts)))}
            ranks = np.asarray([rank[text] for text in self._texts], np.int64)
            text = self._is_text.array
            keys = keys.copy()
            keys[text] = ranks[keys[text]]
        return keys

    def mapped_into(self, other: SampleIndex, *, create: bool = True) -> Rows:
        """The rows ``[n]`` that this index's rows have in the other.

        Samples that the other does not know are made there, or get -1 without ``create``.
        """
        mapped = np.empty(len(self), np.intp)
        codes, text, numbers = self._origin_codes.array, self._is_text.array, self._numbers.array
        for name in self.origins:
            part = self._origins[name]
            if create:
                other.note(name, part.first_position)
            elif name not in other._origins:
                mapped[codes == part.code] = -1
                continue
            target = other._origins[name]
            mine = codes == part.code
            integers = np.flatnonzero(mine & ~text)
            mapped[integers] = other._integer_rows(target, numbers[integers], create)
            texts = np.flatnonzero(mine & text)
            ids = [self._texts[number] for number in numbers[texts].tolist()]
            mapped[texts] = other._dict_rows(target, ids, create)
        return mapped

    def snapshot(self, prefix: str, state: State) -> None:
        named = [(name, part.code, part.first_position) for name, part in self._origins.items()]
        state[f"{prefix}/names"] = pack((named, self._texts))
        state[f"{prefix}/origins"] = self._origin_codes.array
        state[f"{prefix}/is_text"] = self._is_text.array
        state[f"{prefix}/numbers"] = self._numbers.array

    def restore(self, prefix: str, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        """Takes over a snapshot, rows as they were; only of an index that is empty."""
        self.state = object()
        named, texts = unpack(state, f"{prefix}/names")
        self._texts = list(texts)
        self._origin_codes.extend(array_of(state, f"{prefix}/origins"))
        self._is_text.extend(array_of(state, f"{prefix}/is_text"))
        self._numbers.extend(array_of(state, f"{prefix}/numbers"))
        for name, code, first_position in named:
            part = self._origins[name] = _Origin(code, first_position)
            rows = np.flatnonzero(self._origin_codes.array == code)
            self._restore_part(part, rows)

    def _restore_part(self, part: _Origin, rows: Rows) -> None:
        text = self._is_text.array[rows]
        numbers = self._numbers.array[rows]
        integers, integer_rows = numbers[~text], rows[~text]
        part.widen(integers, len(self))
        small = (integers >= 0) & (integers < len(part.table))
        part.table[integers[small]] = integer_rows[small]
        others: list[SampleId] = integers[~small].tolist()
        others += [self._texts[number] for number in numbers[text].tolist()]
        where = [*integer_rows[~small].tolist(), *rows[text].tolist()]
        part.others.update(zip(others, where, strict=True))

    def table_columns(self, order: Rows) -> tuple[TableColumn, TableColumn]:
        """The columns ``origin`` and ``sample_id`` of these rows.

        ``sample_id`` is a ``number`` column when every id is an integer, else ``text``.
        """
        return self._kept.get("columns", (self.state, order), lambda: self._columns(order))

    def _columns(self, order: Rows) -> tuple[TableColumn, TableColumn]:
        present = np.ones(len(order), np.bool_)
        names = tuple(sorted(self._origins, key=lambda name: self._origins[name].code))
        origin = TableColumn("origin", "text", self._origin_codes.array[order], present, names)
        text, numbers = self._is_text.array, self._numbers.array
        if not text.any():
            return origin, TableColumn("sample_id", "number", numbers[order], present)
        codes, categories = numbers.copy(), list(self._texts)
        codes[~text] = np.arange(len(categories), len(categories) + np.count_nonzero(~text))
        categories += [str(number) for number in numbers[~text].tolist()]
        ids = TableColumn("sample_id", "text", codes[order].astype(np.int32), present, categories)
        return origin, ids

    def identities(self, order: Rows) -> list[Any]:
        """What a digest needs to know of which rows there are, in the given order."""
        ids: list[Any] = [len(order), self._is_text.array[order], self._text_ranks()[order]]
        ids += [self._origin_ranks()[order], self.origins, sorted(self._texts)]
        return ids
