"""What `import wl_core` offers, and what it leaves alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import wl_core

API = Path(__file__).parents[2] / "docs/reference/api.md"


def documented() -> set[str]:
    """The names ``wl_core.NAME`` that the page describes; those of inner modules have two dots."""
    text = API.read_text()
    return set(re.findall(r"^\.\. (?:auto\w+|py:data):: wl_core\.(\w+)$", text, re.MULTILINE))


def test_every_public_name_is_documented_and_no_other() -> None:
    assert set(wl_core.__all__) == documented()
    assert len(wl_core.__all__) == len(set(wl_core.__all__))


@pytest.mark.parametrize("name", wl_core.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(wl_core, name) is not None
    assert name in dir(wl_core)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="watch"):
        wl_core.watch_or_edti  # noqa: B018 - the access is what is tested


READ_ONLY_IMPORTS = (
    "import wl_core; wl_core.open_run; wl_core.find_run; wl_core.Filter; wl_core.Run"
)


@pytest.mark.parametrize("code", ["import wl_core", READ_ONLY_IMPORTS, "import wl_core.cli"])
def test_import_pulls_in_no_torch_and_writes_no_file(code: str, tmp_path: Path) -> None:
    """Bytecode caches aside, which Python writes and not we."""
    code += "; import sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(done.stdout))
    assert loaded & {"torch", "textual", "pyarrow", "rich.table"} == set()
    assert list(tmp_path.iterdir()) == []


def test_importing_everything_public_writes_no_file_either(tmp_path: Path) -> None:
    code = "import wl_core\nfor name in wl_core.__all__: getattr(wl_core, name)"
    subprocess.run([sys.executable, "-B", "-c", code], cwd=tmp_path, check=True)
    assert list(tmp_path.iterdir()) == []
