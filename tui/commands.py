"""What a person decides in the TUI, said to the run in the only way there is: by events.

What a decision is made of is `wl_core.decide`'s, for the command line as well. Functions here run
in the follower's thread. The training hears of it at its next guard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.sample_table import SampleKey
from wl_core import ask
from wl_core.decide import Chosen, Decider
from wl_core.errors import RunNotFoundError

if TYPE_CHECKING:
    from wl_core.run import Run

WHO = "tui"


def _still_there(run: Run) -> Run:
    """Raise RunNotFoundError if the directory was removed.

    An open log would take an event all the same, into files that no one will ever read.
    """
    if not run.path.exists():
        raise RunNotFoundError(f"the run was deleted: nothing is left to change in {run.path}")
    return run


def request_pause(run: Run) -> None:
    """Ask the training to wait at its next guard."""
    ask.pause(_still_there(run), WHO)


def request_resume(run: Run) -> None:
    """Ask a waiting training to go on."""
    ask.resume(_still_there(run), WHO)


def set_discarded(
    run: Run, sample: SampleKey, annotation_id: int | None, *, discarded: bool
) -> None:
    """Discard or restore a sample, or one of its instances."""
    _decider(run).discard([_chosen(sample, annotation_id)], discarded)


def set_tag(run: Run, sample: SampleKey, tag: str, *, add: bool) -> None:
    """Put a tag on a sample, or take it off; NAME=VALUE is for a registered categorical one."""
    decider, chosen = _decider(run), [_chosen(sample, None)]
    name, is_value, value = tag.partition("=")
    if is_value and name in decider.registered():
        decider.categorise(chosen, name, (add and value) or None)
    else:
        decider.tag(chosen, tag, "add" if add else "remove")


def _decider(run: Run) -> Decider:
    return Decider.of_run(_still_there(run), WHO)


def _chosen(sample: SampleKey, annotation_id: int | None) -> Chosen:
    numbers = None if annotation_id is None else [annotation_id]
    return Chosen(sample.origin, [sample.sample_id], numbers)
