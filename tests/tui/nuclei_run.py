"""A real run without a training: the demo's tiles and masks, written frame by frame, no torch."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

import wl_plugins.demo
from wl_core.arrays import ArrayStore, pack_arrays
from wl_core.codec import Frame, FrameBuilder, encode
from wl_core.directory import RunDirectory, WriterLock
from wl_core.log import EventLog
from wl_core.tail import Entry

DATA = Path(wl_plugins.demo.__path__[0]) / "data"
WRITER = b"nuclei.."
TILE = 128
TRAIN = [f"tile_{number:02d}" for number in range(12)]
TEST = [f"tile_{number:02d}" for number in range(12, 16)]
SAMPLE_SIGNALS = ("train_bce/sample", "train_dice/sample")


class NucleiRun:
    """Writes a run; one call of `train` is one step."""

    def __init__(self, path: Path, *, train: Sequence[str] = TRAIN) -> None:
        self.path = path
        self.step = 0
        self.train_ids = list(train)
        directory = RunDirectory(path)
        self._lock: WriterLock | None = WriterLock(directory.lock)
        self._lock.sign()
        self._log = EventLog(directory.log, create=True)
        self._arrays = ArrayStore(directory.arrays, create=True)
        self._number = 0
        self._random = np.random.default_rng(0)
        self._counts = [len(self.masks(one)) for one in self.train_ids]
        self.frame(("run_started", "nuclei", 1, "here", {}, False), phase="outside")
        for origin, ids in (("train_loader", self.train_ids), ("test_loader", TEST)):
            self.introduce(origin, ids)

    def frame(self, *events: tuple[Any, ...], phase: str = "train", failed: bool = False) -> None:
        """Commit one frame; lists among the fields are ids, arrays vectors."""
        builder = FrameBuilder()
        for kind, *fields in events:
            builder.add(kind, *(_field(builder, value) for value in fields))
        self._number += 1
        frame = Frame(
            self.step,
            time.time(),
            WRITER,
            self._number,
            phase,
            failed,
            builder.blobs,
            builder.events,
        )
        entry = Entry(
            WRITER,
            self._number,
            len(builder.events),
            encode(frame),
            model_age=self.step + (phase == "train"),
            landmark=builder.landmark,
        )
        self._log.append([entry])

    def introduce(self, origin: str, ids: list[str]) -> None:
        """Metadata, instances and their masks."""
        boxes = [_box(one) for one in ids]
        columns = {
            "path": [str(DATA / "img2d.tif")] * len(ids),
            "density": [("sparse", "crowded")[number % 2] for number in range(len(ids))],
            "crop_left": [left for left, _ in boxes],
            "crop_top": [top for _, top in boxes],
            "crop_width": [TILE] * len(ids),
            "crop_height": [TILE] * len(ids),
        }
        masks = [self.masks(one) for one in ids]
        flat = [mask for of_sample in masks for mask in of_sample]
        self.frame(
            ("metadata", origin, ids, columns),
            ("instances_found", origin, ids, np.array([len(m) for m in masks], np.uint8)),
            self._arrays_event("target", origin, ids, flat, [len(m) for m in masks]),
            phase="outside",
        )

    def masks(self, sample_id: str) -> list[npt.NDArray[np.int64]]:
        """One mask per instance, as the data set gives them."""
        return list(_masks(sample_id))

    def _arrays_event(
        self,
        field: str,
        origin: str,
        ids: list[str],
        arrays: list[npt.NDArray[Any]],
        counts: list[int] | None,
    ) -> tuple[Any, ...]:
        packed = pack_arrays(arrays)
        self._arrays.put_raw(packed)
        references = np.frombuffer(b"".join(reference for reference, _ in packed), "V16")
        batch_idx = annotation_ids = None
        if counts is not None:
            batch_idx = np.repeat(np.arange(len(ids)), counts).astype(np.uint8)
            annotation_ids = np.concatenate([np.arange(1, n + 1) for n in counts]).astype(np.uint8)
        specs = [(arrays[0].dtype.str, arrays[0].shape)]
        which = np.zeros(len(arrays), np.uint8)
        return ("arrays", field, origin, ids, batch_idx, annotation_ids, references, which, specs)

    def train(self, steps: int = 1, *, predictions: bool = True) -> None:
        """Steps over all train samples: falling losses, instance losses, predictions."""
        for _ in range(steps):
            predicted = [self._predicted()] if predictions else []
            self.frame(*self._measured(), *predicted)
            self.step += 1

    def _predicted(self) -> tuple[Any, ...]:
        predictions = [_prediction(one) for one in self.train_ids]
        return self._arrays_event("prediction", "train_loader", self.train_ids, predictions, None)

    def _measured(self) -> list[tuple[Any, ...]]:
        ids, fading = self.train_ids, np.exp(-self.step / 60)
        order = np.arange(len(ids)) + 1.0
        counts = self._counts
        instance = self._random.random(sum(counts)) * fading
        batch_idx = np.repeat(np.arange(len(ids)), counts).astype(np.uint8)
        numbers = np.concatenate([np.arange(1, n + 1) for n in counts]).astype(np.uint8)
        return [
            ("exposed", "train_loader", ids),
            ("values", SAMPLE_SIGNALS[0], "train_loader", True, ids, order / 12 * fading),
            ("values", SAMPLE_SIGNALS[1], "train_loader", True, ids, 1 - order / 24 * fading),
            (
                "instance_values",
                "train_bce/instance",
                "train_loader",
                True,
                ids,
                batch_idx,
                numbers,
                instance,
            ),
        ]

    def finish(self, reason: str = "finished", error: str = "") -> None:
        """The training ends in order."""
        self.frame(("run_finished", reason, error), phase="outside")
        self.die()

    def die(self) -> None:
        """The process is gone: nobody holds the lock any more."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def close(self) -> None:
        self.die()
        self._log.close()
        self._arrays.close()


# The same of every run: tests write dozens.


@functools.cache
def _labels() -> npt.NDArray[np.int32]:
    return np.asarray(Image.open(DATA / "mask2d.tif")).astype(np.int32)


@functools.cache
def _masks(sample_id: str) -> tuple[npt.NDArray[np.int64], ...]:
    left, top = _box(sample_id)
    tile = _labels()[top : top + TILE, left : left + TILE]
    return tuple((tile == label).astype(np.int64) for label in np.unique(tile) if label)


@functools.cache
def _prediction(sample_id: str) -> npt.NDArray[np.int64]:
    return np.roll(np.sum(_masks(sample_id), 0), 4, 1)


def _field(builder: FrameBuilder, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return builder.vector(value)
    is_ids = isinstance(value, list) and all(isinstance(one, str | int) for one in value)
    return builder.ids(value) if is_ids else value


def _box(sample_id: str) -> tuple[int, int]:
    number = int(sample_id[-2:])
    return number % 4 * TILE, number // 4 * TILE
