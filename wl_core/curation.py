"""Tags and discards: what a person decides about samples, as events.

A discarded sample stays in the log and in the views, marked; the losses that are watched are zero
for it from the next step on, and so is what it gives to the gradient. (A gradient that is NaN
within the criterion stays so: zero times NaN is NaN. Such a sample must leave the data.)
"""

from __future__ import annotations

from typing import Any, Literal

from wl_core.errors import UsageError
from wl_core.handover import UNNAMED_ORIGIN
from wl_core.session import Session, session
from wl_core.values import BatchIds, as_ids

WHO = "script"


def tag_samples(
    ids: Any, tag: str, *, mode: Literal["add", "remove"] = "add", origin: str | None = None
) -> None:
    """Puts a tag on samples, or takes it off.

    Args:
        ids: sample ids.
        tag: any text.
        mode: ``"add"`` or ``"remove"``.
        origin: whose samples; the only watched loader's when left out.

    Raises:
        UsageError: several data sets are watched and none was named, or no such mode.
    """
    if mode not in ("add", "remove"):
        raise UsageError(f"mode must be 'add' or 'remove', not {mode!r}")
    running = session()
    batch = BatchIds(_origin(running, origin), as_ids(ids))
    running.recorder.choice("tagged", (tag, mode == "add"), batch, None, WHO, "")


def discard_samples(
    ids: Any,
    discarded: bool = True,
    *,
    origin: str | None = None,
    annotation_id: int | None = None,
) -> None:
    """Discards samples, or restores them with ``discarded=False``; it holds at once.

    Args:
        ids: sample ids.
        discarded: True to discard, False to restore.
        origin: whose samples; the only watched loader's when left out.
        annotation_id: discard this instance of each sample alone; instances count from 1.

    Raises:
        UsageError: several data sets are watched and none was named, or the annotation_id is not
            one of an instance.
    """
    if annotation_id is not None and annotation_id < 1:
        raise UsageError(
            f"annotation_id must be 1 or more, or None for samples, not {annotation_id}"
        )
    running = session()
    batch = BatchIds(_origin(running, origin), as_ids(ids))
    running.recorder.choice("discarded", (discarded,), batch, annotation_id, WHO, "")
    running.discards.change(discarded, batch.origin, batch.ids, [annotation_id or 0])


def _origin(running: Session, origin: str | None) -> str:
    if origin is not None:
        return origin
    if len(running.loaders) > 1:
        known = ", ".join(running.loaders)
        raise UsageError(f"several data sets are watched: pass origin= (one of {known})")
    return next(iter(running.loaders), UNNAMED_ORIGIN)
