"""The `wl` command, run as people and scripts run it."""

from __future__ import annotations

import json
import os
import pty
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import warm
from tests.core.cli_runs import IDS, LogWriter, floats, values, write_run

WL = [sys.executable, "-c", "from wl_core.cli import main; main()"]
SECONDS = 30


def wl(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return warm.wl(*arguments, cwd=cwd, env=os.environ | environment, timeout=SECONDS)


def ok(*arguments: str, cwd: Path, **environment: str) -> str:
    done = wl(*arguments, cwd=cwd, **environment)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def listed(*arguments: str, cwd: Path) -> Any:
    """What --json prints; constants like NaN, which are no JSON, fail the test."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(ok(*arguments, "--json", cwd=cwd), parse_constant=refuse)


def failed(*arguments: str, cwd: Path) -> tuple[int, str]:
    """Exit status and message of a command that fails without a traceback."""
    done = wl(*arguments, cwd=cwd)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("wl: ")
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``wl_runs/first`` in it."""
    path = tmp_path_factory.mktemp("work")
    write_run(path / "wl_runs" / "first")
    return path


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Like `folder`, for tests that change it."""
    write_run(tmp_path / "wl_runs" / "first")
    return tmp_path


# --- runs ---------------------------------------------------------------------------------------


def test_runs_are_listed_with_their_state(folder: Path) -> None:
    (run,) = listed("runs", cwd=folder)
    assert run["name"] == "first"
    assert run["state"] == "finished"
    assert run["step"] == 3
    assert run["events"] == 16
    assert Path(run["path"]) == Path("wl_runs/first")


def test_a_pipe_gets_a_header_and_tabs(folder: Path) -> None:
    header, row = ok("runs", cwd=folder).splitlines()
    assert header.split("\t")[:3] == ["name", "state", "step"]
    assert row.split("\t")[:3] == ["first", "finished", "3"]


def test_no_runs_is_an_empty_list_for_scripts(tmp_path: Path) -> None:
    assert listed("runs", cwd=tmp_path) == []
    assert ok("runs", cwd=tmp_path).count("\n") == 1


def test_the_root_is_an_option_else_the_environment_else_wl_runs(
    folder: Path, tmp_path: Path
) -> None:
    root = str(folder / "wl_runs")
    assert len(listed("runs", "--root", root, cwd=tmp_path)) == 1
    assert "first" in ok("runs", cwd=tmp_path, WL_ROOT=root)
    assert "first" not in ok("runs", "--root", str(tmp_path), cwd=tmp_path, WL_ROOT=root)


def test_a_run_that_cannot_be_read_is_listed_with_the_reason(own: Path) -> None:
    broken = own / "wl_runs" / "broken" / "rank-0000" / "log"
    broken.mkdir(parents=True)
    (broken / "data.mdb").write_bytes(b"not LMDB" * 1000)
    states = {run["name"]: run for run in listed("runs", cwd=own)}
    assert states["first"]["state"] == "finished"
    assert states["broken"]["state"] == "unreadable"
    assert states["broken"]["detail"]


def test_a_run_is_found_by_name_by_path_and_as_the_newest(own: Path) -> None:
    write_run(own / "wl_runs" / "second", steps=5)
    for name, steps in (("first", 3), ("wl_runs/second", 5), (str(own / "wl_runs/first"), 3)):
        assert json.loads(ok("info", name, "--json", cwd=own))["step"] == steps


# --- info, samples, instances -------------------------------------------------------------------


def test_info_is_one_object(folder: Path) -> None:
    info = json.loads(ok("info", "--json", cwd=folder))
    assert info["state"] == "finished"
    assert info["samples"] == {"train_loader": 4}
    assert "loss" in info["signals"]
    assert info["events"] == 16
    assert info["parked"] == []
    assert "state" in ok("info", cwd=folder)


def test_samples_are_valid_json_whatever_floats_they_hold(folder: Path) -> None:
    rows = {row["sample_id"]: row for row in listed("samples", cwd=folder)}
    assert list(rows) == IDS
    assert rows["s1"]["loss"] == 2.1
    assert rows["s3"]["loss"] == "Infinity"
    assert rows["s4"]["loss"] is None
    assert rows["s2"]["tags"] == "blurry"
    assert rows["s3"]["discarded"] is True
    assert rows["s1"]["dice"] == 0.5, "the mean of its instances"


def test_a_tab_in_a_text_does_not_shift_the_columns(folder: Path) -> None:
    lines = [line.split("\t") for line in ok("samples", cwd=folder).splitlines()]
    assert len({len(line) for line in lines}) == 1
    assert "tab\\there" in lines[3]


def test_samples_are_sorted_filtered_limited_and_cut(folder: Path) -> None:
    def ids(*options: str) -> list[str]:
        return [row["sample_id"] for row in listed("samples", *options, cwd=folder)]

    assert ids("--sort", "loss") == ["s2", "s1", "s3", "s4"]
    assert ids("--sort", "loss", "--desc") == ["s3", "s1", "s2", "s4"]
    assert ids("--sort", "loss", "--desc", "--limit", "2") == ["s3", "s1"]
    assert ids("--sort", "discarded,loss:desc") == ["s1", "s2", "s4", "s3"]
    assert ids("--where", "loss > 1 and not discarded") == ["s1"]
    assert ids("--where", "loss is empty") == ["s4"]
    assert ids("--limit", "0") == []
    assert listed("samples", "--columns", "sample_id, size", "--limit", "1", cwd=folder) == [
        {"sample_id": "s1", "size": 1}
    ]


def test_instances_of_a_sample(folder: Path) -> None:
    rows = listed("instances", "s1", cwd=folder)
    assert [(row["annotation_id"], row["dice"]) for row in rows] == [(1, 0.25), (2, 0.75)]
    assert listed("instances", "s1", "first", "--where", "dice > 0.5", cwd=folder) == rows[1:]
    assert listed("instances", "s1", "--origin", "train_loader", cwd=folder) == rows


def test_a_whole_number_is_an_integer_id_where_there_is_one(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "wl_runs" / "mixed")
    writer.frame(0, values("loss", [7], floats(0.7)), values("loss", ["8"], floats(0.8)))
    writer.close()
    for sample in ("7", "8"):
        assert listed("instances", sample, cwd=tmp_path) == []
    assert failed("instances", "9", cwd=tmp_path)[0] in (1, 2)


# --- events -------------------------------------------------------------------------------------


def test_events_are_printed_in_order_with_their_fields(folder: Path) -> None:
    rows = listed("events", cwd=folder)
    assert [row["position"] for row in rows] == list(range(16))
    assert rows[0]["kind"] == "run_started"
    assert rows[5]["data"]["signal"] == "loss"
    assert rows[5]["data"]["ids"] == ["s1", "s2", "s3"]
    assert rows[5]["data"]["values"][2] == "NaN"


def test_events_can_be_chosen_by_kind_and_position(folder: Path) -> None:
    def chosen(*options: str) -> list[tuple[int, str]]:
        return [(row["position"], row["kind"]) for row in listed("events", *options, cwd=folder)]

    assert chosen("--kind", "exposed") == [(4, "exposed"), (7, "exposed"), (10, "exposed")]
    assert chosen("--kind", "exposed", "--kind", "tagged", "--from", "8") == [
        (10, "exposed"),
        (13, "tagged"),
    ]
    assert chosen("--from", "5", "--limit", "1") == [(5, "values")], "amid a frame"
    assert chosen("--from", "1000") == []
    assert chosen("--limit", "0") == []


def test_an_unknown_kind_is_refused_with_the_nearest(folder: Path) -> None:
    status, message = failed("events", "--kind", "exposd", cwd=folder)
    assert status == 2
    assert "Did you mean 'exposed'?" in message


class Follower:
    """``wl events --follow`` in its own process; its lines are waited for with a deadline."""

    def __init__(self, cwd: Path, options: tuple[str, ...]) -> None:
        self.process = subprocess.Popen(
            [*WL, "events", "--follow", *options],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            self._lines.put(text)
        self._lines.put("")

    def line(self) -> str:
        """The next line; empty when there are no more."""
        return self._lines.get(timeout=SECONDS)

    def rest(self) -> list[str]:
        return list(iter(self.line, ""))

    def interrupt(self) -> tuple[int, str]:
        """Ctrl-C: the exit status and what was said on stderr."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(SECONDS)
        assert self.process.stderr is not None
        return status, self.process.stderr.read()


@pytest.fixture
def follow(own: Path) -> Iterator[Callable[..., Follower]]:
    started: list[Follower] = []

    def start(*options: str) -> Follower:
        started.append(Follower(own, options))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait(SECONDS)
        for pipe in (one.process.stdout, one.process.stderr):
            assert pipe is not None
            pipe.close()


def test_follow_shows_the_last_events_and_then_new_ones_at_once(
    own: Path, follow: Callable[..., Follower]
) -> None:
    follower = follow()
    assert follower.line().startswith("position\t")
    assert [int(follower.line().split("\t")[0]) for _ in range(10)] == list(range(6, 16))
    writer = LogWriter(own / "wl_runs" / "first")
    writer.number = 100
    began = time.monotonic()
    writer.frame(9, values("loss", ["s1"], floats(9)))
    assert follower.line().startswith("16\t9\t")
    assert time.monotonic() - began < 2
    writer.close()
    assert follower.interrupt() == (130, "")


def test_an_interrupted_json_array_is_closed(follow: Callable[..., Follower]) -> None:
    follower = follow("--json", "--from", "15")
    first = follower.line()
    assert follower.interrupt() == (130, "")
    assert [row["kind"] for row in json.loads(first + "".join(follower.rest()))] == ["run_finished"]


def test_follow_ends_by_itself_at_its_limit(follow: Callable[..., Follower]) -> None:
    follower = follow("--from", "0", "--limit", "2")
    assert len(follower.rest()) == 3
    assert follower.process.wait(SECONDS) == 0


# --- replay and verify --------------------------------------------------------------------------


def test_replay_prints_a_digest_per_view_and_rates(folder: Path) -> None:
    done = wl("replay", "--json", cwd=folder)
    views = {row["view"]: row["digest"] for row in json.loads(done.stdout)}
    assert {"samples", "instances", "curves", "history"} <= set(views)
    assert "16 events, 15 values in" in done.stderr
    assert "values/s" in done.stderr
    again = json.loads(wl("replay", "--json", cwd=folder).stdout)
    assert {row["view"]: row["digest"] for row in again} == views


def test_replay_verifies(folder: Path) -> None:
    done = wl("replay", "--verify", cwd=folder)
    assert done.returncode == 0
    assert {row.split("\t")[2] for row in done.stdout.splitlines()[1:]} == {"same"}


def test_replay_to_a_step_differs_from_the_whole(folder: Path) -> None:
    def digests(*options: str) -> dict[str, str]:
        done = wl("replay", "--json", *options, cwd=folder)
        return {row["view"]: row["digest"] for row in json.loads(done.stdout)}

    past, whole = digests("--at-step", "1"), digests()
    assert past["samples"] != whole["samples"]
    assert digests("--at-step", "1", "--verify") == past
    assert digests("--at-step", "99") == whole


def test_verify_finds_no_damage_in_a_good_log(folder: Path) -> None:
    done = wl("verify", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "")
    assert "first: 16 events read, no damage" in done.stderr
    assert json.loads(wl("verify", "--json", cwd=folder).stdout) == []


def damage(run: Path) -> None:
    """Flips one bit of the frame of the second step, as a bad disk would."""
    file = run / "rank-0000" / "log" / "data.mdb"
    data = bytearray(file.read_bytes())
    at = [index for index in range(len(data)) if data.startswith(b"exposed", index)]
    data[at[1]] ^= 1
    file.write_bytes(data)


def test_damage_is_named_and_the_rest_can_be_read(own: Path) -> None:
    damage(own / "wl_runs" / "first")
    done = wl("verify", "--json", cwd=own)
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)
    assert found["position"] == 7
    assert "checksum" in found["reason"]

    done = wl("events", "--json", cwd=own)
    assert done.returncode == 1
    assert "position 7 is damaged" in done.stderr
    assert [row["position"] for row in json.loads(done.stdout)] == [*range(7), *range(10, 16)]

    done = wl("replay", cwd=own)
    assert done.returncode == 1
    assert "damaged frame at 7" in done.stderr
    assert wl("samples", cwd=own).stdout.count("\n") == 5


# --- how it fails -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["samles"], 2, "there is no command 'samles'. Did you mean 'samples'?"),
        (["samples", "--sortt", "x"], 2, "--sort"),
        (["samples", "--limit", "-1"], 2, "--limit"),
        (["samples", "nowhere"], 1, "there is no run at nowhere"),
        (["samples", "--root", "nowhere"], 1, "there is no run under nowhere"),
        (["samples", "--sort", "los"], 2, "Did you mean 'loss'?"),
        (["samples", "--columns", "loss,siz"], 2, "Did you mean 'size'?"),
        (["samples", "--desc"], 2, "--desc needs --sort"),
        (["samples", "--where", "loss >"], 2, "\n  loss >\n        ^"),
        (["samples", "--where", "place > 3"], 2, "place is a text, but 3 is a number"),
        (["instances"], 2, "SAMPLE"),
        (["instances", "s9"], 2, "s9"),
        (["instances", "s1", "--origin", "test"], 2, "test"),
    ],
)
def test_a_failure_is_one_message_and_a_status(
    folder: Path, arguments: list[str], status: int, message: str
) -> None:
    found = failed(*arguments, cwd=folder)
    assert found[0] == status
    assert message in found[1]


def test_no_arguments_print_the_help(folder: Path) -> None:
    done = wl(cwd=folder)
    assert done.returncode == 2
    assert "Commands:" in done.stdout + done.stderr


def test_a_reader_that_closes_early_is_no_failure(folder: Path) -> None:
    command = (
        f"{sys.executable} -c 'from wl_core.cli import main; main()' events --from 0 | head -1"
    )
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert done.stdout.startswith("position\t")
    assert done.stderr == ""


# --- help and plugins ---------------------------------------------------------------------------

COMMANDS = ("runs", "info", "events", "samples", "instances", "replay", "verify", "plugins")


@pytest.mark.parametrize("command", [*COMMANDS, "demo", "tui"])
def test_each_command_explains_itself_with_an_example(command: str, tmp_path: Path) -> None:
    text = ok(command, "--help", cwd=tmp_path)
    assert "Example" in text
    assert f"wl {command}" in text


def test_help_lists_the_commands_of_plugins_and_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom wl_core.cli import main\n"
        "try: main(['--help'])\n"
        "finally: print([m for m in ('torch', 'textual', 'rich.table') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(f"\n  {command} " in done.stdout for command in (*COMMANDS, "demo", "tui"))


PLUGIN = """
import click
from wl_core.hookspecs import hookimpl

@click.command()
def weather():
    print("it rains")

@click.command()
def runs():
    print("stolen")

@hookimpl
def wl_cli_commands():
    return [weather, runs, "no command"]
"""


def test_a_strangers_command_is_added_and_cannot_take_a_name(tmp_path: Path, folder: Path) -> None:
    from tests.core.test_plugins import install

    install(tmp_path, "wl-weather", {"wl_weather_cli": PLUGIN}, {"weather": "wl_weather_cli"})
    done = wl("weather", cwd=folder, PYTHONPATH=str(tmp_path))
    assert done.stdout == "it rains\n"
    done = wl("runs", cwd=folder, PYTHONPATH=str(tmp_path))
    assert "stolen" not in done.stdout


def test_a_broken_plugin_does_not_break_the_command_line(tmp_path: Path, folder: Path) -> None:
    from tests.core.test_plugins import install

    install(tmp_path, "wl-broken", {"wl_broken_cli": "1 / 0"}, {"broken": "wl_broken_cli"})
    done = wl("plugins", "--json", cwd=folder, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0
    (broken,) = [row for row in json.loads(done.stdout) if row["name"] == "broken"]
    assert (broken["state"], broken["dist"], broken["version"]) == ("failed", "wl-broken", "1.2")
    assert "ZeroDivisionError" in broken["traceback"]
    assert done.stderr.startswith("wl: plugin 'broken' failed in import: ZeroDivisionError")
    assert done.stderr.count("\n") == 1
    assert wl("samples", cwd=folder, PYTHONPATH=str(tmp_path)).returncode == 0
    assert "1 / 0" in wl("plugins", "--tracebacks", cwd=folder, PYTHONPATH=str(tmp_path)).stdout


FAILING_VIEW = """
from wl_core.hookspecs import hookimpl
from wl_core.projection import Projection

class Unlucky(Projection):
    name, version, kinds = "unlucky", 1, frozenset({"values"})
    def fold(self, batch): raise RuntimeError("out of luck")
    def snapshot(self): return {}
    def restore(self, state): pass
    def digest(self): return ""
    def merge(self, later): pass

@hookimpl
def wl_projections(): return [Unlucky]
"""


def test_a_view_that_fails_on_the_run_is_told_by_plugins(tmp_path: Path, folder: Path) -> None:
    from tests.core.test_plugins import install

    install(tmp_path, "wl-unlucky", {"wl_unlucky": FAILING_VIEW}, {"unlucky": "wl_unlucky"})
    done = wl("plugins", "--json", cwd=folder, PYTHONPATH=str(tmp_path))
    (unlucky,) = [row for row in json.loads(done.stdout) if row["name"] == "unlucky"]
    assert (unlucky["state"], done.returncode) == ("degraded", 0)
    assert "RuntimeError: out of luck" in unlucky["detail"]
    assert wl("samples", cwd=folder, PYTHONPATH=str(tmp_path)).returncode == 0


# --- a terminal ---------------------------------------------------------------------------------


def on_a_terminal(*arguments: str, cwd: Path, columns: int = 80) -> str:
    """What a person sees on a terminal of that width."""
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        [*WL, *arguments],
        cwd=cwd,
        env=os.environ | {"COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=secondary,
        stderr=secondary,
    )
    os.close(secondary)
    shown = bytearray()
    while True:
        try:
            data = os.read(primary, 65536)
        except OSError:  # Linux's way of saying that the other end is closed
            break
        if not data:
            break
        shown += data
    os.close(primary)
    assert process.wait(SECONDS) == 0, shown
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode().replace("\r\n", "\n"))


def test_a_terminal_gets_aligned_columns_that_fit(folder: Path) -> None:
    text = on_a_terminal("samples", "--columns", "sample_id,loss,dice,place", cwd=folder)
    rows = text.splitlines()
    assert rows[0].split() == ["sample_id", "loss", "dice", "place"]
    assert rows[1].split() == ["s1", "2.1", "~0.5", "a"], "~ marks the mean of the instances"
    assert "tab\\there" in rows[3], "a control character is not sent to the terminal"
    assert "inf" in rows[3]


def test_lists_and_flags_are_printed_as_what_they_are(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "wl_runs" / "labelled")
    lists = ((1, 3), (), ("tab\there", 0.5, True), (1, 2, 3, 4, 5))
    writer.frame(
        0,
        ("labels", "classes", "train_loader", IDS, lists),
        ("values", "ok", "train_loader", False, IDS[:2], np.array([True, False])),
    )
    writer.close()
    options = ("samples", "--columns", "sample_id,classes,ok,discarded")
    lines = on_a_terminal(*options, cwd=tmp_path).splitlines()
    assert [re.split(" {2,}", line.rstrip()) for line in lines] == [
        ["sample_id", "classes", "ok", "discarded"],
        ["s1", "[1, 3]", "yes"],
        ["s2", "[]", "no"],
        ["s3", "[tab\\there, 0.5, yes]"],
        ["s4", "[1, 2, 3, 4, … 5 in all]"],
    ]
    assert listed(*options, cwd=tmp_path)[2] == {
        "sample_id": "s3", "classes": ["tab\there", 0.5, True], "ok": None, "discarded": False,
    }  # fmt: skip
    assert ok(*options, cwd=tmp_path).splitlines()[3] == 's3\t["tab\\there", 0.5, true]\t\tfalse'


def test_on_a_terminal_the_columns_that_were_asked_about_come_first(folder: Path) -> None:
    text = on_a_terminal("samples", "--sort", "dice", "--where", "size > 0", cwd=folder, columns=40)
    assert text.split()[:4] == ["origin", "sample_id", "size", "dice"]
    text = on_a_terminal("samples", "--columns", "size,sample_id", "--sort", "loss", cwd=folder)
    assert text.split()[:2] == ["size", "sample_id"]


def test_what_does_not_fit_a_terminal_is_named(folder: Path) -> None:
    text = on_a_terminal("samples", cwd=folder, columns=40)
    assert all(len(row) <= 40 for row in text.splitlines()[:5])
    assert "not shown, for want of width: " in text
    assert "loss" in text.splitlines()[-1]


def test_events_on_a_terminal_are_short(folder: Path) -> None:
    text = on_a_terminal("events", "--kind", "values", "--limit", "1", cwd=folder, columns=200)
    assert "step 0" in text
    assert "signal=loss" in text
    assert "0.1, 0.5, nan" in text


def test_runs_on_a_terminal_say_what_to_do_when_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="try `wl demo`"):
        on_a_terminal("runs", cwd=tmp_path)
