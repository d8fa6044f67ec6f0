"""A sample's picture: its image, and what its arrays mean as overlays.

Functions here run in the follower's thread and touch no widget. Arrays come in many forms (class
ids, probabilities, stacks of masks); what can be drawn on the image becomes labels, the rest is
named in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tui.sample_table import SampleKey
from tui.widgets.cells import format_cell
from tui.widgets.image import GROUND_TRUTH, PREDICTION, OverlayImage, as_rgb
from tui.widgets.instance_layer import Instances
from tui.widgets.palette import ORANGE, SKY_BLUE
from tui.widgets.pixels import Labels, Overlay
from wl_core.errors import WlError
from wl_core.table import Table

if TYPE_CHECKING:
    from wl_core.run import Run

HALF = 0.5
ANNOTATION_ID = "annotation_id"
_CLASS_COLUMNS = ("class", "class_name", "category", "label")
_CAPTION_SIGNALS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What there is to see of one sample at one moment; any part may be missing.

    ``truth`` labels each instance by its annotation id where there are instance masks, else each
    pixel by its class (``by_class``); ``prediction`` is by class. ``moment`` is the step of the
    past that it is of, None for now; ``prediction_reference`` names the array that was read.
    """

    sample: SampleKey
    image: npt.NDArray[np.uint8] | None
    truth: Labels | None
    prediction: Labels | None
    notes: tuple[str, ...] = ()
    instances: Instances | None = None
    moment: int | None = None
    prediction_reference: bytes = b""

    @property
    def by_class(self) -> bool:
        return self.instances is None

    @property
    def overlays(self) -> list[Overlay]:
        """Prediction (filled) and ground truth (outlined), lowest first."""
        found = []
        if self.prediction is not None:
            found.append(Overlay(PREDICTION, self.prediction, ORANGE, "P", opacity=0.5))
        if self.truth is not None:
            found.append(Overlay(GROUND_TRUTH, self.truth, SKY_BLUE, "G"))
        return found

    def show_in(self, image: OverlayImage) -> None:
        """Have that widget draw it."""
        image.set_image(
            self.image,
            self.overlays,
            "; ".join(self.notes),
            instances=self.instances,
            classes=self.by_class,
        )


def load_scene(run: Run, sample: SampleKey, before: Scene | None) -> Scene:
    """Read a sample's picture as of the moment that ``run`` is of.

    The image, and the ground truth of the same moment, are taken from ``before`` if it has them.
    """
    notes: list[str] = []
    same = before if before is not None and before.sample == sample else None
    image = same.image if same else None
    if image is None:
        image = _load_image(run, sample, notes)
    arrays = run.arrays(*sample)
    known = same is not None and same.moment == run.last_step
    truth = same.truth if same and known else None
    ids = same.instances.ids if same and known and same.instances else ()
    if truth is None:
        truth, ids = _instances(run, sample)
    if truth is None:
        truth = _one(arrays.get("target"), "target", notes)
    newest = arrays.get("prediction")
    reference = b"" if newest is None else newest.reference
    if same is not None and reference and same.prediction_reference == reference:
        prediction = same.prediction
    else:
        prediction = _one(newest, "prediction", notes)
    shape = None if image is None else image.shape[:2]
    if truth is not None and shape not in (None, truth.shape):
        notes.append(f"the target is {truth.shape}, the image {shape}: not drawn")
        truth = None
    base = shape or (None if truth is None else truth.shape)
    if prediction is not None and base not in (None, prediction.shape):
        notes.append(f"the prediction is {prediction.shape}, the image {base}: not drawn")
        prediction = None
    instances = None
    if truth is not None and ids:
        table, signals = run.instances(sample.sample_id, sample.origin), _instance_signals(run)
        instances = Instances(truth, ids, lambda one: caption_of(table, one, signals))
    if prediction is None:
        reference = b""  # why it is not drawn is to be said again
    return Scene(
        sample, image, truth, prediction, tuple(notes), instances, run.last_step, reference
    )


def _instance_signals(run: Run) -> list[str]:
    """The signals of instances, losses first."""
    declared = run.view("samples").declared
    names = run.view("instances").signals
    return sorted(names, key=lambda name: name in declared and declared[name][1] != "loss")


def caption_of(table: Table, annotation_id: int, signals: Sequence[str]) -> str:
    """An instance in a few words: its class, where it has one, and its first signals."""
    rows = np.flatnonzero(table.column(ANNOTATION_ID).values == annotation_id)
    if not len(rows):
        return ""
    row = int(rows[0])
    names = [name for name in table.names if name.lower() in _CLASS_COLUMNS]
    measured = [name for name in signals if name in table.names and name not in names]
    cells = [
        (name, format_cell(table.column(name), row))
        for name in (*names, *measured[:_CAPTION_SIGNALS])
    ]
    return ", ".join(f"{name} {text}" for name, text in cells if text)


def _load_image(run: Run, sample: SampleKey, notes: list[str]) -> npt.NDArray[np.uint8] | None:
    """The raw image; a data set that is not there any more is a note, not an end."""
    try:
        image = run.image(*sample)
    except (WlError, OSError) as error:
        notes.append(f"no image: {error}")
        return None
    if image is None:
        notes.append("no image: no plugin knows where this sample's image is")
        return None
    return as_rgb(image)  # here: of a large one it would hold up the screen


def _instances(run: Run, sample: SampleKey) -> tuple[Labels | None, tuple[int, ...]]:
    """All instance masks as one map of annotation ids, and those ids; later ones lie on top."""
    labels: Labels | None = None
    ids = []
    for annotation_id, arrays in sorted(run.instance_arrays(*sample).items()):
        if "target" not in arrays:
            continue
        mask = to_labels(np.asarray(arrays["target"]))
        if mask is None:
            continue
        if labels is None:
            labels = np.zeros(mask.shape, np.int32)
        if mask.shape == labels.shape:
            labels[mask > 0] = annotation_id
            ids.append(annotation_id)
    return labels, tuple(ids)


def _one(proxy: Any, name: str, notes: list[str]) -> Labels | None:
    if proxy is None:
        return None
    labels = to_labels(np.asarray(proxy))
    if labels is None:
        notes.append(f"{name} {proxy.dtype} {tuple(proxy.shape)} is not a mask")
    return labels


def to_labels(array: npt.NDArray[Any]) -> Labels | None:
    """An array as region labels ``[H, W]``, None when it is no mask.

    Integers and bools ``[H, W]`` are labels, floats are probabilities cut at one half; of a stack
    ``[C, H, W]`` the channel of the highest value counts, channel 0 being the background.
    """
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3:
        if array.dtype.kind == "b":
            return np.asarray(np.where(array.any(0), array.argmax(0) + 1, 0), np.int32)
        return np.asarray(array.argmax(0), np.int32)
    if array.ndim != 2:
        return None
    if array.dtype.kind == "f":
        return np.asarray(array > HALF, np.int32)
    return np.asarray(array, np.int32)
