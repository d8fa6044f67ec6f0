"""What the chaos tests share: a training to be killed, and what must be true of it afterwards."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.core.frames import SECONDS, whole
from wl_core.arrays import ArrayStore
from wl_core.checkpoints import Checkpoints
from wl_core.events import CATALOGUE
from wl_core.log import EventLog, Finding
from wl_core.plugins import load_plugins, projections
from wl_core.projection import Projector
from wl_core.run import Run


class Trainer:
    """A training process and what it has said so far."""

    def __init__(self, path: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.chaos.trainer", str(path), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.start = -1
        self.exited: list[int] = []
        self.said: list[int] = []
        self._line_came = threading.Condition()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = re.fullmatch(r"(start|exit|said) (\d+)\n", line)
            if found is None:
                continue  # a line that the kill tore
            with self._line_came:
                number = int(found[2])
                if found[1] == "start":
                    self.start = number
                else:
                    (self.exited if found[1] == "exit" else self.said).append(number)
                self._line_came.notify_all()
        with self._line_came:
            self._line_came.notify_all()

    def wait_for_steps(self, count: int) -> None:
        with self._line_came:
            done = self._line_came.wait_for(
                lambda: len(self.exited) >= count or not self._reading.is_alive(), SECONDS
            )
        assert done
        assert len(self.exited) >= count, self.errors()

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def kill(self) -> None:
        """SIGKILL, and everything read that it had said."""
        self.process.kill()
        self.process.wait(SECONDS)
        self._reading.join(SECONDS)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@contextmanager
def training(path: Path, *options: str) -> Iterator[Trainer]:
    found = Trainer(path, *options)
    try:
        yield found
    finally:
        if found.process.poll() is None or not found.process.stdout.closed:  # type: ignore[union-attr]
            found.kill()


def assert_nothing_is_missing(run: Run, exited: list[int], said: list[int]) -> None:
    """G2 and G4: each step that was left is there, once, whole and in order, with its arrays."""
    frames = whole(run.log)
    steps = Counter(frame.step for frame in frames if frame.phase == "train")
    assert max(steps.values(), default=1) == 1
    assert set(exited) <= set(steps)
    assert sorted(steps) == list(range(len(steps)))
    tags = [event[2] for frame in frames for event in frame.events if event[0] == "tagged"]
    assert set(said) <= {int(tag.removeprefix("tag-")) for tag in tags}
    assert len(tags) == len(set(tags))
    by_writer: dict[bytes, list[int]] = {}
    for frame in frames:
        by_writer.setdefault(frame.writer, []).append(frame.number)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_writer.values())
    assert run.log.model_age == len(steps)
    assert [one for one in run.log.verify() if isinstance(one, Finding)] == []
    _assert_arrays_are_there(run)


def _assert_arrays_are_there(run: Run) -> None:
    kind = CATALOGUE.get("arrays")
    assert kind is not None
    at = kind.index("refs")
    references = {
        one.tobytes()
        for frame in whole(run.log)
        for event in frame.events
        if event[0] == "arrays"
        for one in frame.vector(event[at])
    }
    store = ArrayStore(run.directory.arrays)
    for reference in references:
        store.get(reference)
    store.close()


def assert_views_replay(run: Run) -> dict[str, str]:
    """One fold, a fold in small bites, and the stored views brought up to date: one digest."""
    digests = [
        _folded(run.log, None, None),
        _folded(run.log, None, 3),
        _folded(run.log, Checkpoints(run.directory.views), None),
    ]
    assert digests[0] == digests[1] == digests[2]
    assert digests[0]
    return digests[0]


def _folded(log: EventLog, stored: Checkpoints | None, bite: int | None) -> dict[str, str]:
    projector = Projector(projections(load_plugins()), log, stored)
    if stored is not None:
        projector.restore()
    while projector.catch_up(limit_frames=bite):
        pass
    assert projector.parked == []
    assert projector.damaged == []
    return projector.digests()
