"""Values of samples that are no numbers: texts, and short lists of texts, numbers or bools.

What a value is follows from its type alone, never from how long the lists of a batch happen to be:
a tensor or array is numbers (or bools), of which dimensions beyond the first are averaged; a Python
list has one value for each sample, and may have a text or a list for each. How numbers are checked
is `values`' business, what a view makes of labels `label_column`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np

from wl_core import deferred
from wl_core.deferred import Values, landed
from wl_core.errors import SignalShapeError
from wl_core.table import Scalar
from wl_core.values import BatchIds, as_array

if TYPE_CHECKING:
    from wl_core.running import Running

MAX_ITEMS = 64
MAX_CHARACTERS = 500
_INT64 = 2**63

Label: TypeAlias = str | list[Scalar]
Plain: TypeAlias = float | bool | Label
SampleValues: TypeAlias = Values | list[Label]


def sample_values(running: Running, signal: str, value: Any, count: int) -> SampleValues:
    """The values of ``count`` samples: numbers or bools ``[count]``, or a list of labels.

    Numbers on a device are on their way from there, see `deferred`.

    Raises:
        SignalShapeError: another number of them, values of several kinds, labels that are too
            long, or a signal that held values of another kind before.
    """
    labels = as_labels(signal, value, count)
    check_kind(running, signal, "number" if labels is None else "label")
    return deferred.sample_values(signal, value, count) if labels is None else labels


def check_kind(running: Running, signal: str, kind: str) -> None:
    """Refuses a signal whose values were of another kind (number, label, group) in this session."""
    known = running.value_kinds.get(signal, kind)
    if known != kind:
        raise SignalShapeError(
            f"signal {signal!r} holds {_KINDS[known]} and was given {_KINDS[kind]}: save these"
            " under another name"
        )


def record_values(
    running: Running, signal: str, log: bool, batch: BatchIds, values: SampleValues
) -> None:
    """Records what `sample_values` gave; of labels there is no curve, whatever ``log`` says."""
    running.value_kinds[signal] = "label" if isinstance(values, list) else "number"
    if isinstance(values, list):
        running.recorder.labels(signal, batch, values)
    else:
        running.recorder.values(signal, log, batch, landed(values))


_KINDS = {
    "number": "a number for each sample",
    "label": "a text or list for each sample",
    "group": "a number for each group",
}


def as_labels(signal: str, value: Any, count: int) -> list[Label] | None:
    """Texts or lists, one for each of ``count`` samples; None where the values are numbers.

    Raises:
        SignalShapeError: they are labels, and not all alike, too long or not ``count``.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "OUT":
        value = value.tolist()
    if isinstance(value, str):
        raise SignalShapeError(
            f"signal {signal!r}: expected {count} values, one per sample, got the single text"
            f" {_cut(value)}"
        )
    if not isinstance(value, (list, tuple)) or not value or not _is_label(value[0]):
        return None
    if len(value) != count:
        raise SignalShapeError(
            f"signal {signal!r}: expected {count} values, one per sample, got {len(value)}"
        )
    return _texts(signal, value) if isinstance(value[0], str) else _lists(signal, value)


def _is_label(one: Any) -> bool:
    return isinstance(one, (str, list, tuple)) or getattr(one, "ndim", 0) == 1


def plain_value(signal: str, value: Any) -> Plain:
    """One sample's value as what is recorded: a number, a bool, a text or a list.

    Raises:
        SignalShapeError: it is none of these.
    """
    if isinstance(value, str):
        return _text(signal, value)
    if _is_label(value):
        return _list(signal, value)
    try:
        plain = value.item() if hasattr(value, "item") else value
        return plain if isinstance(plain, bool) else float(plain)
    except (TypeError, ValueError, RuntimeError) as error:  # as numpy and torch say it
        raise SignalShapeError(
            f"signal {signal!r}: expected a number, a bool, a text or a list, got {value!r}"
        ) from error


def _texts(signal: str, values: Sequence[Any]) -> list[Label]:
    for place, one in enumerate(values):
        if not isinstance(one, str):
            _refuse(signal, f"text for each sample, got {_named(one)} at place {place}")
    return [_text(signal, one) for one in values]


def _text(signal: str, text: str) -> str:
    if len(text) > MAX_CHARACTERS:
        _refuse(signal, f"at most {MAX_CHARACTERS} characters, got {len(text)}: {_cut(text)}")
    return str(text)


def _lists(signal: str, values: Sequence[Any]) -> list[Label]:
    for place, one in enumerate(values):
        if isinstance(one, str) or not _is_label(one):
            _refuse(signal, f"a flat list for each sample, got {_named(one)} at place {place}")
    return [_list(signal, one) for one in values]


def _list(signal: str, given: Any) -> list[Scalar]:
    if len(given) > MAX_ITEMS:
        _refuse(
            signal,
            f"lists of at most {MAX_ITEMS} elements, got {len(given)}. Numbers that shall be"
            " averaged belong into one tensor or array [B, …]",
        )
    if isinstance(given, (list, tuple)):
        return [_scalar(signal, one) for one in given]
    array = as_array(given)
    if array.dtype == np.float32:  # as the shortest number that is that float32: 0.1, as written
        return [float(str(one)) for one in array]
    return [_scalar(signal, one) for one in array.tolist()]


def _scalar(signal: str, one: Any) -> Scalar:
    plain = one.item() if getattr(one, "ndim", 1) == 0 and hasattr(one, "item") else one
    if isinstance(plain, str):
        return _text(signal, plain)
    is_number = isinstance(plain, float) or (isinstance(plain, int) and -_INT64 <= plain < _INT64)
    if not is_number:  # a bool is an int
        _refuse(signal, f"texts, numbers of 64 bits or bools in a list, got {_named(one)}")
    scalar: Scalar = plain
    return scalar


def _named(one: Any) -> str:
    text = _cut(repr(one))
    return f"{text} ({type(one).__name__})"


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"


def _refuse(signal: str, expected: str) -> NoReturn:
    raise SignalShapeError(f"signal {signal!r}: expected {expected}")
