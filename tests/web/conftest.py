"""A run to show: the demo's tiles, written without a training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.nuclei_run import NucleiRun


@pytest.fixture
def nuclei(tmp_path: Path) -> Iterator[NucleiRun]:
    """A training that has done three steps."""
    run = NucleiRun(tmp_path / "nuclei")
    run.train(3)
    yield run
    run.close()
