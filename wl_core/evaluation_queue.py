"""The evaluations that were asked for: what waits, what runs, what was given up.

An evaluation never interrupts a training step: it runs when the next one is about to begin, or
while the training waits. How it is done is `evaluation`'s.
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wl_core.errors import RefusedError, UsageError
from wl_core.requests import Request

if TYPE_CHECKING:
    from wl_core.session import Session


@dataclass(frozen=True, slots=True)
class Wish:
    """An evaluation over a loader's data, or what of it has a tag.

    ``request`` is the position of who asked for it, -1 where the script itself did.
    """

    origin: str
    tag: str = ""
    request: int = -1


class EvaluationQueue:
    """What a session has been asked to evaluate. ``active`` is true while an evaluation runs."""

    def __init__(self, running: Session) -> None:
        self._running = running
        self._waiting: deque[Wish] = deque()
        self.active = False
        self.given_up = False
        running.requests.on("evaluation_requested", self._ask)
        running.requests.on("evaluation_cancel_requested", lambda _: self._cancel())

    def _ask(self, request: Request) -> None:
        from wl_core.evaluation import plan_of

        wish = Wish(request.field("origin"), request.field("tag"), request.position)
        plan_of(self._running, wish)  # so that what cannot be done is refused at once
        self._waiting.append(wish)

    def _cancel(self) -> None:
        """Gives up what runs and what waits."""
        if not self.active and not self._waiting:
            raise RefusedError("no evaluation runs or waits: there is nothing to give up")
        self.given_up = self.active
        while self._waiting:
            wish = self._waiting.popleft()
            self._running.recorder.add(
                "evaluation_finished", wish.origin, wish.tag, 0, {}, True, "", wish.request
            )

    def admit(self, phase: str) -> None:
        """Before a guard within an evaluation is entered.

        Raises:
            UsageError: it is a training guard, which would be a step of the training.
        """
        if phase == "train":
            raise UsageError(
                "a training guard within an evaluation: an evaluation is no step of the training."
                " What it records is recorded without a guard of its own"
            )

    def run_all(self) -> None:
        """Runs what waits, one after the other."""
        while self.run_pending():
            pass

    def run_pending(self) -> bool:
        """Runs the evaluation that waits longest; True if there was one. It raises nothing.

        What goes wrong in it is recorded and told; it is no reason to end a training.
        """
        if self.active or not self._waiting:
            return False
        from wl_core.evaluation import conduct

        wish = self._waiting.popleft()
        outcome = conduct(self._running, wish)
        if outcome.failure is not None:
            print(_told(wish, outcome.failure), file=sys.stderr)
        return True


def _told(wish: Wish, failure: Exception) -> str:
    return (
        f"the evaluation of {wish.origin} failed, the training goes on: {type(failure).__name__}:"
        f" {failure} (the traceback: wl events --kind evaluation_finished)"
    )
