"""Every hook is documented with its exact signature and an example, and has a test."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wl_core import hookspecs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/hooks.md").read_text()
HOOKS: dict[str, Callable[..., Any]] = {
    name: function
    for name, function in vars(hookspecs).items()
    if name.startswith("wl_") and callable(function)
}


@pytest.mark.parametrize("hook", HOOKS)
def test_the_page_has_the_exact_signature(hook: str) -> None:
    arguments = ", ".join(inspect.signature(HOOKS[hook]).parameters)
    assert f"## `{hook}({arguments})`\n" in PAGE
    assert f".. autofunction:: wl_core.hookspecs.{hook}\n" in PAGE


def test_the_page_has_no_hook_that_does_not_exist() -> None:
    assert re.findall(r"^## `(\w+)\(", PAGE, re.MULTILINE) == list(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_stranger_can_implement_it_from_its_docstring(hook: str) -> None:
    text = inspect.getdoc(HOOKS[hook]) or ""
    assert "Called" in text, "when it is called"
    assert "Returns:" in text
    for argument in inspect.signature(HOOKS[hook]).parameters:
        assert f"    {argument}: " in text


@pytest.mark.parametrize("hook", HOOKS)
def test_it_is_marked_first_result_on_the_page_exactly_if_it_is(hook: str) -> None:
    options = HOOKS[hook].wl_spec  # type: ignore[attr-defined]  # set by pluggy's marker
    section = PAGE.split(f"## `{hook}(")[1].split("\n## ")[0]
    assert section.splitlines()[2].startswith("*First result.*") == bool(options["firstresult"])


@pytest.mark.parametrize("hook", HOOKS)
def test_it_has_a_test_of_its_example(hook: str) -> None:
    tests = (ROOT / "tests/docs/test_hook_examples.py").read_text()
    assert f"def test_{hook}(" in tests
