"""Which value may take the place of which, and how text is read."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from wl_core.errors import RefusedError, UsageError
from wl_core.setting_values import fitting, read_yaml, same


@pytest.mark.parametrize(
    ("old", "new", "becomes"),
    [
        (0.1, 0.2, 0.2),
        (0.1, 1, 1.0),
        (3, 4, 4),
        (3, 4.0, 4),
        (True, False, False),
        ("adam", "sgd", "sgd"),
        ([1, 2], [3], [3]),
        (None, 0.1, 0.1),
        (None, "x", "x"),
        (None, None, None),
    ],
)
def test_a_value_may_become_one_of_its_type(old: Any, new: Any, becomes: Any) -> None:
    assert same(fitting("x", old, new), becomes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (0.001, "fast", "optimizer.lr is a number (0.001), got the text 'fast'"),
        (3, 0.5, "optimizer.lr is a whole number (3), got the number 0.5"),
        (3, math.nan, "optimizer.lr is a whole number (3), got the number nan"),
        (3, True, "optimizer.lr is a whole number (3), got true"),
        (0.1, False, "optimizer.lr is a number (0.1), got false"),
        (True, 1, "optimizer.lr is true or false (true), got the number 1"),
        ("adam", 1, "optimizer.lr is a text ('adam'), got the number 1"),
        ([1], 1, "optimizer.lr is a list ([1]), got the number 1"),
        (1, [1], "optimizer.lr is a whole number (1), got list [1]"),
        (0.1, None, "optimizer.lr is a number (0.1), got nothing (null)"),
        (None, {"a": 1}, "optimizer.lr is one value"),
        (1, 2**63, "numbers of 64 bits"),
    ],
)
def test_what_does_not_fit_is_refused_and_both_are_named(old: Any, new: Any, message: str) -> None:
    with pytest.raises(RefusedError, match=re.escape(message)):
        fitting("optimizer.lr", old, new)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 0.0001),
        ("-1E5", -100000.0),
        ("2.5e+3", 2500.0),
        ("1", 1),
        ("0.5", 0.5),
        ("true", True),
        ("null", None),
        ("[1, 2e-3]", [1, 0.002]),
        ("some text", "some text"),
        ("'1e-4'", "1e-4"),
        ("1e", "1e"),
    ],
)
def test_text_is_read_as_yaml_with_scientific_numbers(text: str, value: Any) -> None:
    assert same(read_yaml(text, "x"), value)


def test_text_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(UsageError, match="the value of x cannot be read as YAML"):
        read_yaml("[1", "the value of x")


def test_a_nan_is_the_same_as_itself_and_true_is_not_one() -> None:
    assert same(math.nan, math.nan)
    assert not same(True, 1)
    assert not same(1, 1.0)
