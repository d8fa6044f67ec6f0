"""Random streams of events for hypothesis: what a log may hold, in small.

Ids are integers and texts, few enough to come again; origins, tags and signals are few as well;
values are of every dtype and hold NaN and inf; frames are encoded and decoded as a log's are.
Hypothesis chooses, and shrinks, how many frames there are, the kinds of their events and a seed
for what an event holds; drawing every number on its own would be fifty times slower.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from wl_core.codec import PHASES, Frame, FrameBuilder, SampleId, decode, encode

T = TypeVar("T")

# -5 and 2**40 lie outside any direct table; 1 and "1" are two samples.
_SAMPLE_IDS: tuple[SampleId, ...] = (0, 1, 2, 3, 4, -5, 70_000, 2**40, "1", "a", "b/c", "\udce9")
_INTEGERS = tuple(one for one in _SAMPLE_IDS if isinstance(one, int))
_ORIGINS = ("train_loader", "test_loader")
_SIGNALS = ("loss", "dice", "test_dice/sample")
_FLOATS = (0.0, -0.0, 1.0, 0.1, 1 / 3, -2.5, 1e-7, 3e38, 1e300, np.nan, np.inf, -np.inf)
_SCALARS = (
    None,
    True,
    False,
    0,
    1,
    -3,
    2**70,
    0.0,
    -0.0,
    0.5,
    np.nan,
    "rainy",
    "dry",
    "",
    "1",
    "\udcff",
)
_CHOICES = (("weather", "rainy"), ("weather", "dry"), ("weather", None), ("discarded", "no"))
_POSITIONS = 24  # that an undo speaks of; most streams are not much longer
_TEXTS = ("cat", "dog", "", "1")
_LISTS: tuple[list[Any], ...] = (
    [],
    ["cat"],
    ["cat", "dog"],
    [1, 3],
    [1.0, 3.0],
    [True],
    [np.nan],
    [0.5, "cat", False],
)
_DTYPES = ("f4", "f4", "f4", "f8", "f2", "i8", "u1", "?")


def _ids(rng: random.Random) -> list[SampleId]:
    known = _INTEGERS if rng.random() < 0.6 else _SAMPLE_IDS
    return rng.choices(known, k=rng.randrange(6))


def _values(rng: random.Random, count: int) -> npt.NDArray[Any]:
    dtype = np.dtype(rng.choice(_DTYPES))
    if dtype.kind in "iu":
        return np.asarray([rng.randrange(256) for _ in range(count)], dtype)
    floats = [rng.choice(_FLOATS) if rng.random() < 0.3 else rng.gauss(0, 1) for _ in range(count)]
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(floats, np.float64).astype(dtype)


def _small(rng: random.Random, count: int, low: int, high: int) -> npt.NDArray[np.uint8]:
    return np.asarray([rng.randint(low, high) for _ in range(count)], np.uint8)


def _instances(rng: random.Random, builder: FrameBuilder) -> tuple[tuple[int, int, int], int]:
    """The blobs of ids, batch_idx and annotation_ids, and how many instances they name."""
    ids = _ids(rng)
    count = rng.randrange(7) if ids else 0
    batch_idx = _small(rng, count, 0, len(ids) - 1)
    annotation_ids = _small(rng, count, 1, 5)
    return (builder.ids(ids), builder.vector(batch_idx), builder.vector(annotation_ids)), count


def _add_values(rng: random.Random, builder: FrameBuilder) -> None:
    ids = _ids(rng)
    series = rng.choice(_SIGNALS), rng.choice(_ORIGINS), rng.random() < 0.7
    builder.add("values", *series, builder.ids(ids), builder.vector(_values(rng, len(ids))))


def _add_labels(rng: random.Random, builder: FrameBuilder) -> None:
    ids = _ids(rng)
    text, lists = rng.choices(_TEXTS, k=len(ids)), rng.choices(_LISTS, k=len(ids))
    builder.add(
        "labels",
        rng.choice(_SIGNALS),
        rng.choice(_ORIGINS),
        builder.ids(ids),
        rng.choice((text, lists)),
    )


def _add_group_values(rng: random.Random, builder: FrameBuilder) -> None:
    groups = _ids(rng)
    ids = _ids(rng) if groups else []
    builder.add(
        "group_values",
        rng.choice(_SIGNALS),
        rng.choice(_ORIGINS),
        rng.random() < 0.7,
        builder.ids(groups),
        builder.vector(_values(rng, len(groups))),
        builder.ids(ids),
        builder.vector(_small(rng, len(ids), 0, len(groups) - 1)),
    )


def _add_instance_values(rng: random.Random, builder: FrameBuilder) -> None:
    blobs, count = _instances(rng, builder)
    series = rng.choice(_SIGNALS), rng.choice(_ORIGINS), rng.random() < 0.7
    builder.add("instance_values", *series, *blobs, builder.vector(_values(rng, count)))


def _add_step_values(rng: random.Random, builder: FrameBuilder) -> None:
    names = rng.choices(("lr", "loss", "norm"), k=rng.randrange(4))
    builder.add("step_values", names, builder.vector(_values(rng, len(names))))


def _add_exposed(rng: random.Random, builder: FrameBuilder) -> None:
    builder.add("exposed", rng.choice(_ORIGINS), builder.ids(_ids(rng)))


def _add_found(rng: random.Random, builder: FrameBuilder) -> None:
    ids = _ids(rng)
    counts = builder.vector(_small(rng, len(ids), 0, 4))
    builder.add("instances_found", rng.choice(_ORIGINS), builder.ids(ids), counts)


def _add_metadata(rng: random.Random, builder: FrameBuilder) -> None:
    ids = _ids(rng)
    names = rng.sample(("weather", "density", "tags"), k=rng.randrange(3))
    columns = {name: rng.choices(_SCALARS, k=len(ids)) for name in names}
    for cells in columns.values():  # msgpack holds 64 bits
        cells[:] = [2**63 if cell == 2**70 else cell for cell in cells]
    builder.add("metadata", rng.choice(_ORIGINS), builder.ids(ids), columns)


def _add_arrays(rng: random.Random, builder: FrameBuilder) -> None:
    ids: tuple[int | None, ...]
    if rng.random() < 0.5:
        ids, count = _instances(rng, builder)
    else:
        sample_ids = _ids(rng)
        ids, count = (builder.ids(sample_ids), None, None), len(sample_ids)
    hashes = b"".join(bytes([rng.randrange(9)]) * 16 for _ in range(count))
    refs = builder.vector(np.frombuffer(hashes, "V16"))
    specs = rng.sample((["|u1", [4, 4]], ["<i8", [2]], ["|b1", []]), k=2)
    field = rng.choice(("prediction", "target"))
    spec_idx = builder.vector(_small(rng, count, 0, 1))
    builder.add("arrays", field, rng.choice(_ORIGINS), *ids, refs, spec_idx, specs)


def _add_decision(rng: random.Random, builder: FrameBuilder) -> None:
    ids = _ids(rng)
    annotation_ids = None
    if rng.random() < 0.5:
        annotation_ids = builder.vector(_small(rng, len(ids), 1, 5))
    who = (
        rng.choice(_ORIGINS),
        builder.ids(ids),
        annotation_ids,
        rng.choice(("me", "you")),
        rng.choice(("", "blurred")),
    )
    kind = rng.choice(("tagged", "discarded", "categorised"))
    if kind == "tagged":
        tag = rng.choice(("hard", "rain, night", "wrong label"))
        builder.add(kind, tag, rng.random() < 0.6, *who)
    elif kind == "discarded":
        builder.add(kind, rng.random() < 0.6, *who)
    else:
        builder.add(kind, *rng.choice(_CHOICES), *who)


def _add_registered(rng: random.Random, builder: FrameBuilder) -> None:
    name = rng.choice(_CHOICES)[0]
    builder.add("category_registered", name, rng.sample(("rainy", "dry"), k=2), "me", "")


def _add_undone(rng: random.Random, builder: FrameBuilder) -> None:
    """Of decisions at any position: also of what is no decision, or not there yet."""
    positions = rng.choices(range(_POSITIONS), k=rng.randrange(_POSITIONS))
    builder.add("undone", positions, rng.random() < 0.6, "me", "")


def _add_declared(rng: random.Random, builder: FrameBuilder) -> None:
    level, role = rng.choice((("sample", "loss"), ("instance", "metric")))
    builder.add("signal_declared", rng.choice(_SIGNALS), level, role, rng.random() < 0.5, {})


def _add_evaluated(rng: random.Random, builder: FrameBuilder) -> None:
    means = {name: rng.choice(_FLOATS) for name in rng.sample(_SIGNALS, k=rng.randrange(3))}
    what = rng.choice(_ORIGINS), rng.choice(("", "hard")), rng.randrange(9), means
    ended = rng.random() < 0.2, rng.choice(("", "", "ValueError: boom")), rng.randrange(-1, 9)
    builder.add("evaluation_finished", *what, *ended)


_EVENTS: tuple[Callable[[random.Random, FrameBuilder], None], ...] = (
    _add_values,
    _add_labels,
    _add_group_values,
    _add_instance_values,
    _add_step_values,
    _add_exposed,
    _add_found,
    _add_metadata,
    _add_arrays,
    _add_decision,
    _add_registered,
    _add_undone,
    _add_declared,
    _add_evaluated,
)
_EVENT = st.tuples(st.sampled_from(_EVENTS), st.integers(0, 2**16))
_FRAME = st.tuples(st.integers(0, 2), st.lists(_EVENT, min_size=1, max_size=8))


def _stream(drawn: list[tuple[int, list[tuple[Any, int]]]]) -> list[Frame]:
    frames: list[Frame] = []
    position = step = 0
    for number, (steps, events) in enumerate(drawn):
        step += steps
        builder = FrameBuilder()
        for add, seed in events:
            add(random.Random(seed), builder)
        frame = Frame(
            step,
            1e9 + number,
            b"somebody",
            number + 1,
            PHASES[number % 3],
            False,
            builder.blobs,
            builder.events,
        )
        frames.append(decode(position, encode(frame)))
        position += len(builder.events)
    return frames


def streams(max_frames: int = 8) -> st.SearchStrategy[list[Frame]]:
    """Consecutive frames of a log as a reader gets them; steps never fall."""
    return st.lists(_FRAME, min_size=1, max_size=max_frames).map(_stream)
