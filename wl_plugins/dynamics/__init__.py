"""Training dynamics: what a sample's way through training says of its label.

    from wl_plugins import dynamics

    with wl.guard_training_context:
        logits = model(images)
        dynamics.watch(logits, labels, batch_ids=ids)

`watching` measures (`measures`: the formulas on logits) and records; the view ``dynamics``
(`dynamics_view`) folds what was recorded into one score of each method for each row; `methods` has
the same scores as functions of whole trajectories, for notebooks. `plugin` has the hooks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wl_plugins.dynamics.watching import watch as watch

__all__ = ["watch"]


def __getattr__(name: str) -> Any:
    # Only who trains needs it: every `wl` command imports this package for its hooks.
    if name == "watch":
        from wl_plugins.dynamics.watching import watch

        return watch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has watch")
