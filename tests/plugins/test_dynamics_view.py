"""The fold of training dynamics: against brute force over whole histories, however it is cut."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from hypothesis import strategies as st

from wl_core.codec import Frame, FrameBuilder, decode, encode
from wl_core.testing import ProjectionConformance
from wl_plugins.dynamics.dynamics_view import DynamicsView
from wl_plugins.dynamics.names import SIGNALS

_ODD = (np.nan, np.inf, -np.inf, -0.0, 0.0, 0.5, 1.0, 1e300, -1e300, 3e38)


def _values(rng: random.Random, what: str, count: int) -> np.ndarray[Any, Any]:
    if what == "correct" and rng.random() < 0.8:
        return np.asarray([rng.random() < 0.5 for _ in range(count)], np.bool_)
    found = [rng.choice(_ODD) if rng.random() < 0.1 else rng.gauss(0.5, 1) for _ in range(count)]
    with np.errstate(over="ignore"):
        return np.asarray(found, np.float64).astype(rng.choice(("f2", "f4", "f4", "f8")))


def _add(rng: random.Random, builder: FrameBuilder) -> None:
    """All six signals of a batch, as `watch` records them, or one of them alone."""
    name = rng.choice(("dynamics", "dynamics", "head/dynamics", "train"))
    origin = rng.choice(("train_loader", "test_loader"))
    ids = rng.choices((0, 1, 2, "a", 70_000), k=rng.randrange(7))
    at, count, kind, blobs = builder.ids(ids), len(ids), "values", ()
    if rng.random() < 0.4 and ids:
        count, kind = rng.randrange(7), "instance_values"
        small = [[rng.randint(*of) for _ in range(count)] for of in ((0, len(ids) - 1), (1, 3))]
        blobs = tuple(builder.vector(np.asarray(one, np.uint8)) for one in small)
    for what in SIGNALS if rng.random() < 0.6 else (rng.choice(SIGNALS),):
        values = builder.vector(_values(rng, what, count))
        builder.add(kind, f"{name}/{what}", origin, False, at, *blobs, values)


def _stream(drawn: list[list[int]]) -> list[Frame]:
    frames: list[Frame] = []
    position = 0
    for step, seeds in enumerate(drawn):
        builder = FrameBuilder()
        for seed in seeds:
            _add(random.Random(seed), builder)
        frame = Frame(
            step, 0.0, b"somebody", step + 1, "train", False, builder.blobs, builder.events
        )
        frames.append(decode(position, encode(frame)))
        position += frame.count
    return frames


_STREAMS = st.lists(
    st.lists(st.integers(0, 2**16), min_size=1, max_size=4), min_size=1, max_size=16
)


class TestConformance(ProjectionConformance):
    projection = DynamicsView

    def frames(self) -> st.SearchStrategy[list[Frame]]:
        return _STREAMS.map(_stream)
