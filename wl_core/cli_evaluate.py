"""`wl evaluate`: an evaluation in the training's process, seen from another one."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wl_core.cli_control import waiting_notice
from wl_core.cli_options import json_option, opened, run_options, why_option

if TYPE_CHECKING:
    from wl_core.requests import Request
    from wl_core.run import Run

_CANCEL_SECONDS = 10.0


@click.command()
@click.argument("loader", required=False)
@run_options
@click.option("--tag", default="", help="Only the samples with this tag.")
@click.option("--cancel", is_flag=True, help="Give up what runs and what waits instead.")
@click.option("--no-wait", is_flag=True, help="Ask only; do not wait for the means.")
@json_option
@why_option
def evaluate(
    loader: str | None,
    run: str | None,
    root: Path,
    tag: str,
    cancel: bool,
    no_wait: bool,
    as_json: bool,
    why: str,
) -> int:
    """Evaluate the model on the data of LOADER, and print the mean of each signal.

    LOADER is the name that the script watches it by. The training does it between two steps, or
    while it waits, and is the same with and without. Ctrl-C gives the evaluation up. With --cancel
    there is no LOADER, and RUN is what stands alone.

    \b
    Examples:
      wl evaluate test_loader
      wl evaluate train_loader --tag hard --json
      wl evaluate --cancel
    """
    from wl_core import ask

    if cancel:
        if run is not None:
            raise click.UsageError("--cancel takes no LOADER: it gives up whatever is evaluated")
        with opened(loader, root) as reader:
            ask.require_training(reader, "give up")
            return _cancel(reader, why)
    if loader is None:
        raise click.UsageError("LOADER is missing: the name that the script watches it by")
    with opened(run, root) as reader:
        ask.require_training(reader, "evaluate")
        position = ask.evaluate(reader, loader, tag, ask.whoever_asks(), why)
        if no_wait:
            print("asked; the training evaluates when it reaches its next guard")
            return 0
        return _follow(reader, position, as_json)


def _cancel(reader: Run, why: str) -> int:
    from wl_core import ask
    from wl_core.errors import RefusedError

    position = ask.cancel_evaluation(reader, ask.whoever_asks(), why)
    found = ask.answer(reader, position, notice=waiting_notice())
    if found is not None and found.refused:
        raise RefusedError(found.refused)
    print("given up" if found else "asked; the training gives it up at its next batch or guard")
    return 0


def _follow(reader: Run, position: int, as_json: bool) -> int:
    """Waits for the end of the evaluation that was asked for, with a bar where somebody looks."""
    from wl_core import ask

    try:
        finished = _finished(reader, position)
        interrupted = False
    except KeyboardInterrupt:
        ask.cancel_evaluation(reader, ask.whoever_asks(), "Ctrl-C")
        finished = _finished(reader, position, _CANCEL_SECONDS)
        interrupted = True
    if finished is None:
        ask.require_training(reader, "evaluate")
        raise click.ClickException("the training has not given it up yet: it will between batches")
    _print(finished, as_json)
    return 130 if interrupted else 0


def _finished(reader: Run, position: int, seconds: float | None = None) -> Request | None:
    """The event that ends the evaluation; None if the training, or the time, ended before it."""
    from wl_core import ask
    from wl_core.cli_progress import progress_bar
    from wl_core.errors import RefusedError

    notice, began, started = waiting_notice(), time.monotonic(), None
    with ExitStack() as shown:
        update: Any = None
        for event in ask.news(reader, position, seconds):
            if event is None:
                if started is None:
                    notice(time.monotonic() - began)
                continue
            name = event.kind.name
            if name == "obeyed" and event.field("request") == position and event.field("refused"):
                raise RefusedError(event.field("refused"))
            if name == "evaluation_started" and event.field("request") == position:
                started = event
                update = shown.enter_context(
                    progress_bar(event.field("origin"), max(event.field("samples"), 0))
                )
            elif name == "evaluation_progressed" and started is not None:
                done = event.field("done")
                update(done, max(done, started.field("samples")))
            elif name == "evaluation_finished" and event.field("request") == position:
                return event
    return None


def _print(finished: Request, as_json: bool) -> None:
    """The means as rows; what went wrong is an error."""
    from wl_core.cli_output import print_rows

    if error := finished.field("error"):
        raise click.ClickException(f"the evaluation failed: {error.strip().splitlines()[-1]}")
    means = finished.field("means")
    print_rows(("signal", "mean"), list(means.items()), as_json=as_json)
    samples, step = finished.field("samples"), finished.frame.step
    if finished.field("cancelled"):
        print(f"given up after {samples} samples, at step {step}", file=sys.stderr)
    else:
        print(f"{samples} samples at step {step}", file=sys.stderr)


COMMANDS = (evaluate,)
