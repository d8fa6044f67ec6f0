"""Which columns of a table are shown: in what order, pinned, how wide, with trajectories.

A `Layout` is what a person has chosen, by the names of columns; it fits any table, for what it does
not know stands at its own place, and what is gone is left out until it comes back. It is kept as
JSON between two visits. How columns are drawn is `table_view`'s business.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

TRAJECTORY_MARK = "∿"
MIN_WIDTH = 3


def trajectory_name(signal: str) -> str:
    """What the column of a signal's trajectories is called."""
    return f"{signal} {TRAJECTORY_MARK}"


@dataclass(frozen=True, slots=True)
class Placed:
    """A column in its place; ``signal`` is that whose trajectories it shows, if it shows any."""

    name: str
    pinned: bool
    hidden: bool
    signal: str | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """What a person has chosen. ``order`` and ``pinned`` are None as long as nobody has."""

    order: tuple[str, ...] | None = None
    hidden: frozenset[str] = frozenset()
    pinned: frozenset[str] | None = None
    widths: Mapping[str, int] = field(default_factory=dict)
    trajectories: frozenset[str] = frozenset()  # the signals

    def placed(self, names: Sequence[str], fixed: int) -> list[Placed]:
        """All columns in order, those pinned at the left, hidden ones included.

        Args:
            names: the table's columns in its own order; each trajectory follows its signal.
            fixed: so many of them are pinned as long as nobody has pinned or unpinned one.
        """
        own: dict[str, str | None] = {}
        for name in names:
            own[name] = None
            if name in self.trajectories:
                own[trajectory_name(name)] = name
        pinned = frozenset(names[:fixed]) if self.pinned is None else self.pinned
        ordered = sorted(_in_order(list(own), self.order), key=lambda name: name not in pinned)
        return [Placed(one, one in pinned, one in self.hidden, own[one]) for one in ordered]

    def moved(self, placed: Sequence[Placed], name: str, by: int, *, seen: bool = True) -> Layout:
        """With the column one place further to the left (-1) or right (1).

        It stays among the pinned ones or the others; ``seen`` jumps over hidden columns.
        """
        names = [one.name for one in placed]
        at = names.index(name)
        to = at + by
        while 0 <= to < len(placed) and seen and placed[to].hidden:
            to += by
        if not 0 <= to < len(placed) or placed[to].pinned != placed[at].pinned:
            return self
        names.insert(to, names.pop(at))
        return replace(self, order=tuple(names))

    def with_hidden(self, name: str, hidden: bool) -> Layout:
        return replace(self, hidden=self.hidden | {name} if hidden else self.hidden - {name})

    def with_pin(self, placed: Sequence[Placed], name: str) -> Layout:
        """Pins the column, or unpins it."""
        pinned = frozenset(one.name for one in placed if one.pinned)
        return replace(self, pinned=pinned ^ {name})

    def with_width(self, name: str, width: int) -> Layout:
        return replace(self, widths={**self.widths, name: max(MIN_WIDTH, width)})

    def with_trajectory(self, signal: str) -> Layout:
        """Shows the trajectories of that signal, or no longer."""
        hidden = self.hidden - {trajectory_name(signal)}
        return replace(self, trajectories=self.trajectories ^ {signal}, hidden=hidden)

    def to_json(self) -> dict[str, Any] | None:
        """None when nothing was chosen."""
        if self == Layout():
            return None
        return {
            "order": self.order and list(self.order),
            "hidden": sorted(self.hidden),
            "pinned": None if self.pinned is None else sorted(self.pinned),
            "widths": dict(self.widths),
            "trajectories": sorted(self.trajectories),
        }


def layout_of_json(value: Any) -> Layout:
    """What `Layout.to_json` gave; what is no such thing is a layout to be made again."""
    if not isinstance(value, dict):
        return Layout()
    widths = value.get("widths")
    widths = widths if isinstance(widths, dict) else {}
    order, pinned = _texts(value.get("order")), _texts(value.get("pinned"))
    return Layout(
        order=None if order is None else tuple(order),
        hidden=frozenset(_texts(value.get("hidden")) or ()),
        pinned=None if pinned is None else frozenset(pinned),
        widths={str(k): max(MIN_WIDTH, v) for k, v in widths.items() if isinstance(v, int)},
        trajectories=frozenset(_texts(value.get("trajectories")) or ()),
    )


def _texts(value: Any) -> list[str] | None:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else None


def _in_order(names: Sequence[str], chosen: Collection[str] | None) -> list[str]:
    """The names as chosen; one that nobody knew then stands behind the one it stands behind."""
    if not chosen:
        return list(names)
    known = set(names)
    ordered = [name for name in chosen if name in known]
    there = set(ordered)
    for number, name in enumerate(names):
        if name not in there:
            ordered.insert(ordered.index(names[number - 1]) + 1 if number else 0, name)
            there.add(name)
    return ordered
