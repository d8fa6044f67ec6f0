"""`wl demo`: with a terminal and without, and that no training outlives who watches it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from tests import warm
from wl_core.directory import list_runs
from wl_core.run import open_run
from wl_plugins.demo import command
from wl_plugins.demo.command import DemoError, Nuclei, training

WL = [sys.executable, "-c", "from wl_core.cli import main; main()"]
SOON = 60.0  # seconds; a deadline, not a wait


def wait_until(condition, what):
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


def state_of(path):
    with open_run(path) as run:
        return run.status()


def has_trained(path):
    return any(path.glob("rank-0000/log/data.mdb")) and state_of(path).step >= 1


def is_alive(pid):
    """Whether that process runs; one that has ended and was not asked for its status does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("options", [["--headless"], []])
def test_without_a_terminal_it_prints_progress_and_the_worst_instances(tmp_path, options):
    done = subprocess.run(
        [*WL, "demo", *options, "--steps", "1", "--root", tmp_path],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "step    1/1" in done.stderr
    lines = done.stdout.split("\n")
    header = next(n for n, line in enumerate(lines) if line.startswith("origin"))
    assert lines[header].split() == ["origin", "sample", "annotation_id", "class", "dice", "bce"]
    rows = [line.split() for line in lines[header + 1 :] if line]
    dice = [float(row[4]) for row in rows]
    assert len(rows) == 12
    assert dice == sorted(dice)
    assert {row[3] for row in rows} <= {"small", "medium", "large"}
    (path,) = list_runs(tmp_path)
    assert (state_of(path).state, state_of(path).step) == ("finished", 1)


def test_no_torch_is_imported_to_offer_the_command():
    code = "import sys, wl_plugins.demo.command; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "textual", "PIL"} & set(done.stdout.split())


def test_leaving_ends_the_training_in_order(tmp_path):
    path = tmp_path / "run"
    with training(path, Nuclei(steps=100_000, seed=0)) as process:
        wait_until(lambda: has_trained(path), "the first step")
        assert state_of(path).state == "training"
    assert process.returncode == 130
    status = state_of(path)
    assert (status.state, status.detail) == ("finished", "interrupted by Ctrl-C")
    assert "interrupted" in (path / command.OUTPUT_FILE).read_text()


def test_a_training_ends_when_its_watcher_is_killed(tmp_path):
    path = tmp_path / "run"
    code = (
        "import pathlib, sys, time; from wl_plugins.demo.command import Nuclei, training\n"
        "with training(pathlib.Path(sys.argv[1]), Nuclei(100_000, 0)) as process:\n"
        "    print(process.pid, flush=True)\n"
        "    time.sleep(1000)\n"
    )
    watcher = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
    with watcher:
        pid = int(watcher.stdout.readline())
        wait_until(lambda: has_trained(path), "the first step")
        watcher.kill()
    wait_until(lambda: not is_alive(pid), "the end of the training")
    assert state_of(path).state == "finished"


def test_a_training_that_fails_is_told_with_where_to_look(tmp_path, capsys):
    path = tmp_path / "run"
    with training(path, Nuclei(steps=0, seed=0)) as process:  # which `train` refuses
        process.wait(SOON)
    with pytest.raises(DemoError, match=command.OUTPUT_FILE):
        command._say_how_it_ended(path, process.returncode)
    assert "failed at step 0" in capsys.readouterr().out
    assert "Traceback" in (path / command.OUTPUT_FILE).read_text()


def test_a_training_that_never_begins_is_told_with_what_it_said(tmp_path, monkeypatch):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'no torch here' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    path = tmp_path / "run"
    said = pytest.raises(DemoError, match=r"ended before it began(.|\n)*no torch here")
    with said, training(path, Nuclei(steps=1, seed=0)) as process:
        command._wait_until_begun(process, path)
    assert list_runs(tmp_path) == []


def test_on_a_terminal_the_tui_opens_on_the_training_and_leaving_it_ends_both(tmp_path):
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen(
        [*WL, "demo", "--steps", "100000", "--root", tmp_path],
        stdin=child, stdout=child, stderr=child, start_new_session=True, env=environment,
    )  # fmt: skip
    os.close(child)
    seen = bytearray()

    def read():
        while select.select([parent], [], [], 0.02)[0]:
            try:
                seen.extend(os.read(parent, 65536))
            except OSError:  # the other side is closed
                return

    def shows(text):
        read()
        return text in seen

    try:
        wait_until(lambda: shows(b"\x1b[?1049h"), "the TUI on the screen")
        wait_until(lambda: shows(b"nuclei_r"), "a sample in the TUI")
        (path,) = list_runs(tmp_path)
        pid = state_of(path).pid
        assert is_alive(pid)
        os.write(parent, b"q")
        wait_until(lambda: shows(b"interrupted by Ctrl-C"), "how the training ended")
        wait_until(lambda: (read(), process.poll())[1] is not None, "the end of the command")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(parent)
    assert process.returncode == 0
    assert not is_alive(pid)
    assert state_of(path).state == "finished"


def test_a_training_may_stay_for_others_until_it_is_interrupted(tmp_path):
    process = warm.Process(
        ["-m", "wl_plugins.demo.train", "--steps", "1", "--run", tmp_path / "run",
         "--keep-serving", "--stop-at-end-of-input"],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert any("staying" in line for line in process.stderr)
        assert state_of(tmp_path / "run").state == "training"
        process.stdin.close()
        assert process.wait(SOON) == 0
    assert state_of(tmp_path / "run").state == "finished"


def test_on_a_terminal_progress_is_a_bar(tmp_path):
    code = (
        "from wl_plugins.demo.progress import reporting\n"
        "with reporting(3) as report:\n"
        "    report(2, 'test dice 0.500')\n"
        "    report(3, '')\n"
    )
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    with subprocess.Popen([sys.executable, "-c", code], stderr=child, env=environment) as process:
        os.close(child)
        seen = b""
        try:
            while chunk := os.read(parent, 65536):
                seen += chunk
        except OSError:  # Linux says so when the other side is closed
            pass
        assert process.wait(SOON) == 0
    os.close(parent)
    assert b"3/3" in seen
    assert b"test dice 0.500" in seen
