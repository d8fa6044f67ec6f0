"""``wl tui --web``: says how to get there, and serves until Ctrl-C."""

from __future__ import annotations

import asyncio
import getpass
import signal
import socket
import sys
from pathlib import Path

from tui.web.server import Server, listen

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(run: Path, port: int, *, allow_control: bool) -> None:
    """Serve the run to one browser until Ctrl-C, SIGTERM or SIGHUP, and end with its status.

    Args:
        run: the run's directory.
        port: of 127.0.0.1; 0 for any free one.
        allow_control: whether the browser may decide and steer, or only look.

    Raises:
        UsageError: the port cannot be had.
        SystemExit: always, when every tab is closed and its process gone.
    """
    with listen(port) as listening:
        server = Server(run, listening, allow_control=allow_control)
        number = asyncio.run(_until_a_signal(run, server, allow_control))
    raise SystemExit(128 + number)


async def _until_a_signal(run: Path, server: Server, allow_control: bool) -> int:
    """Serve; returns the signal's number."""
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def end(number: int) -> None:
        if not ended.done():
            ended.set_result(number)

    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, end, number)
    async with server.answering():
        _say_how(run, server, allow_control)
        return await ended


def _say_how(run: Path, server: Server, allow_control: bool) -> None:
    """The link alone goes to stdout."""
    how = "it can decide and steer" if allow_control else "read-only (--allow-control to steer)"
    tunnel = f"{server.port}:127.0.0.1:{server.port} {getpass.getuser()}@{socket.gethostname()}"
    print(f"{run.name} in the browser, {how}.", file=sys.stderr)
    print("This link opens in one browser, once:\n", file=sys.stderr)
    print(server.link, flush=True)
    print(
        f"\nFrom another machine, first: ssh -L {tunnel}\nCtrl-C ends it.",
        file=sys.stderr,
    )
