"""Copies the beginning of a log, bit for bit, with the arrays that its events name.

Knows the databases of `log` and `arrays` as those files describe them, because a copy has to keep
what reading would hide: the bytes of the frames, damaged ones too, and their positions. The log
that is copied may be written meanwhile. What a copy is good for is `branch`'s business.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wl_core.arrays import REFERENCE_BYTES
from wl_core.codec import Frame, decode
from wl_core.directory import RunDirectory
from wl_core.environment import Environment, Transaction, open_environment
from wl_core.errors import DamagedFrameError
from wl_core.model_checkpoints import SavedModel, models_in

Progress = Callable[[int, int], object]

_KEY = struct.Struct(">Q")
_CHUNK_BYTES = 8 << 20
_CHUNK_FRAMES = 2_000


@dataclass(frozen=True, slots=True)
class _Raw:
    """A frame as it lies in the log; ``landmark`` is None where it has none."""

    position: int
    data: bytes
    landmark: bytes | None


@dataclass(slots=True)
class Copied:
    """What was copied: up to which position, how old the model is there, and its saved models."""

    end: int = 0
    model_age: int = 0
    models: list[SavedModel] = field(default_factory=list)


def copy_beginning(
    source: RunDirectory, log: Path, arrays: Path, last_step: int, progress: Progress
) -> Copied:
    """Copies all frames before the first one of a later step, as `Run.at` folds them.

    Args:
        source: the run to copy from.
        log, arrays: where the copies go; nothing is there yet.
        last_step: the greatest step of a frame that is copied.
        progress: called with the position reached and the end of the log.
    """
    with contextlib.ExitStack() as stack:
        opened = _opener(stack)
        frames = _Frames(opened(source.log, 8, create=False), opened(log, 8, create=True))
        stored = None
        if (source.arrays / "data.mdb").exists():
            stored = _Arrays(opened(source.arrays, 2, create=False), opened(arrays, 2, create=True))
        copied = Copied()
        for chunk in frames.chunks():
            kept, later = _up_to(chunk, last_step)
            for frame in _readable(kept):
                copied.model_age = max(copied.model_age, frame.step + (frame.phase == "train"))
                copied.models += models_in(frame)
                if stored is not None:
                    stored.want(_references(frame))
            if stored is not None:
                stored.copy()
            copied.end = later if later is not None else frames.end
            frames.put(kept, copied)
            progress(copied.end, frames.end)
            if later is not None:
                break
        return copied


def _opener(stack: contextlib.ExitStack) -> Callable[..., Environment]:
    def opened(path: Path, databases: int, *, create: bool) -> Environment:
        environment = open_environment(path, create=create, databases=databases)
        stack.enter_context(contextlib.closing(environment))
        return environment

    return opened


def _up_to(chunk: list[_Raw], last_step: int) -> tuple[list[_Raw], int | None]:
    """The frames before the first of a later step, and where that one stands if it is there."""
    for number, raw in enumerate(chunk):
        for frame in _readable([raw]):
            if frame.step > last_step:
                return chunk[:number], raw.position
    return chunk, None


def _readable(chunk: list[_Raw]) -> Iterator[Frame]:
    for raw in chunk:
        with contextlib.suppress(DamagedFrameError):  # copied as it is; readers name it
            yield decode(raw.position, raw.data)


def _references(frame: Frame) -> Iterator[bytes]:
    """The references to arrays that the frame's events hold: each vector of 16-byte items."""
    for code, data in zip(frame.blobs[0::2], frame.blobs[1::2], strict=True):
        if code == "V16":
            for at in range(0, len(data), REFERENCE_BYTES):
                yield data[at : at + REFERENCE_BYTES]


class _Frames:
    """Frames from one environment into another one that is empty."""

    def __init__(self, source: Environment, target: Environment) -> None:
        self._source, self._target = source, target
        self._from = {name: source.database(name) for name in (b"frames", b"landmarks", b"meta")}
        self._to = {name: target.database(name) for name in (*self._from, b"writers")}
        with source.reading() as txn:
            meta = {
                key: txn.get(key, db=self._from[b"meta"])
                for key in (b"format", b"decisions", b"next")
            }
        self.end = _KEY.unpack(meta.pop(b"next") or bytes(8))[0]
        self._meta = {key: value for key, value in meta.items() if value is not None}

    def chunks(self) -> Iterator[list[_Raw]]:
        """All frames up to where the log ended when this began."""
        start = 0
        while chunk := self._read(start):
            yield chunk
            start = chunk[-1].position + 1

    def _read(self, start: int) -> list[_Raw]:
        found: list[_Raw] = []
        size = 0
        with self._source.reading() as txn:
            cursor = txn.cursor(db=self._from[b"frames"])
            there = cursor.set_range(_KEY.pack(start))
            while there and size < _CHUNK_BYTES and len(found) < _CHUNK_FRAMES:
                key, data = cursor.item()
                position = _KEY.unpack(key)[0]
                if position >= self.end:
                    break
                landmark = txn.get(key, db=self._from[b"landmarks"])
                found.append(_Raw(position, data, landmark))
                size += len(data)
                there = cursor.next()
        return found

    def put(self, chunk: list[_Raw], copied: Copied) -> None:
        def work(txn: Transaction) -> None:
            for raw in chunk:
                key = _KEY.pack(raw.position)
                txn.put(key, raw.data, append=True, db=self._to[b"frames"])
                if raw.landmark is not None:
                    txn.put(key, raw.landmark, append=True, db=self._to[b"landmarks"])
            meta = {
                **self._meta,
                b"next": _KEY.pack(copied.end),
                b"model_age": _KEY.pack(copied.model_age),
            }
            for name, value in meta.items():
                txn.put(name, value, db=self._to[b"meta"])

        self._target.write(work)


class _Arrays:
    """Arrays from one environment into another, each once, as they are stored."""

    def __init__(self, source: Environment, target: Environment) -> None:
        self._source, self._target = source, target
        self._from, self._to = source.database(b"arrays"), target.database(b"arrays")
        self._wanted: dict[bytes, None] = {}

    def want(self, references: Iterator[bytes]) -> None:
        self._wanted.update(dict.fromkeys(references))

    def copy(self) -> None:
        """Copies those that are wanted and not there yet, a few megabytes at a time."""
        with self._target.reading() as txn:
            missing = [one for one in self._wanted if txn.get(one, db=self._to) is None]
        self._wanted.clear()
        while missing:
            records, missing = self._some(missing)

            def work(txn: Transaction, records: dict[bytes, Any] = records) -> None:
                for reference, record in records.items():
                    txn.put(reference, record, db=self._to, overwrite=False)

            self._target.write(work)

    def _some(self, references: list[bytes]) -> tuple[dict[bytes, bytes], list[bytes]]:
        """The records of the first of these, and the rest. One that was collected stays missing."""
        found: dict[bytes, bytes] = {}
        size = 0
        with self._source.reading() as txn:
            for number, reference in enumerate(references):
                if size >= _CHUNK_BYTES:
                    return found, references[number:]
                record = txn.get(reference, db=self._from)
                if record is not None:
                    found[reference] = record
                    size += len(record)
        return found, []
