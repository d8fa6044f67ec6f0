"""``@wl.signal_classifier``: who says what shape the trajectories of a signal have.

Whoever answers for a signal answers for all of its trajectories: the function that was registered
for it, the one that was registered for all signals, the first plugin that does (hook
``wl_classify_trajectories``), and at last the built-in one, which is a plugin as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt

from wl_core.errors import UsageError
from wl_core.shapes import Shapes
from wl_core.table import normalise_name

if TYPE_CHECKING:
    from wl_core.plugins import Plugins
    from wl_core.trajectories import Trajectories

Classifier: TypeAlias = Callable[[npt.NDArray[np.float64]], str | None]
F = TypeVar("F", bound=Classifier)

_ALL_SIGNALS = ""  # no signal has this name


class _Registry:
    """The classifiers of this process."""

    def __init__(self) -> None:
        self._by_signal: dict[str, Classifier] = {}

    def add(self, signal: str, classifier: Classifier) -> None:
        self._by_signal[signal] = classifier

    def of(self, signal: str) -> Classifier | None:
        """Its own, else that of all signals."""
        return self._by_signal.get(signal) or self._by_signal.get(_ALL_SIGNALS)

    def has_own(self, signal: str) -> bool:
        return signal in self._by_signal

    def clear(self) -> None:
        self._by_signal.clear()


registry = _Registry()


@overload
def signal_classifier(function: F) -> F: ...
@overload
def signal_classifier(*, signal: str | None = None) -> Callable[[F], F]: ...
def signal_classifier(
    function: F | None = None, *, signal: str | None = None
) -> F | Callable[[F], F]:
    """Registers who says what shape a signal's trajectories have, instead of the built-in seven.

    .. code-block:: python

        @wl.signal_classifier(signal="train_bce/sample")
        def learned(values):
            return "learned" if values[-1] < 0.1 else "open"

    The function is given all finite values of one sample or instance so far, float64 ``[N]``, and
    returns any text, or None for no shape. It is called in this process alone, when shapes are
    looked at; a plugin (hook ``wl_classify_trajectories``) reaches ``wl`` and other processes too.
    One that is registered later for the same signal takes its place.

    Args:
        function: the classifier, when the decorator is used without parentheses.
        signal: the signal that it is for; every signal without one of its own by default.

    Raises:
        UsageError: what is decorated cannot be called.
    """

    def register(classifier: F) -> F:
        if not callable(classifier):
            raise UsageError(f"a classifier is a function of the values, not {classifier!r}")
        registry.add(_ALL_SIGNALS if signal is None else normalise_name(signal), classifier)
        return classifier

    return register if function is None else register(function)


def shapes_of(plugins: Plugins, signal: str, trajectories: Trajectories) -> Shapes:
    """The shapes of a signal's trajectories, by whoever answers for it.

    Raises:
        UsageError: a registered classifier returned something else than a text or None. What it
            raises itself is not caught.
    """
    own = registry.of(normalise_name(signal))
    if own is not None:
        return Shapes.by(own, trajectories)
    found: Shapes | None = plugins.first(
        "wl_classify_trajectories", signal=signal, trajectories=trajectories
    )
    return found or Shapes(np.full(len(trajectories), -1), ())
