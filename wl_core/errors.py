"""Every error that wl raises on purpose, in one tree.

    WlError
    ├── UsageError                     the call is wrong, the run is fine
    │   ├── SignalShapeError           values do not fit their ids (also a ValueError)
    │   ├── StaleSignalError           a value of this very step was asked for (also a LookupError)
    │   ├── UnknownNameError           no such signal, sample or column (also a LookupError)
    │   ├── FilterError                a filter expression cannot be read (also a ValueError)
    │   ├── ProjectionParkedError      a view was asked for that a plugin's error put out of service
    │   ├── DetachedRunError           a forked child tried to record
    │   └── RefusedError               the training was asked for what it cannot do
    ├── RunError                       a run directory cannot be used as asked
    │   ├── RunNotFoundError           nothing there (also a FileNotFoundError)
    │   ├── RunLockedError             another process is writing it
    │   ├── UnsupportedFormatError     made by a newer wl
    │   └── NetworkFileSystemError     LMDB cannot live there
    ├── PluginError                    a plugin does not keep the contract of a hook
    ├── MissingExtraError              an optional package is not installed (also an ImportError)
    └── StorageError                   the bytes on disk are not what they should be
        ├── DamagedFrameError          one frame fails its checksum or its shape
        ├── FrameTooLargeError         one step carries more than a frame may hold
        ├── LogWriteError              the disk refused (full, read-only, gone)
        └── ArrayNotStoredError        an event names an array not in the store (also a LookupError)

Each says what was expected, what was got and what to do. Errors that are also a builtin can be
caught as that builtin by code that does not know wl.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WlError(Exception):
    """Base of all errors of wl; catch it to catch everything that wl raises on purpose."""


class UsageError(WlError):
    """A call was made with arguments that cannot mean anything; nothing of it was recorded."""


class SignalShapeError(UsageError, ValueError):
    """The values of a signal do not fit: wrong length, rank or dtype, or ids that disagree."""


class StaleSignalError(UsageError, LookupError):
    """A signal's function demanded another signal's value of this step, and there is none yet."""


class UnknownNameError(UsageError, LookupError):
    """A signal, sample, column or view of that name does not exist; the nearest name is given."""


class FilterError(UsageError, ValueError):
    """A filter expression cannot be read.

    ``offset`` is the 0-based index of the first character that is wrong, so that a caller can
    draw a caret under it.
    """

    def __init__(self, message: str, expression: str, offset: int) -> None:
        super().__init__(f"{message}\n  {expression}\n  {' ' * offset}^")
        self.message = message
        self.expression = expression
        self.offset = offset


class ProjectionParkedError(UsageError):
    """A view was asked for whose projection failed; the message says where and how to go on."""


class DetachedRunError(UsageError):
    """A process forked from the recording one tried to record; only the parent may."""


class RefusedError(UsageError):
    """The training was asked for something that it cannot do; the message is recorded."""


class RunError(WlError):
    """A run directory cannot be used in the way that was asked for."""


class RunNotFoundError(RunError, FileNotFoundError):
    """There is no run at that path, or no run at all under that root."""


class RunLockedError(RunError):
    """A second training process tried to write a run; the message names the one that has it."""


class UnsupportedFormatError(RunError):
    """The run was written in a format newer than this wl reads; both versions are named."""


class NetworkFileSystemError(RunError):
    """The run directory lies on a network file system, where LMDB loses data."""


class PluginError(WlError):
    """A plugin does not keep the contract of a hook; it is reported, the others go on."""


class MissingExtraError(WlError, ImportError):
    """What was asked for needs a package that is not installed; the message names wl's extra."""


class StorageError(WlError):
    """The log or the array store on disk is not what it should be."""


class DamagedFrameError(StorageError):
    """A frame cannot be decoded; ``position`` and ``reason`` say which and why."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"the frame at position {position} is damaged: {reason}")
        self.position = position
        self.reason = reason


class FrameTooLargeError(StorageError):
    """One step carries more bytes than a frame may hold; record less in one step."""


class LogWriteError(StorageError):
    """The log could not be written (disk full, read-only, removed); recording has stopped."""


class ArrayNotStoredError(StorageError, LookupError):
    """An event names an array whose bytes are not in the store: collected, or never written."""


class TrainingStopped(SystemExit):
    """Raised by a guard after somebody asked the training to stop: it ends the script in order.

    A script that has something left to do (save the model, evaluate) catches it. It is not an
    error, so no ``except Exception`` holds it up and no traceback is printed.
    """

    def __init__(self) -> None:
        super().__init__(0)


class PluginFailedWarning(UserWarning):
    """Given once per plugin and hook that failed; ``wl plugins`` shows the traceback."""


class RecordingStoppedWarning(UserWarning):
    """Given once when the disk refuses: training goes on, nothing more is recorded."""


class CheckpointWarning(UserWarning):
    """Given when a model cannot be saved, or a saved one is damaged and the one before is tried."""


class MilestoneWarning(UserWarning):
    """Given when the disk refuses what `run.at` would go on from: going back then takes longer."""


class TailLeftWarning(UserWarning):
    """Given when a run is opened and the disk refuses what a killed training left in its tails.

    The run is read without its last steps; they are taken in when there is room again.
    """


class SignalFailedWarning(UserWarning):
    """Given once per signal whose function raised; the traceback is in the log."""


class SettingRefusedWarning(UserWarning):
    """Given when an edit that nobody waits for cannot be done: of the watched file, of the script's
    own mapping, or of a run that is continued. The values are as they were.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """A `` Did you mean 'x'?`` to append to a message, or the empty string when nothing is near."""
    close = closest(name, known)
    return "" if close is None else f" Did you mean {close!r}?"


def closest(name: str, known: Iterable[str]) -> str | None:
    """The nearest of the known names, None when none is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return close[0] if close else None
