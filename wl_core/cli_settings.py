"""`wl set`: hyperparameters, and settings of optimizers and loaders, while a training runs.

What may take the place of what is `setting_values`' business; how a training is asked, `ask`'s.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wl_core.cli_options import (
    at_step_option,
    json_option,
    opened,
    root_option,
    run_option,
    why_option,
)

if TYPE_CHECKING:
    from wl_core.run import Run

_SECONDS = 2.0


@click.command("set")
@click.argument("assignments", nargs=-1, metavar="[NAME=VALUE]...")
@run_option
@root_option
@why_option
@at_step_option
@json_option
def set_command(
    assignments: tuple[str, ...],
    run: str | None,
    root: Path,
    why: str,
    at_step: int | None,
    as_json: bool,
) -> None:
    """Set hyperparameters of a run, which its training obeys at its next guard.

    NAME is that of a hyperparameter, with dots, or OPTIMIZER.lr, LOADER.batch_size, …; VALUE is
    YAML: 1e-4, true, [1, 2], text. It must be of the type that it replaces. Several are set at
    once or, if one is refused, not at all. When no training runs, they hold once the run is
    continued.

    Without NAME=VALUE all names are listed, with what they are set to, by whom, and when.

    \b
    Examples:
      wl set
      wl set optimizer.lr=1e-4 --why "the loss jumps"
      wl set batch_size=16 augment=false --run baseline
    """
    if assignments and at_step is not None:
        raise click.UsageError(
            "the past cannot be changed: --at-step is for the list", click.get_current_context()
        )
    with opened(run, root, at_step) as reader:
        if assignments:
            _set(reader, assignments, why)
        else:
            _list(reader, as_json)


def _list(reader: Run, as_json: bool) -> None:
    from wl_core.cli_output import for_a_person, print_rows
    from wl_core.setting_values import shown

    settings = reader.view("hyperparameters").settings()
    exact = shown if for_a_person() and not as_json else lambda value: value
    rows = [(name, exact(one.value), one.who, one.step, one.why) for name, one in settings.items()]
    print_rows(("name", "value", "who", "step", "why"), rows, as_json=as_json)


def _set(reader: Run, assignments: tuple[str, ...], why: str) -> None:
    """Asks the training, and prints what it makes of it."""
    from wl_core import ask
    from wl_core.errors import RefusedError
    from wl_core.setting_values import read_assignments, shown
    from wl_core.status import ALIVE

    before = reader.hyperparameters()
    values = read_assignments(assignments, before)
    alive = reader.status().state in ALIVE
    position = reader.append("hyperparameters", values=values, who=ask.whoever_asks(), why=why)
    found = ask.answer(reader, position, seconds=_SECONDS) if alive else None
    if found is not None and found.refused:
        raise RefusedError(found.refused)
    if found is not None:
        said = f"obeyed at step {found.step}"
    elif alive and reader.status().state in ALIVE:
        said = "the training obeys when it reaches its next guard"
    else:
        said = "no training runs; it holds when the run is continued"
    for name, value in values.items():
        print(f"{name} {shown(before[name])} -> {shown(value)}, {said}")
    sys.stdout.flush()


COMMANDS = (set_command,)
