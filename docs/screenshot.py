"""Makes the picture of the TUI in the README, from the application itself.

    python docs/screenshot.py RUN docs/images/tui.svg

RUN is a finished run of `wl demo`. The application runs without a terminal, is driven by the keys
that a person would press, and is exported as it then looks.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from tui.app import WlApp

SIZE = (148, 42)
KEYS = ("l", "l", "l", "l", "s", "home")  # to the first loss, the worst sample on top
FONTS_FROM_ELSEWHERE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
DEADLINE_SECONDS = 30


async def until(pilot: Pilot[None], what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError("the application never showed what it should")
        await pilot.pause(0.05)


async def picture(run: Path) -> str:
    """The SVG of the main screen on that run."""
    app = WlApp(run)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.news is not None)
        await pilot.pause(1)
        await pilot.press(*KEYS)
        await pilot.pause(2)
        # Whoever looks at a picture of wl should not be told on to a host that serves fonts.
        return FONTS_FROM_ELSEWHERE.sub("", app.export_screenshot(title="wl tui"))


def main() -> None:
    run, target = Path(sys.argv[1]), Path(sys.argv[2])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(asyncio.run(picture(run)), encoding="utf-8")


if __name__ == "__main__":
    main()
