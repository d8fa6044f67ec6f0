"""What a log knows of the items of an origin, for signals that are computed after the fact.

Metadata, targets and predictions are in the log; the data itself is not. An image is read from the
data set's files by whoever knows how (`Run.image`); all else needs the data set, which may be
given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.arrays import ArrayStore
from wl_core.codec import SampleId
from wl_core.errors import UsageError
from wl_core.run import Run
from wl_core.running import DataItem

View = Callable[[str], Any]


class PastItem:
    """One sample as the log knows it; what is not there says how to get it."""

    def __init__(self, data: PastData, sample_id: SampleId) -> None:
        self._data = data
        self.id = sample_id

    @property
    def metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = self._data.view("samples").metadata(self._data.origin, self.id)
        return found

    @property
    def image(self) -> npt.NDArray[Any]:
        """The image as it is in the data set's files.

        Raises:
            UsageError: no plugin knows how to read it, or the files are not here.
        """
        found = self._data.run.image(self._data.origin, self.id)
        if found is None:
            raise self._absent("image", "a plugin that implements wl_load_image reads it, or give")
        return found

    @property
    def data(self) -> Any:
        raise self._absent("data", "give")

    @property
    def target(self) -> Any:
        """The masks of its instances, else the recorded array, else the column of that name.

        Raises:
            UsageError: nothing of it was recorded.
        """
        masks, counts = self._data.masks(self.id), self._data.instance_counts([self.id])
        if masks and counts in (None, [len(masks)]):
            return masks
        own = self._data.array("target", self.id)
        if own is not None:
            return own
        if counts == [0]:
            return []
        metadata = self.metadata
        if "target" not in metadata:
            raise self._absent("target", "give")
        return metadata["target"]

    def _absent(self, what: str, how: str) -> UsageError:
        origin = self._data.origin
        return UsageError(
            f"the log does not hold the {what} of sample {self.id!r}: {how} the data set, by --data"
            f" {origin}=MODULE:NAME"
        )


class PastData:
    """The items of one origin, from the views of a moment or from its data set.

    ``view`` gives a view by name. ``reader`` reads the data set, where it was given.
    """

    def __init__(
        self, origin: str, run: Run, view: View, arrays: ArrayStore, reader: Any = None
    ) -> None:
        self.origin = origin
        self.run = run
        self.view = view
        self._arrays = arrays
        self._reader = reader

    @cached_property
    def _ids(self) -> list[SampleId]:
        """All samples that the log names, in the order in which they are shown."""
        index = self.view("samples").index
        rows = index.order()
        return [index.sample_id(row) for row in rows[index.of_origin(self.origin)[rows]].tolist()]

    def items(self) -> Iterator[DataItem]:
        """The data set's, else all that the log names."""
        return map(self.item, self._ids) if self._reader is None else self._reader.items()

    def __len__(self) -> int:
        return len(self._ids)

    def item(self, sample_id: SampleId) -> DataItem:
        if self._reader is None:
            return PastItem(self, sample_id)
        found: DataItem = self._reader.item(sample_id)
        return found

    def instance_counts(self, ids: list[SampleId]) -> list[int] | None:
        samples = self.view("samples")
        counts = [samples.value(self.origin, one, "instances") for one in ids]
        return None if None in counts else counts

    def array(self, field: str, sample_id: SampleId, number: int = 0) -> npt.NDArray[Any] | None:
        """The recorded array of a sample, or of one of its instances."""
        if number:
            found = self.view("instances").get_ref(self.origin, sample_id, number, field)
        else:
            found = self.view("samples").get_ref(self.origin, sample_id, field)
        return None if found is None else self._arrays.get(found[0])

    def masks(self, sample_id: SampleId) -> list[npt.NDArray[Any]]:
        """The recorded masks of the sample's instances, up to the first that was not recorded."""
        found: list[npt.NDArray[Any]] = []
        while (mask := self.array("target", sample_id, len(found) + 1)) is not None:
            found.append(np.asarray(mask))
        return found
