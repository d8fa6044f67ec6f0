"""How the TUI ends when it is ended from outside: the terminal restored, and no process left.

Ctrl-C and `q` are keys, and Textual's business.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

PATIENCE = 3.0  # seconds for an application that is asked to end


def end_on_signals(leave: Callable[[int], None], keep: Callable[[], None]) -> None:
    """Call it from the main thread, where the event loop runs.

    Args:
        leave: ends the application, which restores the terminal; takes the exit status.
        keep: keeps what shall not be lost when there is no terminal any more.
    """

    def ended() -> None:
        status = 128 + signal.SIGTERM
        last_resort = threading.Timer(PATIENCE, os._exit, (status,))
        last_resort.daemon = True
        last_resort.start()
        leave(status)

    def hung_up(_number: int, _frame: FrameType | None) -> None:
        # Nothing can be restored, and the event loop may wait for ever for a terminal that is
        # gone to take what was drawn: so this is no handler of the loop's.
        keep()
        os._exit(128 + signal.SIGHUP)

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended)
    signal.signal(signal.SIGHUP, hung_up)
