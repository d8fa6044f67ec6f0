"""Makes the pictures of the TUI in the README, from the application itself.

    python docs/screenshot.py RUN docs/images

RUN is a finished run of `wl demo`. The application runs without a terminal, is driven by the keys
that a person would press, and is exported as it then looks.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ["TEXTUAL_COLOR_SYSTEM"] = "truecolor"  # there is no terminal to be asked

from textual.pilot import Pilot  # it reads the line above

from tests.tui.screens import screen_text
from tui.app import WlApp

LARGE, FLAT = (148, 42), (110, 22)
FONTS_FROM_ELSEWHERE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
DEADLINE_SECONDS = 30
SETTLED_SECONDS = 2.0

# Keys one after the other; a text in brackets is waited for.
PICTURES: dict[str, tuple[tuple[int, int], Sequence[str]]] = {
    # the worst sample on top
    "tui": (LARGE, ("[train_bce/sample]", "1", "s", "home")),
    # the worst instance of all, pointed out in its picture beside all that is known of it
    "sample": (LARGE, ("[12 of]", "2", "o", "[of all samples]", "s", "home", "enter", "[Values]",
                       "w")),
    # which shapes of trajectories are more frequent where
    "slices": (FLAT, ("[train_bce/sample]", "6", "[all]")),
    # how it was in the middle of the run
    "past": (LARGE, ("[train_bce/sample]", "T", "home", "[PAST]", *["pagedown"] * 12)),
}  # fmt: skip


async def until(pilot: Pilot[None], what: Callable[[], bool], said: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{said} never came:\n{screen_text(pilot.app)}")
        await pilot.pause(0.05)


async def picture(run: Path, size: tuple[int, int], keys: Sequence[str]) -> str:
    """The SVG of the screen to which these keys lead."""
    app = WlApp(run)
    async with app.run_test(size=size) as pilot:
        for key in keys:
            if key.startswith("["):
                await until(pilot, lambda text=key[1:-1]: text in screen_text(app), key)
            else:
                await pilot.press(key)
                await pilot.pause(0.1)
        await pilot.pause(SETTLED_SECONDS)
        # Whoever looks at a picture of wl should not be told on to a host that serves fonts.
        return FONTS_FROM_ELSEWHERE.sub("", app.export_screenshot(title="wl tui"))


def main() -> None:
    run, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (size, keys) in PICTURES.items():
        with TemporaryDirectory() as nothing_remembered:
            os.environ["XDG_STATE_HOME"] = nothing_remembered
            drawn = asyncio.run(picture(run, size, keys))
        (folder / f"{name}.svg").write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
