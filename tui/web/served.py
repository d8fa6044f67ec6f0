"""What runs in a tab's child process: ``python -m tui.web.served RUN [--allow-control]``.

The application itself, drawn into a pipe by textual-serve's protocol. It ends when the pipe does.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from textual import messages
from textual.drivers.web_driver import WebDriver

from tui.app import WlApp
from tui.config import config_file, load_config
from tui.memory import memory_file
from tui.web.confinement import confine
from wl_core.directory import list_runs
from wl_core.errors import UsageError

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


def main(arguments: list[str]) -> None:
    path, options = Path(arguments[0]), arguments[1:]
    read_only = "--allow-control" not in options
    try:
        config = load_config(config_file())
        app = WlApp(path, config=config, read_only=read_only)
    except UsageError as error:  # of what the person has set
        sys.exit(f"wl: {error}")
    if read_only:
        # Views are kept beside the log they are folded from, the layout in the state directory.
        confine([path, *list_runs(path.parent), memory_file(path).parent])
    app.driver_class = PipeDriver
    app.run(mouse=config.mouse)


if __name__ == "__main__":
    main(sys.argv[1:])
