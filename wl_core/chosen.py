"""Which samples or instances of a run are meant: by their names, or by a filter.

What is decided about them is `decide`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from wl_core.codec import SampleId
from wl_core.decide import Chosen, by_origin
from wl_core.errors import UnknownNameError
from wl_core.filters import Filter
from wl_core.joined import instances_with_samples

if TYPE_CHECKING:
    from wl_core.run import Run

Owner = tuple[str, SampleId, int]  # origin, sample_id, annotation_id or 0


def named(
    run: Run, names: Iterable[str], origin: str | None = None, instance: int | None = None
) -> list[Chosen]:
    """The samples of these ids, each once, or that instance of each.

    Raises:
        UnknownNameError: no such sample or instance; the nearest is named.
        UsageError: several origins have a sample of that id and none was named.
    """
    samples = dict.fromkeys(run.find_sample(name, origin) for name in names)
    if instance is None:
        return by_origin((*sample, 0) for sample in samples)
    for sample in samples:
        known = run.view("instances").annotation_ids(*sample)
        if instance not in known:
            has = ", ".join(map(str, known)) or "none"
            raise UnknownNameError(f"{sample[1]!r} has no instance {instance}; it has {has}")
    return by_origin((*sample, instance) for sample in samples)


def matching(
    run: Run,
    where: str,
    origin: str | None = None,
    instance: int | None = None,
    *,
    instances: bool = False,
) -> list[Chosen]:
    """What the filter matches: samples, or ``instances``, of one origin if it is given.

    A filter of instances may speak of their samples too, see `instances_with_samples`.
    With ``instance``, that one of each of the samples that have it.

    Raises:
        FilterError: the filter cannot be read, or names a column that is not there.
    """
    asked = Filter.parse(where)
    view = run.view("instances" if instances else "samples")
    rows = instances_with_samples(run) if instances else run.samples()
    places = np.flatnonzero(asked.mask(rows))
    found: list[Owner] = view.owners(places)
    if origin is not None:
        found = [one for one in found if one[0] == origin]
    if instance is not None:
        known = run.view("instances").annotation_ids
        found = [(name, one, instance) for name, one, _ in found if instance in known(name, one)]
    return by_origin(found)


def owners(chosen: Iterable[Chosen]) -> list[Owner]:
    """``(origin, sample_id, annotation_id)`` of each; 0 for a sample."""
    return [
        (some.origin, one, number)
        for some in chosen
        for one, number in zip(some.ids, some.annotation_ids or [0] * len(some), strict=True)
    ]


def discarded(run: Run, chosen: Sequence[Chosen]) -> int:
    """How many of them are discarded now."""
    return _count(run, chosen, "discarded", lambda cell: cell is True)


def categorised(run: Run, chosen: Sequence[Chosen], name: str, value: str | None) -> int:
    """How many of them have this value of a categorical tag now."""
    return _count(run, chosen, f"tag/{name}", lambda cell: cell == value)


def tagged(run: Run, chosen: Sequence[Chosen], tag: str) -> int:
    """How many of them have the tag now."""
    found = 0
    for some in chosen:
        if some.annotation_ids is None:
            tags = run.view("samples").tags_on(some.origin, some.ids)
        else:
            tags = run.view("instances").tags_on(some.origin, some.ids, some.annotation_ids)
        found += len(tags.get(tag, ()))
    return found


def _count(run: Run, chosen: Sequence[Chosen], column: str, test: Callable[[object], bool]) -> int:
    samples, instances = run.view("samples"), run.view("instances")
    cells = (
        instances.value(name, one, number, column) if number else samples.value(name, one, column)
        for name, one, number in owners(chosen)
    )
    return sum(map(test, cells))
