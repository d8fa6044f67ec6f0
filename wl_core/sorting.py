"""Sorting a million rows while somebody waits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_ROW_BITS = 32


def stable_order(keys: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """``numpy.argsort(keys, kind="stable")`` of numbers ``[n]``, in a fraction of its time.

    numpy's sort that is not stable uses vector instructions. Where keys are equal, the rows are put
    in order after it: by the number of their group of equal keys, then by their own. NaNs must not
    be among the keys: each would be a group of its own.
    """
    if keys.dtype.itemsize <= 2 or len(keys) >= 1 << _ROW_BITS:  # of few bits: by radix, soon done
        return np.argsort(keys, kind="stable")
    order = np.argsort(keys)
    in_order = keys.take(order)
    is_other = in_order[1:] != in_order[:-1]
    if is_other.all():
        return order
    groups = np.zeros(len(keys), np.uint64)
    np.cumsum(is_other, out=groups[1:])
    groups <<= np.uint64(_ROW_BITS)
    groups |= order.astype(np.uint64)
    groups.sort()
    return (groups & np.uint64((1 << _ROW_BITS) - 1)).astype(np.intp)
