"""Images in cells: shapes, overlays, and what an array of a model means."""

from __future__ import annotations

import numpy as np
import pytest
from rich.style import Style
from textual.app import App, ComposeResult

from tests.tui.screens import screen_text, wait_for_text, wait_until
from tui.scene import to_labels
from tui.widgets.error_map import (
    FALSE_ALARM,
    HIT,
    MISS,
    OTHER_CLASS,
    error_codes,
    error_overlays,
    error_shares,
)
from tui.widgets.image import GROUND_TRUTH, PREDICTION, OverlayImage, as_rgb
from tui.widgets.instance_layer import Instances
from tui.widgets.pixels import (
    Overlay,
    blend,
    character_strips,
    half_block_strips,
    outline,
    quadrant_strips,
    shrink_labels,
    thinned,
)
from tui.widgets.viewport import STEP, Viewport, Window

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


def test_zooming_cuts_around_the_centre_and_panning_stops_at_the_edge() -> None:
    whole = Viewport().window(400, 200, 80, 20)
    assert whole == Window(0, 0, 400, 200, 80, 20)
    closer = Viewport().zoomed(2, 400, 200, 80, 20)
    window = closer.window(400, 200, 80, 20)
    assert window == Window(100, 50, 200, 100, 80, 20)
    for _ in range(9):
        window = closer.window(400, 200, 80, 20)
        closer = closer.panned(1, 0, window, 400, 200)
    assert window == Window(200, 50, 200, 100, 80, 20)
    back = closer.panned(-1, 0, window, 400, 200).window(400, 200, 80, 20)
    assert back.left == 150  # at once: no keys are lost beyond the edge
    assert closer.zoomed(0.01, 400, 200, 80, 20) == Viewport()


@pytest.mark.parametrize("size", [(1, 1), (7, 4000), (4000, 7)])
def test_any_image_fits_at_any_zoom(size: tuple[int, int]) -> None:
    view = Viewport(x=0.0, y=1.0)
    for _ in range(30):
        window = view.window(*size, 60, 20)
        assert 1 <= window.columns <= 60
        assert 1 <= window.rows <= 20
        assert window.left + window.width <= size[0]
        assert window.top + window.height <= size[1]
        view = view.zoomed(STEP, *size, 60, 20)


def test_the_error_map_counts_each_kind_of_pixel() -> None:
    truth = np.array([[0, 0, 1, 2], [0, 1, 1, 2]], np.int32)
    said = np.array([[0, 1, 1, 1], [0, 0, 1, 2]], np.int32)
    codes = error_codes(truth, said, classes=True)
    assert codes.tolist() == [[0, FALSE_ALARM, HIT, OTHER_CLASS], [0, MISS, HIT, HIT]]
    assert error_shares(truth, said, classes=True) == {
        HIT: 3 / 8,
        FALSE_ALARM: 1 / 8,
        MISS: 1 / 8,
        OTHER_CLASS: 1 / 8,
    }
    # Instances have numbers, which no class agrees with.
    assert error_shares(truth, said, classes=False) == {HIT: 4 / 8, FALSE_ALARM: 1 / 8, MISS: 1 / 8}


def test_errors_differ_in_shape_and_in_letter() -> None:
    truth, said = square(8, 40), square(24, 56)
    codes = error_codes(truth, said, classes=False)
    overlays = error_overlays(codes, error_shares(truth, said, classes=False), 1.0)
    assert len({overlay.pattern for overlay in overlays}) == len(overlays)
    text = "".join(
        strip.text for strip in character_strips(GREY, overlays, 64, 64, Style(), fill=True)
    )
    assert {"t", "f", "n"} <= set(text)
    drawn = blend(GREY, overlays, 64, 64, fill=True)
    filled = (drawn != GREY).any(2)
    assert filled[45:55, 45:55].all()  # false positives are solid
    assert 0.3 < filled[9:20, 9:20].mean() < 0.7  # false negatives striped
    assert filled[27:38, 27:38].mean() < 0.2  # true positives dotted


def test_opacity_is_how_densely_a_filling_is_strewn_with_letters() -> None:
    counts = []
    for opacity in (0.25, 0.5, 1.0):
        overlay = Overlay("p", square(8, 56), "#FF0000", "P", opacity)
        strips = character_strips(GREY, [overlay], 64, 64, Style(), fill=True)
        counts.append("".join(strip.text for strip in strips).count("p"))
    assert 0 < counts[0] < counts[1] < counts[2]


def test_a_huge_image_is_thinned_before_it_is_shrunk() -> None:
    rgb = np.zeros((4096, 4096, 3), np.uint8)
    assert thinned(rgb, 100, 100).shape == (316, 316, 3)
    assert thinned(rgb[:200, :200], 100, 100).shape == (200, 200, 3)


class Gallery(App[None]):
    """The widget on three instances in a row."""

    def compose(self) -> ComposeResult:
        yield OverlayImage()

    def on_mount(self) -> None:
        labels = square(4, 14, 3) + square(24, 34, 5) + square(44, 54, 9)
        truth = Overlay(GROUND_TRUTH, labels, "#0000FF", "G")
        said = Overlay(PREDICTION, square(4, 34), "#FF0000", "P", 0.5)
        instances = Instances(labels, (3, 5, 9), lambda number: f"class {number}")
        self.query_one(OverlayImage).set_image(GREY, [said, truth], instances=instances)


async def test_keys_of_the_picture() -> None:
    app = Gallery()
    async with app.run_test(size=(60, 24)) as pilot:
        image = app.query_one(OverlayImage)
        image.focus()
        image.wanted_mode = "characters"  # whatever colours the terminal of the tests has
        await pilot.press("n", "n")
        await wait_for_text(pilot, "I instance 2 of 3, class 5")
        assert set(image.overlays[-1].labels[24:34, 24:34].ravel()) == {1}
        assert "IIII" in screen_text(app)  # not hidden under the outline of the ground truth
        await pilot.press("N", "N")
        await wait_for_text(pilot, "I instance 3 of 3, class 9")

        await pilot.press("s")
        await wait_for_text(pilot, "this instance alone")
        assert GROUND_TRUTH not in [overlay.name for overlay in image.shown_overlays]
        await pilot.press("s", *["plus"] * 4)
        await wait_for_text(pilot, "64×64 px, zoom 4×")
        await pilot.press("n")  # wraps around, and the first is brought into sight
        assert image.window is not None
        assert image.window.cut(image.overlays[-1].labels).sum() == 100
        top = image.window.top
        await pilot.press("j", "down")
        assert image.window.top > top
        await pilot.press("0")
        await wait_for_text(pilot, "64×64 px")
        assert image.view == Viewport()

        await pilot.press("a")
        await wait_for_text(pilot, "■ P prediction 75%")
        await pilot.press("o")
        await wait_for_text(pilot, "▣ P prediction")
        await pilot.press("m", "o")
        await wait_for_text(pilot, "□ P prediction")
        await pilot.press("w")
        await wait_for_text(pilot, "T true positive 4.9%", "N false negative 2.4%")
        await pilot.resize_terminal(30, 12)
        await wait_for_text(pilot, "T true positive 4.9%")
        await pilot.press("w", "b")
        await wait_until(pilot, lambda: "G" not in screen_text(app).splitlines()[3])
