"""The page of the command line is what the commands say of themselves."""

from __future__ import annotations

import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "docs/cli_reference.py"


def test_the_page_is_up_to_date() -> None:
    script = runpy.run_path(str(SCRIPT))
    assert script["PAGE"].read_text() == script["page"](), "run: python docs/cli_reference.py"
