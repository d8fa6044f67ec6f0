"""Trajectories: all values that one signal ever had, by row.

What a view of histories gives to those who ask of the past as a whole: shapes, slices, exports. How
values are kept is the view's business.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class Trajectories:
    """One signal's values, ragged: row ``r`` has ``values[offsets[r]:offsets[r + 1]]``.

    ``sample_rows`` ``[R]`` are rows of the view's `SampleIndex`; ``annotation_ids`` ``[R]`` are 0
    for samples and count from 1 for instances; ``offsets`` is ``[R + 1]``. ``steps`` and ``values``
    ``[N]`` stand in the order of the log within a row. Rows without a value are not there; rows are
    sorted by (sample_row, annotation_id).
    """

    sample_rows: npt.NDArray[np.int64]
    annotation_ids: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.sample_rows)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """How many values each row has ``[R]``."""
        counts: npt.NDArray[np.int64] = np.diff(self.offsets)
        return counts
