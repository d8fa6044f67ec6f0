"""What an evaluation must leave as it was: modes, buffers, gradients' mode, random numbers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from wl_core.watch.known import watched_criterions

if TYPE_CHECKING:
    from wl_core.session import Session


@contextmanager
def undisturbed(running: Session) -> Iterator[None]:
    """Evaluates within: watched models and criterions are in eval mode, no gradients are recorded.

    Afterwards every submodule is in the mode that it was in, buffers (the statistics of a
    BatchNorm, say) hold what they held, and torch (on every device), numpy and random draw the
    numbers that they would have drawn.
    """
    watched = [*running.models.values(), *(one for _, one in watched_criterions())]
    modules = [one for one in watched if isinstance(one, nn.Module)]
    with ExitStack() as kept:
        kept.enter_context(random_state_kept())
        for module in modules:
            kept.enter_context(_module_kept(module))
        kept.enter_context(torch.no_grad())
        for module in modules:
            module.eval()
        yield


@contextmanager
def _module_kept(module: nn.Module) -> Iterator[None]:
    modes = [(one, one.training) for one in module.modules()]
    buffers = [(one, one.detach().clone()) for one in module.buffers() if not is_lazy(one)]
    try:
        yield
    finally:
        for one, mode in modes:
            one.training = mode
        with torch.no_grad():
            for buffer, before in buffers:
                # A buffer that was not touched must not seem so: a graph may still need it.
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Whatever is drawn within, the generators of torch, numpy and random are as before it."""
    own, of_numpy, of_torch = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_devices: list[Any] = []
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        on_devices = torch.cuda.get_rng_state_all()
    try:
        yield
    finally:
        random.setstate(own)
        np.random.set_state(of_numpy)
        torch.set_rng_state(of_torch)
        if on_devices:
            torch.cuda.set_rng_state_all(on_devices)
