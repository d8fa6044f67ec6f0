"""A device that computes on the CPU, is late as a GPU is, and counts who waits for it.

Its tensors say that they lie on ``meta``, the one device that torch has everywhere. A copy to the
host with ``non_blocking=True`` holds garbage until the device has come that far: until somebody
waits for an event that was recorded behind it, or the test lets it `FakeDevice.catch_up`. Whatever
reads a value on the host before that has to wait, which is counted in `FakeDevice.waits`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

_NAME = "meta"
_READS = {
    torch.ops.aten._local_scalar_dense.default,  # item(), float(), bool()
    torch.ops.aten.nonzero.default,
    torch.ops.aten.equal.default,
    torch.ops.aten.masked_select.default,
}


class FakeTensor(torch.Tensor):
    """A tensor of the device; ``host`` is where its values really are."""

    host: torch.Tensor
    device_of: FakeDevice

    @staticmethod
    def __new__(cls, host: torch.Tensor, device: FakeDevice) -> FakeTensor:
        made: FakeTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            host.shape,
            strides=host.stride(),
            dtype=host.dtype,
            device=torch.device(_NAME),
            requires_grad=False,
        )
        made.host, made.device_of = host, device
        return made

    @classmethod
    def __torch_dispatch__(cls, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _device_of(args).run(op, args, kwargs or {})

    def numpy(self, *, force: bool = False) -> Any:
        self.device_of.wait("numpy")
        return self.host.detach().numpy()

    def tolist(self) -> Any:
        self.device_of.wait("tolist")
        return self.host.tolist()

    def __repr__(self, **_: Any) -> str:  # torch's own would read the values
        return f"FakeTensor({list(self.shape)})"


def _device_of(args: Any) -> FakeDevice:
    found: list[FakeDevice] = []
    tree_map_only(FakeTensor, lambda one: found.append(one.device_of), args)
    return found[0]


class FakeDevice:
    """What was asked of it and not done yet, in order; and ``waits``, by whom it was waited for."""

    def __init__(self) -> None:
        self.waits: list[str] = []
        self.copies = 0  # to the host, without waiting
        self._queue: list[Callable[[], Any]] = []
        self._done = 0  # of all that was ever in the queue

    def tensor(self, values: Any) -> Any:
        """The values on this device."""
        return FakeTensor(torch.as_tensor(values).detach().clone(), self)

    def module(self, made: torch.nn.Module) -> torch.nn.Module:
        """The module with its parameters on this device."""
        for part in made.modules():
            for name, one in list(part._parameters.items()):
                if one is not None:
                    on_device = torch.nn.Parameter(self.tensor(one), one.requires_grad)
                    part._parameters[name] = on_device
        return made

    @property
    def asked(self) -> int:
        return self._done + len(self._queue)

    def catch_up(self, to: int | None = None) -> None:
        """The device does what it was asked, all or the first ``to`` of it."""
        count = len(self._queue) if to is None else max(0, to - self._done)
        done, self._queue = self._queue[:count], self._queue[count:]
        self._done += len(done)
        for job in done:
            job()

    def wait(self, who: str) -> None:
        self.waits.append(who)
        self.catch_up()

    def run(self, op: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if op in _READS:
            self.wait(str(op))
        if op is torch.ops.aten._to_copy.default:
            return self._copy(args[0], kwargs)
        args, kwargs = _inner(args), {k: v for k, v in _inner(kwargs).items() if k != "device"}
        return tree_map_only(torch.Tensor, lambda one: FakeTensor(one, self), op(*args, **kwargs))

    def _copy(self, tensor: Any, kwargs: dict[str, Any]) -> Any:
        to, waits = kwargs.pop("device", None), not kwargs.pop("non_blocking", False)
        if not isinstance(tensor, FakeTensor):  # from the host, which waits unless told otherwise
            if waits:
                self.wait("copy to the device")
            return FakeTensor(torch.ops.aten._to_copy.default(tensor, **kwargs), self)
        copied = torch.ops.aten._to_copy.default(tensor.host, **kwargs)
        if to is None or to.type == _NAME:
            return FakeTensor(copied, self)
        if waits:
            self.wait("copy to the host")
            return copied
        late = torch.full_like(copied, 77)  # which is seen if somebody reads it early
        self._queue.append(functools.partial(late.copy_, copied))
        self.copies += 1
        return late


def _inner(given: Any) -> Any:
    return tree_map_only(FakeTensor, lambda one: one.host, given)


class _Uses(TorchDispatchMode):
    """Brings to the device what only its arguments say belongs there: copies, new tensors."""

    def __init__(self, device: FakeDevice) -> None:
        super().__init__()
        self._device = device

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        asked = kwargs.get("device")
        here = asked is not None and torch.device(asked).type == _NAME
        if here or any(issubclass(one, FakeTensor) for one in types):
            return self._device.run(op, args, dict(kwargs))
        return op(*args, **kwargs)


def _event_of(device: FakeDevice) -> type:
    class Event:
        def record(self, _: Any = None) -> None:
            self.behind = device.asked

        def query(self) -> bool:
            return device._done >= self.behind

        def synchronize(self) -> None:
            if not self.query():
                device.waits.append("event")
                device.catch_up(self.behind)

    return Event


@contextmanager
def fake_device() -> Iterator[FakeDevice]:
    """A device for as long as the context lasts."""
    from wl_core import deferred

    device = FakeDevice()
    module = ModuleType(_NAME)
    module.Event = _event_of(device)  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, _NAME, module, raising=False)
        deferred._has_events.cache_clear()
        try:
            with _Uses(device):
                yield device
        finally:
            deferred._has_events.cache_clear()
