"""How the TUI ends when it is ended from outside: the terminal restored, and no process left.

Ctrl-C and `q` are keys, and Textual's business.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable
from types import FrameType

PATIENCE = 3.0  # seconds for an application that is asked to end
LOOK = 2.0  # seconds between looks whether the terminal is still there


def end_on_signals(leave: Callable[[int], None], keep: Callable[[], None]) -> None:
    """Call it from the main thread, where the event loop runs.

    Args:
        leave: ends the application, which restores the terminal; takes the exit status.
        keep: keeps what shall not be lost when there is no terminal any more.
    """
    loop = asyncio.get_running_loop()

    def ended(number: int) -> None:
        status = 128 + number
        last_resort = threading.Timer(PATIENCE, os._exit, (status,))
        last_resort.daemon = True
        last_resort.start()
        leave(status)

    def hung_up(_number: int, _frame: FrameType | None) -> None:
        # The event loop may wait for ever for a terminal that is gone to take what was drawn: so
        # this is no handler of the loop's. Whoever only sent the signal has a terminal still.
        keep()
        if _terminal_is_gone():
            os._exit(128 + signal.SIGHUP)
        loop.call_soon_threadsafe(ended, signal.SIGHUP)

    def look() -> None:
        # No signal comes where it was not the controlling terminal, and Textual would read the
        # end of its input again and again.
        while not _terminal_is_gone():
            time.sleep(LOOK)
        keep()
        os._exit(128 + signal.SIGHUP)

    loop.add_signal_handler(signal.SIGTERM, ended, signal.SIGTERM)
    signal.signal(signal.SIGHUP, hung_up)
    if not _terminal_is_gone():  # in a browser's tab there was none to begin with
        threading.Thread(target=look, name="wl-terminal", daemon=True).start()


def _terminal_is_gone() -> bool:
    try:
        termios.tcgetattr(sys.__stdin__ or 0)
    except (termios.error, OSError, ValueError):
        return True
    return False
