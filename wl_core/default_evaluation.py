"""What an evaluation does when the script registered no `eval_fn`.

The watched model is called with the inputs of each batch, and the watched criterions with what it
gives and the targets. Which criterions those are, the script's own use of them tells.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from wl_core.errors import RefusedError
from wl_core.values import is_nested
from wl_core.watch.items import DATA_KEYS, TARGET_KEYS, first_of
from wl_core.watch.known import watched_criterions

if TYPE_CHECKING:
    from wl_core.evaluation import EvaluationBatches
    from wl_core.session import Session
    from wl_core.watch.criterion import Watch

_INSTEAD = "register a function that evaluates as your script does: @wl.eval_fn"


def default_evaluation(running: Session, origin: str) -> Callable[[EvaluationBatches], None]:
    """The evaluation of the watched model by the watched criterions on the data of ``origin``.

    Raises:
        RefusedError: not exactly one model is watched, or no criterion is for such data.
    """
    if len(running.models) != 1:
        count = len(running.models) or "no"
        raise RefusedError(
            f"expected one watched model to evaluate, got {count} (flag='model'): {_INSTEAD}"
        )
    [model] = running.models.values()
    criterions = _criterions(running, origin)

    def evaluate(batches: EvaluationBatches) -> None:
        used = [(watch, _private(criterion)) for watch, criterion in criterions]
        device = _device_of(model)
        for batch in batches:
            inputs, targets = _inputs_and_targets(batch)
            outputs = model(_moved(inputs, device))
            targets = _moved(targets, device)
            for watch, criterion in used:
                _score(watch, criterion, outputs, targets, batches.batch_ids)
        _conclude(running, used)

    return evaluate


def _criterions(running: Session, origin: str) -> list[tuple[Watch, Any]]:
    """Those that were called with data of that origin; else those that were with no other."""
    known = [
        (watch, criterion)
        for watch, criterion in watched_criterions()
        if watch.role in ("loss", "metric")
    ]
    used = [_origins_of(running, watch) for watch, _ in known]
    found = [one for one, origins in zip(known, used, strict=True) if origin in origins]
    found = found or [one for one, origins in zip(known, used, strict=True) if not origins]
    if not found:
        raise RefusedError(
            f"no watched criterion was called with data of {origin!r} yet, and all were with other"
            f" data: {_INSTEAD}"
        )
    return found


def _origins_of(running: Session, watch: Watch) -> set[str]:
    """A metric that remembers is called under a name of its own, see `wrapping`."""
    names = (watch.name, f"{watch.name}/batch")
    return {origin for name in names for origin in running.measured.get(name, ())}


def _private(criterion: Any) -> Any:
    """A metric that remembers what it has seen must not see this; others are used as they are."""
    if not _remembers(criterion):
        return criterion
    copied = copy.deepcopy(criterion)
    copied.reset()
    return copied


def _remembers(criterion: Any) -> bool:
    return all(callable(getattr(criterion, name, None)) for name in ("compute", "update", "reset"))


def _conclude(running: Session, used: list[tuple[Watch, Any]]) -> None:
    """A metric that remembers tells what it makes of all batches."""
    telling = [one for watch, one in used if watch.level == "step" and _remembers(one)]
    if telling:
        running.enter("test")
        for criterion in telling:
            criterion.compute()
        running.leave(None)


def _score(watch: Watch, criterion: Any, outputs: Any, targets: Any, ids: list[Any]) -> None:
    where: dict[str, Any] = {}
    if watch.level == "instance" and is_nested(targets):
        counts = [len(instances) for instances in targets]
        where["batch_idx"] = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    criterion(outputs, targets, batch_ids=ids, **where)


def _inputs_and_targets(batch: Any) -> tuple[Any, Any]:
    """``(x, y)``, ``(x, ids, y)``, ``(x, ids, y, metadata)`` or a dict, as `items` names its keys.

    Raises:
        RefusedError: it is none of these.
    """
    if isinstance(batch, dict):
        inputs, targets = first_of(batch, DATA_KEYS), first_of(batch, TARGET_KEYS)
        if inputs is not None and targets is not None:
            return inputs, targets
    elif isinstance(batch, (tuple, list)) and 2 <= len(batch) <= 4:
        return batch[0], batch[1 if len(batch) == 2 else 2]
    got = f"a dict of {', '.join(map(str, batch))}" if isinstance(batch, dict) else None
    raise RefusedError(
        f"expected batches like (x, y), (x, ids, y) or a dict with 'image' and 'target', got"
        f" {got or type(batch).__name__}: {_INSTEAD}"
    )


def _device_of(model: Any) -> torch.device | None:
    first = next(iter(model.parameters()), None)
    return None if first is None else first.device


def _moved(value: Any, device: torch.device | None) -> Any:
    """The same on the model's device, whatever the tensors are held in."""
    if device is None:
        return value
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_moved(item, device) for item in value)
    return value
