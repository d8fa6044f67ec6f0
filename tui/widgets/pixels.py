"""Images and masks as terminal cells: half blocks, quadrants, or characters without colour.

An image is shrunk first and blended with its overlays afterwards: outlines stay one drawn pixel
wide, and it is cheap. What is to be shrunk a lot is thinned before, so that a photograph of many
megapixels takes no longer than a tile. Everything here is a function of arrays; `OverlayImage`
adds state and keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.color import Color
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int32] | npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

Pattern = Literal["solid", "stripes", "dots", "checks"]
MARKS: dict[Pattern, str] = {"solid": "■", "stripes": "▨", "dots": "▒", "checks": "▚"}
RAMP = " .:-=+*#%@"
SEVERAL = "B"
NOBODY = -1
_SAMPLES = 3  # pixels that make one drawn pixel, each way, when an image is much larger
_BITS = 6  # colour bits per channel; fewer make longer runs and a warmer style cache


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """Regions drawn over an image: ``labels`` ``[H, W]``, 0 is background, others are regions.

    A region is filled to ``opacity`` or, where that is 0, outlined; neighbouring regions of
    different labels get an outline between them. ``pattern`` tells fillings apart by shape.
    ``letter`` draws the outline where there is no colour, and in lower case the filling; where
    outlines meet that of an overlay ``above`` all others is seen.
    """

    name: str
    labels: Labels
    colour: str
    letter: str
    opacity: float = 0.0
    pattern: Pattern = "solid"
    above: bool = False


def thinned(array: npt.NDArray[Any], width: int, height: int) -> npt.NDArray[Any]:
    """``[H, W, …]`` with no more pixels than it takes to shrink it to ``width`` x ``height``."""
    down = max(1, array.shape[0] // (height * _SAMPLES))
    across = max(1, array.shape[1] // (width * _SAMPLES))
    return array[::down, ::across]


def shrink_labels(labels: Labels, width: int, height: int) -> Labels:
    """Labels at another size; a drawn pixel counts as covered when half of it is."""
    labels = thinned(labels, width, height)
    covered = Image.fromarray((labels > 0).astype(np.uint8) * 255)
    inside = np.asarray(covered.resize((width, height), Image.Resampling.BOX)) >= 128
    nearest = Image.fromarray(labels.astype(np.int32)).resize(
        (width, height), Image.Resampling.NEAREST
    )
    small = np.asarray(nearest, np.int32)
    return np.where(inside, np.maximum(small, 1), 0).astype(np.int32)


def outline(labels: Labels) -> Mask:
    """Pixels of a region that touch the background or another region."""
    # By the edge's own labels: a region goes on beyond the part of an image that is in sight.
    padded = np.pad(labels, 1, mode="edge")
    same = np.ones(labels.shape, np.bool_)
    for rows, columns in (
        (slice(None, -2), slice(1, -1)),
        (slice(2, None), slice(1, -1)),
        (slice(1, -1), slice(None, -2)),
        (slice(1, -1), slice(2, None)),
    ):
        same &= padded[rows, columns] == labels
    edge: Mask = (labels > 0) & ~same
    return edge


def blend(
    rgb: Pixels, overlays: Sequence[Overlay], width: int, height: int, *, fill: bool
) -> Pixels:
    """The image at ``[height, width, 3]`` with its overlays; later ones lie on top.

    Without ``fill`` every overlay is an outline.
    """
    small = Image.fromarray(thinned(rgb, width, height)).resize(
        (width, height), Image.Resampling.BOX
    )
    out = np.asarray(small).astype(np.float32)
    for overlay in overlays:
        labels = shrink_labels(overlay.labels, width, height)
        colour = _channels(overlay.colour)
        if fill and overlay.opacity:
            inside = (labels > 0) & pattern_mask(overlay.pattern, width, height)
            out[inside] = out[inside] * (1 - overlay.opacity) + colour * overlay.opacity
        else:
            out[outline(labels)] = colour
    return out.clip(0, 255).astype(np.uint8)


def pattern_mask(pattern: Pattern, width: int, height: int) -> Mask:
    """The drawn pixels that a pattern fills ``[height, width]``."""
    y, x = np.ogrid[:height, :width]
    mask: Mask
    match pattern:
        case "solid":
            mask = np.ones((height, width), np.bool_)
        case "stripes":
            mask = (x + y) % 4 < 2
        case "dots":
            mask = (x % 3 == 0) & (y % 3 == 0)
        case "checks":
            mask = (x // 2 + y // 2) % 2 == 0
    return mask


def _channels(colour: str) -> npt.NDArray[np.float32]:
    triplet = Color.parse(colour).get_truecolor()
    return np.array([triplet.red, triplet.green, triplet.blue], np.float32)


@lru_cache(16_384)
def _style(foreground: int, background: int) -> Style:
    def colour(packed: int) -> Color:
        return Color.from_triplet(ColorTriplet(packed >> 16, packed >> 8 & 255, packed & 255))

    return Style(color=colour(foreground), bgcolor=colour(background))


def _pack(rgb: Pixels) -> npt.NDArray[np.uint32]:
    """RGB ``[..., 3]`` to one integer a pixel."""
    coarse = (rgb >> (8 - _BITS)) << (8 - _BITS)
    coarse = (coarse | (coarse >> _BITS)).astype(np.uint32)
    red, green, blue = coarse[..., 0], coarse[..., 1], coarse[..., 2]
    return np.asarray(red << 16 | green << 8 | blue, np.uint32)


def half_block_strips(rgb: Pixels) -> list[Strip]:
    """Two pixels a cell, ``[2h, w, 3]`` to ``h`` lines."""
    packed = _pack(rgb)
    glyphs = ["▀"] * packed.shape[1]
    return [
        _strip(glyphs, upper, lower)
        for upper, lower in zip(packed[0::2].tolist(), packed[1::2].tolist(), strict=True)
    ]


# Eight ways to split four pixels (upper left, upper right, lower left, lower right) into two sets;
# the other eight are these with the colours swapped.
_SPLITS = (
    (0b0000, " "),
    (0b0001, "▘"),
    (0b0010, "▝"),
    (0b0100, "▖"),
    (0b1000, "▗"),
    (0b0011, "▀"),
    (0b0101, "▌"),
    (0b1001, "▚"),
)


def quadrant_strips(rgb: Pixels) -> list[Strip]:
    """Four pixels a cell in its two best colours, ``[2h, 2w, 3]`` to ``h`` lines."""
    height, width, _ = rgb.shape
    cells = rgb.reshape(height // 2, 2, width // 2, 2, 3).transpose(0, 2, 1, 3, 4)
    four = cells.reshape(height // 2, width // 2, 4, 3).astype(np.float32)
    best = np.full(four.shape[:2], np.inf, np.float32)
    choice = np.zeros(four.shape[:2], np.intp)
    front, back = np.zeros((2, *four.shape[:2], 3), np.float32)
    for index, (split, _) in enumerate(_SPLITS):
        chosen = np.array([split >> bit & 1 for bit in range(4)], np.bool_)
        back_mean = four[:, :, ~chosen].mean(2)
        front_mean = four[:, :, chosen].mean(2) if split else back_mean
        drawn = np.where(chosen[:, None], front_mean[:, :, None], back_mean[:, :, None])
        error = ((four - drawn) ** 2).sum((2, 3))
        better = error < best - 1e-3
        best[better], choice[better] = error[better], index
        front[better], back[better] = front_mean[better], back_mean[better]
    glyphs = np.array([glyph for _, glyph in _SPLITS])[choice].tolist()
    fronts, backs = _pack(front.astype(np.uint8)).tolist(), _pack(back.astype(np.uint8)).tolist()
    return [_strip(*row) for row in zip(glyphs, fronts, backs, strict=True)]


def _strip(glyphs: list[str], fronts: list[int], backs: list[int]) -> Strip:
    """One line; neighbours of the same two colours share a segment."""
    segments: list[Segment] = []
    text, current = "", (-1, -1)
    for glyph, front, back in zip(glyphs, fronts, backs, strict=True):
        colours = (back, back) if glyph == " " else (front, back)
        if colours != current and text:
            segments.append(Segment(text, _style(*current)))
            text = ""
        current = colours
        text += glyph
    segments.append(Segment(text, _style(*current)))
    return Strip(segments, len(glyphs))


def character_strips(
    rgb: Pixels,
    overlays: Sequence[Overlay],
    width: int,
    height: int,
    style: Style,
    *,
    fill: bool = False,
) -> list[Strip]:
    """Brightness as characters and outlines as letters, ``B`` where several outlines meet.

    With ``fill`` the inside of a filled overlay is strewn with its small letter, the denser the
    higher its opacity.
    """
    grey = Image.fromarray(thinned(rgb, width, height)).convert("L")
    levels = np.asarray(grey.resize((width, height), Image.Resampling.BOX)).astype(np.intp)
    characters = np.array(list(RAMP))[levels * len(RAMP) // 256]
    owners = np.full((height, width), NOBODY, np.intp)
    drawn = np.zeros((height, width), np.bool_)
    for index, overlay in enumerate(overlays):
        labels = shrink_labels(overlay.labels, width, height)
        if fill and overlay.opacity:
            inside = (labels > 0) & _strewn(overlay.opacity, width, height) & ~drawn
            characters[inside], owners[inside] = overlay.letter.lower(), index
        edge = outline(labels)
        several = drawn[edge] & (not overlay.above)
        characters[edge] = np.where(several, SEVERAL, overlay.letter)
        owners[edge] = index
        drawn |= edge
    styles = [style + Style(color=overlay.colour) for overlay in overlays]
    rows = zip(characters.tolist(), owners.tolist(), strict=True)
    return [_lettered(*row, [*styles, style]) for row in rows]


def _strewn(opacity: float, width: int, height: int) -> Mask:
    every = max(1, round(2 / opacity))
    y, x = np.ogrid[:height, :width]
    mask: Mask = (x + 2 * y) % every == 0
    return mask


def _lettered(characters: list[str], owners: list[int], styles: Sequence[Style]) -> Strip:
    """One line; neighbours of one owner share a segment. Nobody's style is the last."""
    segments: list[Segment] = []
    for owner, run in groupby(range(len(characters)), owners.__getitem__):
        text = "".join(characters[place] for place in run)
        segments.append(Segment(text, styles[owner]))
    return Strip(segments, len(characters))
