"""The demo's data: one real image with its nuclei, cut into sixteen tiles.

The image is 512 x 512 pixels with 125 annotated nuclei (data/README.md tells where it is from).
`dataset` turns the tiles into tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

DATA = Path(__file__).parent / "data"
IMAGE_FILE = "img2d.tif"
MASK_FILE = "mask2d.tif"

GRID = 4
TILE = 128  # pixels a side

# Upper bounds of the area in pixels of a small and of a medium nucleus. They split the nuclei of
# the training tiles into three classes of like numbers: cut and dying nuclei, ordinary, large.
SMALL_BELOW = 250
MEDIUM_BELOW = 450
CLASS_NAMES = ("background", "small", "medium", "large")

# What a tile border leaves of a nucleus can be as little as two pixels, of which no model and no
# person could say what they are; below 16 (4 x 4) they count as background. Every whole nucleus
# has at least 25 pixels, so nothing else is dropped.
SMALLEST_FRAGMENT = 16

# One tile of each row and each column: nuclei lie denser to the left, and the test tiles shall
# span that.
TEST_PLACES = frozenset({(0, 1), (1, 3), (2, 0), (3, 2)})

# White of the whole image, a percentile: a few dying nuclei are far brighter than all others.
WHITE_PERCENTILE = 99.8

Place = tuple[int, int]
Pixel = TypeVar("Pixel", bound=np.generic)
Split = Literal["train", "test"]
Metadata = dict[str, str | int | float]


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One tile: intensities float32 `[128, 128]` in 0 … 1, and its instance masks.

    Attributes:
        uid: `nuclei_r<row>_c<column>`, the sample's id.
        image: float32 `[128, 128]`; 1 is the whole image's white.
        instances: uint8 `[128, 128]` each, pixel value = class id (1 small, 2 medium, 3 large).
        metadata: its `place` in the grid; the slices `density`, `brightness` and `contrast`, and
            the numbers that they are made from: `nuclei`, `mean_intensity` (0 … 1) and
            `rms_contrast` (standard deviation over mean); the image's `path` and what of it the
            tile shows (`crop_top`, … in pixels), by which wl reads it again for those who look.
    """

    uid: str
    image: npt.NDArray[np.float32]
    instances: tuple[npt.NDArray[np.uint8], ...]
    metadata: Metadata


def tile_uid(row: int, column: int) -> str:
    return f"nuclei_r{row}_c{column}"


def places(split: Split) -> list[Place]:
    """Row and column of the split's tiles: 12 to train on, 4 to test on."""
    grid = [(row, column) for row in range(GRID) for column in range(GRID)]
    return [place for place in grid if (place in TEST_PLACES) == (split == "test")]


def tiles(split: Split) -> list[Tile]:
    """The tiles of one split, in the order of the grid."""
    return [all_tiles()[tile_uid(*place)] for place in places(split)]


@cache
def all_tiles() -> dict[str, Tile]:
    """The sixteen tiles by uid, read from the two files once per process."""
    image, labels = read_image(), np.asarray(Image.open(DATA / MASK_FILE))
    cut = {
        (row, column): (_cut(image, row, column), _cut(labels, row, column))
        for row in range(GRID)
        for column in range(GRID)
    }
    instances = {place: _instances(labels) for place, (_, labels) in cut.items()}
    images = {place: image for place, (image, _) in cut.items()}
    metadata = _metadata(images, {place: len(masks) for place, masks in instances.items()})
    return {
        tile_uid(*place): Tile(tile_uid(*place), images[place], instances[place], metadata[place])
        for place in cut
    }


def read_image() -> npt.NDArray[np.float32]:
    """The whole image, float32 `[512, 512]`, clipped to 0 … 1 at its white."""
    raw = np.asarray(Image.open(DATA / IMAGE_FILE)).astype(np.float32)
    image: npt.NDArray[np.float32] = np.clip(
        raw / np.float32(np.percentile(raw, WHITE_PERCENTILE)), 0, 1
    )
    return image


def class_of(area: int) -> int:
    """The class id of a nucleus that shows `area` pixels."""
    return 1 if area < SMALL_BELOW else 2 if area < MEDIUM_BELOW else 3


def _cut(whole: npt.NDArray[Pixel], row: int, column: int) -> npt.NDArray[Pixel]:
    return whole[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]


def _instances(labels: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint8], ...]:
    """One mask for each nucleus in a tile, classed by the area that the tile shows of it.

    Not by its whole area: what lies beyond the border is nothing a model could know.
    """
    ids, areas = np.unique(labels, return_counts=True)
    return tuple(
        (labels == nucleus).astype(np.uint8) * np.uint8(class_of(int(area)))
        for nucleus, area in zip(ids, areas, strict=True)
        if nucleus != 0 and area >= SMALLEST_FRAGMENT
    )


def _metadata(
    images: Mapping[Place, npt.NDArray[np.float32]], nuclei: Mapping[Place, int]
) -> dict[Place, Metadata]:
    """What the data set tells of each tile. The slices are thirds of the sixteen tiles."""
    mean = {place: float(image.mean()) for place, image in images.items()}
    contrast = {place: float(image.std()) / mean[place] for place, image in images.items()}
    density = _thirds(nuclei, ("sparse", "medium", "dense"))
    brightness = _thirds(mean, ("dark", "medium", "bright"))
    contrasts = _thirds(contrast, ("low", "medium", "high"))
    return {
        place: {
            "place": f"row {place[0]} column {place[1]}",
            "density": density[place],
            "brightness": brightness[place],
            "contrast": contrasts[place],
            "nuclei": nuclei[place],
            "mean_intensity": round(mean[place], 4),
            "rms_contrast": round(contrast[place], 4),
            "path": str(DATA / IMAGE_FILE),
            "crop_top": place[0] * TILE,
            "crop_left": place[1] * TILE,
            "crop_height": TILE,
            "crop_width": TILE,
        }
        for place in images
    }


def _thirds(numbers: Mapping[Place, float], names: tuple[str, str, str]) -> dict[Place, str]:
    """Which third of all the numbers each one falls into, by name; equal ones fall together."""
    low, high = np.quantile(list(numbers.values()), [1 / 3, 2 / 3])
    return {
        place: names[0] if number < low else names[1] if number < high else names[2]
        for place, number in numbers.items()
    }
