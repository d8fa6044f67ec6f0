"""``wl tui`` as a command: where it will not draw, and in a real terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tui.nuclei_run import NucleiRun
from tui.plugin import why_not_here

WL = [sys.executable, "-c", "from wl_core.cli import main; main()", "tui"]
DEADLINE = 20.0


def test_a_pipe_is_refused_with_the_twin_named(nuclei: NucleiRun) -> None:
    done = subprocess.run(
        [*WL, str(nuclei.path)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 1
    assert "needs a terminal" in done.stderr
    assert "wl samples" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("term", ["dumb", "", "unknown"])
def test_a_terminal_that_cannot_draw_is_refused(term: str) -> None:
    assert "wl samples" in why_not_here(True, term)


def test_any_other_terminal_is_taken() -> None:
    assert why_not_here(True, "screen-256color") == ""


def test_opening_the_application_imports_no_torch() -> None:
    code = "import sys, tui.app, tui.plugin; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


class Tmux:
    """A terminal of 80 x 24 with a server of its own."""

    def __init__(self, socket: Path) -> None:
        self._socket = str(socket)

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, "-f", os.devnull, *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def screen(self) -> str:
        return self("capture-pane", "-p")

    def wait(self, condition: Callable[[str], bool], what: str) -> str:
        deadline = time.monotonic() + DEADLINE
        while not condition(screen := self.screen()):
            assert time.monotonic() < deadline, f"never came: {what}\n{screen}"
            time.sleep(0.02)
        return screen


@pytest.fixture
def tmux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tmux]:
    monkeypatch.chdir(tmp_path)
    terminal = Tmux(tmp_path / "tmux")
    terminal("new-session", "-d", "-x", "80", "-y", "24", "env PS1='ready> ' sh")
    terminal.wait(lambda screen: "ready>" in screen, "the shell")
    yield terminal
    with contextlib.suppress(subprocess.CalledProcessError):  # it ends with its last session
        terminal("kill-server")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux here")
def test_in_a_real_terminal_it_follows_sorts_filters_and_leaves_it_as_it_was(
    tmux: Tmux, nuclei: NucleiRun
) -> None:
    command = " ".join(f"'{part}'" for part in [*WL, str(nuclei.path)])
    tmux("send-keys", command, "Enter")
    screen = tmux.wait(lambda s: "tile_00" in s and "● training" in s, "the samples")
    assert len(screen.splitlines()) == 24
    nuclei.train(2)
    tmux.wait(lambda s: "step 5" in s, "the two steps")
    tmux("send-keys", "s")
    tmux.wait(lambda s: "tile_11" in s.splitlines()[4], "the worst sample on top")
    tmux("send-keys", "/", "train_bce/sample > 0.5", "Enter")
    tmux.wait(lambda s: "6 of 16" in s or "5 of 16" in s, "the filter")
    tmux("send-keys", "3")
    tmux.wait(lambda s: "G ground truth" in s and ("▀" in s or "▌" in s), "the image")
    tmux("send-keys", "q")
    screen = tmux.wait(lambda s: s.rstrip().endswith("ready>"), "the shell again")
    assert "Samples" not in screen
    tmux("send-keys", "echo still $((40 + 2)) here", "Enter")
    tmux.wait(lambda s: "still 42 here" in s, "a shell that echoes")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux here")
def test_ctrl_c_leaves_and_restores_the_terminal(tmux: Tmux, nuclei: NucleiRun) -> None:
    command = " ".join(f"'{part}'" for part in [*WL, str(nuclei.path)])
    tmux("send-keys", command, "Enter")
    tmux.wait(lambda s: "tile_00" in s, "the samples")
    tmux("send-keys", "C-c")
    tmux.wait(lambda s: s.rstrip().endswith("ready>"), "the shell again")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux here")
@pytest.mark.parametrize("ending", ["terminal", "SIGTERM", "SIGHUP"])
def test_it_ends_with_its_terminal_and_when_it_is_asked_to(
    tmux: Tmux, nuclei: NucleiRun, ending: str
) -> None:
    command = " ".join(f"'{part}'" for part in [*WL, str(nuclei.path)])
    tmux("send-keys", f'sh -c \'echo $$ >pid; exec "$0" "$@"\' {command}', "Enter")
    tmux.wait(lambda s: "tile_00" in s, "the samples")
    process = int(Path("pid").read_text())
    if ending == "terminal":
        tmux("kill-session")
    else:
        os.kill(process, signal.Signals[ending])
        tmux.wait(lambda s: s.rstrip().endswith("ready>"), "the shell again")
        assert tmux("display", "-p", "#{alternate_on} #{mouse_any_flag}").strip() == "0 0"
    deadline = time.monotonic() + DEADLINE
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() < deadline, "it goes on without a terminal"
        nuclei.train(1)
        time.sleep(0.02)


def test_it_ends_with_a_terminal_that_sends_no_hangup(nuclei: NucleiRun) -> None:
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        [*WL, str(nuclei.path)],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,  # so that it is nobody's controlling terminal
        env=os.environ | {"TERM": "xterm-256color"},
    )
    os.close(terminal)
    seen = b""
    while b"tile_00" not in seen:
        seen += os.read(master, 1 << 16)
    os.close(master)
    assert process.wait(DEADLINE) == 128 + signal.SIGHUP
