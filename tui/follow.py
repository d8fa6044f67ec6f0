"""The follower: one thread that owns the run, reads what is new and answers questions about it.

No other thread ever touches the `Run`, so nothing needs a lock: the event loop gets `News`, which
nobody changes any more, and asks for everything else with `Follower.ask`. While nothing is written
the follower only looks whether something was. What a screen does with the news is its own business.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from textual.message import Message

from tui.lazy import LazyColumns
from tui.pasts import Pasts
from tui.sample_table import NO_ROWS, SampleRows, roles_of, sample_rows
from wl_core.codec import DamagedFrame, Event, frame_events
from wl_core.errors import ProjectionParkedError, RunNotFoundError
from wl_core.table import Table

if TYPE_CHECKING:
    from wl_core.curve import Curve
    from wl_core.run import Parked, Run, RunStatus

Answer = TypeVar("Answer")
INTERVAL = 0.25  # seconds between looks at the log
UNWATCHED = 5.0  # … while the terminal has not got the focus
STATUS_INTERVAL = 1.0  # seconds between looks at whether the process that trains still lives
REST = 6  # … and so many times what reading the views took, of the CPU
TAIL = 1_000  # events that the tail remembers
TAIL_BYTES = 1 << 20  # … and so much of frames: events of large batches are large
PACE_WINDOW = 10.0  # seconds over which steps per second are measured


@dataclass(frozen=True, slots=True, eq=False)
class News:
    """The run as it is now.

    ``signals`` are the columns of ``samples`` that were measured or computed, each with its role
    (``loss``, ``metric``, ``signal``); ``uncomputed`` those
    whose cells nobody has wanted so far (``Follower.lazy``), or are not there yet. ``events`` are
    those since the last news, the newest `TAIL` of them; ``events_reset`` says that they do not go
    on from the last ones but stand in place of all that were told before.

    ``moment`` is the step of the past that samples, curves and events are of, None: of now.
    ``moment_time`` is when its last event was written. Status and position are always of now.
    """

    status: RunStatus
    position: int
    log_position: int
    steps_per_second: float | None
    samples: Table
    sample_rows: SampleRows
    signals: Mapping[str, str]
    curves: Mapping[str, Curve]
    events: Sequence[Event]
    parked: Sequence[Parked]
    uncomputed: frozenset[str] = frozenset()
    moment: int | None = None
    moment_time: float | None = None
    events_reset: bool = False

    @property
    def step(self) -> int:
        """The step that is shown."""
        return self.status.step if self.moment is None else self.moment

    @property
    def behind(self) -> int:
        """Events that are in the log and not yet in the views."""
        return max(0, self.log_position - self.position)


class Advanced(Message):
    """There is news; whoever has shown it calls ``Follower.shown``."""

    def __init__(self, news: News) -> None:
        super().__init__()
        self.news = news


class RunGone(Message):
    """The run directory was removed; what was read of it can still be looked at."""


class FollowerDied(Message):
    """The follower met an error that it cannot go on from."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.traceback = "".join(traceback.format_exception(error))


class Pace:
    """Steps per second over the last few seconds of watching."""

    def __init__(self, window: float = PACE_WINDOW) -> None:
        self._window = window
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, now: float, step: int) -> None:
        self._seen.append((now, step))
        while now - self._seen[0][0] > self._window:
            self._seen.popleft()

    @property
    def steps_per_second(self) -> float | None:
        """None until a second has been watched."""
        if not self._seen:
            return None
        (first, low), (last, high) = self._seen[0], self._seen[-1]
        return (high - low) / (last - first) if last - first >= 1 else None


@dataclass(slots=True)
class _Question:
    job: Callable[[Run], Any]
    answer: Future[Any]
    of_now: bool  # whatever moment is shown


class Follower(threading.Thread):
    """Opens a run and follows it until `close`.

    Args:
        open_run: opens the run; called in the follower's thread, which alone uses what it returns.
        post: takes a message from any thread, as ``App.post_message`` does.
    """

    def __init__(
        self,
        open_run: Callable[[], Run],
        post: Callable[[Message], object],
        interval: float = INTERVAL,
    ) -> None:
        super().__init__(name="wl-follower", daemon=True)
        self._open_run = open_run
        self._post = post
        self._interval = interval
        self._questions: queue.SimpleQueue[_Question | None] = queue.SimpleQueue()
        self._nothing_unshown = threading.Event()
        self._nothing_unshown.set()
        self._closed = False
        self._gone = False
        self._tail: deque[Event] = deque(maxlen=TAIL)
        self._tail_position: int | None = None
        self._last_status: RunStatus | None = None
        self._pending = True  # there is something that no news has told yet
        self._pace = Pace()
        self._samples: tuple[Table, SampleRows] = (Table(()), NO_ROWS)
        self._uncomputed: frozenset[str] = frozenset()
        self.lazy = LazyColumns()
        self._past: Run | None = None  # what is shown, when that is not the present
        self._pasts = Pasts()
        self._told_moment = False  # whether news told of the moment that is shown
        self._tail_reset = False
        self._next_look = 0.0
        self._rest = 0.0  # seconds that are to pass before the views are read again
        self._pause = interval
        self._seen: tuple[int, float] = (-1, 0.0)  # the log's last transaction, and when
        self._taken_in = -1  # the position at which the tail was last read
        self._curves: Mapping[str, Curve] = {}
        self._signals: Mapping[str, str] = {}
        self.looks = 0

    # Called from the event loop

    @property
    def is_attentive(self) -> bool:
        """Whether somebody is thought to look."""
        return self._pause == self._interval

    def set_attentive(self, is_attentive: bool) -> None:
        """Whether somebody looks: if not, the log is looked at seldom, but it still is.

        A terminal without the focus may be in sight, beside the one that is typed in.
        """
        self._pause = self._interval if is_attentive else UNWATCHED
        if is_attentive:
            self.ask(lambda run: self._look_now(), of_now=True)

    def ask(self, job: Callable[[Run], Answer], *, of_now: bool = False) -> Future[Answer]:
        """Run ``job`` in the follower's thread; a question cancelled in time is never asked.

        It gets the run as it is shown, which may be as it was (`show_step`), or that ``of_now``.
        """
        answer: Future[Answer] = Future()
        if self._closed:
            answer.cancel()
        else:
            self._questions.put(_Question(job, answer, of_now))
        return answer

    def show_step(self, step: int | None) -> Future[None]:
        """Tell of the run as it was at that step from now on; None: as it is.

        The future fails with UsageError when the run has no such step.
        """
        return self.ask(lambda run: self._go_to(run, step), of_now=True)

    def shown(self) -> None:
        """The last news is on the screen: the next may come."""
        self._nothing_unshown.set()
        if not self._told_moment:  # whoever moves in time waits for it
            self.ask(lambda _: self._look_now(), of_now=True)

    def close(self, timeout: float = 5.0) -> None:
        """End the thread, which closes the run."""
        self._closed = True
        self._questions.put(None)
        if self.ident is not None:  # it may never have been started
            self.join(timeout)

    # The thread

    def run(self) -> None:
        try:
            with closing(self._open_run()) as run:
                try:
                    self._follow(run)
                finally:
                    self._pasts.close()
        except Exception as error:  # noqa: BLE001  # a dead follower must say so, on the screen
            self._closed = True
            self._refuse_questions()
            self._post(FollowerDied(error))

    def _follow(self, run: Run) -> None:
        while True:
            wait = self._next_look - time.monotonic()
            if wait > 0:
                try:
                    question = self._questions.get(timeout=wait)
                except queue.Empty:
                    continue
                if question is None:
                    return
                _answer(question, run if question.of_now else self._past or run)
            else:
                self._look(run)
                self._next_look = time.monotonic() + self._pause

    def _look_now(self) -> None:
        self._next_look = self._rest = 0.0

    def _go_to(self, run: Run, step: int | None) -> None:
        if step is None:
            self._pasts.close()
            self._past = None
        elif not run.path.exists():
            raise RunNotFoundError(f"{run.path} was removed: its past cannot be read any more")
        else:
            self._past = self._pasts.at(run, step)
        self._told_moment = False
        self.lazy.forget()
        self._pending = True
        self._read_tail(self._past or run)
        self._look_now()  # whoever moves in time waits for it

    def _refuse_questions(self) -> None:
        while not self._questions.empty():
            question = self._questions.get()
            if question is not None:
                question.answer.cancel()

    def _look(self, run: Run) -> None:
        """Fold what is new and tell, unless what was told last is not shown yet."""
        self.looks += 1
        if not self._gone and not run.path.exists():
            self._gone = True
            self._post(RunGone())
        if not self._gone and self._may_be_news(run):
            # A long log shows as far as it is folded.
            folded = run.refresh(budget_seconds=self._interval)
            self._take_in(run, folded, run.status())
        # What takes long is not done all the time: keys are waited for in the same process.
        is_due = self._pending and time.monotonic() >= self._rest
        if (is_due or self.lazy.is_due) and self._nothing_unshown.is_set():
            if self._last_status is None:
                return  # it was gone before anything was read
            self._nothing_unshown.clear()
            self._pending = False
            began = time.thread_time()
            news = self._news(run, self._last_status)
            self._rest = time.monotonic() + REST * (time.thread_time() - began)
            self._post(Advanced(news))

    def _may_be_news(self, run: Run) -> bool:
        """Nobody wrote to the log, all of it is folded: that is known in microseconds."""
        now, transaction = time.monotonic(), run.log.environment.last_transaction()
        is_same = transaction == self._seen[0] and now < self._seen[1] + STATUS_INTERVAL
        if is_same and run.position == self._taken_in == run.log.next_position:
            return False
        self._seen = transaction, now
        return True

    def _take_in(self, run: Run, folded: int, status: RunStatus) -> None:
        self._pace.see(time.monotonic(), status.step)
        # Not that alone: a question may have made the run fold in between.
        if folded or run.position != self._taken_in or status != self._last_status:
            self._pending = True
            self._taken_in, self._last_status = run.position, status
            self._read_tail(self._past or run)

    def _read_tail(self, shown: Run) -> None:
        start, end = self._tail_position, shown.position
        if start is None or not 0 <= end - start <= TAIL:
            start = max(0, end - TAIL)
            self._tail.clear()
            self._tail_reset = True
        self._tail.extend(event for event in _newest(shown, start, end) if event.position >= start)
        self._tail_position = end

    def _news(self, run: Run, status: RunStatus) -> News:
        events, reset = tuple(self._tail), self._tail_reset
        self._tail.clear()
        self._tail_reset = False
        shown = self._past or run
        # The past does not change: it is read once, and again for a column that was wanted since.
        if self._past is None or not self._told_moment or self.lazy.is_due:
            self._read_views(shown)
        self._told_moment = True
        return News(
            status=status,
            position=run.position,
            log_position=run.log.next_position,
            steps_per_second=self._pace.steps_per_second,
            samples=self._samples[0],
            sample_rows=self._samples[1],
            signals=self._signals,
            curves=self._curves,
            events=events,
            parked=tuple(run.parked),
            uncomputed=self._uncomputed,
            moment=shown.last_step,
            moment_time=None if self._past is None else _time_of(self._past),
            events_reset=reset,
        )

    def _read_views(self, shown: Run) -> None:
        # A parked view cannot be read: what it showed last stays, and the status line says so.
        with suppress(ProjectionParkedError):
            table, self._uncomputed = self.lazy.shown(shown, shown.samples())
            self._samples = table, sample_rows(shown)
        with suppress(ProjectionParkedError):
            self._curves = shown.curves()
            signals = (*self._curves, *shown.view("samples").signals)
            self._signals = roles_of(shown, signals)


def _newest(shown: Run, start: int, end: int) -> Iterator[Event]:
    """The events between these positions; where frames are large, only the newest."""
    # What is damaged is named in the status by its projection, and by `wl verify`.
    frames = [one for one in shown.log.frames(start, end) if not isinstance(one, DamagedFrame)]
    first, size = len(frames), 0
    while first and size < TAIL_BYTES:
        first -= 1
        size += sum(len(blob) for blob in frames[first].blobs[1::2])
    for frame in frames[first:]:
        yield from frame_events(frame)


def _time_of(past: Run) -> float | None:
    """When the last event of that past was written."""
    last = past.log.last_frame(past.position)
    return None if last is None else last.time


def _answer(question: _Question, run: Run) -> None:
    if not question.answer.set_running_or_notify_cancel():
        return
    try:
        answer = question.job(run)
    except Exception as error:  # noqa: BLE001  # it is the asker's error and reaches the asker
        question.answer.set_exception(error)
    else:
        question.answer.set_result(answer)
