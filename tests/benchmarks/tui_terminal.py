"""A pseudo-terminal with a screen: what a process has drawn can be read, and when it was.

Understands what Textual writes (cursor positions, erasing, text) and leaves out colours. Which
figures are taken with it is `bench_tui`'s business.
"""

from __future__ import annotations

import atexit
import codecs
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Callable, Sequence
from fcntl import ioctl
from functools import cache
from pathlib import Path

_ESCAPE = re.compile(
    r"\x1b\[(?P<arguments>[0-9;?<>=]*)[ $]?(?P<final>[@-~])"
    r"|\x1b[\]P_].*?(?:\x07|\x1b\\)"
    r"|\x1b[()].|\x1b[=>78MDEHc]",
    re.DOTALL,
)
_TICKS = os.sysconf("SC_CLK_TCK")
DEADLINE = 60.0  # seconds after which what is waited for is given up


@cache
def _compiled() -> Path:
    """Where modules are compiled to, until this process ends."""
    folder = tempfile.mkdtemp(prefix="wl-bench-")
    atexit.register(shutil.rmtree, folder)
    return Path(folder)


class Screen:
    """The characters that a terminal would show."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._cells = [[" "] * width for _ in range(height)]
        self._row = self._column = 0
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def lines(self) -> list[str]:
        return ["".join(row) for row in self._cells]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def feed(self, data: bytes) -> None:
        text = self._rest + self._decoder.decode(data)
        self._rest, at = "", 0
        while (start := text.find("\x1b", at)) >= 0:
            self._write(text[at:start])
            found = _ESCAPE.match(text, start)
            if found is None:  # its end is still to come
                self._rest = text[start:]
                return
            self._obey(found["final"], found["arguments"])
            at = found.end()
        self._write(text[at:])

    def _write(self, text: str) -> None:
        for character in text:
            if character == "\r":
                self._column = 0
            elif character == "\n":
                self._row = min(self._row + 1, self.height - 1)
            elif character >= " ":
                if self._column < self.width and self._row < self.height:
                    self._cells[self._row][self._column] = character
                self._column += 1

    def _obey(self, final: str | None, arguments: str | None) -> None:
        numbers = [int(one) for one in (arguments or "").split(";") if one.isdigit()]
        first = numbers[0] if numbers else 0
        if final in ("H", "f"):
            self._row = max(1, first) - 1
            self._column = (numbers[1] if len(numbers) > 1 else 1) - 1
        elif final == "G":
            self._column = max(1, first) - 1
        elif final == "C":
            self._column += max(1, first)
        elif final == "A":
            self._row = max(0, self._row - max(1, first))
        elif final == "B":
            self._row = min(self.height - 1, self._row + max(1, first))
        elif final == "K" and self._row < self.height:
            self._cells[self._row][self._column :] = [" "] * (self.width - self._column)
        elif final == "J":
            self._cells = [[" "] * self.width for _ in range(self.height)]


class Terminal:
    """A process in a pseudo-terminal of ``size`` (columns, rows)."""

    def __init__(self, command: Sequence[str], size: tuple[int, int]) -> None:
        self.screen = Screen(*size)
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        environment = {
            **os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor",
            # As installed: modules are compiled once, not at each start.
            "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(_compiled()),
        }  # fmt: skip
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def read(self, seconds: float) -> bool:
        """Takes in what is drawn within that time, at most one piece of it; whether any was."""
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            self.screen.feed(os.read(self._master, 1 << 16))
        except OSError:  # the process has ended
            self.process.wait(10)
            return False
        return True

    def settle(self, quiet: float = 0.3, at_most: float = 5.0) -> None:
        """Reads until nothing was drawn for a while."""
        end = time.monotonic() + at_most
        while time.monotonic() < end and self.read(quiet):
            pass

    def wait(self, shows: Callable[[Screen], bool], since: float) -> float:
        """Seconds from ``since`` until the screen shows it."""
        while not shows(self.screen):
            left = since + DEADLINE - time.perf_counter()
            if left < 0 or self.process.poll() is not None:
                raise TimeoutError(f"not shown within {DEADLINE} s:\n{self.screen.text}")
            self.read(left)
        return time.perf_counter() - since

    def send(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def press(self, keys: bytes, shows: Callable[[Screen], bool]) -> float:
        """Seconds from these keys until the screen shows what they bring about."""
        if shows(self.screen):
            raise ValueError(f"shown before {keys!r} was pressed:\n{self.screen.text}")
        since = time.perf_counter()
        self.send(keys)
        return self.wait(shows, since)

    # What the process takes

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def cpu_share(self, seconds: float) -> float:
        """The share of a core that it uses over that time."""
        before, start = self.cpu_seconds(), time.monotonic()
        while time.monotonic() < start + seconds:
            self.read(0.1)
        return (self.cpu_seconds() - before) / (time.monotonic() - start)

    def megabytes(self, what: str = "VmRSS") -> float:
        """Its memory now (``VmRSS``), its peak (``VmHWM``), without files (``RssAnon``)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split(f"{what}:")[1].split()[0]) / 1024

    def close(self) -> None:
        self.process.terminate()
        while self.process.poll() is None:
            self.read(0.1)
        os.close(self._master)
