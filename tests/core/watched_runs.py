"""What tests of the training side share: small data sets, criterions and a fresh run to record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import wl_core as wl
from wl_core.codec import Frame
from wl_core.events import CATALOGUE
from wl_core.signals import registry


class Pairs(Dataset[Any]):
    """``(x [3], y)`` for each of ``count`` samples; x is the index, y its parity."""

    def __init__(self, count: int = 6) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return torch.full((3,), float(index)), index % 2


class Named(Pairs):
    """``(x, id, y)`` with ids ``"s0"``, ``"s1"``, …"""

    def __getitem__(self, index: int) -> Any:
        x, y = super().__getitem__(index)
        return x, f"s{index}", y


class Described(Pairs):
    """``(x, id, y, metadata)``."""

    def __getitem__(self, index: int) -> Any:
        x, y = super().__getitem__(index)
        return x, f"s{index}", y, {"place": "left" if index % 2 else "right", "size": index}


class Masks(Dataset[Any]):
    """``(image [1, 4, 4], id, instances, metadata)``: sample ``i`` has ``counts[i]`` masks.

    The k-th mask, counted from 1, has the pixel value k in its k-th row; ``empty`` masks of zeros
    follow, which `collate_masks` drops.
    """

    def __init__(self, counts: tuple[int, ...] = (2, 0, 1), empty: int = 0) -> None:
        self.counts = counts
        self.empty = empty

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, index: int) -> Any:
        return self.get_items(index)

    def get_items(self, index: int, include_image: bool = True) -> Any:
        image = torch.full((1, 4, 4), float(index)) if include_image else None
        masks = [mask(k) for k in range(1, self.counts[index] + 1)]
        masks += [torch.zeros(4, 4, dtype=torch.int64)] * self.empty
        return image, f"m{index}", masks, {"index": index}


def mask(number: int) -> Tensor:
    """An int64 mask ``[4, 4]`` with the pixel value ``number`` in row ``number - 1``."""
    made = torch.zeros(4, 4, dtype=torch.int64)
    made[(number - 1) % 4] = number
    return made


def collate_masks(items: list[Any]) -> Any:
    images, ids, labels, metas = zip(*items, strict=True)
    kept = [[one for one in instances if one.any()] for instances in labels]
    return torch.stack(images), list(ids), kept, list(metas)


class Squares(nn.Module):
    """A criterion with a parameter: the squared distance of each sample, ``[B]``."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return (self.scale * (outputs.reshape(len(outputs), -1).mean(1) - labels)) ** 2


class PerInstance(nn.Module):
    """One value per instance: its sample's output plus the mask's greatest pixel value."""

    def forward(self, outputs: Tensor, labels: list[list[Tensor]]) -> Tensor:
        flat = [
            outputs[sample].mean() + float(one.max())
            for sample, masks in enumerate(labels)
            for one in masks
        ]
        return torch.stack(flat) if flat else outputs.new_zeros(0)


class Finished:
    """Ends the run and opens it for reading; every reader is closed when the test ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: list[wl.Run] = []

    def __call__(self) -> wl.Run:
        """Finishes and reads back."""
        wl.finish()
        return self.live()

    def live(self) -> wl.Run:
        """Reads while recording goes on."""
        from wl_core.session import current_session

        running = current_session()
        if running is not None:
            running.flush()
        run = wl.open_run(self.path)
        self._open.append(run)
        return run

    def close(self) -> None:
        wl.finish()
        for run in self._open:
            run.close()


def recorded(path: Path) -> Iterator[Finished]:
    """For a fixture: a run at ``path``, no signal registered before, none left behind."""
    before = registry.replace({})
    wl.start_run(path)
    finished = Finished(path)
    try:
        yield finished
    finally:
        finished.close()
        registry.replace(before)


def rows(run: wl.Run) -> dict[tuple[str, Any], dict[str, Any]]:
    """``{(origin, sample_id): row}``; the ids are as they were given."""
    table = run.samples()
    index = run.view("samples").index
    order = index.order().tolist()
    return {
        (index.origin(row), index.sample_id(row)): table.row(number)
        for number, row in enumerate(order)
    }


def sample(run: wl.Run, sample_id: Any, origin: str | None = None) -> dict[str, Any]:
    found = [
        row for key, row in rows(run).items() if key[1] == sample_id and origin in (None, key[0])
    ]
    assert len(found) == 1, (sample_id, list(rows(run)))
    return found[0]


def instances(run: wl.Run, sample_id: Any, signal: str, origin: str | None = None) -> list[Any]:
    """The signal's value of each instance row, in the order of annotation_id."""
    table = run.instances(sample_id, origin)
    column = table.column(signal)
    return [column.cell(row) for row in range(len(table))]


def annotation_ids(run: wl.Run, sample_id: Any, origin: str | None = None) -> list[int]:
    return run.instances(sample_id, origin).column("annotation_id").values.tolist()


def frames(run: wl.Run) -> list[Frame]:
    return [one for one in run.log.frames() if isinstance(one, Frame)]


def events(run: wl.Run, kind: str) -> list[dict[str, Any]]:
    """The events of a kind with ``step``, ``phase``, ``failed``."""
    return [
        _fields(frame, event) for frame in frames(run) for event in frame.events if event[0] == kind
    ]


def _fields(frame: Frame, event: tuple[Any, ...]) -> dict[str, Any]:
    made: dict[str, Any] = {"step": frame.step, "phase": frame.phase, "failed": frame.failed}
    described = CATALOGUE.get(event[0])
    assert described is not None
    for field, value in zip(described.fields, event[2:], strict=True):
        if value is not None and field.type in ("ids", "vector"):
            made[field.name] = getattr(frame, field.type)(value)
        elif field.type == "json":
            made[field.name] = json.loads(json.dumps(value))  # lists where the codec has tuples
        else:
            made[field.name] = value
    return made


def history(run: wl.Run, signal: str, origin: str, sample_id: Any, number: int = 0) -> Any:
    steps, values = run.signal_history(signal, origin, sample_id, number)
    return steps.tolist(), values.tolist()


def loss(name: str = "loss", obj: Any = None, **options: Any) -> Any:
    """A watched per-sample criterion that returns its first argument, or ``obj``."""
    options = {"per_sample": True, "flag": "loss"} | options
    return wl.watch_or_edit(identity if obj is None else obj, name=name, **options)


def identity(values: Any, *_: Any) -> Any:
    return values


def same(one: Any, other: Any) -> bool:
    """Equal dtype, shape and every bit of the values."""
    one, other = np.asarray(one), np.asarray(other)
    return one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())
