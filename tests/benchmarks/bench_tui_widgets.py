"""How long the TUI's widgets take, from a key to the bytes in a real pseudo-terminal of 120 x 40.

    python -m tests.benchmarks.bench_tui_widgets

The table has 1,000,000 rows x 12 columns, the plot 5 series x 10,000 steps, the image 512 x 512
pixels with two masks. Milliseconds, medians; `idle_cpu` is the share of a core that the whole
application uses on a run in which nothing happens, `live_cpu` on one of 50 steps a second.
"""

from __future__ import annotations

import json
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from fcntl import ioctl
from pathlib import Path
from typing import ClassVar

import numpy as np
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType

from tests.tui.nuclei_run import NucleiRun
from tui.theme import DARK
from tui.widgets.image import OverlayImage
from tui.widgets.palette import ORANGE, SKY_BLUE
from tui.widgets.pixels import Overlay
from tui.widgets.plot import CurvePlot
from tui.widgets.table import VirtualTable
from wl_core.series import Series
from wl_core.table import Table, TableColumn

ROWS, COLUMNS = 1_000_000, 12
ROUNDS = 9
QUIET = 0.15  # seconds without a byte after which a frame is over


def big_table() -> Table:
    random = np.random.default_rng(0)
    there = np.ones(ROWS, np.bool_)
    columns = [TableColumn("sample_id", "number", np.arange(ROWS), there)]
    for number in range(COLUMNS - 1):
        values = random.random(ROWS)
        columns.append(TableColumn(f"signal_{number}", "number", values, random.random(ROWS) < 0.9))
    return Table(tuple(columns))


class WidgetApp(App[None]):
    """One widget; ``n`` gives it its data again, as news from a run would."""

    CSS_PATH = "../../tui/wl.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("n", "again", priority=True)]

    def __init__(self, which: str) -> None:
        super().__init__()
        self.which = which
        self.table, self.plot, self.image = VirtualTable(), CurvePlot(), OverlayImage()
        self.data = big_table() if which == "table" else None
        steps = np.arange(10_000.0)
        noise = np.random.default_rng(0).normal(0, 0.03, (5, 10_000))
        self.series = [Series(f"s{n}", steps, np.exp(-steps / 3000) + noise[n]) for n in range(5)]
        self.rgb = np.random.default_rng(0).integers(0, 255, (512, 512, 3)).astype(np.uint8)
        disc = (np.hypot(*np.indices((512, 512)) - 256) < 150).astype(np.int32)
        self.overlays = [
            Overlay("p", disc, ORANGE, "P", 0.5),
            Overlay("g", np.roll(disc, 9, 1), SKY_BLUE, "G"),
        ]

    def compose(self) -> ComposeResult:
        yield {"table": self.table, "plot": self.plot, "image": self.image}[self.which]

    def on_mount(self) -> None:
        self.register_theme(DARK)
        self.theme = DARK.name
        self.action_again()

    def action_again(self) -> None:
        if self.data is not None:
            self.table.show_other(self.data)
            self.table.focus()
        elif self.which == "plot":
            self.plot.set_series(self.series)
            self.plot.focus()
        else:
            self.image.set_image(self.rgb, self.overlays)
            self.image.focus()


class Terminal:
    """A child process in a pseudo-terminal."""

    def __init__(self, command: list[str]) -> None:
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, close_fds=True
        )
        os.close(slave)

    def quiet(self, seconds: float = QUIET) -> None:
        """Read until nothing has come for a while."""
        while select.select([self._master], [], [], seconds)[0]:
            os.read(self._master, 1 << 16)

    def respond(self, keys: bytes) -> float:
        """Milliseconds from these keys to the first bytes of what they change."""
        self.quiet()
        start = time.perf_counter()
        os.write(self._master, keys)
        select.select([self._master], [], [], 30)
        return (time.perf_counter() - start) * 1000

    def median(self, keys: bytes) -> float:
        return round(statistics.median(self.respond(keys) for _ in range(ROUNDS)), 1)

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def share(self, seconds: float) -> float:
        """CPU seconds per second over that time, with the output read away."""
        before, end = self.cpu_seconds(), time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self._master], [], [], 0.1)[0]:
                os.read(self._master, 1 << 16)
        return round((self.cpu_seconds() - before) / seconds, 4)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        os.close(self._master)


def widget(which: str, keys: dict[str, bytes]) -> dict[str, float]:
    terminal = Terminal([sys.executable, "-m", "tests.benchmarks.bench_tui_widgets", which])
    terminal.quiet(4.0)
    terminal.respond(b"l")  # sort by a signal, not by the ids, which are in order already
    found = {f"{which}_{name}": terminal.median(key) for name, key in keys.items()}
    terminal.close()
    return found


def live() -> dict[str, float]:
    """The whole application: how soon it is open, and its CPU with and without news."""
    with tempfile.TemporaryDirectory() as folder:
        run = NucleiRun(Path(folder) / "run")
        run.train(200)
        start = time.perf_counter()
        code = "from wl_core.cli import main; main()"
        terminal = Terminal([sys.executable, "-c", code, "tui", str(run.path)])
        seen = b""
        while b"tile_00" not in seen:
            seen += os.read(terminal._master, 1 << 16)
        opened = round((time.perf_counter() - start) * 1000)
        terminal.quiet(1.0)
        idle = terminal.share(8.0)
        stop = threading.Event()

        def train() -> None:
            while not stop.wait(0.02):
                run.train(predictions=False)

        trainer = threading.Thread(target=train)
        trainer.start()
        terminal.share(2.0)
        busy = terminal.share(8.0)
        stop.set()
        trainer.join()
        terminal.close()
        run.close()
    return {"open_ms": opened, "idle_cpu": idle, "live_cpu": busy}


def main() -> None:
    figures: dict[str, float] = {}
    table = {"first_paint": b"n", "cursor": b"j", "page": b"\x06", "sort": b"s"}
    figures |= widget("table", table)
    figures |= widget("plot", {"frame": b"n", "cursor": b"h"})
    figures |= widget("image", {"frame": b"n"})
    figures |= live()
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        WidgetApp(sys.argv[1]).run()
    else:
        main()
