"""The events of a log that mention one sample, found in bites, the newest first.

A long log takes long to read, so `EventSearch.bite` reads for a few milliseconds and is asked again
as long as somebody wants more. What an event says of the sample is put into a few words here; the
whole of it is read again by its position.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tui.sample_facts import text_column
from tui.sample_table import SampleKey
from tui.words import clock
from wl_core.codec import DamagedFrame, Event, Frame, SampleId, frame_events
from wl_core.requests import Request, requests_of
from wl_core.table import Table, TableColumn

if TYPE_CHECKING:
    from wl_core.run import Run

Places = npt.NDArray[np.intp]
BITE = 0.03  # seconds of reading; more would make the follower late
PAGE = 500  # events that are found before somebody has to ask for more
_FIRST, _LARGEST = 256, 8_192  # positions that are read at once


@dataclass(frozen=True, slots=True)
class Mention:
    """An event that mentions the sample: what it is about, and what it says of the sample."""

    position: int
    step: int
    time: float
    kind: str
    about: str
    says: str


class EventSearch:
    """Looks for the events of one sample, back from the end of a log.

    ``found`` holds them by position, ``share`` says how much of the log was looked at, 0 to 1.
    Nothing but `bite`, in the follower's thread, reads the log; the rest is for the event loop,
    and between two bites nothing changes.
    """

    def __init__(self, sample: SampleKey) -> None:
        self.sample = sample
        self.found: dict[int, Mention] = {}
        self.wanted = PAGE
        self.damaged = 0
        self._decided: frozenset[int] = frozenset()
        self._low: int | None = None
        self._high = 0
        self._size = _FIRST

    @property
    def share(self) -> float:
        if self._low is None:
            return 0.0
        return 1.0 if not self._high else 1 - self._low / self._high

    @property
    def is_hungry(self) -> bool:
        """Whether another bite is wanted, were nothing written meanwhile."""
        return self._low is None or (self._low > 0 and len(self.found) < self.wanted)

    def want_more(self) -> None:
        """Look for another page of older ones."""
        self.wanted = len(self.found) + PAGE

    def bite(self, run: Run, decided: Collection[int], seconds: float = BITE) -> bool:
        """Read for about so long; gives whether there is more to do.

        What is new comes first. ``decided`` are the positions of all decisions on the sample, so
        that their undoing is found.
        """
        self._decided = frozenset(decided)
        until, end = time.monotonic() + seconds, run.end
        if self._low is None:
            self._low = self._high = end
        while time.monotonic() < until:
            if self._high < end:
                self._high = self._read(run, self._high, min(end, self._high + self._size))[1]
            elif self.is_hungry:
                self._low = self._read(run, max(0, self._low - self._size), self._low)[0]
            else:
                return False
        return self._high < end or self.is_hungry

    def _read(self, run: Run, start: int, stop: int) -> tuple[int, int]:
        """Look through whole frames; gives the positions between which that was."""
        began, low, high = time.monotonic(), start, stop
        for frame in run.log.frames(start, stop):
            if isinstance(frame, DamagedFrame):
                self.damaged += 1
                continue
            low, high = min(low, frame.position), max(high, frame.position + frame.count)
            for mention in mentions(frame, self.sample, self._decided):
                self.found[mention.position] = mention
        took = time.monotonic() - began
        self._size = max(
            _FIRST, min(_LARGEST, self._size * 2 if took < BITE / 4 else self._size // 2)
        )
        return low, high

    def table(self) -> tuple[Table, npt.NDArray[np.int64]]:
        """The events, newest first, and their positions, which say what a row is."""
        found = [self.found[position] for position in sorted(self.found, reverse=True)]
        positions = np.array([one.position for one in found], np.int64)
        there = np.ones(len(found), np.bool_)
        steps = np.array([one.step for one in found], np.int64)
        table = Table(
            (
                TableColumn("step", "number", steps, there),
                text_column("event", [one.kind for one in found]),
                text_column("about", [one.about for one in found]),
                text_column("says", [one.says for one in found]),
                text_column("time", [clock(one.time) for one in found]),
                TableColumn("position", "number", positions, there),
            )
        )
        return table, positions


def mentions(frame: Frame, sample: SampleKey, decided: Collection[int]) -> Iterator[Mention]:
    """What the events of a frame say of a sample.

    Args:
        decided: positions of decisions on it; who undid or obeyed one is told as well.
    """
    places: dict[int, Places] = {}
    for request in requests_of(frame):
        if _refers(request, decided):
            about, says = _positions(request), _who_why(request)
        elif _is_of(request, sample):
            blob = request.field("ids")
            if blob not in places:
                places[blob] = _places(frame, blob, sample.sample_id)
            if not len(places[blob]):
                continue
            about, says = _about(request), _says(request, places[blob])
        else:
            continue
        yield Mention(request.position, frame.step, frame.time, request.kind.name, about, says)


def read_event(run: Run, position: int) -> Event | None:
    """The event at a position, decoded in full; None when it cannot be read."""
    for frame in run.log.frames(position, position + 1):
        if isinstance(frame, Frame):
            for event in frame_events(frame):
                if event.position == position:
                    return event
    return None


def _refers(request: Request, decided: Collection[int]) -> bool:
    if request.kind.name == "undone":
        return any(position in decided for position in request.field("positions"))
    return request.kind.name == "obeyed" and request.field("request") in decided


def _positions(request: Request) -> str:
    found = request.field("positions") if request.kind.name == "undone" else None
    return ", ".join(map(str, [request.field("request")] if found is None else found))


def _is_of(request: Request, sample: SampleKey) -> bool:
    fields = {field.name for field in request.kind.fields}
    return {"ids", "origin"} <= fields and request.field("origin") == sample.origin


def _places(frame: Frame, blob: int, sample_id: SampleId) -> Places:
    """Where the sample stands among the ids of a blob."""
    code, data = frame.blobs[2 * blob : 2 * blob + 2]
    if code != "s":
        found = np.flatnonzero(frame.vector(blob) == sample_id)
        return found if isinstance(sample_id, int) else found[:0]
    return np.array([n for n, one in enumerate(data) if one == sample_id], np.intp)


def _about(request: Request) -> str:
    """The signal, tag or field that an event is about."""
    for field in request.kind.fields:
        if field.name in _ABOUT:
            return str(request.field(field.name))
    return request.field("origin")  # type: ignore[no-any-return]  # a text, by the catalogue


def _says(request: Request, at: Places) -> str:
    """What it says of the sample that stands at these places."""
    saying = _SAYING.get(request.kind.name)
    return _who_why(request) if saying is None else saying(request, at)


def _value(request: Request, at: Places) -> str:
    return f"{_vector(request, 'values')[at[0]]:.4g}"


def _group_value(request: Request, at: Places) -> str:
    return f"{_vector(request, 'values')[_vector(request, 'group_idx')[at[0]]]:.4g} of its group"


def _instance_values(request: Request, at: Places) -> str:
    values = _vector(request, "values")[np.isin(_vector(request, "batch_idx"), at)]
    return f"mean {values.mean():.4g} of {len(values)}" if len(values) else "no instance"


def _arrays(request: Request, at: Places) -> str:
    which = at
    if request.field("batch_idx") is not None:
        which = np.flatnonzero(np.isin(_vector(request, "batch_idx"), at))
    if not len(which):
        return "no array"
    dtype, shape = request.field("specs")[_vector(request, "spec_idx")[which[0]]]
    said = f"{np.dtype(dtype).name} {'×'.join(map(str, shape))}"
    return said if len(which) == 1 else f"{len(which)} of {said}"


def _who_why(request: Request) -> str:
    """Who decided what, and why; or that it was refused."""
    if request.kind.name == "obeyed":
        return f"refused: {request.field('refused')}" if request.field("refused") else "done"
    fields = {field.name for field in request.kind.fields}
    said = [words[not request.field(name)] for name, words in _SWITCHES.items() if name in fields]
    if "value" in fields:
        said.append(f"= {request.field('value')}")
    said += [f"by {request.field('who')}"] if "who" in fields else []
    why = request.field("why") if "why" in fields else ""
    return " ".join(said) + (f": {why}" if why else "")


def _vector(request: Request, name: str) -> npt.NDArray[Any]:
    return request.frame.vector(request.field(name))


_ABOUT = frozenset({"signal", "tag", "name", "field"})
_SWITCHES = {
    "add": ("put on", "taken off"),
    "discarded": ("discarded", "restored"),
    "undone": ("undone", "redone"),
}

_SAYING: dict[str, Callable[[Request, Places], str]] = {
    "values": _value,
    "group_values": _group_value,
    "labels": lambda request, at: str(request.field("values")[at[0]]),
    "instance_values": _instance_values,
    "instances_found": lambda request, at: f"{_vector(request, 'counts')[at[0]]} instances",
    "metadata": lambda request, at: ", ".join(request.field("columns")),
    "arrays": _arrays,
    "exposed": lambda request, at: "handed to the model",
}
