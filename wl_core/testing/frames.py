"""A log in a few lines, for tests that say exactly what happened.

    log = FrameWriter()
    log.values("loss", [1, 2], [0.5, 0.25])
    log.step()
    view = fold_frames(SampleView, log.frames)

For random streams see `wl_core.testing.streams`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.codec import Frame, FrameBuilder, SampleId, decode, encode


class FrameWriter:
    """Collects events of steps; ``frames`` are encoded and decoded as those of a real log."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.builder = FrameBuilder()
        self.model_age = 0

    def step(self, steps: int = 1) -> None:
        """Ends the frame of this step; the next one is that many steps later."""
        builder, self.builder = self.builder, FrameBuilder()
        position = self.frames[-1].position + self.frames[-1].count if self.frames else 0
        number = len(self.frames) + 1
        frame = Frame(
            self.model_age, 0.0, b"somebody", number, "train", False, builder.blobs, builder.events
        )
        self.frames.append(decode(position, encode(frame)))
        self.model_age += steps

    def vector(self, values: npt.ArrayLike, dtype: npt.DTypeLike = np.uint8) -> int:
        return self.builder.vector(np.asarray(values, dtype))

    def values(
        self,
        signal: str,
        ids: Sequence[SampleId],
        values: npt.ArrayLike,
        *,
        origin: str = "train_loader",
        dtype: npt.DTypeLike = np.float32,
        log: bool = True,
    ) -> None:
        blobs = self.builder.ids(ids), self.vector(values, dtype)
        self.builder.add("values", signal, origin, log, *blobs)

    def labels(
        self,
        signal: str,
        ids: Sequence[SampleId],
        values: Sequence[Any],
        *,
        origin: str = "train_loader",
    ) -> None:
        self.builder.add("labels", signal, origin, self.builder.ids(ids), list(values))

    def group_values(
        self,
        signal: str,
        groups: Sequence[Sequence[SampleId]],
        values: npt.ArrayLike,
        *,
        origin: str = "train_loader",
        log: bool = True,
    ) -> None:
        ids = [one for group in groups for one in group]
        at = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        blobs = self.builder.ids(range(len(groups))), self.vector(values, np.float32)
        members = self.builder.ids(ids), self.vector(at)
        self.builder.add("group_values", signal, origin, log, *blobs, *members)

    def instance_values(
        self,
        signal: str,
        ids: Sequence[SampleId],
        batch_idx: Sequence[int],
        annotation_ids: Sequence[int],
        values: npt.ArrayLike,
        *,
        origin: str = "train_loader",
    ) -> None:
        blobs = self.builder.ids(ids), self.vector(batch_idx), self.vector(annotation_ids)
        values_blob = self.vector(values, np.float32)
        self.builder.add("instance_values", signal, origin, True, *blobs, values_blob)

    def exposed(self, ids: Sequence[SampleId], origin: str = "train_loader") -> None:
        self.builder.add("exposed", origin, self.builder.ids(ids))

    def found(
        self, ids: Sequence[SampleId], counts: Sequence[int], origin: str = "train_loader"
    ) -> None:
        blobs = self.builder.ids(ids), self.vector(counts)
        self.builder.add("instances_found", origin, *blobs)

    def metadata(
        self,
        ids: Sequence[SampleId],
        columns: Mapping[str, Sequence[Any]],
        origin: str = "train_loader",
    ) -> None:
        self.builder.add("metadata", origin, self.builder.ids(ids), dict(columns))

    def tagged(
        self,
        tag: str,
        ids: Sequence[SampleId],
        annotation_ids: Sequence[int] | None = None,
        *,
        add: bool = True,
        origin: str = "train_loader",
    ) -> None:
        instances = None if annotation_ids is None else self.vector(annotation_ids)
        self.builder.add("tagged", tag, add, origin, self.builder.ids(ids), instances, "me", "")

    def discarded(
        self,
        ids: Sequence[SampleId],
        annotation_ids: Sequence[int] | None = None,
        *,
        discarded: bool = True,
        origin: str = "train_loader",
    ) -> None:
        instances = None if annotation_ids is None else self.vector(annotation_ids)
        self.builder.add("discarded", discarded, origin, self.builder.ids(ids), instances, "me", "")

    def registered(self, name: str, categories: Sequence[str]) -> None:
        self.builder.add("category_registered", name, list(categories), "me", "")

    def categorised(
        self,
        name: str,
        value: str | None,
        ids: Sequence[SampleId],
        annotation_ids: Sequence[int] | None = None,
        *,
        origin: str = "train_loader",
    ) -> None:
        instances = None if annotation_ids is None else self.vector(annotation_ids)
        blobs = self.builder.ids(ids), instances
        self.builder.add("categorised", name, value, origin, *blobs, "me", "")

    def undone(self, *positions: int, undone: bool = True) -> None:
        self.builder.add("undone", list(positions), undone, "me", "")

    def arrays(
        self,
        field: str,
        ids: Sequence[SampleId],
        refs: Sequence[bytes],
        *,
        batch_idx: Sequence[int] | None = None,
        annotation_ids: Sequence[int] | None = None,
        origin: str = "train_loader",
    ) -> None:
        """Arrays of uint8 ``[4, 4]`` with these 16-byte hashes."""
        blobs = (
            self.builder.ids(ids),
            None if batch_idx is None else self.vector(batch_idx),
            None if annotation_ids is None else self.vector(annotation_ids),
            self.builder.vector(np.frombuffer(b"".join(refs), "V16")),
            self.vector([0] * len(refs)),
        )
        self.builder.add("arrays", field, origin, *blobs, [["u1", [4, 4]]])
