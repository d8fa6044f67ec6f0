"""Evaluation on demand: a pass over a watched loader between two training steps.

    @wl.eval_fn
    def evaluate(loader):
        for x, ids, y in loader:
            wl.save_signals({"test_loss": criterion(model(x), y)}, ids, log=True)

    wl.evaluate("test_loader")          # or from a terminal: wl evaluate test_loader

A training is the same, bit for bit, with and without it (`undisturbed`). What is done where the
script says nothing is `default_evaluation`'s; when it is done, `evaluation_queue`'s.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from wl_core.codec import SampleId
from wl_core.decisions import tagged_samples
from wl_core.errors import LogWriteError, RefusedError, UsageError, nearest
from wl_core.evaluation_means import Means
from wl_core.evaluation_queue import Wish
from wl_core.session import Session, session

if TYPE_CHECKING:
    from wl_core.watch.loader import TrackedLoader

_TELL_SECONDS = 0.2
_SHOWN_MEANS = 4

Evaluate = Callable[["EvaluationBatches"], object]
F = TypeVar("F", bound=Callable[..., object])
_registered: list[Evaluate] = []  # none or one


class EvaluationCancelled(BaseException):
    """Ends an evaluation function that was given up, as `GeneratorExit` ends a generator."""


# -- what a script calls ---------------------------------------------------------------------------


def eval_fn(function: F) -> F:
    """Registers ``function(loader)`` as how this script evaluates; the last one counts.

    ``loader`` gives the batches of the data that is asked for, as the watched loader does. What
    the function records while it runs, by `save_signals` or watched criterions, is the result:
    each batch is one frame of a testing guard, so that the function needs no guard. All watched
    models are in eval mode, and no gradients are recorded. The function is returned as it is.
    """
    _registered[:] = [function]
    return function


def forget_eval_fn() -> None:
    """As if none had been registered."""
    _registered.clear()


def evaluate(loader: str, tag: str | None = None) -> dict[str, float]:
    """Evaluates the model on the data of a watched loader, now.

    Without an `eval_fn` the watched model is called with each batch, and the watched criterions
    that the script has called with batches of that loader before with what it gives; where there
    are none, those that it has called with no other.

    Args:
        loader: the name that the loader was watched by.
        tag: only the samples with this tag.

    Returns:
        The mean of each signal over all samples; of those until then, if somebody gave the
        evaluation up.

    Raises:
        UsageError: within a guard, or while another evaluation runs.
        RefusedError: no such loader, no such samples, or nothing to evaluate with.
    """
    running = session()
    _refuse_within(running, "evaluate")
    outcome = conduct(running, Wish(loader, tag or ""))
    if outcome.failure is not None:
        raise outcome.failure
    return outcome.means


def run_pending_evaluation() -> bool:
    """Runs the evaluation that somebody asked for, if one waits; True if there was one.

    For loops that have no guards, or seldom: a guard, and a training that is paused, do it by
    themselves.

    Raises:
        UsageError: within a guard, or while another evaluation runs.
    """
    running = session()
    _refuse_within(running, "run_pending_evaluation")
    running.obey()
    return running.evaluations.run_pending()


def _refuse_within(running: Session, what: str) -> None:
    if running.evaluations.active:
        raise UsageError(f"{what}: an evaluation runs already, and this is within it")
    if running.recorder.current is not None:
        raise UsageError(f"{what}: an evaluation has guards of its own: call it outside of guards")


# -- what is to be done ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """The data of an evaluation and what is done with it; no ``ids`` are all of the loader's."""

    loader: TrackedLoader
    ids: list[SampleId] | None
    function: Evaluate


def plan_of(running: Session, wish: Wish) -> Plan:
    """How a wish is fulfilled.

    Raises:
        RefusedError: it cannot be.
    """
    loader = running.loaders.get(wish.origin)
    if loader is None:
        known = ", ".join(running.loaders) or "none is"
        raise RefusedError(
            f"no loader is watched as {wish.origin!r}.{nearest(wish.origin, running.loaders)}"
            f" Watched: {known}"
        )
    ids = _tagged(running, wish) if wish.tag else None
    if _registered:
        return Plan(loader, ids, _registered[0])
    from wl_core.default_evaluation import default_evaluation

    return Plan(loader, ids, default_evaluation(running, wish.origin))


def _tagged(running: Session, wish: Wish) -> list[SampleId]:
    with contextlib.suppress(LogWriteError):  # of a tag that could not be recorded nobody knows
        running.flush()
    found = tagged_samples(running.log.decisions(), wish.origin, wish.tag)
    if not found:
        raise RefusedError(f"no sample of {wish.origin!r} has the tag {wish.tag!r}")
    return found


# -- doing it --------------------------------------------------------------------------------------


class EvaluationBatches:
    """What an evaluation function iterates over: the batches, each within a guard of its own.

    What else the watched loader has (``dataset``, ``batch_size``, …) it has as well.
    """

    def __init__(self, running: Session, plan: Plan, means: Means) -> None:
        self._running = running
        self._loader = plan.loader
        self._ids = plan.ids
        self._means = means
        self._stopping_before = running.pace.stopping
        self._told = time.monotonic()
        self.done = 0  # samples

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._loader, name)

    def __len__(self) -> int:
        """The number of batches.

        Raises:
            TypeError: nobody knows: the data is a stream.
        """
        samples = self._loader.length_of_pass(self._ids)
        if samples is None:
            raise TypeError(f"nobody knows how many batches {self._loader.origin!r} has")
        return math.ceil(samples / self._loader.pass_batch_size)

    @property
    def batch_ids(self) -> list[SampleId]:
        """The ids of the batch that was given last."""
        return self._loader.batch_ids or []

    def __iter__(self) -> Iterator[Any]:
        batches, end = self._loader.pass_over(self._ids), object()
        try:
            while True:
                self._look_whether_given_up()
                self._running.enter("test")
                try:
                    batch = next(batches, end)
                    if batch is end:
                        return
                    self._means.weigh(self._running.recorder.current, len(self.batch_ids))
                    yield batch
                finally:
                    self._running.leave(None)
                self._count(len(self.batch_ids))
        finally:
            batches.close()  # type: ignore[attr-defined]  # a generator: it gives the loader back

    def _look_whether_given_up(self) -> None:
        running = self._running
        running.obey()
        stopped = running.pace.stopping and not self._stopping_before
        if running.evaluations.given_up or stopped:
            raise EvaluationCancelled

    def _count(self, samples: int) -> None:
        self.done += samples
        now = time.monotonic()
        if now - self._told >= _TELL_SECONDS:
            self._told = now
            self._running.recorder.add("evaluation_progressed", self.done)


@dataclass(slots=True)
class Outcome:
    """What came of an evaluation; ``failure`` is what ended it, None for one that went well."""

    samples: int = 0
    means: dict[str, float] = field(default_factory=dict)
    cancelled: bool = True  # until it has come to its end
    failure: Exception | None = None

    @property
    def error(self) -> str:
        return "".join(traceback.format_exception(self.failure)) if self.failure else ""


def conduct(running: Session, wish: Wish) -> Outcome:
    """Runs an evaluation and records it. An `Exception` of its function is part of the outcome."""
    outcome = Outcome()
    began = time.monotonic()
    try:
        plan = plan_of(running, wish)
        total = plan.loader.length_of_pass(plan.ids)
        samples = -1 if total is None else total
        running.recorder.add("evaluation_started", wish.origin, wish.tag, samples, wish.request)
        _pass(running, plan, outcome)
    except Exception as error:  # noqa: BLE001  # a script's own function may raise anything
        outcome.cancelled, outcome.failure = False, error
    finally:  # also when Ctrl-C ends it
        running.recorder.add(
            "evaluation_finished", wish.origin, wish.tag, outcome.samples, outcome.means,
            outcome.cancelled, outcome.error, wish.request,
        )  # fmt: skip
    if outcome.failure is None:
        _say(running, wish, outcome, time.monotonic() - began)
    return outcome


def _pass(running: Session, plan: Plan, outcome: Outcome) -> None:
    from wl_core.undisturbed import undisturbed

    means = Means()
    batches = EvaluationBatches(running, plan, means)
    running.recorder.settle()  # what was recorded before is no part of it
    queue = running.evaluations
    queue.active, queue.given_up = True, False
    running.listeners.append(means.take)
    try:
        with undisturbed(running), running.handover.aside():
            _call(running, plan.function, batches)
        outcome.cancelled = False
    except EvaluationCancelled:
        pass  # as `outcome` says already
    finally:
        running.recorder.settle()
        running.listeners.remove(means.take)
        queue.active = False
        outcome.samples, outcome.means = batches.done, means.as_dict()


def _call(running: Session, function: Evaluate, batches: EvaluationBatches) -> None:
    """Calls the function, and leaves the guards that it left open when it ended."""
    error: BaseException | None = None
    try:
        function(batches)
    except BaseException as raised:
        error = raised
        raise
    finally:
        while running.recorder.current is not None:
            running.leave(None if isinstance(error, EvaluationCancelled) else error)


def _say(running: Session, wish: Wish, outcome: Outcome, seconds: float) -> None:
    what = f"{wish.origin} ({wish.tag})" if wish.tag else wish.origin
    shown = [f"{name} {mean:.4g}" for name, mean in list(outcome.means.items())[:_SHOWN_MEANS]]
    if len(outcome.means) > _SHOWN_MEANS:
        shown.append("…")
    print(
        f"{'given up: ' if outcome.cancelled else ''}evaluated {what} at step {running.step}:"
        f" {outcome.samples} samples in {seconds:.1f} s: {', '.join(shown) or 'no values'}",
        file=sys.stderr,
    )
