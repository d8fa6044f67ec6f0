"""``wl tui --web``: says how to get there, and serves until Ctrl-C."""

from __future__ import annotations

import asyncio
import getpass
import socket
import sys
from pathlib import Path

from tui.web.server import Server, listen


def serve(run: Path, port: int, *, allow_control: bool) -> None:
    """Serve the run to one browser; returns after Ctrl-C, when all children have ended.

    Args:
        run: the run's directory.
        port: of 127.0.0.1; 0 for any free one.
        allow_control: whether the browser may decide and steer, or only look.

    Raises:
        UsageError: the port cannot be had.
    """
    with listen(port) as listening:
        server = Server(run, listening, allow_control=allow_control)
        here = listening.getsockname()[1]
        asyncio.run(server.serve(lambda: _say_how(run, here, server.link, allow_control)))


def _say_how(run: Path, port: int, link: str, allow_control: bool) -> None:
    """The link alone goes to stdout."""
    how = "it can decide and steer" if allow_control else "read-only (--allow-control to steer)"
    there = f"{getpass.getuser()}@{socket.gethostname()}"
    print(f"{run.name} in the browser, {how}. Opens in one browser, once:\n", file=sys.stderr)
    print(link, flush=True)
    print(
        f"\nFrom another machine, first: ssh -L {port}:127.0.0.1:{port} {there}\nCtrl-C ends it.",
        file=sys.stderr,
    )
