"""An image with overlays, drawn in the cells of any terminal: no graphics protocol is needed.

Pixels become cells in `tui.widgets.pixels`, what is in sight is `tui.widgets.viewport`'s, errors
are `tui.widgets.error_map`'s; which masks there are is the screen's choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from tui.widgets.drawing import Drawing
from tui.widgets.error_map import KINDS, error_codes, error_overlays, error_shares
from tui.widgets.instance_layer import INSTANCE, Instances
from tui.widgets.legend import wrap_segments
from tui.widgets.pixels import (
    MARKS,
    Labels,
    Overlay,
    Pixels,
    blend,
    character_strips,
    half_block_strips,
    quadrant_strips,
    shrink_labels,
)
from tui.widgets.viewport import STEP, Viewport, Window

GROUND_TRUTH, PREDICTION = "ground truth", "prediction"
OFF_MARK, OUTLINE_MARK = "□", "▣"
OPACITIES = (0.25, 0.5, 0.75, 1.0)
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


def _same(one: tuple[object, ...] | None, other: tuple[object, ...] | None) -> bool:
    """Whether both are of the very same things; arrays are not compared, which would take long."""
    if one is None or other is None:
        return one is other
    pairs = zip(one, other, strict=True)
    return all(a is b or (isinstance(a, int) and a == b) for a, b in pairs)


class OverlayImage(Drawing):
    """The picture, as large as it fits or closer, with a legend of what is laid over it.

    Overlays are switched by name; those named ``ground truth``, ``prediction`` and ``instance``
    have keys, and the first two are what the error map compares.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"image--off", "image--message"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("g", f"switch_overlay('{GROUND_TRUTH}')", "Truth", id="image.truth"),
        Binding("m", f"switch_overlay('{PREDICTION}')", "Model", id="image.prediction"),
        Binding("i", f"switch_overlay('{INSTANCE}')", "Instance", show=False, id="image.instance"),
        Binding("w", "toggle_errors", "Errors", id="image.errors"),
        Binding("n", "step_instance(1)", "Next instance", show=False, id="image.next_instance"),
        Binding("N", "step_instance(-1)", "Instance before", show=False, id="image.last_instance"),
        Binding("s", "toggle_alone", "One instance at a time", show=False, id="image.alone"),
        Binding("o", "toggle_fill", "Outlines only", show=False, id="image.outlines"),
        Binding("a", "step_opacity", "Opacity", show=False, id="image.opacity"),
        Binding("b", "next_mode", "Blocks or letters", show=False, id="image.blocks"),
        Binding("plus", "zoom(1)", "Zoom in", key_display="+", show=False, id="image.zoom_in"),
        Binding("minus", "zoom(-1)", "Zoom out", key_display="-", show=False, id="image.zoom_out"),
        Binding("0", "fit", "Whole image", show=False, id="image.fit"),
        Binding("left,h", "pan(-1, 0)", "Look left", show=False, id="image.left"),
        Binding("right,l", "pan(1, 0)", "Look right", show=False, id="image.right"),
        Binding("up,k", "pan(0, -1)", "Look up", show=False, id="image.up"),
        Binding("down,j", "pan(0, 1)", "Look down", show=False, id="image.down"),
    ]

    @dataclass
    class InstanceChosen(Message):
        """A key went to another instance."""

        image: OverlayImage
        annotation_id: int

        @property
        def control(self) -> OverlayImage:
            return self.image

    def __init__(self, *, widget_id: str | None = None) -> None:
        super().__init__(id=widget_id)
        self.rgb: Pixels | None = None
        self.instances: Instances | None = None
        self.chosen: int | None = None
        self.hidden: set[str] = set()
        self.fill = True
        self.strength = 0.5
        self.alone = False
        self.errors = False
        self.wanted_mode: Mode | None = None
        self.view = Viewport()
        self.message = ""
        self._laid: tuple[Overlay, ...] = ()
        self._instance: Overlay | None = None
        self._pointed_out: tuple[int | None, Labels | None] = (None, None)
        self._by_class = False
        self._shares: dict[int, float] | None = None

    def set_image(
        self,
        image: npt.NDArray[np.uint8] | None,
        overlays: Sequence[Overlay] = (),
        message: str = "",
        *,
        instances: Instances | None = None,
        classes: bool = False,
    ) -> None:
        """Show an image ``[H, W]`` or ``[H, W, 3]``; ``message`` says what is missing, or why.

        Without an image the overlays are drawn on black. ``classes``: the labels of ground truth
        and prediction are classes, and can be compared as such. What was switched, and what is in
        sight of an image of the same size, stays.
        """
        before, compared = None if self.rgb is None else self.rgb.shape, self._compared
        self._laid, self._by_class = tuple(overlays), classes
        if not _same(compared, self._compared):
            self._shares = None
        if image is not None:
            self.rgb = as_rgb(image)
        elif self._laid:
            self.rgb = np.zeros((*self._laid[0].labels.shape, 3), np.uint8)
        else:
            self.rgb = None
        if self.rgb is None or self.rgb.shape != before:
            self.view = Viewport()
        self.instances = instances
        self.message = message
        self.choose(self.chosen)

    def choose(self, annotation_id: int | None) -> None:
        """Point out one instance, or none."""
        known = self.instances is not None and annotation_id in self.instances.ids
        self.chosen = annotation_id if known else None
        labels = None if self.instances is None else self.instances.labels
        if not _same(self._pointed_out, (self.chosen, labels)):  # it takes long in a large image
            self._pointed_out = (self.chosen, labels)
            self._instance = None
            if self.instances is not None and self.chosen is not None:
                self._instance = self.instances.overlay(self.chosen)
        self._redraw()

    @property
    def overlays(self) -> tuple[Overlay, ...]:
        """All that can be laid over the image, lowest first, the chosen instance on top."""
        return self._laid if self._instance is None else (*self._laid, self._instance)

    @property
    def shown_overlays(self) -> list[Overlay]:
        found = []
        for overlay in self.overlays:
            if overlay.name in self.hidden or (overlay.name == GROUND_TRUTH and self._is_alone):
                continue
            strong = self.strength if overlay.opacity else 0.0
            found.append(replace(overlay, opacity=strong))
        return found

    @property
    def _is_alone(self) -> bool:
        return self.alone and self._instance is not None and INSTANCE not in self.hidden

    # Keys

    def action_switch_overlay(self, name: str) -> None:
        self.hidden ^= {name}
        self._redraw()

    def action_toggle_fill(self) -> None:
        self.fill = not self.fill
        self._redraw()

    def action_step_opacity(self) -> None:
        self.strength = OPACITIES[(OPACITIES.index(self.strength) + 1) % len(OPACITIES)]
        self._redraw()

    def action_next_mode(self) -> None:
        self.wanted_mode = _NEXT_MODE[self.mode]
        self._redraw()

    def action_toggle_errors(self) -> None:
        """The error map instead of the overlays; it needs both to be compared."""
        if not self.errors and self._compared is None:
            self.notify("an error map compares prediction and ground truth: one is missing here")
            return
        self.errors = not self.errors
        self._redraw()

    def action_step_instance(self, by: int) -> None:
        """The next one, or the one before; the first when none is pointed out."""
        if self.instances is None or not self.instances.ids:
            self.notify("this sample has no instance masks")
            return
        ids = self.instances.ids
        if self.chosen is None:
            place = 0 if by > 0 else len(ids) - 1
        else:
            place = (ids.index(self.chosen) + by) % len(ids)
        self.hidden.discard(INSTANCE)
        self.choose(ids[place])
        self._look_at_instance()
        self.post_message(self.InstanceChosen(self, ids[place]))

    def action_toggle_alone(self) -> None:
        """Only one instance of the ground truth; `action_step_instance` goes through them."""
        self.alone = not self.alone
        if self.alone and self.chosen is None:
            self.action_step_instance(1)
        self._redraw()

    def _look_at_instance(self) -> None:
        """Bring it to the middle when only a part of the image is in sight."""
        if self._instance is None or self.view.zoom == 1:
            return
        labels = self._instance.labels
        rows, columns = np.flatnonzero(labels.any(1)), np.flatnonzero(labels.any(0))
        height, width = labels.shape
        self.view = replace(
            self.view,
            x=float(columns.min() + columns.max() + 1) / 2 / width,
            y=float(rows.min() + rows.max() + 1) / 2 / height,
        )

    # Zoom and pan

    def action_zoom(self, by: int) -> None:
        if self.rgb is not None:
            height, width, _ = self.rgb.shape
            self.view = self.view.zoomed(STEP**by, width, height, *self._picture_size)
            self._redraw()

    def action_fit(self) -> None:
        self.view = Viewport()
        self._redraw()

    def action_pan(self, right: int, down: int) -> None:
        window = self.window
        if window is not None and self.rgb is not None:
            height, width, _ = self.rgb.shape
            self.view = self.view.panned(right, down, window, width, height)
            self._redraw()

    def on_mouse_scroll_up(self) -> None:
        self.action_zoom(1)

    def on_mouse_scroll_down(self) -> None:
        self.action_zoom(-1)

    @property
    def _picture_size(self) -> tuple[int, int]:
        """Columns and rows for the picture, above the legend."""
        width = max(1, self.size.width)
        return width, max(1, self.size.height - len(self._foot(width)))

    @property
    def window(self) -> Window | None:
        """The part of the image that is in sight."""
        if self.rgb is None:
            return None
        height, width, _ = self.rgb.shape
        return self.view.window(width, height, *self._picture_size)

    # Drawing

    def _draw(self, width: int, height: int) -> list[Strip]:
        foot = self._foot(width)
        picture = self._picture(width, height - len(foot))
        return [strip.crop_extend(0, width, self.rich_style) for strip in picture + foot]

    def _style(self, component: str) -> Style:
        return self.get_component_rich_style(component)

    def _picture(self, width: int, height: int) -> list[Strip]:
        if self.rgb is None or width < 2 or height < 1:
            return []
        window = self.view.window(self.rgb.shape[1], self.rgb.shape[0], width, height)
        margin = [Segment(" " * ((width - window.columns) // 2), self.rich_style)]
        strips = self._strips(self.rgb, window)
        return [Strip([*margin, *strip]) for strip in strips]

    @property
    def mode(self) -> Mode:
        """How pixels are drawn: as somebody wished, else as the terminal's colours allow."""
        if self.app.no_color:
            return "characters"
        # 16 colours are too few for an image and for telling its masks apart.
        few = self.app.console.color_system in (None, "standard", "windows")
        return self.wanted_mode or ("characters" if few else "quadrant")

    def _strips(self, rgb: Pixels, window: Window) -> list[Strip]:
        columns, rows, part = window.columns, window.rows, window.cut(rgb)
        if self.mode == "characters":
            overlays = self._cut_overlays(window, columns, rows)
            return character_strips(part, overlays, columns, rows, self.rich_style, fill=self.fill)
        across = columns if self.mode == "half" else columns * 2
        overlays = self._cut_overlays(window, across, rows * 2)
        pixels = blend(part, overlays, across, rows * 2, fill=self.fill)
        return half_block_strips(pixels) if self.mode == "half" else quadrant_strips(pixels)

    def _cut_overlays(self, window: Window, width: int, height: int) -> list[Overlay]:
        compared = self._compared if self.errors else None
        if compared is None:
            return [replace(o, labels=window.cut(o.labels)) for o in self.shown_overlays]
        # At the drawn size: the kinds of a large image would take longer than drawing it.
        truth, said = (shrink_labels(window.cut(one), width, height) for one in compared)
        codes = error_codes(truth, said, classes=self._by_class)
        found = error_overlays(codes, self._error_shares(*compared), self.strength)
        if self._instance is not None and INSTANCE not in self.hidden:
            found.append(replace(self._instance, labels=window.cut(self._instance.labels)))
        return found

    @property
    def _compared(self) -> tuple[Labels, Labels] | None:
        """Ground truth and prediction, if both are there."""
        labels = {overlay.name: overlay.labels for overlay in self._laid}
        if GROUND_TRUTH not in labels or PREDICTION not in labels:
            return None
        return labels[GROUND_TRUTH], labels[PREDICTION]

    def _error_shares(self, truth: Labels, prediction: Labels) -> dict[int, float]:
        if self._shares is None:
            self._shares = error_shares(truth, prediction, classes=self._by_class)
        return self._shares

    # The legend

    def _foot(self, width: int) -> list[Strip]:
        """What is laid over the image and what is in sight, in as many lines as it takes."""
        entries = [*self._legend(), *self._size_said()]
        lines = [Strip(line) for line in wrap_segments(entries, width)]
        if self.message:
            lines.append(Strip([Segment(f" {self.message}", self._style("image--message"))]))
        return lines

    def _legend(self) -> list[Segment]:
        compared = self._compared if self.errors else None
        if compared is None:
            return [self._entry(overlay) for overlay in self.overlays]
        base = self.rich_style
        entries = [
            Segment(
                f" {MARKS[kind.pattern]} {kind.letter} {kind.name} {share:.1%} ",
                base + Style(color=kind.colour),
            )
            for kind, share in (
                (KINDS[number], share) for number, share in self._error_shares(*compared).items()
            )
        ]
        return entries + ([] if self._instance is None else [self._entry(self._instance)])

    def _entry(self, overlay: Overlay) -> Segment:
        off = overlay.name in self.hidden
        filled = overlay.opacity and self.fill
        mark = OFF_MARK if off else MARKS[overlay.pattern] if filled else OUTLINE_MARK
        colour = self.rich_style + Style(color=overlay.colour)
        style = self._style("image--off") if off else colour
        said = f" {mark} {overlay.letter} {overlay.name}"
        if overlay.name == INSTANCE:
            said += self._instance_said()
        elif filled and not off:
            said += f" {self.strength:.0%}"
        return Segment(f"{said} ", style)

    def _instance_said(self) -> str:
        if self.instances is None or self.chosen is None:
            return ""
        ids = self.instances.ids
        said = f" {ids.index(self.chosen) + 1} of {len(ids)}"
        caption = self.instances.caption(self.chosen)
        return f"{said}, {caption}" if caption else said

    def _size_said(self) -> list[Segment]:
        if self.rgb is None:
            return []
        height, width, _ = self.rgb.shape
        said = f" {width}×{height} px"
        if self.view.zoom > 1:
            said += f", zoom {self.view.zoom:.2g}×"
        if self._is_alone:
            said += ", this instance alone"
        return [Segment(f"{said} ", self.rich_style)]
