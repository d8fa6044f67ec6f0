"""Where a prediction and the ground truth part: kinds of pixels, how many there are, how drawn.

Label 0 is background on both sides. Where both are class labels, pixels of two different classes
are a kind of their own; where the ground truth is instances, any instance is foreground.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tui.widgets.palette import GREEN, PURPLE, SKY_BLUE, VERMILION
from tui.widgets.pixels import Labels, Overlay, Pattern

Codes = npt.NDArray[np.uint8]
HIT, FALSE_ALARM, MISS, OTHER_CLASS = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One kind of pixel: its name, colour, letter and pattern."""

    name: str
    colour: str
    letter: str
    pattern: Pattern


KINDS: dict[int, ErrorKind] = {
    HIT: ErrorKind("true positive", GREEN, "T", "dots"),
    FALSE_ALARM: ErrorKind("false positive", VERMILION, "F", "solid"),
    MISS: ErrorKind("false negative", SKY_BLUE, "N", "stripes"),
    OTHER_CLASS: ErrorKind("other class", PURPLE, "C", "checks"),
}


def error_codes(truth: Labels, prediction: Labels, *, classes: bool) -> Codes:
    """The kind of each pixel ``[H, W]``, 0 where both say background.

    Args:
        classes: both are class labels, so that two that differ are an `OTHER_CLASS`.
    """
    there, said = truth > 0, prediction > 0
    codes: Codes = said.view(np.uint8) * np.uint8(FALSE_ALARM)
    codes[there] = MISS
    codes[there & said] = HIT
    if classes:
        codes[there & said & (truth != prediction)] = OTHER_CLASS
    return codes


def error_shares(truth: Labels, prediction: Labels, *, classes: bool) -> dict[int, float]:
    """The share of all pixels that each kind has, 0 to 1; kinds as in `KINDS`."""
    # Counted without making the codes: of an image of many megapixels that takes ten times as long.
    there, said = truth > 0, prediction > 0
    both = there & said
    hits = np.count_nonzero(both)
    counts = {
        HIT: hits,
        FALSE_ALARM: np.count_nonzero(said) - hits,
        MISS: np.count_nonzero(there) - hits,
    }
    if classes:
        counts[OTHER_CLASS] = np.count_nonzero(both & (truth != prediction))
        counts[HIT] -= counts[OTHER_CLASS]
    return {kind: float(count) / max(1, truth.size) for kind, count in counts.items()}


def error_overlays(codes: Codes, kinds: dict[int, float], opacity: float) -> list[Overlay]:
    """One overlay for each of ``kinds``."""
    return [
        Overlay(
            KINDS[kind].name,
            (codes == kind).astype(np.int32),
            KINDS[kind].colour,
            KINDS[kind].letter,
            opacity,
            KINDS[kind].pattern,
        )
        for kind in kinds
    ]
