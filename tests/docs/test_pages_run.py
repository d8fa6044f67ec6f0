"""What the documentation shows is run: page by page, each in an empty folder.

A comment before a fenced block says what is done with it:

    <!-- file: NAME -->      it is written to that file
    <!-- run: python -->     it is run as a script
    <!-- run: python+NAME -->  the same, where that module is installed
    <!-- run: console -->    its ``$`` lines are run by bash, one after the other; what stands
                             below one must be its output, with ``...`` for any text
    <!-- from: FILE -->      its lines stand in that file of the repository, one after the other
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import warm

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"<!-- (file|from|run): (\S+) -->\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SECONDS = 120
QUOTED = re.compile(r"""'[^']*'|"[^"$`\\]*\"""")
FOR_BASH = re.compile(r"""[][|&;<>$`*?~#\\(){}'"\n]|^\w+=""")


def blocks(page: Path) -> list[tuple[str, str, str]]:
    return [tuple(match) for match in BLOCK.findall(page.read_text())]  # type: ignore[misc]


def unindented(text: str) -> str:
    """The lines without what stands before them, since an excerpt is not indented as its origin."""
    return "".join(line.lstrip() for line in text.splitlines(keepends=True))


def environment() -> dict[str, str]:
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONWARNINGS": "error",
    }


def run_python(
    arguments: list[str], folder: Path, needs_torch: bool = True
) -> subprocess.CompletedProcess[str]:
    return warm.run(
        arguments,
        cwd=folder,
        env=environment(),
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        modules=warm.TORCH if needs_torch else warm.COMMAND,
    )


def run_console(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """By bash, but for a script or ``wl`` alone, with nothing in its arguments that is for bash."""
    if not FOR_BASH.search(QUOTED.sub("", command)):
        program, *arguments = shlex.split(command)
        if program == "python" and arguments[0].endswith(".py"):
            return run_python(arguments, folder)
        if program == "wl":
            needs_torch = arguments[0] == "backfill"  # it imports the page's data set
            return run_python([str(warm.WL), *arguments], folder, needs_torch)
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block with the output that the page shows below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        while command.endswith("\\"):
            more, _, output = output.partition("\n")
            command += "\n" + more.removeprefix("> ")
        yield command, output


def check_console(text: str, folder: Path) -> None:
    for command, expected in commands(text):
        done = run_console(command, folder)
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        if expected.strip():
            flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            same = doctest.OutputChecker().check_output(expected, done.stdout, flags)
            assert same, f"$ {command}\n{done.stdout}\n--- but the page says\n{expected}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_page(page: Path, tmp_path: Path) -> None:
    for action, argument, text in blocks(page):
        if action == "file":
            (tmp_path / argument).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / argument).write_text(text)
        elif action == "from":
            assert unindented(text) in unindented((ROOT / argument).read_text()), text
        elif argument.startswith("python"):
            module = argument.partition("+")[2]
            if module and find_spec(module) is None:
                continue
            done = run_python(["-c", text], tmp_path)
            assert done.returncode == 0, f"{text}\n{done.stdout}"
        else:
            assert argument == "console"
            check_console(text, tmp_path)


def test_every_marker_is_followed_by_a_block() -> None:
    for page in PAGES:
        marked = re.findall(r"<!-- (?:file|from|run): ", page.read_text())
        assert len(marked) == len(blocks(page)), page
