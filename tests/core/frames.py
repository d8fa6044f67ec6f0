"""Frames, entries and processes for the tests of the log."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from wl_core.codec import DamagedFrame, Frame, FrameBuilder, encode
from wl_core.log import EventLog
from wl_core.tail import Entry

WRITER = b"8 bytes."
SECONDS = 60


def frame(number: int = 1, count: int = 1, writer: bytes = WRITER, size: int = 4) -> Frame:
    """The ``number``-th frame of a writer: ``count`` signals of ``size`` samples each."""
    builder = FrameBuilder()
    ids = builder.ids(list(range(size)))
    for index in range(count):
        vector = builder.vector(np.arange(size, dtype=np.float32) + 1000 * number + index)
        builder.add("values", f"signal_{index}", "train", False, ids, vector)
    return Frame(
        number - 1, 1.5e9 + number, writer, number, "train", False, builder.blobs, builder.events
    )


def entry(
    number: int = 1,
    count: int = 1,
    writer: bytes = WRITER,
    size: int = 4,
    arrays: tuple[tuple[bytes, bytes], ...] = (),
) -> Entry:
    data = encode(frame(number, count, writer, size))
    return Entry(writer, number, count, data, number, arrays)


def numbers(log: EventLog, writer: bytes = WRITER) -> list[int]:
    """The frame numbers of a writer, in the order of the log; fails when a frame is damaged."""
    return [one.number for one in whole(log) if one.writer == writer]


def whole(log: EventLog) -> list[Frame]:
    """All frames; fails when one is damaged or positions are not dense."""
    found = []
    position = 0
    for one in log.frames():
        assert not isinstance(one, DamagedFrame), one
        assert one.position == position
        position += one.count
        found.append(one)
    assert position == log.next_position
    return found


def until(condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """What ``condition`` gives once it is true; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{condition} did not come true in {seconds} s"
        time.sleep(0.002)
    return found


@contextmanager
def write_lock_held(path: Path) -> Iterator[None]:
    """As another process in the middle of a commit: nobody else commits to this environment."""
    script = """
        import sys, lmdb
        held = lmdb.open(sys.argv[1], max_dbs=8, map_size=1 << 30, lib_version=0)
        with held.begin(write=True):
            print("held", flush=True)
            sys.stdin.readline()
    """
    with python(script, path) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.stdin.write("\n")
        process.stdin.close()
        assert process.wait(SECONDS) == 0


@contextmanager
def python(script: str, *arguments: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs ``script``; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue  # the process is gone, and what was left for it with it


def run_python(script: str, *arguments: object, **options: Any) -> str:
    """What the script prints; its errors are the test's."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        **options,
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done.stdout


def in_forked_child(work: Callable[[], object]) -> str:
    """What ``work`` gives in a forked child that ends in order, finalisers and all; as text."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = 1
        try:
            os.write(writing, repr(work()).encode())
            status = 0
        except BaseException as error:  # noqa: BLE001  # told to the parent, which fails
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        finally:
            # What pytest would do at exit is the parent's business; what wl registered is not.
            import atexit
            import gc

            from wl_core import session

            session._at_exit()
            atexit.unregister(session._at_exit)
            gc.collect()
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, said
    return said


def raw(path: Path) -> lmdb.Environment:
    """The environment without any of wl; nothing else in this process may hold it."""
    return lmdb.open(str(path), max_dbs=8, map_size=1 << 30, lib_version=0)
