"""Deciding about data: tags, categories, discards, undo; the same from wherever it is decided.

A decision becomes one frame of events: of the recorder in a training script (`curation`), of an
opened run in any other process (`Decider.of_run`: the command line, the terminal interface, a
notebook). Which samples are meant is the caller's business (`chosen`); what becomes of
the events, that of the views and of the session.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from wl_core.codec import Frame, SampleId
from wl_core.decisions import Categories
from wl_core.errors import UnknownNameError, UsageError, nearest
from wl_core.undoing import Decision, History

if TYPE_CHECKING:
    from wl_core.run import Run

Mode = Literal["add", "remove", "set"]
NewEvent = tuple[str, dict[str, Any]]  # kind, fields by name
Turned = tuple[int, list[Decision]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Samples of one origin; instances of them where ``annotation_ids`` is there, one per id."""

    origin: str
    ids: Sequence[SampleId]
    annotation_ids: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, places: Iterable[int]) -> Chosen:
        """Those at these places."""
        where = list(places)
        numbers = self.annotation_ids
        return Chosen(
            self.origin,
            [self.ids[at] for at in where],
            None if numbers is None else [numbers[at] for at in where],
        )

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that say so in an event."""
        return {"origin": self.origin, "ids": list(self.ids), "annotation_ids": self.annotation_ids}


@dataclass(frozen=True, slots=True)
class Decider:
    """Somebody who decides about the data of a run.

    ``view`` gives a view as of now, ``registered`` the categorical tags and their categories,
    ``frames`` all frames with decisions, own ones included; ``record`` makes events one frame and
    gives the position of the first, or -1 while it has none.

    Each decision gives that position, and -1 if there was nothing to record.
    """

    who: str
    view: Callable[[str], Any]
    registered: Callable[[], Mapping[str, tuple[str, ...]]]
    frames: Callable[[], Iterable[Frame]]
    record: Callable[[list[NewEvent]], int]

    @classmethod
    def of_run(cls, run: Run, who: str) -> Decider:
        """Decides from a process that does not train; each decision is on disk when it returns."""

        def view(name: str) -> Any:
            run.refresh()
            return run.view(name)

        def registered() -> Mapping[str, tuple[str, ...]]:
            return Categories.of(run.log.decisions())

        return cls(who, view, registered, run.log.decisions, run.append_all)

    # -- tags and discards -----------------------------------------------------

    def tag(self, chosen: Sequence[Chosen], tag: str, mode: Mode = "add", why: str = "") -> int:
        """Puts a tag on, takes it off, or makes it the only tag that they have (``"set"``).

        Raises:
            UsageError: no such mode, or no text for a tag.
        """
        if mode not in ("add", "remove", "set"):
            raise UsageError(f"mode must be 'add', 'remove' or 'set', not {mode!r}")
        if not isinstance(tag, str) or not tag:
            raise UsageError(f"a tag must be a text that is not empty, not {tag!r}")
        others = self._other_tags(chosen, tag) if mode == "set" else []
        add = {"tag": tag, "add": mode != "remove"}
        return self._tell([*others, *(("tagged", {**add, **some.fields}) for some in chosen)], why)

    def _other_tags(self, chosen: Sequence[Chosen], tag: str) -> list[NewEvent]:
        """Takes every other tag off those that have it."""
        events: list[NewEvent] = []
        for some in chosen:
            for other, places in sorted(self._tags_on(some).items()):
                if other != tag:
                    fields = {"tag": other, "add": False, **some.at(places).fields}
                    events.append(("tagged", fields))
        return events

    def _tags_on(self, some: Chosen) -> dict[str, list[int]]:
        found: dict[str, list[int]]
        if some.annotation_ids is None:
            found = self.view("samples").tags_on(some.origin, some.ids)
        else:
            found = self.view("instances").tags_on(some.origin, some.ids, some.annotation_ids)
        return found

    def discard(self, chosen: Sequence[Chosen], discarded: bool = True, why: str = "") -> int:
        """Discards, or restores with ``discarded=False``."""
        fields = {"discarded": discarded}
        return self._tell([("discarded", {**fields, **some.fields}) for some in chosen], why)

    # -- categorical tags ------------------------------------------------------

    def register(self, name: str, categories: Sequence[str], why: str = "") -> int:
        """Says which categories a categorical tag has from now on; nothing if it has just those.

        Raises:
            UsageError: no text for a name, or categories that are no different texts.
        """
        listed = _checked_categories(name, categories)
        if self.registered().get(name) == listed:
            return -1
        fields = {"name": name, "categories": list(listed)}
        return self._tell([("category_registered", fields)], why)

    def categorise(
        self, chosen: Sequence[Chosen], name: str, value: str | None, why: str = ""
    ) -> int:
        """Gives a value of a categorical tag, or takes it away with None.

        Raises:
            UnknownNameError: no such categorical tag, or not one of its categories.
        """
        known = self.registered()
        if name not in known:
            raise UnknownNameError(
                f"there is no categorical tag {name!r}: register it first, with its categories"
                f" (register_categorical_tag, or `wl tag {name} --categories ONE,OTHER`)."
                f"{nearest(name, known)}"
            )
        if value is not None and value not in known[name]:
            raise UnknownNameError(
                f"{value!r} is not one of the categories of {name}, which are"
                f" {', '.join(known[name])}.{nearest(str(value), known[name])}"
            )
        fields = {"name": name, "value": value}
        return self._tell([("categorised", {**fields, **some.fields}) for some in chosen], why)

    # -- undo ------------------------------------------------------------------

    def history(self) -> History:
        """What was decided so far."""
        return History(self.frames())

    def undo(self, count: int = 1, event: int | None = None, why: str = "") -> Turned:
        """Takes back the last decisions that count, or the one with the event at that position.

        Returns:
            The position of the undo, and what was taken back, the newest first: fewer than
            ``count`` if there were not so many.

        Raises:
            UsageError: ``count`` is below 1, or no decision that counts is at that position.
        """
        return self._turn(count, event, why, undone=True)

    def redo(self, count: int = 1, event: int | None = None, why: str = "") -> Turned:
        """Makes the decisions count again that were undone last, or the one at that position.

        Each takes its old place among the others. Returns and raises as `undo` does.
        """
        return self._turn(count, event, why, undone=False)

    def _turn(self, count: int, event: int | None, why: str, *, undone: bool) -> Turned:
        if count < 1:
            raise UsageError(f"count must be at least 1, not {count}")
        history = self.history()
        if event is not None:
            found = [history.at(event, undone=not undone)]
        else:
            found = history.counting(count) if undone else history.undone(count)
        # An event each, so that a redo can tell which of them was undone last.
        events = [{"positions": list(one.positions), "undone": undone} for one in found]
        return self._tell([("undone", fields) for fields in events], why), found

    def _tell(self, events: list[NewEvent], why: str) -> int:
        """What is about no sample at all is no decision: there would be nothing to undo."""
        by = {"who": self.who, "why": why}
        said = [(kind, {**fields, **by}) for kind, fields in events if fields.get("ids") != []]
        return self.record(said) if said else -1


def _checked_categories(name: str, categories: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(name, str) or not name:
        raise UsageError(f"a categorical tag needs a name that is a text, not {name!r}")
    listed = () if isinstance(categories, str) else tuple(categories)
    texts = all(isinstance(one, str) and one for one in listed)
    if not listed or not texts or len(set(listed)) < len(listed):
        raise UsageError(
            f"the categories of {name} must be different texts that are not empty, at least one;"
            f" got {categories!r}"
        )
    return listed


def by_origin(owners: Iterable[tuple[str, SampleId, int]]) -> list[Chosen]:
    """``(origin, sample_id, annotation_id)`` of samples, which have 0 for it, or of instances."""
    found: defaultdict[tuple[str, bool], list[tuple[SampleId, int]]] = defaultdict(list)
    for origin, sample_id, number in owners:
        found[origin, number > 0].append((sample_id, number))
    return [
        Chosen(
            origin, [one for one, _ in pairs], [number for _, number in pairs] if inner else None
        )
        for (origin, inner), pairs in found.items()
    ]
