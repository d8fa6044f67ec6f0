"""Words of the screen: durations, ages, events on one line."""

from __future__ import annotations

from typing import Any

import pytest

from tui.words import age, describe, duration, event_line, shorten
from wl_core.codec import Event


def event(kind: str, failed: bool = False, **data: Any) -> Event:
    return Event(7, 412, 0.0, "train", kind, data, failed)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.26, "0.3 s"),
        (12.4, "12 s"),
        (300, "5 min"),
        (10_000, "3 h"),
        (200_000, "2 d"),
        (-1, "0.0 s"),
    ],
)
def test_durations_have_one_unit(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_an_order_is_aged_in_steps_while_they_go_on() -> None:
    assert age(1, 9.0) == "1 step old"
    assert age(12, 9.0) == "12 steps old"
    assert age(0, 90.0) == "90 s old"


def test_values_are_counted_and_averaged_without_what_is_not_finite() -> None:
    said = describe(
        event("values", signal="loss", origin="train", log=True, ids=["a", "b", "c"],
              values=[1.0, 2.0, float("nan")])
    )  # fmt: skip
    assert said == "loss  train  3 values, mean 1.5"


def test_few_ids_are_named_and_many_counted() -> None:
    assert describe(event("exposed", origin="o", ids=["a", 2])) == "o  a, 2"
    assert describe(event("exposed", origin="o", ids=list(range(9)))) == "o  9 ids"


def test_a_failed_step_is_said_in_words() -> None:
    line = event_line(event("step_failed", True, error="OOM", traceback="Traceback\n..."))
    assert "FAILED STEP" in line
    assert "OOM" in line
    assert "Traceback" not in line
    assert "    412 " in line


def test_long_text_is_cut_to_one_line() -> None:
    assert shorten("first\nsecond", 40) == "first"
    assert shorten("x" * 50, 10) == "x" * 9 + "…"
    assert shorten("", 10) == ""
