"""Python processes that need not import torch: what starts one pays neither for that nor, at its
first optimizer, for torch's compiler, which are four seconds of CPU each time.

A server that has imported them (nothing of wl, and has opened nothing and started no thread) forks
for each request; the child becomes what ``python …`` would have been: own ``__main__``, arguments,
folder, environment, standard streams and warnings, and it ends as any interpreter does, with all
that runs at exit. What stays different is that these modules are there before they are imported and
that strings hash alike in all children of a server. So a test whose point is how a process starts,
or what it imports, starts one of its own.

The command line does without torch, so `wl` has a server that has imported what it needs instead.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import types
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

LIGHT = (
    "click",
    "importlib.metadata",
    "lmdb",
    "msgpack",
    "numpy",
    "pluggy",
    "rich.console",
    "yaml",
)
COMMAND = (
    *LIGHT,
    "numpy.random",
    "wl_core.cli",
    "wl_core.filters",
    "wl_core.run",
    "wl_core.shape_classifiers",
    "wl_core.trajectories",
    "wl_plugins.dynamics.dynamics_view",
    "wl_plugins.instance_view",
)
TORCH = (*LIGHT, "torch", "torch._dynamo")
WL = Path(sys.executable).with_name("wl")
LONGEST_REQUEST = 1 << 17  # bytes; one message of a socket has to hold it


# -- the tests' side -------------------------------------------------------------------------------


class Process:
    """What tests use of `subprocess.Popen`, for a child of the server."""

    def __init__(
        self,
        arguments: Sequence[object],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        modules: tuple[str, ...] = TORCH,
    ) -> None:
        """``python *arguments``; the streams are as `subprocess.Popen` takes them, but all text."""
        self.args = ["python", *map(str, arguments)]
        self.returncode: int | None = None
        self.stdin, child_stdin = _stream(stdin, 0)
        self.stdout, child_stdout = _stream(stdout, 1)
        self.stderr, child_stderr = (
            (None, os.dup(child_stdout)) if stderr == subprocess.STDOUT else _stream(stderr, 2)
        )
        reading, writing = os.pipe()
        given = [child_stdin, child_stdout, child_stderr, writing]
        request = {
            "arguments": self.args[1:],
            "cwd": str(cwd or Path.cwd()),
            "environment": dict(os.environ if env is None else env),
        }
        message = json.dumps(request).encode()
        assert len(message) < LONGEST_REQUEST, "a script this long is to be in a file"
        socket.send_fds(_server(modules), [message], given)
        for one in given:
            os.close(one)
        self._news = os.fdopen(reading)
        self.pid = int(self._news.readline())

    def poll(self) -> int | None:
        """Its status if it has ended."""
        if self.returncode is None and select.select([self._news], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its status, negative if a signal ended it; TimeoutExpired if it does not end."""
        if self.returncode is None:
            if not select.select([self._news], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            with self._news:
                self.returncode = int(self._news.readline())
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it says until it ends, which closes its streams; killed if that is too late."""
        if self.stdin is not None:
            self.stdin.close()
        streams = [self.stdout, self.stderr]
        with ThreadPoolExecutor(len(streams)) as readers:
            texts = readers.map(_rest, streams)
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        said, complained = texts
        return said, complained

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()


def run(
    arguments: Sequence[object],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stderr: int | None = None,
    timeout: float = 120.0,
    check: bool = False,
    modules: tuple[str, ...] = TORCH,
) -> subprocess.CompletedProcess[str]:
    """``python *arguments`` without input; its output is captured, into one text with STDOUT."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = Process(
            arguments,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output.fileno(),
            stderr=stderr if stderr is not None else errors.fileno(),
            modules=modules,
        )
        try:
            status = process.wait(timeout)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        errors.seek(0)
        done = subprocess.CompletedProcess(process.args, status, output.read(), errors.read())
    if check:
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done


def wl(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command ``wl *arguments``; ``options`` as `run` takes them."""
    return run([WL, *arguments], modules=COMMAND, **options)


def _rest(stream: IO[str] | None) -> str:
    if stream is None or stream.closed:
        return ""
    with stream:
        return stream.read()


def _stream(wanted: int | None, own: int) -> tuple[IO[Any] | None, int]:
    """This side's end of a stream, if it has one, and the child's, which is to be closed."""
    if wanted is None:
        return None, os.dup(own)
    if wanted == subprocess.DEVNULL:
        return None, os.open(os.devnull, os.O_RDWR)
    if wanted != subprocess.PIPE:
        return None, os.dup(wanted)
    reading, writing = os.pipe()
    return (os.fdopen(writing, "w"), reading) if own == 0 else (os.fdopen(reading), writing)


@functools.cache
def _server(modules: tuple[str, ...]) -> socket.socket:
    """This process's server that has those, started when first asked; ends with the connection."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno()), *modules],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# -- the server's side -----------------------------------------------------------------------------


def _serve(connection: socket.socket, modules: Sequence[str]) -> dict[str, Any]:
    """Returns in a child only, with what it is to be."""
    for name in modules:
        importlib.import_module(name)
    assert len(os.listdir("/proc/self/task")) == 1, "a child of a process with threads may hang"
    gc.freeze()  # no collection in a child writes to the pages that it shares
    while True:
        message, given, _, _ = socket.recv_fds(connection, LONGEST_REQUEST, 4)
        if not message:
            raise SystemExit
        if _is_child(given):
            connection.close()
            return json.loads(message)  # type: ignore[no-any-return]
        for one in given:
            os.close(one)


def _is_child(given: list[int]) -> bool:
    """Forks a keeper, which tells the child's number and how it ended, and by it the child."""
    with contextlib.suppress(ChildProcessError):  # there is none
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass  # a keeper that has ended
    if os.fork():
        return False
    *streams, news = given
    child = os.fork()
    if child:
        for one in streams:
            os.close(one)
        os.write(news, b"%d\n" % child)
        _, status = os.waitpid(child, 0)
        os.write(news, b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    for own, one in enumerate(streams):
        os.dup2(one, own)
        os.close(one)
    os.close(news)
    return True


def _become(request: dict[str, Any]) -> None:
    """Does what the interpreter does with its command line."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.modules["numpy"].random.seed()  # it was seeded when the server imported it
    arguments = request["arguments"]
    sys.path[1:1] = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    chosen = [one for one in os.environ.get("PYTHONWARNINGS", "").split(",") if one]
    while arguments[0] == "-W":
        chosen.append(arguments[1])
        arguments = arguments[2:]
    for one in chosen:
        assert one == "error", f"no other filter is known here: {one}"
        sys.warnoptions.append(one)
        warnings.simplefilter("error")
    _run(arguments)


def _run(arguments: list[str]) -> None:
    kind, *rest = arguments
    if kind == "-m":
        sys.path[0] = os.getcwd()
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        return
    module = types.ModuleType("__main__")
    if kind == "-c":
        sys.path[0] = ""
        sys.argv = ["-c", *rest[1:]]
        code = compile(rest[0], "<string>", "exec")
    else:
        sys.path[0] = str(Path(kind).resolve().parent)
        sys.argv = arguments
        module.__file__ = kind
        code = compile(Path(kind).read_text(), kind, "exec")
    sys.modules["__main__"] = module
    exec(code, vars(module))


if __name__ == "__main__":
    _become(_serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:]))
