"""The line in which a filter of events is written, with completion of its words and of names."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from tui.completion import Choice, Completion, matching
from tui.widgets.line_bar import LineBar
from wl_core.event_filter import WORDS

_NOTES: Mapping[str, str] = {
    "kind": "what happened: discarded, values, paused, …",
    "signal": "a signal that it is about",
    "sample": "a sample that it names",
    "origin": "a loader",
}


class EventBar(LineBar):
    """``kind:discarded signal:loss sample:tile_03`` and any text."""

    def __init__(self) -> None:
        super().__init__(" / ", "kind:discarded signal:loss sample:tile_03 origin:… or any text")
        self._names: Mapping[str, Iterable[str]] = {}

    def offer_names(self, names: Mapping[str, Iterable[str]]) -> None:
        """What is completed behind ``kind:``, ``signal:``, … from now on."""
        self._names = names

    def complete(self, line: str, cursor: int) -> Completion:
        start = max(line.rfind(" ", 0, cursor) + 1, 0)
        end = line.find(" ", cursor)
        end = len(line) if end < 0 else end
        name, colon, value = line[start:cursor].partition(":")
        if colon and name in WORDS:
            named = (Choice(shlex.quote(f"{name}:{one}")) for one in self._names.get(name, ()))
            return Completion(start, end, matching(f"{name}:{value}", named))
        words = [Choice(f"{word}:", note) for word, note in _NOTES.items()]
        return Completion(start, end, matching(name, words), eager=bool(name) or not line)

    def escaped(self) -> None:
        """Escape looks for nothing any more."""
        self.write("")
        self.remove_class("-open")
        self.post_message(self.Submitted(""))
        self.leave()
