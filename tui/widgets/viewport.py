"""Which part of an image is in sight, and how many cells it takes.

Numbers only: zooming and panning give another `Viewport`, and `Viewport.window` says what that
means for an image and a widget of some size. Pixels are `tui.widgets.pixels`' business.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

STEP = 2**0.5  # of the zoom: two steps are twice as large
CELLS_PER_PIXEL = 8  # more than that shows nothing new
PAN = 0.25  # of what is in sight, for one key


@dataclass(frozen=True, slots=True)
class Window:
    """A part of an image, in pixels, and the cells that it takes on the screen."""

    left: int
    top: int
    width: int
    height: int
    columns: int
    rows: int

    def cut(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """That part of ``[H, W, …]``; nothing is copied."""
        return array[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True, slots=True)
class Viewport:
    """Zoom, 1 showing all of the image as large as it fits, around a centre.

    ``x`` and ``y`` are fractions of the image's width and height.
    """

    zoom: float = 1.0
    x: float = 0.5
    y: float = 0.5

    def window(self, image_width: int, image_height: int, columns: int, rows: int) -> Window:
        """What is in sight in ``columns`` x ``rows`` cells; a cell is twice as tall as wide."""
        scale = _fit(image_width, image_height, columns, rows) * self.zoom
        width = min(image_width, max(1, round(columns / scale)))
        height = min(image_height, max(1, round(2 * rows / scale)))
        return Window(
            _start(self.x, width, image_width),
            _start(self.y, height, image_height),
            width,
            height,
            min(columns, max(1, round(width * scale))),
            min(rows, max(1, round(height * scale / 2))),
        )

    def zoomed(
        self, factor: float, image_width: int, image_height: int, columns: int, rows: int
    ) -> Viewport:
        """Closer (``factor`` above 1) or farther, around the same centre; never smaller than 1."""
        most = max(1.0, CELLS_PER_PIXEL / _fit(image_width, image_height, columns, rows))
        zoom = min(max(1.0, self.zoom * factor), most)
        if abs(zoom - 1) < 1e-9:
            return Viewport()
        return replace(self, zoom=zoom)

    def panned(self, right: int, down: int, window: Window, width: int, height: int) -> Viewport:
        """Moved by so many steps, from where ``window`` is in an image of that size.

        From the window and not from the centre asked for, which may lie nearer to the edge than
        the window can.
        """
        x = (window.left + window.width / 2) / width + right * PAN * window.width / width
        y = (window.top + window.height / 2) / height + down * PAN * window.height / height
        return replace(self, x=min(max(x, 0.0), 1.0), y=min(max(y, 0.0), 1.0))


def _fit(image_width: int, image_height: int, columns: int, rows: int) -> float:
    """Cells of width per pixel when all of the image is in sight."""
    return min(columns / image_width, 2 * rows / image_height)


def _start(centre: float, size: int, whole: int) -> int:
    return min(max(0, round(centre * whole - size / 2)), whole - size)
