"""The table that the headless demo ends with: the instances that the model segments worst."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wl_plugins.demo.tiles import CLASS_NAMES

if TYPE_CHECKING:
    from wl_core.run import Run

_WORST = 12
_SPLITS = ("train", "test")


class Scored(NamedTuple):
    """One instance with the last values that its split's criterions gave it."""

    origin: str
    sample: str
    annotation_id: int
    class_name: str
    dice: float
    bce: float


def print_worst(path: Path) -> None:
    """Prints the instances of a run with the lowest Dice: ruled on a terminal, else plain."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from wl_core.run import open_run

    with open_run(path) as run:
        worst = sorted(scored_instances(run), key=lambda one: one.dice)[:_WORST]
        ruled = box.SIMPLE_HEAD if sys.stdout.isatty() else None
        title = "the worst instances by Dice" if ruled else None
        table = Table(title=title, box=ruled, pad_edge=False, header_style="bold")
        for name in ("origin", "sample", "annotation_id", "class", "dice", "bce"):
            table.add_column(
                name, justify="left" if name in {"origin", "sample", "class"} else "right"
            )
        for one in worst:
            numbers = (f"{one.dice:.3f}", f"{one.bce:.3f}")
            table.add_row(*(str(value) for value in one[:4]), *numbers)
        Console(highlight=False).print(table)


def scored_instances(run: Run) -> Iterator[Scored]:
    """Every instance of a run of the demo that has been scored.

    Its class is read from the mask that was recorded with it.
    """
    import numpy as np

    table = run.instances()
    for number in range(len(table)):
        row = table.row(number)
        origin, sample, annotation_id = (
            str(row["origin"]),
            str(row["sample_id"]),
            row["annotation_id"],
        )
        for split in _SPLITS:
            dice, bce = row.get(f"{split}_dice/instance"), row.get(f"{split}_bce/instance")
            if isinstance(dice, float) and isinstance(bce, float):
                assert isinstance(annotation_id, int)
                mask = run.instance_arrays(origin, sample)[annotation_id]["target"]
                name = CLASS_NAMES[int(np.asarray(mask).max())]
                yield Scored(origin, sample, annotation_id, name, dice, bce)
