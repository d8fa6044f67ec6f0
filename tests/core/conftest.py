"""A fresh run for each test that records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.core.watched_runs import Finished


@pytest.fixture
def finished(tmp_path: Path) -> Iterator[Finished]:
    """Records into ``tmp_path / "run"``; calling it ends the run and opens it for reading."""
    from tests.core.watched_runs import recorded

    yield from recorded(tmp_path / "run")
