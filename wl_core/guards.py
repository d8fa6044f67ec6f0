"""The guards of a training script: what happens within one is one frame of the log.

    with guard_training_context:            # one step: the frame is safe when the guard is left
        ...
    with guard_testing_context, torch.no_grad():
        ...

The step clock is the number of training guards exited, which is the age of the model. A guard may
be entered again within itself; a testing guard within a training guard has a frame of its own.
"""

from __future__ import annotations

from types import TracebackType
from typing import Literal, final

from wl_core.session import current_session, session


@final
class Guard:
    """A context manager that may be used any number of times; its instances are below."""

    __slots__ = ("phase",)

    def __init__(self, phase: Literal["train", "test"]) -> None:
        self.phase = phase

    def __enter__(self) -> Guard:
        session().enter(self.phase)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        running = current_session()
        if running is None:
            return  # the run was finished within the guard, or this is a forked child
        try:
            running.leave(error)
        except Exception as failure:
            if error is None:
                raise
            # The caller's own exception is never replaced by one of ours.
            error.add_note(f"wl could not record this step: {type(failure).__name__}: {failure}")

    def __repr__(self) -> str:
        return f"<the guard of the {self.phase} phase>"


guard_training_context = Guard("train")
guard_testing_context = Guard("test")
