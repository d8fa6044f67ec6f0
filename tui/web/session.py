"""One tab and its child process: what may pass between them, and that both end together."""

from __future__ import annotations

import asyncio
import json
import os
import struct
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

GRACE_SECONDS = 3.0
_BEGINNING = b"__GANGLION__\n"
MAX_COLUMNS, MAX_LINES = 1000, 500


class Session(AppService):
    """Runs ``arguments`` for one websocket.

    Args:
        arguments: the child's argument vector. Nothing of it comes from the browser, and no shell
            reads it.
        environment: the child's environment variables; the size of the terminal is added.
        socket: the tab's websocket, prepared.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        socket: web.WebSocketResponse,
    ) -> None:
        super().__init__(
            "",
            write_bytes=socket.send_bytes,
            write_str=socket.send_str,
            close=self._close,
            download_manager=DownloadManager(),
        )
        self._arguments = arguments
        self._environment = environment
        self._socket = socket

    async def serve(self, width: int, height: int) -> None:
        """From the first size in cells until the tab is closed or the application is left."""
        await self.start(*_size(width, height))
        try:
            await self._obey_tab()
        finally:
            # Whoever waits for this may be cancelled; the child is ended all the same.
            await asyncio.shield(self.stop())

    async def run(self) -> None:
        """Pass on what the child draws; when it ends, the tab is told by closing its websocket."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        try:
            await self._pass_on(process.stdout)
        except (asyncio.IncompleteReadError, ConnectionError):
            # The child ended, or the tab did: the other one follows.
            return
        finally:
            await self._close()

    async def stop(self) -> None:
        """End the child, by force when it does not go; returns when it is gone."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                # This reads on: a child that waits for somebody to read cannot end.
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def on_meta(self, data: bytes) -> None:
        """The child says that it ends. What else it may ask of a browser is not passed on.

        That is: to open an address, to save a file.
        """
        if json.loads(data).get("type") == "exit":
            await self._close()

    async def _pass_on(self, drawn: asyncio.StreamReader) -> None:
        """Packets: a letter for the kind, 4 bytes for the length, the payload."""
        # What a plugin printed before the application began to draw is not for the tab.
        while (line := await drawn.readline()) != _BEGINNING:
            if not line:
                return
        while True:
            kind, length = struct.unpack(">cI", await drawn.readexactly(5))
            payload = await drawn.readexactly(length)
            if kind == b"D":
                await self.remote_write_bytes(payload)
            elif kind == b"M":
                await self.on_meta(payload)

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        self._process = process = await asyncio.create_subprocess_exec(
            *self._arguments,
            stdin=PIPE,
            stdout=PIPE,
            env={**self._environment, "COLUMNS": str(width), "ROWS": str(height)},
            # Ctrl-C in the server's terminal is for the server, which ends its children in order.
            start_new_session=True,
        )
        self._stdin = process.stdin
        return process

    async def _close(self) -> None:
        await self._socket.close()

    async def _obey_tab(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT or not await self._obey(_decoded(message.data)):
                # textual-serve's page sends nothing else, so somebody else wrote this.
                await self._socket.close(code=1003)

    async def _obey(self, message: Any) -> bool:
        """Do what the page asks for; False when it is not a message of the protocol."""
        match message:
            case ["stdin", str(keys)]:
                await self.send_bytes(keys.encode("utf-8", "replace"))
            case ["resize", {"width": int(width), "height": int(height)}]:
                await self.set_terminal_size(*_size(width, height))
            case ["ping", str(when)]:
                await self._socket.send_json(["pong", when])
            case ["focus"]:
                await self.focus()
            case ["blur"]:
                await self.blur()
            case _:
                return False
        return True


def child_environment() -> dict[str, str]:
    """The server's environment, without what makes Textual a tool for debugging."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TEXTUAL")}
    return {**kept, "TEXTUAL_COLOR_SYSTEM": "truecolor", "TERM_PROGRAM": "textual"}


def _size(width: int, height: int) -> tuple[int, int]:
    """In cells; a size that nobody has would cost memory for every cell."""
    return min(max(width, 1), MAX_COLUMNS), min(max(height, 1), MAX_LINES)


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
