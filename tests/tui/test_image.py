"""Images in cells: shapes, overlays, and what an array of a model means."""

from __future__ import annotations

import numpy as np
import pytest
from rich.style import Style

from tui.scene import to_labels
from tui.widgets.image import as_rgb
from tui.widgets.pixels import (
    Overlay,
    blend,
    character_strips,
    half_block_strips,
    outline,
    quadrant_strips,
    shrink_labels,
)

GREY = np.full((64, 64, 3), 100, np.uint8)


def square(low: int, high: int, label: int = 1) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
    labels = np.zeros((64, 64), np.int32)
    labels[low:high, low:high] = label
    return labels


def test_half_blocks_put_two_pixels_in_a_cell() -> None:
    rgb = np.zeros((4, 3, 3), np.uint8)
    rgb[0] = 255
    strips = half_block_strips(rgb)
    assert [strip.text for strip in strips] == ["▀▀▀", "▀▀▀"]
    style = next(iter(strips[0])).style
    assert style is not None
    assert style.color is not None
    assert style.color.get_truecolor() == (255, 255, 255)


def test_quadrants_find_the_diagonal() -> None:
    rgb = np.zeros((2, 2, 3), np.uint8)
    rgb[0, 0] = rgb[1, 1] = 255
    assert quadrant_strips(rgb)[0].text == "▚"
    assert quadrant_strips(np.zeros((2, 4, 3), np.uint8))[0].text == "  "


def test_a_filled_overlay_tints_and_an_outline_leaves_the_inside() -> None:
    filled = blend(GREY, [Overlay("p", square(16, 48), "#FF0000", "P", 0.5)], 64, 64, fill=True)
    lined = blend(GREY, [Overlay("g", square(16, 48), "#FF0000", "G")], 64, 64, fill=True)
    assert filled[32, 32].tolist() == [177, 50, 50]
    assert lined[32, 32].tolist() == [100, 100, 100]
    assert lined[16, 30].tolist() == [255, 0, 0]
    assert filled[0, 0].tolist() == lined[0, 0].tolist() == [100, 100, 100]


def test_outline_mode_outlines_what_is_filled_otherwise() -> None:
    overlay = Overlay("p", square(16, 48), "#FF0000", "P", 0.5)
    assert blend(GREY, [overlay], 64, 64, fill=False)[32, 32].tolist() == [100, 100, 100]


def test_touching_instances_have_a_line_between_them() -> None:
    labels = square(10, 30)
    labels[10:30, 30:50] = 2
    edge = outline(labels)
    assert edge[20, 29]
    assert edge[20, 30]
    assert not edge[20, 20]


def test_shrinking_keeps_labels_and_drops_what_covers_less_than_half() -> None:
    labels = square(0, 32, label=7)
    labels[63, 63] = 9
    small = shrink_labels(labels, 8, 8)
    assert small[0, 0] == 7
    assert small[7, 7] == 0
    assert set(np.unique(small)) == {0, 7}


def test_without_colour_outlines_are_letters_and_b_is_both() -> None:
    overlays = [
        Overlay("g", square(8, 40), "#FF0000", "G"),
        Overlay("p", square(24, 56), "#00FF00", "P"),
    ]
    text = "\n".join(strip.text for strip in character_strips(GREY, overlays, 64, 64, Style()))
    assert {"G", "P", "B"} <= set(text)


@pytest.mark.parametrize("shape", [(8, 6), (8, 6, 3), (8, 6, 4)])
def test_grey_colour_and_transparent_images_are_taken(shape: tuple[int, ...]) -> None:
    assert as_rgb(np.zeros(shape, np.uint8)).shape == (8, 6, 3)


@pytest.mark.parametrize(
    ("array", "regions"),
    [
        (square(4, 8, 3).astype(np.int64), {0, 3}),
        (square(4, 8) > 0, {0, 1}),
        (square(4, 8) * 0.9, {0, 1}),
        ((square(4, 8) * 0.9)[None], {0, 1}),
        (np.stack([square(4, 8) == 0, square(4, 8) == 1]).astype(np.float32), {0, 1}),
        (np.stack([square(4, 8) > 0, square(20, 30) > 0]), {0, 1, 2}),
    ],
    ids=["class ids", "bool", "probability", "one channel", "class scores", "stack of masks"],
)
def test_predictions_of_many_forms_become_regions(
    array: np.ndarray[tuple[int, ...], np.dtype[np.float64]], regions: set[int]
) -> None:
    labels = to_labels(array)
    assert labels is not None
    assert labels.shape == (64, 64)
    assert set(np.unique(labels)) == regions


def test_a_vector_is_no_mask() -> None:
    assert to_labels(np.zeros(10)) is None
