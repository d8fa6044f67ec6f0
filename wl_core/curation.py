"""Tags, categories and discards: what the training script decides about its data, as events.

A discarded sample stays in the log and in the views, marked; the losses that are watched are zero
for it from the next step on, and so is what it gives to the gradient. (A gradient that is NaN
within the criterion stays so: zero times NaN is NaN. Such a sample must leave the data.)

Each call is one frame, also amid a step, so that it has a position in the log and can be undone.
What a decision is made of is `decide`'s; the same functions serve other processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wl_core.codec import SampleId
from wl_core.decide import Chosen, Decider, Mode, NewEvent
from wl_core.errors import UsageError
from wl_core.handover import UNNAMED_ORIGIN
from wl_core.run import wire_fields
from wl_core.session import Session, session
from wl_core.undoing import Decision
from wl_core.values import BatchIds, as_ids

WHO = "script"


def tag_samples(
    ids: Any,
    tag: str,
    mode: Mode = "add",
    origin: str | None = None,
    *,
    annotation_id: int | None = None,
    why: str = "",
) -> None:
    """Puts a tag on samples, takes it off, or makes it the only one that they have.

    Args:
        ids: sample ids.
        tag: any text that is not empty.
        mode: ``"add"``, ``"remove"``, or ``"set"``: afterwards these samples have this tag and no
            other (categorical ones aside).
        origin: whose samples; the only watched loader's when left out.
        annotation_id: tag this instance of each sample alone; instances count from 1.
        why: a reason, kept with the event.

    Raises:
        UsageError: several data sets are watched and none was named, the annotation_id is not one
            of an instance, there is no such mode, or the tag is no text.
    """
    running = session()
    _decider(running).tag([_chosen(running, ids, origin, annotation_id)], tag, mode, why)


def register_categorical_tag(name: str, categories: Sequence[str], *, why: str = "") -> None:
    """Says that a categorical tag exists: one text of these per sample or instance, or none.

    It is a text column of that name in the tables (``weather == "rainy"``), or ``tag/<name>`` where
    the name is taken. Registering it again with other categories replaces the list: values that
    were given stay as they are, new ones must be among the new categories. With the same ones it
    changes nothing, so a script that registers at its start can be started again.

    Raises:
        UsageError: the categories are not different texts, or there is none.
    """
    _decider(session()).register(name, categories, why)


def set_categorical_tag(
    ids: Any,
    name: str,
    value: str | None,
    origin: str | None = None,
    *,
    annotation_id: int | None = None,
    why: str = "",
) -> None:
    """Gives samples a value of a categorical tag; None takes it away.

    Args:
        ids: sample ids.
        name: a categorical tag that was registered, by whichever process.
        value: one of its categories, or None.
        origin: whose samples; the only watched loader's when left out.
        annotation_id: of this instance of each sample alone; instances count from 1.
        why: a reason, kept with the event.

    Raises:
        UnknownNameError: the tag was not registered, or the value is not among its categories; the
            nearest is named.
        UsageError: several data sets are watched and none was named, or the annotation_id is not
            one of an instance.
    """
    running = session()
    chosen = _chosen(running, ids, origin, annotation_id)
    _decider(running).categorise([chosen], name, value, why)


def discard_samples(
    ids: Any,
    discarded: bool = True,
    origin: str | None = None,
    *,
    annotation_id: int | None = None,
    why: str = "",
) -> None:
    """Discards samples, or restores them with ``discarded=False``; it holds at once.

    Args:
        ids: sample ids.
        discarded: True to discard, False to restore.
        origin: whose samples; the only watched loader's when left out.
        annotation_id: discard this instance of each sample alone; instances count from 1.
        why: a reason, kept with the event.

    Raises:
        UsageError: several data sets are watched and none was named, or the annotation_id is not
            one of an instance.
    """
    running = session()
    chosen = _chosen(running, ids, origin, annotation_id)
    _decider(running).discard([chosen], bool(discarded), why)


def get_samples_by_tag(tag: str, origin: str | None = None) -> list[SampleId]:
    """The ids of the samples that have the tag now, sorted; empty for a tag that nobody gave.

    Integers come before texts. ``origin`` is the only watched loader's when left out.

    Raises:
        UsageError: several data sets are watched and none was named.
    """
    running = session()
    wanted = _origin(running, origin)
    return [one for name, one in running.views.view("samples").tagged(tag) if name == wanted]


def get_discarded_samples(origin: str | None = None) -> list[SampleId]:
    """The ids of the samples that are discarded now, sorted, those aside of which an instance is.

    Integers come before texts. ``origin`` is the only watched loader's when left out.

    Raises:
        UsageError: several data sets are watched and none was named.
    """
    running = session()
    wanted = _origin(running, origin)
    found = [one for name, one, number in running.discards.keys if name == wanted and not number]
    return sorted(found, key=lambda one: (isinstance(one, str), one))


def undo(count: int = 1, *, event: int | None = None, why: str = "") -> list[Decision]:
    """Takes back the last ``count`` decisions about data that still count, whoever made them.

    What one call decided is taken back whole. Nothing is erased: the undo is an event as well, and
    `redo` makes the decisions count again, each in its old place among the others.

    Args:
        count: how many decisions.
        event: the position of one particular decision, instead of the last ones.
        why: a reason, kept with the event.

    Returns:
        What was taken back, the newest first; fewer than ``count`` if there were not so many.

    Raises:
        UsageError: ``count`` is below 1, or there is no decision that counts at ``event``.
        LogWriteError: the disk refused what was decided before.
    """
    return _decider(session()).undo(count, event, why)[1]


def redo(count: int = 1, *, event: int | None = None, why: str = "") -> list[Decision]:
    """Makes the decisions count again that were undone last, or the one at position ``event``.

    Arguments, result and errors are those of `undo`; the one that was undone last comes first.
    """
    return _decider(session()).redo(count, event, why)[1]


def _decider(running: Session) -> Decider:
    def decisions() -> Any:
        running.flush()  # only what is in the log has a position
        return running.log.decisions()

    return Decider(
        WHO,
        running.views.view,
        lambda: running.categories,
        decisions,
        lambda events: _record(running, events),
    )


def _record(running: Session, events: list[NewEvent]) -> int:
    """One frame, committed at once, and obeyed at once."""
    recorder = running.recorder
    with recorder.lock:
        recorder.begin("outside")
        try:
            builder = recorder.frames[-1].builder
            for kind, fields in events:
                builder.add(kind, *wire_fields(running.log.catalogue, builder, kind, fields))
        finally:
            recorder.end()
    for kind, fields in events:
        _obey(running, kind, fields)
    if any(kind == "undone" for kind, _ in events):
        running.recount()
    return -1  # its position is known once it is committed


def _obey(running: Session, kind: str, fields: dict[str, Any]) -> None:
    if kind == "discarded":
        numbers = list(fields["annotation_ids"] or [0])
        running.discards.ahead = True
        running.discards.change(fields["discarded"], fields["origin"], fields["ids"], numbers)
    elif kind == "category_registered":
        running.categories[fields["name"]] = tuple(fields["categories"])


def _chosen(running: Session, ids: Any, origin: str | None, annotation_id: int | None) -> Chosen:
    if annotation_id is not None and annotation_id < 1:
        raise UsageError(
            f"annotation_id must be 1 or more, or None for samples, not {annotation_id}"
        )
    batch = BatchIds(_origin(running, origin), as_ids(ids))
    numbers = None if annotation_id is None else [annotation_id] * len(batch)
    return Chosen(batch.origin, batch.ids, numbers)


def _origin(running: Session, origin: str | None) -> str:
    if origin is not None:
        return origin
    if len(running.loaders) > 1:
        known = ", ".join(running.loaders)
        raise UsageError(f"several data sets are watched: pass origin= (one of {known})")
    return next(iter(running.loaders), UNNAMED_ORIGIN)
