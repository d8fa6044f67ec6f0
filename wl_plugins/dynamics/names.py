"""What the signals and the methods of training dynamics are called.

A set of signals bears the name that `watch` was given: ``dynamics``, or ``…/dynamics``. That is how
the fold knows them: ``dynamics/p_true`` and ``head_a/dynamics/p_true`` are watched, ``p_true`` and
``train/loss`` are somebody else's.
"""

from __future__ import annotations

from typing import Final

from wl_core.errors import UsageError

SET: Final = "dynamics"

# What is recorded at every observation of a row, as NAME/….
SIGNALS: Final = ("p_true", "margin", "probability_margin", "correct", "el2n", "loss")

# The scores, as NAME/…; of each, whether it is the low values that make a label suspicious, or the
# high ones. The functions of `methods` say what they are.
SUSPICIOUS: Final[dict[str, str]] = {
    "confidence": "low",
    "variability": "high",
    "correctness": "low",
    "aum": "low",
    "mean_margin": "low",
    "forgetting_events": "high",
    "wrong_events": "high",
    "early_el2n": "high",
    "mean_loss": "high",
    "loss_drop_speed": "low",
}
METHODS: Final = tuple(SUSPICIOUS)

EARLY: Final = 10  # how many first values of EL2N are kept for each row


def split_name(signal: str) -> tuple[str, str] | None:
    """``(set, what)`` of a signal of training dynamics, None of any other."""
    name, _, what = signal.rpartition("/")
    return (name, what) if what in SIGNALS and is_set(name) else None


def is_set(name: str) -> bool:
    return name == SET or name.endswith(f"/{SET}")


def check_set(name: str) -> None:
    """Refuses a name by which the fold would not know the set.

    Raises:
        UsageError: it is neither ``dynamics`` nor ends in ``/dynamics``.
    """
    if not is_set(name):
        raise UsageError(
            f"a set of training dynamics is called {SET!r} or '…/{SET}', by which its view knows"
            f" it; got {name!r}: pass name='{name}/{SET}'"
        )
