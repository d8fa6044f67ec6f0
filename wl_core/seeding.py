"""Random numbers that come again, and a process that begins anew: for tests and notebooks."""

from __future__ import annotations

import os
import random

import numpy as np

from wl_core.errors import UsageError
from wl_core.session import current_session, finish

_NUMPY_SEEDS = 2**32


def seed_everything(seed: int, deterministic: bool = False) -> int:
    """Seeds ``random``, numpy's global generator and torch's of the CPU and of every accelerator.

    Workers of a ``DataLoader`` need nothing besides: torch draws their seeds from its own generator
    and seeds ``random``, numpy and torch in each of them, so that no two draw alike; a
    ``worker_init_fn`` that seeds them all with one number would undo that. Generators that were
    made before (``numpy.random.default_rng``, ``torch.Generator``) keep their state. The order of
    sets of texts depends on ``PYTHONHASHSEED``, which Python reads when it starts and not later:
    set it in the shell.

    While a run is being recorded, the seed becomes its hyperparameter ``seed``.

    Args:
        seed: 0 … 2³² - 1, which is what numpy takes.
        deterministic: let torch use algorithms that give the same bits every time, and raise
            where it has none (``torch.use_deterministic_algorithms``); cuDNN chooses none by
            trying. Slower. cuBLAS needs ``CUBLAS_WORKSPACE_CONFIG``, which is set here if nobody
            has: call this before the first work on a GPU.

    Returns:
        The seed.

    Raises:
        UsageError: it is out of range, or no integer.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise UsageError(f"a seed must be an integer, not {seed!r}")
    if not 0 <= seed < _NUMPY_SEEDS:
        raise UsageError(f"a seed must lie within 0 … {_NUMPY_SEEDS - 1}, got {seed}")
    seed = int(seed)
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        torch.use_deterministic_algorithms(True)
    running = current_session()
    if running is not None:
        running.recorder.add("hyperparameters", {"seed": seed}, "script", "seed_everything")
    return seed


def clear_all() -> None:
    """Ends the run, and forgets what was registered and watched: this process begins anew.

    Gone are the signals of ``@wl.signal``, the functions of ``@wl.signal_classifier`` and
    ``@wl.eval_fn``, what is watched, and the hooks of `track_model_signals`. Objects that are
    watched record into the next run, as they do after `finish`. Random numbers and torch's settings
    stay as they are. Calling it twice, or without a run, is fine.
    """
    from wl_core.evaluation import forget_eval_fn
    from wl_core.model_signals import forget_model_signals
    from wl_core.shape_classifiers import registry as classifiers
    from wl_core.signals import registry
    from wl_core.watch.known import forget_criterions

    try:
        finish()
    finally:  # also where a strict signal of the last step raises
        registry.clear()
        classifiers.clear()
        forget_eval_fn()
        forget_model_signals()
        forget_criterions()
