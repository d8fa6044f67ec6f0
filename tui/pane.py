"""Pane: a part of the main screen; plugins add theirs by the hook ``wl_tui_panes``.

A pane is told when the run has news and which sample is chosen, asks the run for everything else
by `Pane.ask`, and says by its messages what was chosen in it. Where panes stand and which are in
sight is the main screen's business.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from tui.follow import News
from tui.sample_table import RowKey, SampleKey
from tui.words import shorten
from wl_core.errors import WlError

if TYPE_CHECKING:
    from tui.app import WlApp
    from tui.neighbours import Neighbours
    from wl_core.run import Run

Answer = TypeVar("Answer")
PACE = 1.0  # seconds between two times that a pane does what `Pane.paced` is for


class Pane(Vertical):
    """One titled part of the main screen.

    Subclasses set ``title``, yield their widgets from `compose_body` and override what they want
    to hear of. All methods are called on the event loop: do slow work in a job given to `ask`.

    Where a terminal is large, panes with a place in the ``dashboard`` stand side by side, from left
    to right and from top to bottom; any other has the screen to itself. Bindings of a pane work
    while it is the active one.
    """

    title: ClassVar[str] = ""
    dashboard: ClassVar[int | None] = None

    class SampleChosen(Message):
        """The cursor rests on a sample (None: there is none): all panes are about it now."""

        def __init__(self, sample: SampleKey | None) -> None:
            super().__init__()
            self.sample = sample

    class SampleOpened(Message):
        """All that is known of that sample is wanted, and then of its ``neighbours``.

        One of its instances is pointed out where ``annotation_id`` names it.
        """

        def __init__(
            self,
            sample: SampleKey,
            neighbours: Neighbours | None = None,
            annotation_id: int | None = None,
        ) -> None:
            super().__init__()
            self.sample = sample
            self.neighbours = neighbours
            self.annotation_id = annotation_id

    class InstanceChosen(Message):
        """An instance of the chosen sample is looked at (None: none is)."""

        def __init__(self, annotation_id: int | None) -> None:
            super().__init__()
            self.annotation_id = annotation_id

    class FilterWanted(Message):
        """The rows of a filter are wanted, of the samples or of all instances."""

        def __init__(self, text: str, *, instances: bool = False) -> None:
            super().__init__()
            self.text = text
            self.instances = instances

    def __init__(self, number: int) -> None:
        super().__init__(id=f"pane-{number}")
        self.number = number
        self.sample: SampleKey | None = None
        self._active = False
        self._heading = ""
        self._past_step: int | None = None
        self._paced_at = -math.inf
        self._late: Timer | None = None  # what was put off by `paced`

    def compose(self) -> ComposeResult:
        yield Static(classes="pane--title")
        yield from self.compose_body()

    def compose_body(self) -> ComposeResult:
        """The widgets below the title line."""
        raise NotImplementedError

    def run_changed(self, news: News) -> None:
        """The run has news; called at most four times a second, also while out of sight."""

    def sample_chosen(self, sample: SampleKey | None) -> None:
        """The cursor came to rest on that sample; ``self.sample`` is set already."""

    def instance_chosen(self, annotation_id: int | None) -> None:
        """An instance of the chosen sample is looked at, None: none is any more."""

    def came_into_sight(self) -> None:
        """The pane is shown again, or was resized from nothing."""

    def chosen_rows(self) -> Sequence[RowKey]:
        """What a decision made here is about: what is marked, else what the cursor stands on.

        Nothing by default: a pane that shows neither samples nor instances decides upon none.
        """
        return ()

    def command(self, run: str) -> str:
        """The command that prints what the pane shows of the run at that path.

        Such as ``wl samples runs/one --sort loss``; empty when there is none.
        """
        return ""

    def search(self) -> None:
        """``/`` was pressed here: let a search or a filter be written."""
        self.notify(f"there is nothing to search in {self.title}")

    def filter_rows(self, text: str, *, instances: bool) -> bool:
        """Show the rows of a filter, if it is for this pane (``instances``: all instances).

        Returns:
            Whether it is; the pane is then brought to the front.
        """
        return False

    @property
    def at_step_option(self) -> str:
        """What makes a `command` print the moment that is shown: ``" --at-step 7"`` or nothing."""
        return "" if self._past_step is None else f" --at-step {self._past_step}"

    @property
    def moment(self) -> int | None:
        """The step of the past that is shown, None: the run as it is."""
        return self._past_step

    def set_moment(self, step: int | None) -> None:
        """Shows that step of the past from now on, None: the run as it is."""
        if step != self._past_step:
            self._past_step = step
            self._show_title()

    @property
    def in_sight(self) -> bool:
        return self.is_mounted and self.display and self.size.height > 0

    @property
    def key_name(self) -> str:
        """The key that brings it to the front; none beyond the ninth."""
        return str(self.number) if self.number <= 9 else "·"

    def paced(self, work: Callable[[], object]) -> None:
        """Do what news asks for now, or once a second has passed since it was done last.

        For what takes long and may be that old: loading once more, drawing a curve.
        """
        wait = self._paced_at + PACE - time.monotonic()
        if wait <= 0:
            self._paced_now(work)
        elif self._late is None:
            self._late = self.set_timer(wait, lambda: self._paced_now(work))

    def _paced_now(self, work: Callable[[], object]) -> None:
        if self._late is not None:
            self._late.stop()
        self._late, self._paced_at = None, time.monotonic()
        work()

    async def ask(self, job: Callable[[Run], Answer]) -> Answer | None:
        """What ``job`` returns, run in the thread that owns the run.

        None when the run cannot be read or written just now: the title says why.
        """
        try:
            return await cast("WlApp", self.app).ask(job)
        except (WlError, OSError) as error:
            self.set_heading(shorten(f"cannot be read: {error}", 200))
            return None

    def set_active(self, active: bool) -> None:
        """Whether the keys go to this pane; said by a mark as well as by colour."""
        self._active = active
        self.set_class(active, "-active")
        self._show_title()

    @property
    def heading_width(self) -> int:
        """Cells that the title line has for its heading."""
        return max(0, self.size.width - self._title_lead.cell_length - 1)

    def set_heading(self, text: str) -> None:
        """What the title line says after the pane's name."""
        if text != self._heading:
            self._heading = text
            self._show_title()

    def focus_body(self) -> None:
        """Give the focus to the first widget in sight that takes it."""
        for widget in self.query(Widget):
            shown = all(node.display for node in widget.ancestors_with_self)
            if widget.focusable and shown:
                self.screen.set_focus(widget)
                return

    def on_mount(self) -> None:
        self._show_title()

    def on_show(self) -> None:
        self.came_into_sight()

    @property
    def _title_lead(self) -> Content:
        mark = "▸" if self._active else " "
        parts: list[str | tuple[str, str]] = [(f"{mark}{self.key_name} {self.title} ", "bold")]
        if self._past_step is not None:
            parts.append((f"@ step {self._past_step:,} ", "bold reverse"))
        return Content.assemble(*parts)

    def _show_title(self) -> None:
        if self.is_mounted:
            title = self.query_one(".pane--title", Static)
            heading = Content.styled(f" {self._heading}" if self._heading else "", "dim")
            title.update(self._title_lead + heading, layout=False)
