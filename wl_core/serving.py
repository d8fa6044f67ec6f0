"""``serve`` and ``keep_serving``: a run is there for others as long as its process is.

No server is needed on one machine: others read the log and append to it. What a script says here is
that it is ready, and that it stays to obey.
"""

from __future__ import annotations

import sys
import time

from wl_core.session import session
from wl_core.signals import registry

_POLL_SECONDS = 0.05


def serve() -> None:
    """Makes the run visible: its signals are declared, and the way to watch it is printed.

    No port is opened. Call it after signals are registered and before training begins.
    """
    running = session()
    for made in registry.by_name.values():
        running.declare(made.name, made.level, "signal", made.log, made.described())
    running.flush()
    path = running.directory.path
    print(f"recording into {path}; watch it: wl tui {path}", file=sys.stderr)


def keep_serving(timeout: float | None = None) -> None:
    """Stays after training, so that others can still have their requests obeyed.

    Evaluations are run that somebody asks for. It ends on Ctrl-C, or when somebody stops the run.

    Args:
        timeout: seconds to stay at most; None for no limit.
    """
    running = session()
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        print("training is over; staying until Ctrl-C", file=sys.stderr)
        while deadline is None or time.monotonic() < deadline:
            running.obey()
            running.evaluations.run_all()
            if running.pace.stopping:
                return
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
