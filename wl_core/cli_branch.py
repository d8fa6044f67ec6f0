"""`wl branch` and `wl diff`: a second future of a run, and how two runs differ."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from wl_core.cli_options import opened, root_option
from wl_core.cli_progress import progress_bar


@click.command()
@click.argument("run")
@click.argument("new")
@click.option(
    "--at-step",
    "step",
    type=click.IntRange(min=0),
    required=True,
    help="The last step that is shared, as in `wl replay --at-step`.",
)
@root_option
def branch(run: str, new: str, step: int, root: Path) -> None:
    """Make a run NEW that shares the past of RUN up to a step and has its own future.

    NEW is a name under --root, or a path. It holds what RUN had recorded when step --at-step was
    over, with its saved models; RUN is left as it is and may go on training. Start a script on NEW
    (`wl.start_run`) to train it on.

    Steps are counted from 0: after --at-step 499 a model has been through 500 steps.

    \b
    Example:
      wl branch baseline --at-step 499 other-rate
    """
    from wl_core.branch import branch_path, branch_run

    with opened(run, root) as parent, progress_bar("copying", 0) as progress:
        made = branch_run(parent, step, branch_path(new, root), progress)
        name = parent.name
    if made.models:
        newest = made.models[-1]
        weights = f"its newest saved model is of age {newest.age}"
        weights += "" if newest.step == made.step else f", from step {newest.step}"
    else:
        weights = "no saved model came with it"
    print(
        f"{made.path} shares {made.events:,} events with {name} and goes on at step {made.step};"
        f" {weights}"
    )
    sys.stdout.flush()


@click.command()
@click.argument("one", metavar="RUN_A")
@click.argument("other", metavar="RUN_B")
@click.option("--signal", help="Compare samples by this signal; the first loss by default.")
@click.option("--limit", type=click.IntRange(min=1), default=10, help="So many samples (10).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@root_option
def diff(one: str, other: str, signal: str | None, limit: int, as_json: bool, root: Path) -> None:
    """Show where two runs part: in events, settings, tags, curves and worst samples.

    Runs part at the first event that says something else, whenever and by whomever it was
    recorded; what a process tells anew when it begins does not count. Curves are compared over the
    steps that both have, samples by their latest values.

    \b
    Example:
      wl diff baseline other-rate --signal train_loss
    """
    from wl_core.diff import where_they_part
    from wl_core.diff_report import print_report, report

    with opened(one, root) as a, opened(other, root) as b:
        with progress_bar("comparing", 0) as progress:
            parting = where_they_part(a.log, b.log, progress)
        print_report(report(a, b, parting, signal, limit), as_json=as_json)


COMMANDS = (branch, diff)
