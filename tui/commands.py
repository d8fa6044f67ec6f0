"""What a person decides in the TUI, said to the run in the only way there is: by events.

Functions here run in the follower's thread. The training hears of it at its next guard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.sample_table import SampleKey

if TYPE_CHECKING:
    from wl_core.run import Run

WHO = "tui"


def request_pause(run: Run) -> None:
    """Ask the training to wait at its next guard."""
    run.append("pause_requested", who=WHO)


def request_resume(run: Run) -> None:
    """Ask a waiting training to go on."""
    run.append("resume_requested", who=WHO)


def set_discarded(
    run: Run, sample: SampleKey, annotation_id: int | None, *, discarded: bool
) -> None:
    """Discard or restore a sample, or one of its instances."""
    run.append(
        "discarded",
        discarded=discarded,
        origin=sample.origin,
        ids=[sample.sample_id],
        annotation_ids=None if annotation_id is None else [annotation_id],
        who=WHO,
    )


def set_tag(run: Run, sample: SampleKey, tag: str, *, add: bool) -> None:
    """Put a tag on a sample, or take it off."""
    run.append(
        "tagged",
        tag=tag,
        add=add,
        origin=sample.origin,
        ids=[sample.sample_id],
        annotation_ids=None,
        who=WHO,
    )
