"""Pace: whether the training may go on, and how far.

The training obeys at its next guard and uses no CPU while it waits. Who asks, and how, is
`control`'s for this process and `ask`'s for others. What is done for others while it waits
registers with `Pace.while_waiting`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from wl_core.errors import TrainingStopped
from wl_core.recorder import Recorder
from wl_core.requests import Request, Requests

# Fifty looks a second at a number in shared memory: 0.2 % of a core, and soon enough for a person.
_POLL_SECONDS = 0.02


class Pace:
    """Whether the training may go on.

    ``take_in`` reads what other processes appended. ``steps_left`` counts down to the next pause,
    None when nobody asked for one. ``stopped_by`` says who stopped the training, and why.
    """

    def __init__(self, recorder: Recorder, requests: Requests, take_in: Callable[[], None]) -> None:
        self._recorder = recorder
        self._take_in = take_in
        self.pausing = False
        self.stopping = False
        self.stopped_by = ""
        self.steps_left: int | None = None
        self.while_waiting: list[Callable[[], object]] = []
        self._paused_by = ("", "")  # who, why
        self._stopped_once = False
        requests.on("pause_requested", lambda request: self.pause(*_who_and_why(request)))
        requests.on("resume_requested", lambda _: self.resume())
        requests.on(
            "steps_requested",
            lambda request: self.step(request.field("count"), *_who_and_why(request)),
        )
        requests.on("stop_requested", lambda request: self.stop(*_who_and_why(request)))

    # -- what is asked ---------------------------------------------------------

    def pause(self, who: str = "", why: str = "") -> None:
        self.pausing = True
        self._paused_by = who, why

    def resume(self) -> None:
        self.pausing, self.steps_left = False, None

    def step(self, count: int, who: str = "", why: str = "") -> None:
        self.pausing, self.steps_left = False, count
        self._paused_by = who, why

    def stop(self, who: str = "", why: str = "") -> None:
        self.stopping = True
        self.stopped_by = said_by(who, why)

    # -- what is obeyed ----------------------------------------------------------

    def admit(self, phase: str) -> None:
        """Before an outermost guard is entered: waits, or ends the training.

        Raises:
            TrainingStopped: somebody asked for it. Testing guards are open again after that, for a
                script that catches it and evaluates once more.
        """
        if self.steps_left == 0:
            self.pausing = True
        if self.pausing and not self.stopping:
            self.wait()
        if self.stopping and (phase == "train" or not self._stopped_once):
            self._stopped_once = True
            raise TrainingStopped
        if phase == "train" and self.steps_left is not None:
            self.steps_left -= 1

    def wait(self, timeout: float | None = None) -> None:
        """Waits until somebody resumes or stops the training, at most ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self._recorder.add("paused", *self._paused_by)
        self._say()
        while self.pausing and not self.stopping:
            if deadline is not None and time.monotonic() >= deadline:
                self.resume()
                break
            time.sleep(_POLL_SECONDS)
            self._take_in()
            for job in self.while_waiting:
                job()
        self._recorder.add("resumed")

    def _say(self) -> None:
        by = said_by(*self._paused_by)
        where = f"paused at step {self._recorder.step}{by and ' '}{by}"
        print(f"{where}; `wl resume` lets it go on", file=sys.stderr)


def said_by(who: str, why: str) -> str:
    """``by anna@host: the loss explodes``; what is not known is left out."""
    return f"by {who}{why and ': '}{why}" if who else why


def _who_and_why(request: Request) -> tuple[str, str]:
    return request.field("who"), request.field("why")
