"""What every test gets: one thread, no settings of the person who runs it, no hurry."""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import settings

# Before anything imports torch or numpy, and for every subprocess: the tests share two cores.
os.environ["OMP_NUM_THREADS"] = "1"

# A shared machine is sometimes slow, which is no failure of the property.
settings.register_profile("wl", deadline=None, max_examples=50)
settings.load_profile("wl")


@pytest.fixture(autouse=True, scope="module")
def _little_to_collect() -> None:
    """What modules leave is never looked at again: a collection would traverse all of torch.

    And what a test leaves is worth a look less often than every 700 objects.
    """
    gc.set_threshold(20_000, 20, 20)
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _neutral_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are looked for where the test says, and output is as wide as the test says."""
    for name in ("WL_ROOT", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
