"""The command ``wl tui``, given to the command line by the same hook that any plugin uses."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wl_core.cli_options import run_options
from wl_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from tui.pane import Pane

WEB_PORT = 8765


@click.command()
@run_options
@click.option("--web", is_flag=True, help="Serve it to one browser, from this machine only.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="With --web: 8765 by default, 0 for any free one."
)
@click.option(
    "--allow-control", is_flag=True, help="With --web: it may decide and steer, not only look."
)
def tui(run: str | None, root: Path, web: bool, port: int | None, allow_control: bool) -> None:
    """Watch a run in the terminal: samples, instances, images, curves, events, live.

    Keys are in the footer, all of them behind `?`, and ctrl+p finds them by name. Colours, keys and
    the mouse are set in tui.toml in wl's configuration directory (docs/reference/keys.md). Without
    a terminal use `wl samples`, `wl instances` and `wl events --follow`, which print the same.

    --web shows the same in a browser: it prints a link that one browser can open, once. Needs
    `pip install 'wl[web]'`.

    \b
    Example:
      wl tui
    """
    if web:
        serve(run, root, WEB_PORT if port is None else port, allow_control)
        return
    if port is not None or allow_control:
        raise click.UsageError("--port and --allow-control are for --web, which is not given")
    problem = why_not_here(sys.stdin.isatty() and sys.stdout.isatty(), os.environ.get("TERM", ""))
    if problem:
        raise click.ClickException(problem)
    from wl_core.run import find_run

    watch(find_run(run, root))


def why_not_here(is_terminal: bool, term: str) -> str:
    """Why no application can be drawn here, and what to use instead; empty when it can."""
    twin = "use `wl samples`, `wl instances SAMPLE` or `wl events --follow` instead"
    if not is_terminal:
        return f"`wl tui` needs a terminal, and this is a pipe or a file: {twin}"
    if term in ("", "dumb", "unknown"):
        return f"`wl tui` cannot draw on a terminal of TERM={term or '(unset)'}: {twin}"
    return ""


def watch(path: Path) -> None:
    """Open the application on a run and return when it is left; the terminal is as it was."""
    from tui.ahead import read_ahead

    opened = read_ahead(path)  # before the imports, which take as long
    from tui.app import WlApp
    from tui.config import config_file, load_config

    config = load_config(config_file())
    app = WlApp(path, config=config, open_first=opened)
    app.run(mouse=config.mouse)
    if app.not_kept:
        click.echo(app.not_kept, err=True)
    if app.return_code:  # it failed, or was ended from outside
        sys.exit(app.return_code)


def serve(run: str | None, root: Path, port: int, allow_control: bool) -> None:
    """Serve the application on a run to one browser until Ctrl-C."""
    from wl_core.arrow import needed
    from wl_core.directory import find_run

    needed("textual_serve", "web")
    from tui.web.command import serve

    serve(find_run(run, root), port, allow_control=allow_control)


@hookimpl
def wl_cli_commands() -> Sequence[click.Command]:
    return [tui]


@hookimpl
def wl_tui_panes() -> Sequence[type[Pane]]:
    from tui.panes.control import ControlPane
    from tui.panes.curves import CurvesPane
    from tui.panes.events import EventsPane
    from tui.panes.instances import InstancesPane
    from tui.panes.picture import PicturePane
    from tui.panes.plugins import PluginsPane
    from tui.panes.samples import SamplesPane
    from tui.panes.slices import SlicesPane

    return [
        SamplesPane,
        InstancesPane,
        PicturePane,
        CurvesPane,
        EventsPane,
        SlicesPane,
        ControlPane,
        PluginsPane,
    ]
