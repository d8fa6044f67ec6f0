"""The server, its children, and requests as no browser would send them."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tui.web.server import Server, listen

WL = [sys.executable, "-c", "from wl_core.cli import main; main()", "tui", "--web"]
DEADLINE = 20.0


@asynccontextmanager
async def serving(run: Path, max_tabs: int = 4) -> AsyncIterator[Server]:
    """A server in this process; its children are processes of their own."""
    with listen(0) as listening:
        server = Server(run, listening, max_tabs=max_tabs)
        async with server.answering():
            yield server


class Answer:
    """Status and headers, with names in lower case."""

    def __init__(self, text: str) -> None:
        head, _, self.body = text.partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        self.status = int(first.split()[1])
        pairs = (line.split(": ", 1) for line in lines)
        self.headers = {name.lower(): value for name, value in pairs}


async def ask(
    port: int, path: str, headers: Mapping[str, str] = {}, method: str = "GET", version: str = "1.1"
) -> Answer:
    """One request with these headers alone, and the answer; the connection is closed by both."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/{version}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return Answer(answer.decode("utf-8", "replace"))


def children(pid: int) -> list[int]:
    """The processes that this one started and that are there."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()


def wait_until(condition: Callable[[], bool], what: str, pause: float = 0.02) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(pause)
