"""What the mislabel demo ends with: the labels that it would have you check, and their images.

All that is shown is read from the run, but for one column and the last lines: the truth, which only
a demo knows. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wl_plugins.demo.digits import place_of, read_digits
from wl_plugins.demo.ranking import precision_at, roc_auc

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from wl_core.run import Run

SHOWN = 12
_SCALE = 2  # a digit of 8 x 8 pixels becomes 16 cells wide and 8 lines high
_ORIGIN = "train_loader"
_AUM = "dynamics/aum"


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """The samples of a run of the demo, each field ``[N]``.

    ``answers`` is what the model answered most often, over the whole training: what it says at the
    end may be a wrong label that it has learned by heart.
    """

    ids: Sequence[str]
    given: npt.NDArray[np.int64]
    answers: npt.NDArray[np.int64]
    aum: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float64]
    last_loss: npt.NDArray[np.float64]

    def most_suspicious(self, count: int) -> list[int]:
        """The places of those with the lowest AUM, the lowest first."""
        order: list[int] = np.argsort(self.aum, kind="stable")[:count].tolist()
        return order

    def true_labels(self) -> npt.NDArray[np.int64]:
        """From the data that the demo ships, not from the run."""
        labels: npt.NDArray[np.int64] = read_digits().labels[[place_of(one) for one in self.ids]]
        return labels


def labelled_samples(run: Run) -> Labelled:
    """The samples that the model has seen, in the order of the table; it must have seen some."""
    table = run.samples()
    table = table.take(np.flatnonzero(table.column(_AUM).present))
    numbers = {
        name: table.column(name).values.astype(np.float64)
        for name in ("label", _AUM, "dynamics/confidence", "loss")
    }
    column = table.column("sample_id")
    ids = [str(column.cell(row)) for row in range(len(table))]
    return Labelled(
        ids, numbers["label"].astype(np.int64), _answers(run, ids), numbers[_AUM],
        numbers["dynamics/confidence"], numbers["loss"],
    )  # fmt: skip


def _answers(run: Run, ids: Sequence[str]) -> npt.NDArray[np.int64]:
    """The most frequent value of ``predicted`` for each id ``[N]``, from the whole history."""
    history = run.view("history")
    found = history.trajectories("predicted")
    rows = np.repeat(found.sample_rows, found.counts)
    answers = found.values.astype(np.int64)
    votes = np.zeros((len(history.index), int(answers.max()) + 1), np.int64)
    np.add.at(votes, (rows, answers), 1)
    most: npt.NDArray[np.int64] = votes.argmax(1)
    return most[[history.index.find(_ORIGIN, one) for one in ids]]


def print_suspects(path: Path) -> None:
    """Prints the most suspicious labels of a run, their images, and how many were truly wrong."""
    from rich.console import Console

    from wl_core.run import open_run

    console = Console(highlight=False)
    with open_run(path) as run:
        if _AUM not in run.samples().names:
            console.print("no step was recorded, so no label can be suspected")
            return
        samples = labelled_samples(run)
        suspects = samples.most_suspicious(SHOWN)
        _print_table(console, samples, suspects)
        images = [run.image(_ORIGIN, samples.ids[one]) for one in suspects]
    captions = [f"label {samples.given[n]}, reads {samples.answers[n]}" for n in suspects]
    _print_images(console, captions, images)
    _print_score(console, samples, suspects)


def _print_table(console: Console, samples: Labelled, suspects: list[int]) -> None:
    from rich import box
    from rich.table import Table

    ruled = box.SIMPLE_HEAD if console.is_terminal else None
    title = "labels to check: the lowest area under the margin" if ruled else None
    table = Table(title=title, box=ruled, pad_edge=False, header_style="bold")
    for name in ("sample", "label", "model reads", "aum", "confidence", "truth"):
        table.add_column(name, justify="left" if name == "sample" else "right")
    truth = samples.true_labels()
    for n in suspects:
        table.add_row(
            samples.ids[n], str(samples.given[n]), str(samples.answers[n]),
            f"{samples.aum[n]:.2f}", f"{samples.confidence[n]:.3f}", str(truth[n]),
        )  # fmt: skip
    console.print(table)


def _print_images(
    console: Console, captions: list[str], images: Sequence[npt.NDArray[np.uint8] | None]
) -> None:
    """As many images side by side as fit, each below its caption."""
    from rich.table import Table

    pictures = [
        (caption, drawn_image(image, in_colour=console.color_system is not None))
        for caption, image in zip(captions, images, strict=True)
        if image is not None
    ]
    widest = max((max(len(c), _SCALE * 8) for c, _ in pictures), default=1) + 2
    across = max(1, console.width // widest)
    grid = Table.grid(padding=(0, 2, 0, 0))
    for first in range(0, len(pictures), across):
        row = pictures[first : first + across]
        grid.add_row(*(caption for caption, _ in row))
        grid.add_row(*(picture for _, picture in row))
        grid.add_row()
    console.print(grid)


def drawn_image(image: npt.NDArray[np.uint8], *, in_colour: bool) -> Text:
    """A grey image ``[H, W]`` in the cells of a terminal: half blocks, or characters."""
    from rich.style import Style
    from rich.text import Text

    from tui.widgets.pixels import character_strips, half_block_strips

    rgb = np.repeat(np.kron(image, np.ones((_SCALE, _SCALE), np.uint8))[:, :, None], 3, axis=2)
    height, width, _ = rgb.shape
    if in_colour:
        strips = half_block_strips(rgb)
    else:
        strips = character_strips(rgb, (), width, height // 2, Style.null())
    lines = (Text.assemble(*((s.text, s.style or "") for s in strip)) for strip in strips)
    return Text("\n").join(lines)


def _print_score(console: Console, samples: Labelled, suspects: list[int]) -> None:
    """What only a demo can know: how many were truly wrong."""
    wrong = samples.given != samples.true_labels()
    total = int(wrong.sum())
    console.print(f"{int(wrong[suspects].sum())} of these {len(suspects)} labels are wrong")
    if total:
        found = precision_at(-samples.aum, wrong, total)
        console.print(f"of all {total} wrong ones, {found:.1%} are among the {total} lowest")
        by_aum, by_loss = roc_auc(-samples.aum, wrong), roc_auc(samples.last_loss, wrong)
        console.print(f"ROC-AUC: {by_aum:.4f} by aum, {by_loss:.4f} by the last loss")
