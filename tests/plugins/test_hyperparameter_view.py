"""The view of hyperparameters: its conformance, and what it makes of edits and schedules."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import strategies as st

from wl_core.codec import Frame, FrameBuilder, decode, encode
from wl_core.partitions import fold_frames
from wl_core.testing.projections import ProjectionConformance
from wl_plugins.hyperparameter_view import HyperparameterView

VALUES = (None, True, 0, 1, 0.5, float("nan"), -0.0, "adam", [1, 2], ["a", [0.1]], [])


def frame(position: int, step: int, *events: tuple[object, ...]) -> Frame:
    """Step values are given as a dict, which becomes names and a vector."""
    builder = FrameBuilder()
    for kind, *fields in events:
        if kind == "step_values":
            rates = fields[0]
            assert isinstance(rates, dict)
            vector = builder.vector(np.asarray(list(rates.values()), np.float64))
            builder.add("step_values", list(rates), vector)
        else:
            builder.add(str(kind), *fields)
    made = Frame(
        step, 1e9, b"somebody", position + 1, "train", False, builder.blobs, builder.events
    )
    return decode(position, encode(made))


def _events(rng: random.Random, before: int) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for _ in range(rng.randrange(1, 4)):
        names = rng.sample(("lr", "optimizer.lr", "optimizer.1.lr", "a.b"), k=rng.randrange(3))
        values = {name: rng.choice(VALUES) for name in names}
        rates = rng.sample(("optimizer/lr", "optimizer/lr/1", "norm", "x/lr/y"), k=rng.randrange(4))
        found.append(
            rng.choice(
                (
                    ("hyperparameters", values, rng.choice(("script", "me")), rng.choice("ab")),
                    ("obeyed", rng.randrange(before + 1), rng.choice(("", "no"))),
                    ("step_values", {name: rng.random() for name in rates}),
                )
            )
        )
    return found


@st.composite
def settings_streams(draw: st.DrawFn) -> list[Frame]:
    frames: list[Frame] = []
    position = 0
    for step, seed in enumerate(draw(st.lists(st.integers(0, 2**16), min_size=1, max_size=10))):
        events = _events(random.Random(seed), position)
        frames.append(frame(position, step, *events))
        position += len(events)
    return frames


class TestHyperparameterView(ProjectionConformance):
    projection = HyperparameterView

    def frames(self) -> st.SearchStrategy[list[Frame]]:
        return settings_streams()


def test_the_last_value_of_each_name_is_in_the_order_of_first_appearance() -> None:
    view = fold_frames(
        HyperparameterView,
        [
            frame(0, 0, ("hyperparameters", {"b": 1, "a": (1, 2)}, "script", "")),
            frame(1, 7, ("hyperparameters", {"b": 2}, "me@host", "too small")),
        ],
    )
    assert list(view.values().items()) == [("b", 2), ("a", [1, 2])]
    assert view.settings()["b"] == (2, "me@host", "too small", 7, 1)
    assert [change.who for change in view.changes("b")] == ["script", "me@host"]
    assert [change.who for change in view.changes("a")] == ["script"]


def test_what_was_refused_does_not_count() -> None:
    view = fold_frames(
        HyperparameterView,
        [
            frame(0, 0, ("hyperparameters", {"lr": 0.1}, "script", "")),
            frame(1, 1, ("hyperparameters", {"lr": "fast"}, "me", "")),
            frame(2, 2, ("hyperparameters", {"lr": 0.2}, "me", "")),
            frame(3, 2, ("obeyed", 1, "a text"), ("obeyed", 2, "")),
        ],
    )
    assert view.values() == {"lr": 0.2}
    assert len(view.changes()) == 2


def test_a_learning_rate_that_a_schedule_changed_is_known() -> None:
    told = {"optimizer.lr": 0.1, "optimizer.0.lr": 0.1, "optimizer.1.lr": 0.2, "lr": 0.1}
    frames = [
        frame(0, 0, ("hyperparameters", told, "optimizer", "")),
        frame(1, 0, ("step_values", {"optimizer/lr": 0.1, "loss": 3.0, "optimizer/lr/1": 0.02})),
        frame(2, 1, ("step_values", {"optimizer/lr": 0.01})),
    ]
    settings = fold_frames(HyperparameterView, frames).settings()
    assert settings["optimizer.lr"] == settings["optimizer.0.lr"]
    assert settings["optimizer.lr"] == (0.01, "optimizer", "a schedule", 1, 2)
    assert settings["optimizer.1.lr"].value == 0.02
    assert settings["lr"].value == 0.1
    frames.append(frame(3, 1, ("hyperparameters", {"optimizer.lr": 0.5}, "me", "")))
    assert fold_frames(HyperparameterView, frames).values()["optimizer.lr"] == 0.5
    frames.append(frame(4, 2, ("step_values", {"optimizer/lr": 0.5})))
    assert fold_frames(HyperparameterView, frames).settings()["optimizer.lr"].who == "me"
