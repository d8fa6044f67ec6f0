"""An image with overlays, drawn in the cells of any terminal: no graphics protocol is needed.

Pixels become cells in `tui.widgets.pixels`; which masks there are is the screen's choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.strip import Strip

from tui.widgets.drawing import Drawing
from tui.widgets.legend import wrap_segments
from tui.widgets.pixels import (
    Overlay,
    Pixels,
    blend,
    character_strips,
    half_block_strips,
    quadrant_strips,
)

GROUND_TRUTH, PREDICTION, INSTANCE = "ground truth", "prediction", "instance"
Mode = Literal["quadrant", "half", "characters"]
_NEXT_MODE: dict[Mode, Mode] = {
    "quadrant": "half",
    "half": "characters",
    "characters": "quadrant",
}


def as_rgb(image: npt.NDArray[np.uint8]) -> Pixels:
    """``[H, W]`` or ``[H, W, 3]`` uint8 to ``[H, W, 3]``."""
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    return np.ascontiguousarray(image[:, :, :3])


class OverlayImage(Drawing):
    """The picture, as large as it fits, with a legend line that says what is laid over it.

    Overlays are switched by name; those named ``ground truth``, ``prediction`` and ``instance``
    have keys.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"image--off", "image--message"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("g", f"switch_overlay('{GROUND_TRUTH}')", "Truth"),
        Binding("m", f"switch_overlay('{PREDICTION}')", "Model"),
        Binding("i", f"switch_overlay('{INSTANCE}')", "Instance"),
        Binding("o", "toggle_fill", "Fill"),
        Binding("b", "next_mode", "Blocks", show=False),
    ]

    def __init__(self, *, widget_id: str | None = None) -> None:
        super().__init__(id=widget_id)
        self.rgb: Pixels | None = None
        self.overlays: tuple[Overlay, ...] = ()
        self.hidden: set[str] = set()
        self.fill = True
        self.mode: Mode = "quadrant"
        self.message = ""

    def set_image(
        self,
        image: npt.NDArray[np.uint8] | None,
        overlays: Sequence[Overlay] = (),
        message: str = "",
    ) -> None:
        """Show an image ``[H, W]`` or ``[H, W, 3]``; ``message`` says what is missing, or why.

        Without an image the overlays are drawn on black.
        """
        self.overlays = tuple(overlays)
        if image is not None:
            self.rgb = as_rgb(image)
        elif self.overlays:
            self.rgb = np.zeros((*self.overlays[0].labels.shape, 3), np.uint8)
        else:
            self.rgb = None
        self.message = message
        self._redraw()

    @property
    def shown_overlays(self) -> list[Overlay]:
        return [o for o in self.overlays if o.name not in self.hidden]

    def action_switch_overlay(self, name: str) -> None:
        self.hidden ^= {name}
        self._redraw()

    def action_toggle_fill(self) -> None:
        self.fill = not self.fill
        self._redraw()

    def action_next_mode(self) -> None:
        self.mode = _NEXT_MODE[self.mode]
        self._redraw()

    # Drawing

    def _draw(self, width: int, height: int) -> list[Strip]:
        foot = self._legend(width)
        if self.message:
            foot.append(Strip([Segment(f" {self.message}", self._style("image--message"))]))
        picture = self._picture(width, height - len(foot))
        return [strip.crop_extend(0, width, self.rich_style) for strip in picture + foot]

    def _style(self, component: str) -> Style:
        return self.get_component_rich_style(component)

    def _picture(self, width: int, height: int) -> list[Strip]:
        if self.rgb is None or width < 2 or height < 1:
            return []
        image_height, image_width, _ = self.rgb.shape
        # A cell is about twice as tall as it is wide.
        columns = min(width, max(1, round(height * 2 * image_width / image_height)))
        rows = min(height, max(1, round(columns * image_height / image_width / 2)))
        margin = [Segment(" " * ((width - columns) // 2), self.rich_style)]
        strips = self._strips(self.rgb, columns, rows)
        return [Strip([*margin, *strip]) for strip in strips]

    def _strips(self, rgb: Pixels, columns: int, rows: int) -> list[Strip]:
        overlays = self.shown_overlays
        if self.mode == "characters" or self.app.no_color:
            return character_strips(rgb, overlays, columns, rows, self.rich_style)
        if self.mode == "half":
            return half_block_strips(blend(rgb, overlays, columns, rows * 2, fill=self.fill))
        return quadrant_strips(blend(rgb, overlays, columns * 2, rows * 2, fill=self.fill))

    def _legend(self, width: int) -> list[Strip]:
        """What is laid over the image, in as many lines as it takes."""
        entries = []
        for overlay in self.overlays:
            off = overlay.name in self.hidden
            colour = self.rich_style + Style(color=overlay.colour)
            style = self._style("image--off") if off else colour
            shape = "□" if off else "■"
            entries.append(Segment(f" {shape} {overlay.letter} {overlay.name} ", style))
        return [Strip(line) for line in wrap_segments(entries, width)]
