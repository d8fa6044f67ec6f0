"""What a person decides in the TUI, said to the run in the only way there is: by events.

What a decision is made of is `wl_core.decide`'s, for the command line as well. Functions here run
in the follower's thread and return what is said of it on the screen. The training hears of it at
its next guard.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.sample_table import RowKey
from wl_core import ask
from wl_core.decide import Chosen, Decider, by_origin
from wl_core.errors import RunNotFoundError

if TYPE_CHECKING:
    from wl_core.run import Run

WHO = "tui"


def named(rows: Sequence[RowKey]) -> str:
    """Which rows these are, in a few words."""
    if len(rows) == 1:
        return str(rows[0])
    inner = sum(row.annotation_id is not None for row in rows)
    parts = [f"{inner:,} instances"] if inner else []
    return " and ".join([f"{len(rows) - inner:,} samples", *parts] if inner < len(rows) else parts)


def _still_there(run: Run) -> Run:
    """Raise RunNotFoundError if the directory was removed.

    An open log would take an event all the same, into files that no one will ever read.
    """
    if not run.path.exists():
        raise RunNotFoundError(f"the run was deleted: nothing is left to change in {run.path}")
    return run


def request_pause(run: Run) -> str:
    """Ask the training to wait at its next guard."""
    ask.pause(_still_there(run), WHO)
    return "asked the training to pause"


def request_resume(run: Run) -> str:
    """Ask a waiting training to go on."""
    ask.resume(_still_there(run), WHO)
    return "asked the training to go on"


def switch_discarded(run: Run, rows: Sequence[RowKey]) -> str:
    """Discard these rows, or restore them when all of them are discarded."""
    decider = _decider(run)
    run.refresh()
    discard = not all(_is_discarded(run, row) for row in rows)
    decider.discard(_chosen(rows), discard)
    return f"{'discarded' if discard else 'restored'} {named(rows)}"


def _is_discarded(run: Run, row: RowKey) -> bool:
    if row.annotation_id is None:
        return bool(run.view("samples").is_discarded(*row.sample))
    return bool(run.view("instances").is_discarded(*row))


def set_tag(run: Run, rows: Sequence[RowKey], tag: str, *, add: bool) -> str:
    """Put a tag on, or take it off; NAME=VALUE is for a registered categorical one."""
    decider, chosen = _decider(run), _chosen(rows)
    name, is_value, value = tag.partition("=")
    if is_value and name in decider.registered():
        decider.categorise(chosen, name, (add and value) or None)
    else:
        decider.tag(chosen, tag, "add" if add else "remove")
    return f"{'tagged' if add else 'untagged'} {named(rows)}: {tag}"


def _decider(run: Run) -> Decider:
    return Decider.of_run(_still_there(run), WHO)


def _chosen(rows: Sequence[RowKey]) -> list[Chosen]:
    return by_origin((row.origin, row.sample_id, row.annotation_id or 0) for row in rows)
