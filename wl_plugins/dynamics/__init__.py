"""Training dynamics: what a sample's way through training says of its label.

    from wl_plugins import dynamics

    with wl.guard_training_context:
        logits = model(images)
        dynamics.watch(logits, labels, batch_ids=ids)

`watch` measures (`measures`: the formulas on logits) and records; the view ``dynamics``
(`dynamics_view`) folds what was recorded into one score of each method for each row; `methods` has
the same scores as functions of whole trajectories, for notebooks.
"""

from wl_plugins.dynamics.dynamics_view import DynamicsView
from wl_plugins.dynamics.watching import watch

__all__ = ["DynamicsView", "watch"]
