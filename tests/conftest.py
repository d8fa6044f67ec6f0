"""What every test gets: one thread, no settings of the person who runs it, no hurry."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# Before anything imports torch or numpy, and for every subprocess: the tests share two cores.
os.environ["OMP_NUM_THREADS"] = "1"

# A shared machine is sometimes slow, which is no failure of the property.
settings.register_profile("wl", deadline=None, max_examples=50)
settings.load_profile("wl")


@pytest.fixture(autouse=True)
def _neutral_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are looked for where the test says, and output is as wide as the test says."""
    for name in ("WL_ROOT", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
