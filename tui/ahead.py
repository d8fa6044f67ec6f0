"""Reads a run while the modules of the application are still imported: both take a moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from wl_core.errors import ProjectionParkedError
from wl_core.plugins import load_plugins
from wl_core.run import Run, open_run

AT_ONCE = 0.25  # seconds of folding; of a long log the follower folds the rest, and shows how far


def read_ahead(path: Path) -> Callable[[], Run]:
    """Opens the run in another thread; what is given waits for it, and hands it over.

    It raises what opening the run raises. Whoever calls it owns the run from then on.
    """
    load_plugins()  # which two threads must not do at once
    threads = ThreadPoolExecutor(1, "wl-read-ahead")
    found = threads.submit(_read, path)
    threads.shutdown(wait=False)
    return found.result


def _read(path: Path) -> Run:
    run = open_run(path)
    try:
        run.refresh(budget_seconds=AT_ONCE)
        with suppress(ProjectionParkedError):  # the follower says so
            run.samples()  # of a large run it takes a while the first time
    except BaseException:
        run.close()
        raise
    return run
