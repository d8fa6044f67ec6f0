"""The watched criterions that a script still holds: an evaluation calls them as the script does."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wl_core.session import Session
    from wl_core.values import BatchIds
    from wl_core.watch.criterion import Watch

_known: dict[str, tuple[Watch, Callable[[], Any]]] = {}


def remember(watch: Watch, criterion: Any) -> Any:
    """Keeps in mind what is watched, for as long as the script holds it; gives it back."""
    held: Callable[[], Any]
    try:
        held = weakref.ref(criterion)
    except TypeError:  # its class has __slots__ and no place for that

        def held() -> Any:
            return criterion

    _known[watch.name] = watch, held
    return criterion


def watched_criterions() -> list[tuple[Watch, Any]]:
    """What the script watches and still holds, in its order, and how it is watched."""
    found = [(watch, held()) for watch, held in _known.values()]
    return [(watch, one) for watch, one in found if one is not None]


def forget_criterions() -> None:
    """As if none were watched."""
    _known.clear()


def measures(running: Session, name: str, batch: BatchIds | None) -> None:
    """Notes with whose data the script calls a criterion; an evaluation shall do likewise."""
    if batch is not None and not running.evaluations.active:
        running.measured.setdefault(name, set()).add(batch.origin)
