"""A line to write in, with a list of completions below it and room for a remark.

`LineBar` is what the filter line, the search lines of panes and the dialogs share: the list opens
while one writes, tab or the right arrow take from it, the arrows choose, escape closes first the
list and then the line. What can be completed and what the line means is its subclasses' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input, Label, Static

from tui.completion import Choice, Completion

REST = 0.4  # seconds without a key, after which what is written is looked at
LINES = 6  # of the list
_NOTHING = Completion(0, 0)


class DropDown(Static):
    """Choices, of which one is marked; at most `LINES` of them in sight."""

    class Picked(Message):
        """A choice was clicked."""

        def __init__(self, choice: Choice) -> None:
            super().__init__()
            self.choice = choice

    def __init__(self) -> None:
        super().__init__(classes="drop-down")
        self.choices: Sequence[Choice] = ()
        self.at = 0
        self.was_moved = False  # somebody chose, rather than found the first one marked
        self._top = 0
        self.display = False

    def offer(self, choices: Sequence[Choice], x: int = 0) -> None:
        """Show these below column ``x`` of the line; none closes the list."""
        self.choices, self.at, self._top, self.was_moved = choices, 0, 0, False
        self.display = bool(choices)
        self.styles.offset = (x, 0)
        self._show()

    def move(self, by: int) -> None:
        self.at = (self.at + by) % len(self.choices)
        self.was_moved = True
        self._show()

    @property
    def chosen(self) -> Choice | None:
        return self.choices[self.at] if self.choices else None

    def _show(self) -> None:
        self._top = min(max(self._top, self.at - LINES + 1), self.at)
        shown = self.choices[self._top : self._top + LINES]
        width = max((len(choice.text) for choice in shown), default=0)
        parts: list[str | tuple[str, str]] = []
        for place, choice in enumerate(shown, self._top):
            mark, style = ("▸", "bold $background on $primary") if place == self.at else (" ", "")
            parts.append((f"{mark}{choice.text:<{width}} ", style))
            parts += [(f"{choice.note} ", "dim"), "\n"]
        if len(self.choices) > LINES:
            parts.append((f" {self.at + 1} of {len(self.choices)}", "dim"))
        self.update(Content.assemble(*parts).rstrip("\n"))

    def on_click(self, event: events.Click) -> None:
        place = self._top + event.y
        if event.y < LINES and place < len(self.choices):
            self.post_message(self.Picked(self.choices[place]))


class LineInput(Input):
    """The line itself; keys that are about the list or the bar are handed to the bar."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "line('take')", "Complete", show=False, id="line.complete"),
        Binding("up", "line('up')", "Choice above, earlier line", show=False, id="line.up"),
        Binding("down", "line('down')", "Choice below, later line", show=False, id="line.down"),
        Binding("enter", "submit", "Done", id="line.done"),
        Binding("escape", "line('close')", "Close", id="line.close"),
        Binding("ctrl+u", "line('clear')", "Clear", show=False, id="line.clear"),
    ]

    def __init__(self, bar: LineBar, placeholder: str) -> None:
        super().__init__(placeholder=placeholder, compact=True, select_on_focus=False)
        self._bar = bar

    def action_line(self, what: str) -> None:
        getattr(self._bar, f"line_{what}")()

    def action_cursor_right(self, select: bool = False) -> None:
        if self._bar.is_offering and self.cursor_position == len(self.value) and not select:
            self._bar.line_take()
        else:
            super().action_cursor_right(select)

    async def action_submit(self) -> None:
        if not self._bar.line_took():
            await super().action_submit()


class LineBar(Vertical):
    """Hidden until `open`, unless ``is_open`` from the start.

    Args:
        prompt: what stands before the line.
        hint: what stands in the empty line.
        is_open: in sight from the start.
    """

    class Submitted(Message):
        """Enter: this was written."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Edited(Message):
        """This is written so far."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """The bar gives the focus back."""

    def __init__(self, prompt: str = " / ", hint: str = "", *, is_open: bool = False) -> None:
        super().__init__()
        self._prompt = prompt
        self._hint = hint
        self._completion = _NOTHING
        self._resting: Timer | None = None
        self._quiet = False  # the next change is the bar's own: nothing is offered for it
        self.history: list[str] = []
        self._recalled: int | None = None  # which line of the history stands there
        self.set_class(is_open, "-open")

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Label(self._prompt, markup=False)
            yield LineInput(self, self._hint)
        yield DropDown()
        yield Static("", classes="line--remark", markup=False)

    # For subclasses

    def complete(self, line: str, cursor: int) -> Completion:
        """What could stand at the cursor."""
        return _NOTHING

    def is_complete(self, line: str) -> bool:
        """Whether Enter can mean this line, rather than the marked choice."""
        return True

    def rested(self, line: str) -> None:
        """Nothing was typed for a moment."""

    def submitted(self, text: str) -> None:
        """Enter was pressed, and all who hear `Submitted` will be told."""

    # For screens and panes

    @property
    def input(self) -> LineInput:
        return self.query_one(LineInput)

    @property
    def text(self) -> str:
        """What is written."""
        return self.input.value

    @property
    def is_being_written(self) -> bool:
        return self.is_mounted and self.input.has_focus

    @property
    def is_offering(self) -> bool:
        """Whether the list of choices is open."""
        return bool(self.query_one(DropDown).display)

    def open(self) -> None:
        """Bring it into sight and give it the focus."""
        self.add_class("-open")
        self.screen.set_focus(self.input)

    def write(self, text: str, cursor: int | None = None) -> None:
        """Put another text into the line; nothing is offered for it."""
        line = self.input
        self._quiet = line.value != text
        line.value = text
        line.cursor_position = len(text) if cursor is None else cursor
        self.close_list()

    def remark(self, text: str, at: int | None = None, *, wrong: bool = True) -> None:
        """Say something below the line, with a caret ``at`` a place of it; empty: nothing."""
        caret = "" if at is None else " " * (len(self._prompt) + at) + "^\n "
        said = self.query_one(".line--remark", Static)
        said.update(caret + text if text else "")
        said.display = bool(text)
        self.set_class(wrong and bool(text), "-wrong")

    def close_list(self) -> None:
        self.query_one(DropDown).offer(())

    def leave(self) -> None:
        """Give the focus back."""
        self.close_list()
        self.post_message(self.Left())

    # The list

    def _offer(self, *, asked: bool = False) -> None:
        line = self.input
        self._completion = self.complete(line.value, line.cursor_position)
        choices = self._completion.choices if asked or self._completion.eager else ()
        self.query_one(DropDown).offer(choices, len(self._prompt) + self._completion.start - 1)

    def _take(self, choice: Choice) -> None:
        line, cursor = self._completion.taken(self.text, choice)
        self.input.value = line
        self.input.cursor_position = cursor

    def line_take(self) -> None:
        """Tab: take the marked choice; without a list, ask for one."""
        chosen = self.query_one(DropDown).chosen
        if chosen is not None:
            self._take(chosen)
            return
        self._offer(asked=True)
        if len(self._completion.choices) == 1:
            self._take(self._completion.choices[0])

    def line_took(self) -> bool:
        """Enter: whether it took from the list, and so does not submit the line."""
        listed = self.query_one(DropDown)
        chosen = listed.chosen
        if chosen is None or not (listed.was_moved or not self.is_complete(self.text)):
            return False
        self._take(chosen)
        return True

    def line_up(self) -> None:
        self._move(-1)

    def line_down(self) -> None:
        self._move(1)

    def _move(self, by: int) -> None:
        if self.is_offering:
            self.query_one(DropDown).move(by)
        elif self._recalled is not None or (by < 0 and not self.text.strip()):
            self._recall(by)
        elif by > 0:
            self._offer(asked=True)

    def _recall(self, by: int) -> None:
        """Another line of the history, the newest first; below it the empty line."""
        at = len(self.history) if self._recalled is None else self._recalled
        at = max(0, at + by)
        self.write(self.history[at] if at < len(self.history) else "")
        self._recalled = at if at < len(self.history) else None

    def line_close(self) -> None:
        """Escape: the list, else the line."""
        if self.is_offering:
            self.close_list()
        else:
            self.escaped()

    def escaped(self) -> None:
        """Escape where no list is open."""
        self.leave()

    def line_clear(self) -> None:
        self.write("")

    # Messages

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.close_list()
        self.remark("")
        self.post_message(self.Submitted(event.value))
        self.submitted(event.value)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.remark("")
        if self._resting is not None:
            self._resting.stop()
        self._resting = self.set_timer(REST, self._rested)
        if self._quiet:
            self._quiet = False
        else:
            self._recalled = None
            self._offer()
        self.post_message(self.Edited(event.value))

    def _rested(self) -> None:
        if self.is_being_written:
            self.rested(self.text)

    @on(DropDown.Picked)
    def _picked(self, event: DropDown.Picked) -> None:
        event.stop()
        self._take(event.choice)

    @on(events.DescendantBlur)
    def _blurred(self) -> None:
        self.close_list()
