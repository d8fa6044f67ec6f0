"""Pace: whether the training may go on, and how far.

The training obeys at its next guard and uses no CPU while it waits. Who asks, and how, is
`control`'s for this process and `requests`' for others. What is done for others while it waits
registers with `Pace.while_waiting`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from wl_core.errors import TrainingStopped
from wl_core.recorder import Recorder
from wl_core.requests import Request, Requests

_POLL_SECONDS = 0.02


class Pace:
    """Whether the training may go on.

    ``take_in`` reads what other processes appended. ``steps_left`` counts down to the next pause,
    None when nobody asked for one.
    """

    def __init__(self, recorder: Recorder, requests: Requests, take_in: Callable[[], None]) -> None:
        self._recorder = recorder
        self._take_in = take_in
        self.pausing = False
        self.stopping = False
        self.steps_left: int | None = None
        self.while_waiting: list[Callable[[], None]] = []
        self._stopped_once = False
        requests.on("pause_requested", lambda _: self.pause())
        requests.on("resume_requested", lambda _: self.resume())
        requests.on("steps_requested", self._step)
        requests.on("stop_requested", lambda _: self.stop())

    # -- what is asked ---------------------------------------------------------

    def pause(self) -> None:
        self.pausing, self.steps_left = True, None

    def resume(self) -> None:
        self.pausing, self.steps_left = False, None

    def stop(self) -> None:
        self.stopping = True

    def step(self, count: int) -> None:
        self.pausing, self.steps_left = False, count

    def _step(self, request: Request) -> None:
        self.step(request.field("count"))

    # -- what is obeyed ----------------------------------------------------------

    def admit(self, phase: str) -> None:
        """Before the first guard of a step is entered: waits, or ends the training.

        Raises:
            TrainingStopped: somebody asked for it. Testing guards are open again after that, for a
                script that catches it and evaluates once more.
        """
        if self.steps_left == 0:
            self.pause()
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
        self._recorder.add("paused")
        print(f"paused at step {self._recorder.step}; `wl resume` lets it go on", file=sys.stderr)
        while self.pausing and not self.stopping:
            if deadline is not None and time.monotonic() >= deadline:
                self.resume()
                break
            time.sleep(_POLL_SECONDS)
            self._take_in()
            for job in self.while_waiting:
                job()
        self._recorder.add("resumed")
