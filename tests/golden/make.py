"""Makes a golden run: every kind of event, every dtype, arrays, and a tail not yet taken in.

    python -m tests.golden.make tests/golden/v1

It was run once for the format version that its directory names. Run again, it leaves the bytes as
they are, which must stay readable, and writes only what they fold to now: for a view or a kind
whose version was raised, to be added to ``expected.json``, where nothing may be taken away. Nothing
in the bytes tells on what machine they were made.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from wl_core.arrays import ArrayStore, pack_arrays
from wl_core.codec import Frame, FrameBuilder, encode, frame_events, pack_index
from wl_core.directory import RunDirectory
from wl_core.log import EventLog
from wl_core.run import open_run
from wl_core.tail import Entry, Tail, tail_paths

TRAINING, ELSEWHERE, LATER = b"training", b"elsewher", b"backfill"
BEGAN = 1_700_000_000.0
STEPS = 24
ORIGINS: dict[str, list[Any]] = {
    "train": ["a", "b", "ü", 7, "7", 2**40],
    "test": [0, 1, -1],
}


class Maker:
    """Frames of two writers: the training, which dies in the end, and somebody elsewhere."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(20260101)
        self.entries: list[Entry] = []
        self.numbers = {TRAINING: 0, ELSEWHERE: 0, LATER: 0}
        self.step = 0

    def frame(
        self,
        builder: FrameBuilder,
        phase: str = "outside",
        arrays: list[tuple[bytes, bytes]] | None = None,
        writer: bytes = TRAINING,
        step: int | None = None,
        failed: bool = False,
    ) -> None:
        self.numbers[writer] += 1
        at = self.step if step is None else step
        if phase == "train" and writer == TRAINING:
            self.step += 1
        number = self.numbers[writer]
        when = BEGAN + len(self.entries) * 0.25
        data = encode(Frame(at, when, writer, number, phase, failed, builder.blobs, builder.events))
        age = self.step if writer == TRAINING else 0
        count = len(builder.events)
        self.entries.append(Entry(writer, number, count, data, age, arrays or [], builder.landmark))

    def said(self, kind: str, *fields: Any, writer: bytes = TRAINING) -> None:
        builder = FrameBuilder()
        builder.add(kind, *fields)
        self.frame(builder, writer=writer)

    def chosen(self, kind: str, first: tuple[Any, ...], ids: list[Any], number: int | None) -> None:
        builder = FrameBuilder()
        numbers = None if number is None else builder.vector(pack_index(np.full(len(ids), number)))
        builder.add(kind, *first, "train", builder.ids(ids), numbers, "somebody", "")
        self.frame(builder, writer=ELSEWHERE)

    def beginning(self) -> None:
        versions = {"python": "3.11", "wl": "0.1"}
        self.said("run_started", "golden", 4242, "somewhere", versions, False)
        self.said(
            "hyperparameters", {"lr": 0.1, "model.depth": 3, "none": None}, "script", "as planned"
        )
        self.said("object_described", "model", "net", {"parameters": 1234})
        detail = {"reduction": "none"}
        self.said("signal_declared", "loss/sample", "sample", "loss", True, detail)
        self.said("signal_declared", "loss/instance", "instance", "loss", False, detail)
        for origin, ids in ORIGINS.items():
            builder = FrameBuilder()
            columns = {
                "place": ["north", None, "south", "", "ost", "ö"][: len(ids)],
                "brightness": [0.5, float("nan"), 2, None, -1.5, 1e300][: len(ids)],
                "night": [True, False, None, True, False, True][: len(ids)],
            }
            builder.add("metadata", origin, builder.ids(ids), columns)
            counts = pack_index(np.arange(len(ids)) % 3)
            builder.add("instances_found", origin, builder.ids(ids), builder.vector(counts))
            self.frame(builder)

    def measured(self, phase: str, origin: str, *, failed: bool = False) -> None:
        ids = ORIGINS[origin]
        builder = FrameBuilder()
        blob = builder.ids(ids)
        dtype = (np.float32, np.float64, np.float16)[self.step % 3]
        values = self.random.normal(size=len(ids)).astype(dtype)
        values[self.step % len(ids)] = (np.nan, np.inf, -0.0, -np.inf)[self.step % 4]
        builder.add("values", "loss/sample", origin, True, blob, builder.vector(values))
        index = np.repeat(np.arange(len(ids)), np.arange(len(ids)) % 3)
        numbers = np.concatenate([np.arange(n % 3) + 1 for n in range(len(ids))])
        at, instances = builder.vector(pack_index(index)), builder.vector(pack_index(numbers))
        scores = builder.vector(self.random.random(len(index)))
        builder.add("instance_values", "loss/instance", origin, False, blob, at, instances, scores)
        norms = builder.vector(self.random.random(2))
        builder.add("step_values", ["gradient norm", "learning rate"], norms)
        builder.add("exposed", origin, blob)
        arrays = self.pictures(builder, origin, blob, at, instances, len(ids), len(index))
        if failed:
            builder.add("step_failed", phase, "ValueError: no", "Traceback\nValueError: no\n")
        self.frame(builder, phase, arrays, failed=failed)

    def pictures(
        self,
        builder: FrameBuilder,
        origin: str,
        blob: int,
        at: int,
        instances: int,
        samples: int,
        count: int,
    ) -> list[tuple[bytes, bytes]]:
        dtype = ("<i8", "|b1", "<f4", "<f2", "<f8", ">i4", "|u1")[self.step % 7]
        predictions = [self.random.integers(0, 3, (6, 8)).astype(dtype) for _ in range(samples)]
        masks = [np.pad(np.full((2, 3), n + 1, np.int16), 4) for n in range(count)]
        stored = []
        for field, owners, found in (
            ("prediction", (None, None), predictions),
            ("target", (at, instances), masks),
        ):
            packed = pack_arrays(found)
            stored += packed
            references = builder.blob("V16", b"".join(reference for reference, _ in packed))
            specs = [[found[0].dtype.str, list(found[0].shape)]]
            which = builder.vector(np.zeros(len(found), np.uint8))
            builder.add("arrays", field, origin, blob, *owners, references, which, specs)
        return stored

    def decided(self) -> None:
        self.chosen("tagged", ("hard", True), ["a", 7, "7"], None)
        self.chosen("tagged", ("hard", False), [7], None)
        self.chosen("discarded", (True,), ["ü", "b"], None)
        self.chosen("discarded", (False,), ["b"], None)
        self.chosen("discarded", (True,), ["ü"], 1)
        self.said("pause_requested", "somebody", "", writer=ELSEWHERE)
        self.said("paused", "somebody", "")
        self.said("resume_requested", "somebody", "", writer=ELSEWHERE)
        self.said("resumed")
        self.said("signal_failed", "mine", "KeyError: 1", "Traceback\nKeyError: 1\n")

    @property
    def position(self) -> int:
        """That of the next event."""
        return sum(entry.count for entry in self.entries)

    def steered(self) -> None:
        """What came with version 2 of the decisions."""
        tag = self.position
        self.chosen("tagged", ("taken back", True), ["a", "b"], None)
        self.chosen("tagged", ("taken back and again", True), ["a"], None)
        self.chosen("discarded", (True,), ["b"], None)
        self.said("undone", [tag, tag + 2], True, "somebody", "too soon", writer=ELSEWHERE)
        self.said("undone", [tag + 1], True, "somebody", "", writer=ELSEWHERE)
        self.said("undone", [tag + 1], False, "somebody", "", writer=ELSEWHERE)
        self.said("category_registered", "weather", ["sun", "rain"], "script", "")
        self.chosen("categorised", ("weather", "rain"), ["a", 7], None)
        self.chosen("categorised", ("weather", "sun"), ["a"], 2)
        self.chosen("categorised", ("weather", None), [7], None)
        edit = self.position
        self.said("hyperparameters", {"lr": 0.01}, "somebody", "slower", writer=ELSEWHERE)
        self.said("obeyed", edit, "")
        self.said("hyperparameters", {"lr": "fast"}, "somebody", "", writer=ELSEWHERE)
        self.said("obeyed", edit + 2, "lr is a number")
        self.said("steps_requested", 2, "somebody", "", writer=ELSEWHERE)
        self.said("evaluation_requested", "test", "", "somebody", "", writer=ELSEWHERE)
        asked = self.position - 1
        self.said("evaluation_started", "test", "", 3, asked)
        self.said("evaluation_progressed", 2)
        self.said("evaluation_cancel_requested", "somebody", "", writer=ELSEWHERE)
        self.said("evaluation_finished", "test", "", 3, {"loss/sample": 0.5}, True, "", asked)
        self.said("model_saved", self.step, "checkpoints/step.pt", 123, "00" * 32)
        self.said("model_restored", self.step, "checkpoints/step.pt")
        self.said("branched", "another", self.step)
        self.said("stop_requested", "somebody", "enough", writer=ELSEWHERE)

    def labelled(self) -> None:
        builder = FrameBuilder()
        ids = builder.ids(["a", "b", 7])
        builder.add("labels", "predicted", "train", ids, ["cat", "dog", "cat"])
        builder.add("labels", "classes", "train", ids, [[1, 3], [], ["x", True, 0.5]])
        right = builder.vector(np.array([True, False, True]))
        builder.add("values", "right", "train", True, ids, right)
        groups, members = builder.ids([0, 1]), builder.ids(["a", "b", "a", 7])
        values = builder.vector(np.array([0.5, np.nan]))
        which = builder.vector(np.array([0, 0, 1, 1], np.uint8))
        builder.add("group_values", "pairs", "train", True, groups, values, members, which)
        self.frame(builder)

    def backfilled(self) -> None:
        """What a signal that was written after the run left, within one frame of another writer."""
        digest, stop = "ab" * 32, self.position
        self.said("backfilled", ["twice"], "mine.py", digest, stop, 1, "somebody", "", writer=LATER)
        builder = FrameBuilder()
        builder.add("computed_later", 8)
        values = builder.vector(np.array([0.5, 1.5]))
        builder.add("values", "twice", "train", False, builder.ids(["a", "b"]), values)
        builder.add("computed_later", -1)
        builder.add("values", "size", "train", False, builder.ids(["a", "b"]), values)
        self.frame(builder, "train", writer=LATER, step=2)

    def late(self) -> None:
        builder = FrameBuilder()
        values = builder.vector(np.array([0.25, 0.75]))
        builder.add("values", "late", "train", False, builder.ids(["a", "b"]), values)
        self.frame(builder, step=3)


def make(path: Path) -> None:
    maker = Maker()
    maker.beginning()
    for number in range(STEPS):
        maker.measured("train", "train", failed=number == 5)
        if number % 8 == 0:
            maker.measured("test", "test")
        if number == 10:
            maker.decided()
        if number == 20:
            maker.steered()
            maker.labelled()
    maker.late()
    maker.backfilled()
    maker.said("run_finished", "finished", "")
    maker.said("run_started", "golden again", 4243, "somewhere", {"wl": "0.1"}, True)
    committed = len(maker.entries)
    maker.measured("train", "train")
    maker.measured("train", "train")
    write(RunDirectory(path), maker.entries[:committed], maker.entries[committed:])


def write(directory: RunDirectory, committed: list[Entry], waiting: list[Entry]) -> None:
    directory.rank_path.mkdir(parents=True)
    log = EventLog(directory.log, create=True, map_size=1 << 20)
    arrays = ArrayStore(directory.arrays, create=True)
    arrays.put_raw([pair for entry in committed for pair in entry.arrays])
    log.append(committed)
    log.close()
    arrays.close()
    tail = Tail(directory.rank_path, TRAINING)
    for entry in (*committed[-1:], *waiting):
        tail.append(entry)
    tail.close(remove=False)
    began = {"pid": 4243, "host": "somewhere", "command": "train.py", "began": BEGAN}
    directory.lock.write_text(json.dumps(began))
    for locks in directory.path.rglob("lock.mdb"):
        locks.unlink()
    assert len(tail_paths(directory.rank_path)) == 2


def expected(path: Path) -> dict[str, Any]:
    """What a copy of the run at ``path`` folds to; opening it takes in its tail."""
    with open_run(path) as run:
        status = run.status()
        digests = {}
        for name in sorted(run.views):
            view = run.view(name)
            digests[name] = {str(view.version): view.digest()}
        return {
            "kinds": event_digests(run.log),
            "events": run.log.next_position,
            "step": status.step,
            "state": status.state,
            "digests": digests,
        }


def event_digests(log: EventLog) -> dict[str, dict[str, str]]:
    """For each kind and version a digest of all its events, field by field, by name."""
    hashes: dict[str, Any] = {}
    for frame in log.frames():
        assert isinstance(frame, Frame), frame
        for event in frame_events(frame):
            said = [event.position, event.step, event.time, event.phase, event.failed, event.data]
            digest = hashes.setdefault(event.kind, hashlib.blake2b(digest_size=16))
            digest.update(json.dumps(said, sort_keys=True).encode())
    kinds = {name: log.catalogue.get(name) for name in hashes}
    return {
        name: {str(kind.version): hashes[name].hexdigest()}
        for name, kind in sorted(kinds.items())
        if kind is not None
    }


def with_older(found: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Digests of older versions are kept: nobody can make them again."""
    for group in ("digests", "kinds"):
        for name, digests in before[group].items():
            found[group][name] = digests | found[group][name]
    return found


def main(version: Path) -> None:
    if not version.exists():
        make(version / "run")
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(shutil.copytree(version / "run", Path(directory) / "run"))
        found = expected(copy)
    file = version / "expected.json"
    if file.exists():
        found = with_older(found, json.loads(file.read_text()))
    file.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
