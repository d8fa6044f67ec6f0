"""The `wl` command: its group, its errors, and the commands that list runs and plugins.

The other built-in commands are in `cli_events`, `cli_views` and `cli_replay`; how rows are printed
is `cli_output`'s business, and plugins add commands by the hook ``wl_cli_commands``. Nothing here
imports torch, and what is slow to import is imported by the command that needs it, so that
``wl --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from wl_core import (
    cli_backfill,
    cli_branch,
    cli_control,
    cli_curation,
    cli_curves,
    cli_evaluate,
    cli_events,
    cli_export,
    cli_filters,
    cli_replay,
    cli_settings,
    cli_views,
)
from wl_core.cli_options import json_option, opened, root_option, run_options
from wl_core.errors import PluginError, RefusedError, UsageError, WlError, nearest


class WlGroup(click.Group):
    """The built-in commands, and those of plugins, which are loaded when one may be meant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._of_plugins()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or self._of_plugins().get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            hint = nearest(args[0], self.list_commands(ctx))
            raise click.UsageError(f"there is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # Before click sees it, which would print an empty line on stderr.
            return 130

    def _of_plugins(self) -> dict[str, click.Command]:
        from wl_core.plugins import load_plugins

        plugins = load_plugins()
        found: dict[str, click.Command] = {}
        for plugin, command in plugins.collect_named("wl_cli_commands"):
            if not isinstance(command, click.Command):
                problem = f"{command!r} is not a click command"
            elif not command.name or command.name in {*self.commands, *found}:
                problem = f"the command name {command.name!r} is taken"
            else:
                found[command.name] = command
                continue
            plugins.fail(plugin, "wl_cli_commands", PluginError(problem))
        return found


@click.group(cls=WlGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wl", message="%(prog)s %(version)s")
def group() -> None:
    """Look at training runs: what happened, sample by sample.

    RUN is a run's name or path; the newest one under --root when it is left out. Output is
    aligned on a terminal, tab-separated with a header line in a pipe, and JSON with --json.

    \b
      wl demo                         train on real images and watch
      wl samples --sort loss --desc   the worst samples of the newest run
      wl events --follow              what happens, as it happens
    """


@group.command()
@root_option
@json_option
def runs(root: Path, as_json: bool) -> None:
    """List runs, the newest first.

    \b
    Example:
      wl runs --json | jq -r '.[] | select(.state == "crashed") | .path'
    """
    from wl_core.cli_output import for_a_person, local_time, print_rows
    from wl_core.directory import list_runs
    from wl_core.run_facts import run_facts

    found = [run_facts(path) for path in list_runs(root)]
    person = for_a_person() and not as_json
    if person and not found:
        raise click.ClickException(f"there are no runs under {root}: try `wl demo`")

    def time(seconds: float | None) -> Any:
        return local_time(seconds) if person and seconds else seconds

    names = ("name", "state", "step", "events", "since", "path", "detail", "began", "bytes")
    rows = [
        (
            one.name, one.state, one.step, one.events, time(one.since), str(one.path), one.detail,
            time(one.began), one.bytes,
        )
        for one in found
    ]  # fmt: skip
    print_rows(names, rows, as_json=as_json)


@group.command()
@run_options
@json_option
@click.option("--tracebacks", is_flag=True, help="Print the tracebacks of failures as well.")
def plugins(run: str | None, root: Path, as_json: bool, tracebacks: bool) -> None:
    """List plugins, what they implement and how they are.

    A plugin is "ok", "degraded" (in use, but something of it failed) or "failed" (not in use). The
    views of RUN, if there is one, are brought up to date first: one that fails is told here.

    \b
    Example:
      wl plugins --tracebacks
    """
    from wl_core.cli_output import print_rows
    from wl_core.directory import list_runs
    from wl_core.plugins import plugin_report

    if run is not None or list_runs(root):
        with opened(run, root) as reader:
            reader.refresh()
    names = ["name", "state", "dist", "version", "hooks", "detail"]
    report = plugin_report()
    rows: list[list[Any]] = [
        [one.name, one.state, one.dist, one.version, list(one.hooks), one.detail] for one in report
    ]
    if as_json:
        names.append("traceback")
        rows = [[*row, one.traceback] for row, one in zip(rows, report, strict=True)]
    else:
        rows = [[*row[:4], " ".join(row[4]), row[5]] for row in rows]
    print_rows(names, rows, as_json=as_json)
    if tracebacks and not as_json:
        for one in report:
            if one.traceback:
                print(f"\n{one.name}:\n{one.traceback}", end="")


for _command in (
    *cli_views.COMMANDS,
    *cli_curves.COMMANDS,
    *cli_events.COMMANDS,
    *cli_export.COMMANDS,
    *cli_filters.COMMANDS,
    *cli_replay.COMMANDS,
    *cli_backfill.COMMANDS,
    *cli_branch.COMMANDS,
    *cli_control.COMMANDS,
    *cli_evaluate.COMMANDS,
    *cli_settings.COMMANDS,
    *cli_curation.COMMANDS,
):
    group.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits: 0 done, 1 failed, 2 called wrongly, 130 interrupted."""
    warnings.formatwarning = lambda message, *_args, **_kwargs: f"wl: {message}\n"
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        status = group.main(arguments, prog_name="wl", standalone_mode=False)
        sys.stdout.flush()
    except (click.ClickException, WlError) as error:
        return _explain(error)
    except click.Abort:
        return 130
    except BrokenPipeError:
        # `wl samples | head` is no failure. The interpreter flushes once more when it exits, so
        # what is left goes where it disturbs nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status if isinstance(status, int) else 0


def _explain(error: click.ClickException | WlError) -> int:
    """Says on stderr what is wrong, and gives the exit status."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return 2
    message = error.format_message() if isinstance(error, click.ClickException) else str(error)
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "wl"
        message += f" (`{command} --help` explains)"
    print(f"wl: {message}", file=sys.stderr)
    if isinstance(error, RefusedError):  # the call was right, the training cannot do it
        return 1
    return 2 if isinstance(error, click.UsageError | UsageError) else 1
