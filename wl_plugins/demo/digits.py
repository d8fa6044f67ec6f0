"""The data of the mislabel demo: 1,797 real handwritten digits, and wrong labels for some of them.

data/README.md tells where the digits are from. `mislabels` turns them into tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from wl_plugins.demo.tiles import DATA

SHEET_FILE = "digits.png"
LABELS_FILE = "digits.txt"

SIDE = 8  # pixels of a digit
CLASSES = 10
_A_LINE = 60  # digits in a line of the sheet
_SHADE = 15  # of the sheet, for each of the 16 levels of ink

Labels = npt.NDArray[np.int64]
Confusion = Literal["symmetric", "pair"]


@dataclass(frozen=True, slots=True, eq=False)
class Digits:
    """Ink in 0 … 16, uint8 ``[N, 8, 8]``, and the digits that were written ``[N]``."""

    images: npt.NDArray[np.uint8]
    labels: Labels


@cache
def read_digits() -> Digits:
    """All of them, in the order of their ids; read once per process. Not to be written to."""
    lines = (DATA / LABELS_FILE).read_text().split()
    labels = np.array([int(digit) for line in lines for digit in line], np.int64)
    sheet = np.asarray(Image.open(DATA / SHEET_FILE)) // _SHADE
    rows, columns = sheet.shape[0] // SIDE, sheet.shape[1] // SIDE
    cut = sheet.reshape(rows, SIDE, columns, SIDE).transpose(0, 2, 1, 3)
    images = cut.reshape(-1, SIDE, SIDE)[: len(labels)]
    return Digits(images, labels)


def digit_id(number: int) -> str:
    """``digit_0042``: the id of a sample, by its place in the data."""
    return f"digit_{number:04d}"


def place_of(sample_id: str) -> int:
    """The place in the data of a sample's id."""
    return int(sample_id.removeprefix("digit_"))


def image_metadata(number: int) -> dict[str, str | int]:
    """By which wl finds the image of a digit for those who look: the file, and what of it."""
    line, column = divmod(number, _A_LINE)
    return {
        "path": str(DATA / SHEET_FILE),
        "crop_top": line * SIDE,
        "crop_left": column * SIDE,
        "crop_height": SIDE,
        "crop_width": SIDE,
    }


def flipped(labels: Labels, noise: float, seed: int, confusion: Confusion = "symmetric") -> Labels:
    """The labels, of which a share ``noise`` is wrong: exactly so many, rounded.

    ``symmetric`` draws each wrong label evenly from all others; ``pair`` gives each class one other
    that it is taken for, the next one, as people confuse what looks alike.

    Raises:
        ValueError: a share beyond 0 … 1.
    """
    if not 0 <= noise <= 1:
        raise ValueError(f"noise is a share of the labels, in 0 … 1; got {noise}")
    random = np.random.default_rng(seed)
    chosen = random.choice(len(labels), round(noise * len(labels)), replace=False)
    by = random.integers(1, CLASSES, len(chosen)) if confusion == "symmetric" else 1
    given = labels.copy()
    given[chosen] = (given[chosen] + by) % CLASSES
    return given
