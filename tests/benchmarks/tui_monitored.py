"""`wl tui` with a task in its event loop that notes when it was held up; for `bench_tui`.

python -m tests.benchmarks.tui_monitored RUN FILE
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import tui.app
from tui.plugin import watch

BEAT = 0.002  # seconds between two looks at the clock
WORTH_NOTING = 0.003


class MonitoredApp(tui.app.WlApp):
    CSS_PATH = Path(tui.app.__file__).parent / "wl.tcss"

    def on_load(self) -> None:
        self._beating = asyncio.create_task(self._beat(Path(sys.argv[2])))

    async def _beat(self, path: Path) -> None:
        with path.open("w", buffering=1) as file:
            before = time.monotonic()
            while True:
                await asyncio.sleep(BEAT)
                now = time.monotonic()
                if now - before - BEAT > WORTH_NOTING:
                    file.write(f"{now} {now - before - BEAT}\n")
                before = now


if __name__ == "__main__":
    tui.app.WlApp = MonitoredApp  # type: ignore[misc]  # `watch` starts whatever is there
    watch(Path(sys.argv[1]))
