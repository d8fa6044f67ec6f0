"""The catalogue: every kind of event, its fields, its version, its upcasters.

An event in memory is a plain tuple ``(kind, version, *fields)``, because millions of them pass
through a fold; a field that is a vector (ids, values, …) holds the index of a blob of its frame.
`Kind` says what the fields are called and what they mean. How frames become bytes is `codec`'s
business; how vectors of many events become one array is `batches`'.

To change the fields of a kind, raise its version and give an upcaster from the old one: logs are
for ever.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from wl_core.errors import UnsupportedFormatError

FieldType = Literal["text", "int", "float", "bool", "json", "vector", "ids"]
WireEvent = tuple[Any, ...]
Upcaster = Callable[[WireEvent], WireEvent]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a kind; ``vector`` and ``ids`` fields are blobs, None where they are absent."""

    name: str
    type: FieldType


class Layout(NamedTuple):
    """What the codec asks of a kind for each event; kept apart because millions of them pass.

    ``width`` is the length of a wire event; ``vectors`` and ``ids`` give the indexes of
    blobs in one; ``json`` are the places among the fields that hold what a script gave;
    ``landmark`` is the kind's own.
    """

    version: int
    width: int
    vectors: Callable[[WireEvent], tuple[Any, ...]]
    ids: Callable[[WireEvent], tuple[Any, ...]]
    json: tuple[int, ...]
    landmark: int


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event.

    ``key`` is how many leading fields name the series that an event belongs to (signal and
    origin, say): a fold gets the events of one key together, in the order of the log.
    ``upcasters[v]`` turns an event of version ``v`` into one of version ``v + 1``. ``landmark`` is
    how frames with such events are found without reading the log: `LIFE`, `DECISION`, `SAVED`,
    `BACKFILLED` or 0.
    """

    name: str
    doc: str
    fields: tuple[Field, ...] = ()
    key: int = 0
    version: int = 1
    upcasters: Mapping[int, Upcaster] = field(default_factory=dict)
    landmark: int = 0

    @property
    def layout(self) -> Layout:
        return Layout(
            self.version,
            len(self.fields) + 2,
            _getter([n for n, f in enumerate(self.fields, 2) if f.type == "vector"]),
            _getter([n for n, f in enumerate(self.fields, 2) if f.type == "ids"]),
            tuple(n for n, f in enumerate(self.fields) if f.type == "json"),
            self.landmark,
        )

    def index(self, name: str) -> int:
        """Where the field of that name stands in a wire event."""
        for number, candidate in enumerate(self.fields):
            if candidate.name == name:
                return number + 2
        raise KeyError(f"{self.name} has no field {name!r}")


# How a frame is found again without reading the log: it begins, pauses or ends a run; it holds a
# decision, which a training that is continued obeys again; a model was saved in it; or it heads the
# frames of signals that were computed after the fact.
LIFE, DECISION, SAVED, BACKFILLED = 1, 2, 4, 8


def _kind(name: str, doc: str, fields: str = "", key: int = 0, landmark: int = 0) -> Kind:
    """Reads ``"signal:text ids:ids"`` as fields, so that the catalogue below reads as a table."""
    parsed = []
    for item in fields.split():
        field_name, _, kind = item.partition(":")
        parsed.append(Field(field_name, kind))  # type: ignore[arg-type]  # checked by a test
    return Kind(name, doc, tuple(parsed), key, landmark=landmark)


def _with_why(kind: Kind) -> Kind:
    """Version 2 of a kind that had all of its fields but the last, ``why``, in version 1."""
    return replace(kind, version=2, upcasters={1: lambda event: (event[0], 2, *event[2:], "")})


BUILTIN_KINDS: tuple[Kind, ...] = (
    # the life of a run
    _kind(
        "run_started",
        "A process began to record.",
        "run_id:text pid:int host:text versions:json resumed:bool",
        landmark=LIFE,
    ),
    _kind(
        "run_finished",
        "Recording ended in order; ``error`` says by which error it failed, or who stopped it.",
        "reason:text error:text",
        landmark=LIFE,
    ),
    _kind(
        "step_failed",
        "An exception left a guard; the frame holds what came before it.",
        "phase:text error:text traceback:text",
    ),
    _kind(
        "object_described",
        "A model, optimizer, loader, … was watched.",
        "role:text name:text detail:json",
    ),
    _with_why(
        _kind(
            "hyperparameters",
            "These hyperparameters have these values from now on; None for one that is gone.",
            "values:json who:text why:text",
            landmark=DECISION,
        )
    ),
    _kind(
        "model_saved",
        "The weights, optimizers and random state of a model whose weights have been through that"
        " many training steps are in this file of the run directory, whose SHA-256 is ``digest``.",
        "age:int file:text size:int digest:text",
        landmark=SAVED,
    ),
    _kind(
        "model_restored",
        "The training goes on with the weights of that age, from this file.",
        "age:int file:text",
    ),
    _kind(
        "branched",
        "This run shares the past before this event with the run ``run``, up to step ``step``.",
        "run:text step:int",
        landmark=LIFE,
    ),
    # what was measured
    _kind(
        "signal_declared",
        "A signal exists: its level (sample, instance, group, step) and role (loss, metric, "
        "signal).",
        "signal:text level:text role:text log:bool detail:json",
    ),
    _kind(
        "values",
        "One value per sample.",
        "signal:text origin:text log:bool ids:ids values:vector",
        key=2,
    ),
    _kind(
        "instance_values",
        "One value per instance: instance i belongs to sample ids[batch_idx[i]] and is its "
        "annotation_ids[i]-th.",
        "signal:text origin:text log:bool ids:ids batch_idx:vector annotation_ids:vector "
        "values:vector",
        key=2,
    ),
    _kind(
        "labels",
        "One value per sample that is no number: text, or a list of text, numbers or bools.",
        "signal:text origin:text ids:ids values:json",
        key=2,
    ),
    _kind(
        "group_values",
        "One value per group of samples (a pair, say): ids[i] is a member of group "
        "group_ids[group_idx[i]], which has the value values[group_idx[i]].",
        "signal:text origin:text log:bool group_ids:ids values:vector ids:ids group_idx:vector",
        key=2,
    ),
    _kind(
        "step_values",
        "One value per step for each named signal.",
        "names:json values:vector",
    ),
    _kind(
        "signal_failed",
        "A user's signal function raised; recorded once per signal.",
        "signal:text error:text traceback:text",
    ),
    _kind(
        "backfilled",
        "These signals of ``module``, whose source has the SHA-256 ``digest``, were computed after "
        "the fact over the events before position ``stop``. Their values are in the ``frames`` "
        "frames of this writer that follow.",
        "signals:json module:text digest:text stop:int frames:int who:text why:text",
        landmark=BACKFILLED,
    ),
    _kind(
        "computed_later",
        "What follows in this frame, up to the next of these, was computed after the fact from the "
        "event at that position (-1: from the data alone).",
        "source:int",
    ),
    # the data
    _kind(
        "exposed",
        "These samples were handed to the model in this step.",
        "origin:text ids:ids",
        key=1,
    ),
    _kind(
        "metadata",
        "What the data set says of these samples: one list per column.",
        "origin:text ids:ids columns:json",
        key=1,
    ),
    _kind(
        "instances_found",
        "These samples have that many instances.",
        "origin:text ids:ids counts:vector",
        key=1,
    ),
    _kind(
        "arrays",
        "Arrays of samples (no batch_idx) or instances, by content hash; specs[spec_idx[i]] "
        "is (dtype, shape) of the i-th.",
        "field:text origin:text ids:ids batch_idx:vector annotation_ids:vector refs:vector "
        "spec_idx:vector specs:json",
        key=2,
    ),
    # what people decide
    _with_why(
        _kind(
            "tagged",
            "A tag was put on (add) or taken off samples, or instances when annotation_ids is "
            "there.",
            "tag:text add:bool origin:text ids:ids annotation_ids:vector who:text why:text",
            landmark=DECISION,
        )
    ),
    _kind(
        "category_registered",
        "A categorical tag exists, with these categories.",
        "name:text categories:json who:text why:text",
        landmark=DECISION,
    ),
    _kind(
        "categorised",
        "Samples, or instances when annotation_ids is there, have this value (None: no value) of "
        "a categorical tag.",
        "name:text value:json origin:text ids:ids annotation_ids:vector who:text why:text",
        landmark=DECISION,
    ),
    _with_why(
        _kind(
            "discarded",
            "Samples, or instances when annotation_ids is there, were discarded or restored.",
            "discarded:bool origin:text ids:ids annotation_ids:vector who:text why:text",
            landmark=DECISION,
        )
    ),
    _kind(
        "undone",
        "The decisions at these positions count no more (undone), or count again.",
        "positions:json undone:bool who:text why:text",
        landmark=DECISION,
    ),
    _with_why(
        _kind(
            "pause_requested",
            "Somebody asks the training to wait at its next guard.",
            "who:text why:text",
        )
    ),
    _with_why(
        _kind(
            "resume_requested",
            "Somebody asks the training to go on.",
            "who:text why:text",
        )
    ),
    _kind(
        "steps_requested",
        "Somebody asks the training to do so many steps and then to wait.",
        "count:int who:text why:text",
    ),
    _kind(
        "stop_requested",
        "Somebody asks the training to end at its next guard.",
        "who:text why:text",
    ),
    _kind(
        "evaluation_requested",
        "Somebody asks for an evaluation over the data of ``origin``, of the samples with this "
        "tag only if there is one.",
        "origin:text tag:text who:text why:text",
    ),
    _kind(
        "evaluation_cancel_requested",
        "Somebody asks that the evaluation that runs or waits be given up.",
        "who:text why:text",
    ),
    # what the training makes of it
    _kind(
        "obeyed",
        "The training has done what the event at position ``request`` asks; ``refused`` says why "
        "not, if not.",
        "request:int refused:text",
        landmark=DECISION,  # what was refused must not be obeyed when the run is continued
    ),
    replace(
        _kind(
            "paused",
            "The training waits, because somebody asked for it, for that reason.",
            "who:text why:text",
            landmark=LIFE,
        ),
        version=2,
        upcasters={1: lambda event: (event[0], 2, "", "")},
    ),
    _kind(
        "resumed",
        "The training goes on.",
        landmark=LIFE,
    ),
    _kind(
        "evaluation_started",
        "An evaluation of that many samples (-1: nobody knows) began; ``request`` is the position "
        "of who asked, or -1.",
        "origin:text tag:text samples:int request:int",
        landmark=LIFE,
    ),
    _kind(
        "evaluation_progressed",
        "So many samples of the evaluation are done.",
        "done:int",
    ),
    _kind(
        "evaluation_finished",
        "An evaluation of that many samples ended: the mean of each signal over them, and the "
        "traceback in ``error`` if it failed.",
        "origin:text tag:text samples:int means:json cancelled:bool error:text request:int",
        landmark=LIFE,
    ),
)


def _getter(places: list[int]) -> Callable[[WireEvent], tuple[Any, ...]]:
    """Gives what stands at these places; an itemgetter is a tenth of a loop."""
    if not places:
        return lambda _: ()
    return operator.itemgetter(*places) if len(places) > 1 else operator.itemgetter(*places * 2)


class Catalogue:
    """The kinds that this process knows: the built-in ones and those that plugins add."""

    def __init__(self, kinds: Iterable[Kind] = BUILTIN_KINDS) -> None:
        self._kinds: dict[str, Kind] = {}
        self.layouts: dict[str, Layout] = {}
        for kind in kinds:
            self.add(kind)

    def add(self, kind: Kind) -> None:
        """Adds a kind; a name that is taken by a different kind is a ValueError."""
        known = self._kinds.get(kind.name)
        if known is not None and known != kind:
            raise ValueError(f"the event kind {kind.name!r} exists already, with other fields")
        self._kinds[kind.name] = kind
        self.layouts[kind.name] = kind.layout

    def get(self, name: str) -> Kind | None:
        return self._kinds.get(name)

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def upcast(self, event: WireEvent) -> WireEvent:
        """The event in the newest version that this process knows.

        Raises:
            UnsupportedFormatError: the event is of a newer version than this process knows.
        """
        kind = self._kinds.get(event[0])
        if kind is None or event[1] == kind.version:
            return event
        if event[1] > kind.version:
            raise UnsupportedFormatError(
                f"this log holds {kind.name} events of version {event[1]}, and this wl reads up to"
                f" version {kind.version}: read it with a newer wl"
            )
        while event[1] < kind.version:
            event = kind.upcasters[event[1]](event)
        return event


CATALOGUE = Catalogue()
