"""What people decided about rows, kept so that a decision can be undone wherever it stands.

An undo says that the decisions at some positions count no more. What was so before them cannot be
told from what is so now, so the decisions themselves are kept, and the state of the rows is that
of all that count, replayed in the order of the log. Which row is which is up to the view.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wl_core.batches import EventBatch, EventGroup
from wl_core.columns import Digest, Rows, State, TriState, array_of, grown, pack, unpack
from wl_core.table import TableColumn

DECISIONS = frozenset({"tagged", "discarded", "categorised", "category_registered", "undone"})
_NO_ROWS: Rows = np.empty(0, np.intp)


def decisions(batch: EventBatch) -> list[EventGroup]:
    """Each decision and each undo as a group of its own, in the order of the log."""
    events = [
        event
        for kind in sorted(DECISIONS)
        for group in batch.groups(kind)
        for event in group.singly()
    ]
    return sorted(events, key=attrgetter("first_position"))


class Choice:
    """One text of a few per row, or none: what a categorical tag says of rows."""

    __slots__ = ("_codes", "_numbers", "registered")

    def __init__(self) -> None:
        self.registered: tuple[str, ...] = ()
        self._codes = np.zeros(0, np.int32)  # 0: none, else 1 + the number of a text
        self._numbers: dict[str, int] = {}

    def put(self, rows: Rows, text: str | None) -> None:
        if len(rows):
            self._codes = grown(self._codes, int(rows.max()) + 1)
            self._codes[rows] = 0 if text is None else 1 + self._number(text)

    def _number(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    def cell(self, row: int) -> str | None:
        code = int(self._codes[row]) if 0 <= row < len(self._codes) else 0
        return list(self._numbers)[code - 1] if code else None

    def table_column(self, name: str, order: Rows, size: int) -> TableColumn:
        self._codes = grown(self._codes, size)
        codes = self._codes[order]
        return TableColumn(name, "text", codes - 1, codes > 0, tuple(self._numbers))

    def update(self, digest: Digest, order: Rows) -> None:
        """Adds the content to a digest, rows in the given order."""
        self._codes = grown(self._codes, len(order))
        codes = self._codes[order]
        texts = list(self._numbers)
        used = sorted(texts[code - 1] for code in np.unique(codes).tolist() if code)
        ranks = np.zeros(len(texts) + 1, np.int64)
        ranks[[1 + self._numbers[text] for text in used]] = np.arange(1, 1 + len(used))
        digest.add(list(self.registered), used, ranks[codes])


class _Decision(NamedTuple):
    """One decision but its rows; ``value`` is what the event's kind says by its own field."""

    position: int
    kind: str
    name: str
    value: Any


class Decided:
    """Every decision about some rows, and what those of them that count make of the rows.

    Undos are kept by position, the last one winning, so that parts of a log that were folded apart
    give the same whichever of them holds the decision and whichever the undo.
    """

    __slots__ = ("_choices", "_discarded", "_made", "_rows", "_stale", "_tags", "_undone", "state")

    def __init__(self) -> None:
        self.state = object()  # another one after every decision
        self._made: list[_Decision] = []
        self._rows: list[Rows] = []
        self._undone: dict[int, bool] = {}
        self._stale = False
        self._begin()

    def _begin(self) -> None:
        self._tags: dict[str, TriState] = {}
        self._discarded = TriState()
        self._choices: dict[str, Choice] = {}

    # -- folding -----------------------------------------------------------

    def take(self, event: EventGroup, rows: Rows = _NO_ROWS) -> None:
        """Takes in one event of `decisions`, which is later than those before it."""
        self.state = object()
        kind = event.kind.name
        if kind == "undone":
            self._mark(event.field("positions")[0], event.field("undone")[0])
            return
        self._made.append(_Decision(event.first_position, kind, *_said(event)))
        self._rows.append(np.array(rows))  # of its own: the batch's may be shared
        if not self._stale and not self._undone.get(event.first_position):
            self._apply(self._made[-1], rows)

    def _mark(self, positions: list[int], undone: bool) -> None:
        self._undone.update(dict.fromkeys(positions, undone))
        self._stale = True

    def _apply(self, made: _Decision, rows: Rows) -> None:
        size = int(rows.max()) + 1 if len(rows) else 0
        match made.kind:
            case "tagged":
                self._tags.setdefault(made.name, TriState()).put(rows, made.value, size)
            case "discarded":
                self._discarded.put(rows, made.value, size)
            case "categorised":
                self._choices.setdefault(made.name, Choice()).put(rows, made.value)
            case "category_registered":
                self._choices.setdefault(made.name, Choice()).registered = tuple(made.value)

    def _replay(self) -> None:
        """After an undo: from the first decision on, which is as long as nobody undoes."""
        if self._stale:
            self._stale = False
            self._begin()
            for made, rows in zip(self._made, self._rows, strict=True):
                if not self._undone.get(made.position):
                    self._apply(made, rows)

    def merge(self, later: Decided, rows: Rows) -> None:
        """Takes in later decisions, whose row ``i`` is this one's row ``rows[i]``."""
        self._made += later._made
        self._rows += [rows[theirs] for theirs in later._rows]
        self._undone.update(later._undone)
        self._stale, self.state = True, object()

    # -- checkpoints -------------------------------------------------------

    def snapshot(self, prefix: str, state: State) -> None:
        state[f"{prefix}/made"] = pack((self._made, self._undone))
        state[f"{prefix}/rows"] = np.concatenate([_NO_ROWS, *self._rows])
        state[f"{prefix}/lengths"] = np.asarray([len(rows) for rows in self._rows], np.int64)

    def restore(self, prefix: str, state: Mapping[str, npt.NDArray[Any] | bytes]) -> None:
        made, undone = unpack(state, f"{prefix}/made")
        ends = np.cumsum(array_of(state, f"{prefix}/lengths"))
        self._made = [_Decision(*one) for one in made]
        self._rows = np.split(array_of(state, f"{prefix}/rows"), ends)[: len(made)]
        self._undone = dict(undone)
        self._stale, self.state = True, object()

    def update(self, digest: Digest, order: Rows) -> None:
        """Adds what is so now to a digest, rows in the given order, which is of all rows."""
        digest.add(self.discarded.on(len(order))[order])
        for tag in sorted(self.tags):
            digest.add(tag, self.tags[tag].on(len(order))[order])
        for name, choice in self.choices.items():
            digest.add(name)
            choice.update(digest, order)

    # -- reading -----------------------------------------------------------

    @property
    def tags(self) -> Mapping[str, TriState]:
        """Each tag that was put on or taken off, and where it is on."""
        self._replay()
        return self._tags

    @property
    def discarded(self) -> TriState:
        self._replay()
        return self._discarded

    @property
    def choices(self) -> Mapping[str, Choice]:
        """Each categorical tag, in the order in which they came, and what it says of rows."""
        self._replay()
        return self._choices

    def tags_of(self, row: int) -> str | None:
        """The row's tags as its ``tags`` cell shows them."""
        return ",".join(tag for tag in sorted(self.tags) if self.tags[tag].cell(row)) or None

    def tags_on(self, rows: Rows, size: int) -> dict[str, npt.NDArray[np.bool_]]:
        """For each tag that some of the rows ``[k]`` have, which of them ``[k]``; -1 has none."""
        known = rows >= 0
        found = {tag: known.copy() for tag in self.tags}
        for tag, on in found.items():
            on[known] = self.tags[tag].on(size)[rows[known]]
        return {tag: on for tag, on in found.items() if on.any()}

    def discarded_column(self, order: Rows, size: int) -> TableColumn:
        present = np.ones(len(order), np.bool_)
        return TableColumn("discarded", "flag", self.discarded.on(size)[order], present)

    def tags_column(self, order: Rows, size: int) -> TableColumn:
        """Each row's tags, sorted and joined by commas; empty where it has none."""
        codes = np.zeros(len(order), np.int64)
        texts = [""]
        for tag in sorted(self.tags):
            # Number the combinations anew after each tag, so that the codes stay small.
            found, codes = np.unique(
                2 * codes + self.tags[tag].on(size)[order], return_inverse=True
            )
            texts = [
                f"{texts[code // 2]},{tag}".lstrip(",") if code % 2 else texts[code // 2]
                for code in found.tolist()
            ]
        present = np.asarray([text != "" for text in texts], np.bool_)
        if not len(order):
            return TableColumn("tags", "text", codes.astype(np.int32), np.zeros(0, np.bool_))
        return TableColumn("tags", "text", codes.astype(np.int32), present[codes], tuple(texts))

    def choice_columns(self, taken: set[str], order: Rows, size: int) -> list[TableColumn]:
        """The categorical tags as table columns; one with a taken name is ``tag/<name>``."""
        return [
            choice.table_column(f"tag/{name}" if name in taken else name, order, size)
            for name, choice in self.choices.items()
        ]

    def choice(self, name: str) -> Choice | None:
        """The categorical tag that a column of that name shows, None if there is none."""
        return self.choices.get(name) or self.choices.get(name.removeprefix("tag/"))


_FIELDS = {
    "tagged": ("tag", "add"),
    "discarded": (None, "discarded"),
    "categorised": ("name", "value"),
    "category_registered": ("name", "categories"),
}


def _said(event: EventGroup) -> tuple[str, Any]:
    """What an event decides: the name of the tag, and what of it."""
    name, value = _FIELDS[event.kind.name]
    return "" if name is None else event.field(name)[0], event.field(value)[0]
