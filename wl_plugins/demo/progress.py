"""How the demo says how far it is: a bar on a terminal, plain lines anywhere else.

It goes to stderr, so that what is piped on is the result alone. Knows nothing of torch.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[int, str], None]


@contextmanager
def reporting(steps: int) -> Iterator[Report]:
    """Gives `report(step, note)`: so many steps are done, and, if there is one, what is new."""
    if not sys.stderr.isatty():
        yield _lines(steps)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    note_column = TextColumn("{task.description}")
    columns = (MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(), note_column)
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=steps)
        yield lambda step, note: bar.update(task, completed=step, description=note or None)


def _lines(steps: int) -> Report:
    began = time.monotonic()

    def report(step: int, note: str) -> None:
        if note:
            seconds = time.monotonic() - began
            print(f"step {step:4}/{steps}  {seconds:5.1f} s  {note}", file=sys.stderr, flush=True)

    return report
