"""What a person decides in the TUI, said to the run in the only way there is: by events.

Functions here run in the follower's thread. The training hears of it at its next guard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui.sample_table import SampleKey
from wl_core.errors import RunNotFoundError

if TYPE_CHECKING:
    from wl_core.run import Run

WHO = "tui"


def _append(run: Run, kind: str, **fields: Any) -> None:
    """Append one event.

    Raises:
        RunNotFoundError: the directory was removed; an open log would take the event all the same,
            into files that no one will ever read.
    """
    if not run.path.exists():
        raise RunNotFoundError(f"the run was deleted: nothing is left to change in {run.path}")
    run.append(kind, **fields, who=WHO)


def request_pause(run: Run) -> None:
    """Ask the training to wait at its next guard."""
    _append(run, "pause_requested")


def request_resume(run: Run) -> None:
    """Ask a waiting training to go on."""
    _append(run, "resume_requested")


def set_discarded(
    run: Run, sample: SampleKey, annotation_id: int | None, *, discarded: bool
) -> None:
    """Discard or restore a sample, or one of its instances."""
    _append(
        run,
        "discarded",
        discarded=discarded,
        origin=sample.origin,
        ids=[sample.sample_id],
        annotation_ids=None if annotation_id is None else [annotation_id],
    )


def set_tag(run: Run, sample: SampleKey, tag: str, *, add: bool) -> None:
    """Put a tag on a sample, or take it off."""
    _append(
        run,
        "tagged",
        tag=tag,
        add=add,
        origin=sample.origin,
        ids=[sample.sample_id],
        annotation_ids=None,
    )
