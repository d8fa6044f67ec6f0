"""What runs in a tab's child process: ``python -m tui.web.served RUN [--allow-control]``.

The application itself, drawn into a pipe by textual-serve's protocol. It ends when the pipe does.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual import messages
from textual.app import SystemCommand
from textual.driver import Driver
from textual.drivers.web_driver import WebDriver
from textual.screen import Screen

import tui.app
from tui.app import WlApp
from tui.config import config_file, load_config
from tui.memory import memory_file
from tui.web.confinement import confine
from wl_core.directory import list_runs

GRACE_SECONDS = 3.0


class PipeDriver(WebDriver):
    """Textual's driver for textual-serve, which also ends when the server is gone."""

    def run_input_thread(self) -> None:
        super().run_input_thread()
        if self.exit_event.is_set():
            return
        # The pipe was closed: the server died, or was killed and could not say so.
        self._app.post_message(messages.ExitApp())
        last_resort = threading.Timer(GRACE_SECONDS, os._exit, (1,))
        last_resort.daemon = True
        last_resort.start()


class ServedApp(WlApp):
    """The application without what it cannot do for somebody at another screen."""

    CSS_PATH: ClassVar[str | Path] = Path(tui.app.__file__).with_name("wl.tcss")

    def get_driver_class(self) -> type[Driver]:
        return PipeDriver

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        for command in super().get_system_commands(screen):
            if command.title != "Screenshot":  # It is a file on the server, or a download.
                yield command


def main(arguments: list[str]) -> None:
    path, options = Path(arguments[0]), arguments[1:]
    config = load_config(config_file())
    read_only = "--allow-control" not in options
    if read_only:
        # Views are kept beside the log they are folded from, the layout in the state directory.
        confine([path, *list_runs(path.parent), memory_file(path).parent])
    ServedApp(path, config=config, read_only=read_only).run(mouse=config.mouse)


if __name__ == "__main__":
    main(sys.argv[1:])
