"""`wl pause`, `wl resume`, `wl step` and `wl stop`: how fast a training goes on.

Each asks (`ask`) and waits a few seconds for the answer, so that what is printed is what happened.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wl_core.cli_options import opened, run_options, why_option

if TYPE_CHECKING:
    from wl_core.run import Run

_SECONDS = 5.0
_NOTICE_SECONDS = 0.5


@click.command()
@run_options
@why_option
def pause(run: str | None, root: Path, why: str) -> None:
    """Let the training wait at its next guard.

    It uses no CPU while it waits, and goes on with `wl resume`, `wl step` or `wl stop`.

    \b
    Example:
      wl pause --why "the loss explodes"
    """
    from wl_core import ask

    with opened(run, root) as reader:
        before = ask.require_training(reader, "pause")
        if before == "paused":
            print(f"it is paused already, at step {reader.log.model_age}")
            return
        position = ask.pause(reader, ask.whoever_asks(), why)
        _tell(reader, position, "paused", "paused at step {step}", "it pauses at its next guard")


@click.command()
@run_options
@why_option
def resume(run: str | None, root: Path, why: str) -> None:
    """Let a paused training go on.

    \b
    Example:
      wl resume
    """
    from wl_core import ask

    with opened(run, root) as reader:
        before = ask.require_training(reader, "resume")
        position = ask.resume(reader, ask.whoever_asks(), why)
        then = "resumed" if before == "paused" else None
        _tell(reader, position, then, "training goes on from step {step}", "it goes on")


@click.command()
@click.argument("count", type=click.IntRange(min=1), default=1, metavar="[N]")
@run_options
@why_option
def step(count: int, run: str | None, root: Path, why: str) -> None:
    """Let the training do N steps (1 by default), and then wait.

    A step is one training guard. N stands before RUN, which cannot be given without it.

    \b
    Examples:
      wl step
      wl step 3 --why "look at the first batches"
    """
    from wl_core import ask

    with opened(run, root) as reader:
        ask.require_training(reader, "step")
        position = ask.step(reader, count, ask.whoever_asks(), why)
        steps = "1 step" if count == 1 else f"{count} steps"
        said = f"training does {steps} from step {{step}} on and pauses"
        _tell(reader, position, None, said, "")


@click.command()
@run_options
@why_option
def stop(run: str | None, root: Path, why: str) -> None:
    """End the training at its next guard, in order; a paused one too.

    The script ends there as by `sys.exit()`, with status 0, unless it has something left to do.

    \b
    Example:
      wl stop --why "it has converged"
    """
    from wl_core import ask

    with opened(run, root) as reader:
        ask.require_training(reader, "stop")
        position = ask.stop(reader, ask.whoever_asks(), why)
        _tell(reader, position, "run_finished", "stopped at step {step}", "it has begun to end")


def _tell(reader: Run, position: int, then: str | None, done: str, coming: str) -> None:
    """Waits for the answer and prints it."""
    from wl_core import ask
    from wl_core.errors import RefusedError

    found = ask.answer(reader, position, then=then, seconds=_SECONDS, notice=waiting_notice())
    if found is None:
        ask.require_training(reader, "obey")  # it may have ended instead
        print("asked; the training obeys when it reaches its next guard")
    elif found.refused:
        raise RefusedError(found.refused)
    elif not found.followed:
        print(f"the training has heard it at step {found.step}: {coming}")
    else:
        said = done.format(step=found.step)
        print(f"{said}, {shortly(found.seconds)} after it was asked")


def shortly(seconds: float) -> str:
    """``34 ms``, ``3.4 s``"""
    return f"{1000 * max(0.0, seconds):.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def waiting_notice() -> Callable[[float], None]:
    """Says on a terminal, once, that the training takes its time."""
    said = not sys.stderr.isatty()

    def notice(seconds: float) -> None:
        nonlocal said
        if not said and seconds >= _NOTICE_SECONDS:
            said = True
            print("waiting for the training to reach its next guard", file=sys.stderr)

    return notice


COMMANDS = (pause, resume, step, stop)
