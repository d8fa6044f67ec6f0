"""``flag="model"``: the run remembers what is trained; the model itself is left as it is."""

from __future__ import annotations

from typing import Any

from wl_core.errors import UsageError
from wl_core.session import session


def watch_model(obj: Any, *, name: str = "model") -> Any:
    """Records the class, size and device of a model, and returns the very same model.

    Args:
        obj: an ``nn.Module``, compiled or not.
        name: what to call it, for scripts with several.

    Raises:
        UsageError: it has no parameters.
    """
    from torch.nn.parameter import is_lazy

    if not callable(getattr(obj, "parameters", None)):
        raise UsageError(f"flag='model': expected an nn.Module, got {type(obj).__name__}")
    parameters = list(obj.parameters())
    sized = [one for one in parameters if not is_lazy(one)]  # a lazy one has no shape yet
    detail = {
        "class": type(obj).__qualname__,
        "parameters": sum(one.numel() for one in sized),
        "trainable": sum(one.numel() for one in sized if one.requires_grad),
        "devices": sorted({str(one.device) for one in parameters}),
    }
    running = session()
    running.models[name] = obj
    running.recorder.add("object_described", "model", name, detail)
    return obj
