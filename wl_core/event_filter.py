"""Which events of a log somebody wants to see: by kind, signal, sample, origin, and text.

One filter for ``wl events`` and for the TUI. It looks at events as they lie in a frame and decodes
none, since a whole log is looked through. Who reads the log, and when, is the caller's business.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from wl_core.codec import Frame
from wl_core.errors import UnknownNameError, UsageError, nearest
from wl_core.events import CATALOGUE, Catalogue, Kind, WireEvent

if TYPE_CHECKING:
    from wl_core.run import Run

_SIGNALS = ("names", "signals", "means")  # fields that hold the names of several signals


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Events that are of one of the kinds, about one of the signals, and so on; empty: of any.

    ``samples`` are ids as text: ``"7"`` is the sample 7 as well as the sample ``"7"``. ``texts``
    must all occur, in whatever case, in the kind or in what the event says in words.
    """

    kinds: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    @staticmethod
    def parse(line: str) -> EventFilter:
        """Read ``kind:discarded signal:loss sample:tile_03 origin:train_loader "some text"``.

        Raises:
            UsageError: a quote is not closed, or there is nothing behind a colon.
        """
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"expected words, with quotes closed: {error}") from error
        found: dict[str, list[str]] = {name: [] for name in (*WORDS.values(), "texts")}
        for word in words:
            name, colon, value = word.partition(":")
            if colon and name in WORDS:
                if not value:
                    raise UsageError(f"expected a {name} behind {word!r}")
                found[WORDS[name]].append(value)
            else:
                found["texts"].append(word)
        return EventFilter(**{name: tuple(values) for name, values in found.items()})

    def options(self) -> str:
        """The same as options of ``wl events``: ``--kind discarded --signal loss``."""
        return " ".join(
            f"--{word} {shlex.quote(value)}"
            for word, name in (*WORDS.items(), ("text", "texts"))
            for value in getattr(self, name)
        )

    def check(self, catalogue: Catalogue = CATALOGUE) -> None:
        """Raise UnknownNameError, which gives the nearest, when there is no such kind."""
        known = [kind.name for kind in catalogue]
        for kind in self.kinds:
            if kind not in known:
                raise UnknownNameError(f"there is no event kind {kind!r}.{nearest(kind, known)}")

    def places(self, frame: Frame, catalogue: Catalogue = CATALOGUE) -> Iterator[int]:
        """Which events of a frame these are: the first is 0."""
        if not self:
            yield from range(frame.count)
            return
        blobs: dict[int, bool] = {}
        for place, event in enumerate(frame.events):
            if self.kinds and event[0] not in self.kinds:
                continue
            if self._is_wanted(frame, event, catalogue.get(event[0]), blobs):
                yield place

    def _is_wanted(
        self, frame: Frame, event: WireEvent, kind: Kind | None, blobs: dict[int, bool]
    ) -> bool:
        said = _fields(event, kind)
        if self.origins and said.get("origin") not in self.origins:
            return False
        if self.signals and not any(one in self.signals for one in _signals(said)):
            return False
        if self.samples and not self._is_of_sample(frame, said.get("ids"), blobs):
            return False
        return not self.texts or self._has_texts(frame, event, kind)

    def _is_of_sample(self, frame: Frame, blob: int | None, blobs: dict[int, bool]) -> bool:
        """Remembered by blob, because the events of a step name the same samples."""
        if blob is None:
            return False
        if blob not in blobs:
            blobs[blob] = _holds(frame, blob, self.samples)
        return blobs[blob]

    def _has_texts(self, frame: Frame, event: WireEvent, kind: Kind | None) -> bool:
        said = " ".join(_words(frame, event, kind)).lower()
        return all(text.lower() in said for text in self.texts)


# What stands before the colon, or is the name of the option, and what it fills.
WORDS: Mapping[str, str] = {
    "kind": "kinds",
    "signal": "signals",
    "sample": "samples",
    "origin": "origins",
}


def unknown_names(run: Run, wanted: EventFilter) -> list[str]:
    """Why nothing was found: signals and samples that the run does not have, with the nearest.

    What is asked for need not have a value: the log of a signal that failed holds it all the same.
    So this is for afterwards.
    """
    found: list[str] = []
    if wanted.signals:
        found += _unknown("signal", wanted.signals, run.signals())
    if wanted.samples:
        index = run.view("samples").index
        found += _unknown("sample", wanted.samples, {str(index.sample_id(n)) for n in
                                                     range(len(index))})  # fmt: skip
    return found


def _unknown(what: str, names: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    known = list(known)
    for name in names:
        if name not in known:
            yield f"there is no {what} {name!r}.{nearest(name, known)}"


def _fields(event: WireEvent, kind: Kind | None) -> dict[str, Any]:
    return {} if kind is None else {f.name: v for f, v in zip(kind.fields, event[2:], strict=True)}


def _signals(said: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(said.get("signal"), str):
        yield said["signal"]
    for name in _SIGNALS:
        if isinstance(said.get(name), (list, tuple, dict)):
            yield from map(str, said[name])


def _holds(frame: Frame, blob: int, samples: tuple[str, ...]) -> bool:
    if frame.blobs[2 * blob] == "s":
        return any(str(one) in samples for one in frame.blobs[2 * blob + 1])
    numbers = [int(one) for one in samples if one.lstrip("-").isdigit()]
    return bool(numbers) and bool(np.isin(frame.vector(blob), numbers).any())


def _words(frame: Frame, event: WireEvent, kind: Kind | None) -> Iterator[str]:
    """All that an event says but numbers in vectors."""
    yield event[0]
    yield frame.phase
    if kind is None:
        yield str(event[2:])
        return
    for field, value in zip(kind.fields, event[2:], strict=True):
        if field.type in ("text", "json", "int", "float"):
            yield str(value)
        elif field.type == "ids" and value is not None and frame.blobs[2 * value] == "s":
            yield from map(str, frame.blobs[2 * value + 1])
