"""The screen as text, and waiting for what should come to stand on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.pilot import Pilot

DEADLINE = 10.0
LOOK = 0.02  # seconds between two looks at a screen, each of which draws it
IDLE = 0.005  # seconds in which next to nothing is computed


def screen_text(app: App[Any]) -> str:
    """What is on the screen, as lines of text without trailing spaces."""
    strips = app.screen._compositor.render_strips(app.size)
    return "\n".join(strip.text.rstrip() for strip in strips)


def screen_line(app: App[Any], part: str) -> str:
    """The first line on the screen that holds ``part``."""
    for line in screen_text(app).splitlines():
        if part in line:
            return line
    raise AssertionError(f"{part!r} is not on the screen:\n{screen_text(app)}")


async def until_idle(_least: float = 0.0, most: float = 1.0) -> None:
    """As Textual's ``wait_for_idle``, which guesses from 20 ms of CPU time, twice for each key.

    Here the event loop has nothing to do either, however busy the machine is; the time is for
    threads, whose answers come by themselves.
    """
    ready = vars(asyncio.get_running_loop())["_ready"]
    deadline = time.monotonic() + most
    while time.monotonic() < deadline:
        before = time.process_time()
        await asyncio.sleep(IDLE)
        if not ready and time.process_time() - before < IDLE / 10:
            return


async def wait_until(pilot: Pilot[Any], condition: Callable[[], bool], what: str = "") -> None:
    """Let the application run until ``condition()``; fails with the screen after the deadline."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never came: {what}\n{screen_text(pilot.app)}")
        await asyncio.sleep(LOOK)


async def wait_for_text(pilot: Pilot[Any], *parts: str) -> None:
    """Let the application run until all of these are on the screen."""
    await wait_until(
        pilot, lambda: all(part in screen_text(pilot.app) for part in parts), f"{parts}"
    )
