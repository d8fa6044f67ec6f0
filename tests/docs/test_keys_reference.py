"""The page of keys is what the bindings say of themselves, and every binding says enough."""

from __future__ import annotations

import runpy
from collections import Counter
from pathlib import Path

import pytest

from tui.keys import bindings_of, check_keymap, keyed_classes
from wl_core.errors import UsageError

SCRIPT = Path(__file__).parents[2] / "docs/keys_reference.py"


def test_the_page_is_up_to_date() -> None:
    script = runpy.run_path(str(SCRIPT))
    assert script["PAGE"].read_text() == script["page"](), "run: python docs/keys_reference.py"


def test_every_key_can_be_told_of_and_changed() -> None:
    for kind in keyed_classes():
        for binding in bindings_of(kind):
            assert binding.id, f"{kind.__name__}: {binding}"
            assert binding.description, f"{kind.__name__}: {binding}"


def test_an_id_belongs_to_one_key() -> None:
    ids = Counter(one.id for kind in keyed_classes() for one in bindings_of(kind))
    assert [name for name, count in ids.items() if count > 1] == []


def test_a_key_that_there_is_not_is_refused_with_the_nearest() -> None:
    check_keymap({"run.pause": "f5"})
    with pytest.raises(UsageError, match=r"Did you mean 'run\.pause'"):
        check_keymap({"run.pauze": "f5"})
