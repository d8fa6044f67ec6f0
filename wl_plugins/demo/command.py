"""The command `wl demo`: trains a walk-through and shows it, live or as a table.

On a terminal the training is a process of its own, as a user's would be, and the TUI reads what it
writes. What is trained is the business of `train` and `mislabels`, what is shown the TUI's; torch
is imported by the training alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import click
from click.core import ParameterSource

from wl_core.cli_options import root_option
from wl_core.errors import WlError
from wl_core.hookspecs import hookimpl
from wl_plugins.demo import EPOCHS, NOISE, STEPS

OUTPUT_FILE = "train.log"

_SECONDS_TO_BEGIN = 120.0  # importing torch from a cold disk takes most of a minute
_SECONDS_TO_END = 15.0


class DemoError(WlError):
    """The demo's training did not begin, or ended with an error; its output says why."""


@hookimpl
def wl_cli_commands() -> Sequence[click.Command]:
    return [demo]


class Walk(ABC):
    """One of the walk-throughs, with what was asked of it."""

    module: ClassVar[str]
    """Run as a script, it trains; it takes `arguments` and ``--run``."""

    @abstractmethod
    def arguments(self) -> list[str]: ...

    @abstractmethod
    def train(self) -> None:
        """Trains in this process, into the run that has begun."""

    @abstractmethod
    def print_result(self, path: Path) -> None:
        """Says what came out, from the run alone."""


@dataclass(frozen=True)
class Nuclei(Walk):
    module = "wl_plugins.demo.train"
    steps: int
    seed: int

    def arguments(self) -> list[str]:
        return ["--steps", str(self.steps), "--seed", str(self.seed)]

    def train(self) -> None:
        from wl_plugins.demo.train import train

        train(self.steps, seed=self.seed)

    def print_result(self, path: Path) -> None:
        from wl_plugins.demo.worst import print_worst

        print_worst(path)


@dataclass(frozen=True)
class Mislabels(Walk):
    module = "wl_plugins.demo.mislabels"
    epochs: int
    noise: float
    seed: int

    def arguments(self) -> list[str]:
        given = {"--epochs": self.epochs, "--noise": self.noise, "--seed": self.seed}
        return [text for option, value in given.items() for text in (option, str(value))]

    def train(self) -> None:
        from wl_plugins.demo.mislabels import train_on_digits

        train_on_digits(self.epochs, self.noise, seed=self.seed)

    def print_result(self, path: Path) -> None:
        from wl_plugins.demo.suspects import print_suspects

        print_suspects(path)


@click.command()
@click.option("--headless", is_flag=True, help="No TUI: print progress, then what came out.")
@click.option("--steps", type=click.IntRange(min=1), default=STEPS, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--mislabels", is_flag=True, help="Digits, some with a wrong label: which ones?")
@click.option(
    "--noise",
    type=click.FloatRange(0, 1),
    default=NOISE,
    show_default=True,
    help="The share of wrong labels, with --mislabels.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=EPOCHS,
    show_default=True,
    help="Passes over the digits, with --mislabels.",
)
@root_option
@click.pass_context
def demo(
    context: click.Context,
    headless: bool,
    steps: int,
    seed: int,
    mislabels: bool,
    noise: float,
    epochs: int,
    root: Path,
) -> None:
    """Train a U-Net on real images and watch every sample and instance of it.

    On a terminal the TUI opens on the training while it goes on; leaving it ends the training.
    Without a terminal, or with --headless, progress is printed and then a table of the instances
    that the model segments worst.

    With --mislabels a small network learns handwritten digits of which some were given a wrong
    label, and what is shown at the end are the labels that it would have you check.

    \b
    Examples:
      wl demo --headless --steps 100 | head
      wl demo --mislabels --headless
    """
    from wl_core.directory import new_run_path

    _refuse_others(context, {"steps"} if mislabels else {"noise", "epochs"})
    walk: Walk = Mislabels(epochs, noise, seed) if mislabels else Nuclei(steps, seed)
    path = new_run_path(root)
    if headless or not _is_terminal():
        train_here(path, walk)
        walk.print_result(path)
    else:
        watch(path, walk)


def _refuse_others(context: click.Context, names: set[str]) -> None:
    """Refuses options of the other walk-through, which would silently do nothing."""
    for name in sorted(names):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            belongs = "does not go" if name == "steps" else "goes"
            raise click.UsageError(f"--{name} {belongs} with --mislabels")


def _is_terminal() -> bool:
    drawable = os.environ.get("TERM", "") not in {"", "dumb", "unknown"}
    return drawable and sys.stdin.isatty() and sys.stdout.isatty()


def train_here(path: Path, walk: Walk) -> None:
    """Trains in this process, into the run directory `path`."""
    print("loading torch", file=sys.stderr, flush=True)
    import wl_core as wl
    from wl_plugins.demo.train import recorded_end

    with recorded_end():
        wl.start_run(path)
        walk.train()


def watch(path: Path, walk: Walk) -> None:
    """Opens the TUI on a training in a process of its own, which ends when the TUI is left."""
    tui = _tui_command()
    print(f"training into {path}; the TUI opens when it has begun", flush=True)
    with training(path, walk) as process:
        _wait_until_begun(process, path)
        tui.main([str(path)], prog_name="wl tui", standalone_mode=False)
        if process.poll() is None:
            print("ending the training (--headless trains to the end without the TUI)", flush=True)
    _say_how_it_ended(path, process.returncode)
    walk.print_result(path)


def _tui_command() -> click.Command:
    from wl_core.plugins import load_plugins

    commands: list[click.Command] = load_plugins().collect("wl_cli_commands")
    for command in commands:
        if command.name == "tui":
            return command
    raise DemoError("there is no TUI here (see `wl plugins`): use `wl demo --headless`")


@contextmanager
def training(path: Path, walk: Walk) -> Iterator[subprocess.Popen[bytes]]:
    """A process that trains into `path`, its output in a file there; it has ended afterwards.

    The process interrupts itself when its standard input ends. So it ends in order when this block
    is left, and also when this process is killed or its terminal is closed: no orphan is left.
    """
    path.mkdir(parents=True)
    command = [
        sys.executable, "-m", walk.module, "--stop-at-end-of-input",
        "--run", str(path), *walk.arguments(),
    ]  # fmt: skip
    with (path / OUTPUT_FILE).open("wb") as output:
        # In a session of its own, so that a Ctrl-C meant for the TUI does not reach it as well.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()  # the log survives that; the run shows as crashed, which is what it did
        process.wait()


def _wait_until_begun(process: subprocess.Popen[bytes], path: Path) -> None:
    from wl_core.directory import RunDirectory

    directory = RunDirectory(path)
    deadline = time.monotonic() + _SECONDS_TO_BEGIN
    while not directory.exists:
        if process.poll() is not None:
            output = (path / OUTPUT_FILE).read_text(errors="replace")
            raise DemoError(f"the training ended before it began; it said:\n{output[-2000:]}")
        if time.monotonic() > deadline:
            raise DemoError(
                f"the training has not begun after {_SECONDS_TO_BEGIN:.0f} s; its output is in"
                f" {path / OUTPUT_FILE}"
            )
        time.sleep(0.05)


def _say_how_it_ended(path: Path, returncode: int) -> None:
    from wl_core.run import open_run

    with open_run(path) as run:
        status = run.status()
    detail = f" ({status.detail})" if status.detail else ""
    print(f"{status.state} at step {status.step}{detail}. Look at it again: wl tui {path}")
    if status.state in {"failed", "crashed"}:
        raise DemoError(
            f"the training ended with status {returncode}; its output is in {path / OUTPUT_FILE}"
        )
