"""That a child of the warm server is what `python` itself would have been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm

TELL = """
import atexit, os, sys, warnings
atexit.register(print, "at exit")
print(__name__, sys.argv, sys.path[:2], os.getcwd(), os.environ.get("PLACE"), sys.warnoptions)
print(sys.modules["__main__"].__dict__ is globals(), len(os.listdir("/proc/self/fd")))
"""
ENDINGS = {
    "in order": "",
    "with a status": "sys.exit(3)",
    "with words": "sys.exit('no')",
    "with an error": "1 / 0",
    "by a warning": "warnings.warn('careful', UserWarning)",
    "by Ctrl-C": "import signal; os.kill(os.getpid(), signal.SIGINT)",
    "by a kill": "sys.stdout.flush(); os.kill(os.getpid(), 9)",
}


@pytest.mark.parametrize(
    ("how", "end"), [*(("-c", end) for end in ENDINGS), ("script", "in order"), ("-m", "in order")]
)
def test_it_is_what_python_would_have_been(how: str, end: str, tmp_path: Path) -> None:
    ending = ENDINGS[end]
    (tmp_path / "told.py").write_text(TELL + ending)
    given = {"-c": ["-c", TELL + ending], "script": ["told.py"], "-m": ["-m", "told"]}[how]
    arguments = ["-W", "error", *given, "one", "two words"]
    environment = os.environ | {"PLACE": "here", "PYTHONPATH": str(tmp_path / "more")}
    python = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    child = warm.run(arguments, cwd=tmp_path, env=environment, modules=warm.LIGHT)
    assert (child.returncode, child.stdout) == (python.returncode, python.stdout)
    assert child.stderr.splitlines()[-1:] == python.stderr.splitlines()[-1:]


def test_one_that_does_not_end_is_killed_in_time() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run(["-c", "import time; time.sleep(1000)"], timeout=0.1, modules=warm.LIGHT)


def test_it_is_spoken_with_and_signalled_like_any_process() -> None:
    script = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with warm.Process(["-c", script], modules=warm.LIGHT, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("hello\n")
        process.stdin.flush()
        assert process.stdout.readline() == "HELLO\n"
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.communicate(30) == ("", "")
    assert process.poll() == -signal.SIGTERM


def test_the_command_s_server_has_no_torch() -> None:
    script = "import sys; print('torch' in sys.modules)"
    assert warm.run(["-c", script], modules=warm.COMMAND).stdout == "False\n"
