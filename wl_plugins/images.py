"""Reads a sample's raw image from the file that its metadata names. Nothing is stored.

The columns used are ``path`` and, for a part of a larger picture, ``crop_left``, ``crop_top``,
``crop_width`` and ``crop_height`` in pixels. A data set that is read in another way implements
`wl_load_image` in a plugin of its own. Masks and predictions are the array store's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wl_core.codec import SampleId
from wl_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from wl_core.run import Run

_CROP = ("crop_left", "crop_top", "crop_width", "crop_height")
_WHITE_PERCENTILE = 99.8


@hookimpl
def wl_load_image(run: Run, origin: str, sample_id: SampleId) -> npt.NDArray[np.uint8] | None:
    metadata = run.metadata(origin, sample_id)
    path = metadata.get("path")
    if not isinstance(path, str) or not Path(path).is_file():
        return None
    return read_image(Path(path), metadata)


def read_image(path: Path, metadata: Mapping[str, Any]) -> npt.NDArray[np.uint8] | None:
    """The picture in a file as uint8 ``[H, W]`` or ``[H, W, 3]``; None when it is no picture.

    Pictures of more than 8 bits are scaled so that the file's brightest 0.2 % are white: the
    scale is the whole file's, so that its parts can be compared.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            picture = opened if opened.mode.startswith(("I", "F", "L")) else opened.convert("RGB")
            array = np.asarray(picture)
    except (UnidentifiedImageError, OSError):
        return None
    if array.dtype != np.uint8:
        white = max(float(np.percentile(array, _WHITE_PERCENTILE)), 1e-9)
        array = (np.clip(array / white, 0, 1) * 255).astype(np.uint8)
    if all(isinstance(metadata.get(name), (int, float)) for name in _CROP):
        left, top, width, height = (int(metadata[name]) for name in _CROP)
        array = array[top : top + height, left : left + width]
    return array
