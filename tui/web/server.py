"""The server of ``wl tui --web``: one run, one person, a few tabs.

Whom it answers is `guard`'s business, what happens in a tab is `session`'s.
"""

from __future__ import annotations

import asyncio
import errno
import html
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from string import Template

import textual_serve
from aiohttp import web

from tui.web.guard import WEBSOCKET_PATH, Guard
from tui.web.session import Session, child_environment
from wl_core.errors import UsageError

ADDRESS = "127.0.0.1"
MAX_TABS = 4
# What the page of a large paste may be; keys are a few bytes.
MAX_MESSAGE_BYTES = 1 << 20
HEARTBEAT_SECONDS = 15
HERE = Path(__file__).parent
STATIC = Path(textual_serve.__file__).parent / "static"


class Server:
    """Serves one run to the browser that opens `link` first.

    Args:
        run: the run's directory.
        listening: a socket that is bound to a port of 127.0.0.1.
        allow_control: whether tabs may decide and steer, or only look.
        max_tabs: how many may be open at a time; each is a process.
    """

    def __init__(
        self,
        run: Path,
        listening: socket.socket,
        *,
        allow_control: bool = False,
        max_tabs: int = MAX_TABS,
    ) -> None:
        self._listening = listening
        self.port: int = listening.getsockname()[1]
        self._guard = Guard(self.port)
        self.link = self._guard.link
        control = ["--allow-control"] if allow_control else []
        # -P: a file of the current folder must not stand in for a module of wl.
        self._child = [sys.executable, "-P", "-m", "tui.web.served", str(run.absolute()), *control]
        self._environment = child_environment()
        self._title = html.escape(f"wl · {run.name}")
        self._page = Template((HERE / "page.html").read_text("utf-8"))
        self._max_tabs = max_tabs
        # Each tab that has a process, and what comes when it has none any more.
        self._tabs: dict[web.WebSocketResponse, asyncio.Event] = {}

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Answers within the context; at its end every tab is closed and every child gone."""
        runner = web.AppRunner(self._application(), access_log=None)
        await runner.setup()
        try:
            await web.SockSite(runner, self._listening).start()
            yield
        finally:
            await runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._guard.check])
        application.on_response_prepare.append(self._guard.add_headers)
        application.on_shutdown.append(self._close_tabs)
        application.add_routes(
            [
                web.get("/", self._index),
                web.get("/{file:page\\.(css|js)}", self._own_file),
                web.get(WEBSOCKET_PATH, self._tab),
                web.static("/static", STATIC),
            ]
        )
        return application

    async def _index(self, request: web.Request) -> web.Response:
        await self._wait_for_a_place()
        page = self._page.substitute(title=self._title, host=html.escape(request.host))
        return web.Response(text=page, content_type="text/html")

    async def _own_file(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(HERE / request.match_info["file"])

    async def _tab(self, request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_SECONDS, max_msg_size=MAX_MESSAGE_BYTES
        )
        async with self._place(websocket):
            await websocket.prepare(request)
            session = Session(self._child, self._environment, websocket)
            await session.serve(_number(request, "width", 80), _number(request, "height", 24))
        return websocket

    @asynccontextmanager
    async def _place(self, websocket: web.WebSocketResponse) -> AsyncIterator[None]:
        """One of the places for tabs; it is free again when the tab's process has ended."""
        await self._wait_for_a_place()
        ended = self._tabs[websocket] = asyncio.Event()
        try:
            yield
        finally:
            del self._tabs[websocket]
            ended.set()

    async def _wait_for_a_place(self) -> None:
        """Return when there is one. A tab that is being closed is waited for: a reload is two.

        Raises:
            HTTPServiceUnavailable: all are taken.
        """
        while len(self._tabs) >= self._max_tabs:
            ending = next((end for tab, end in self._tabs.items() if tab.closed), None)
            if ending is None:
                raise web.HTTPServiceUnavailable(
                    text=f"{self._max_tabs} tabs are open, and that is all: close one and reload"
                )
            await ending.wait()

    async def _close_tabs(self, _: web.Application) -> None:
        ends = list(self._tabs.values())
        for tab in list(self._tabs):
            await tab.close(code=1001, message=b"the server is stopped")
        for ended in ends:
            await ended.wait()


def listen(port: int) -> socket.socket:
    """A socket bound to that port of 127.0.0.1; 0 stands for any free one.

    Raises:
        UsageError: it is taken, or not for this user.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((ADDRESS, port))
        listening.listen()
    except OSError as error:
        listening.close()
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had ({error})"
        raise UsageError(
            f"port {port} {reason}: give another by --port, or --port 0 for any free one"
        ) from error
    return listening


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else default
