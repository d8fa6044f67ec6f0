"""wl: a PyTorch training run that explains itself.

    import wl_core as wl

Everything public is below, and is imported when it is first used: reading a log needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wl_core.arrays import ArrayProxy as ArrayProxy
    from wl_core.checkpointing import Restored as Restored
    from wl_core.checkpointing import checkpoint as checkpoint
    from wl_core.checkpointing import model_age as model_age
    from wl_core.checkpointing import restore as restore
    from wl_core.control import pause as pause
    from wl_core.control import resume as resume
    from wl_core.control import start_training as start_training
    from wl_core.control import step as step
    from wl_core.control import stop as stop
    from wl_core.curation import discard_samples as discard_samples
    from wl_core.curation import get_discarded_samples as get_discarded_samples
    from wl_core.curation import get_samples_by_tag as get_samples_by_tag
    from wl_core.curation import redo as redo
    from wl_core.curation import register_categorical_tag as register_categorical_tag
    from wl_core.curation import set_categorical_tag as set_categorical_tag
    from wl_core.curation import tag_samples as tag_samples
    from wl_core.curation import undo as undo
    from wl_core.directory import find_run as find_run
    from wl_core.directory import list_runs as list_runs
    from wl_core.errors import CheckpointWarning as CheckpointWarning
    from wl_core.errors import RecordingStoppedWarning as RecordingStoppedWarning
    from wl_core.errors import SettingRefusedWarning as SettingRefusedWarning
    from wl_core.errors import SignalFailedWarning as SignalFailedWarning
    from wl_core.errors import SignalShapeError as SignalShapeError
    from wl_core.errors import StaleSignalError as StaleSignalError
    from wl_core.errors import TrainingStopped as TrainingStopped
    from wl_core.errors import WlError as WlError
    from wl_core.evaluation import eval_fn as eval_fn
    from wl_core.evaluation import evaluate as evaluate
    from wl_core.evaluation import run_pending_evaluation as run_pending_evaluation
    from wl_core.export import write_dataframe as write_dataframe
    from wl_core.export import write_history as write_history
    from wl_core.filters import Filter as Filter
    from wl_core.groups import save_group_signals as save_group_signals
    from wl_core.guards import guard_testing_context as guard_testing_context
    from wl_core.guards import guard_training_context as guard_training_context
    from wl_core.hookspecs import hookimpl as hookimpl
    from wl_core.joined import instances_with_samples as instances_with_samples
    from wl_core.model_signals import save_model_signals as save_model_signals
    from wl_core.model_signals import track_model_signals as track_model_signals
    from wl_core.query import query_instance_history as query_instance_history
    from wl_core.query import query_sample_history as query_sample_history
    from wl_core.query import query_signal_history as query_signal_history
    from wl_core.run import Run as Run
    from wl_core.run import open_run as open_run
    from wl_core.save import save_instance_signals as save_instance_signals
    from wl_core.save import save_signals as save_signals
    from wl_core.seeding import clear_all as clear_all
    from wl_core.seeding import seed_everything as seed_everything
    from wl_core.serving import keep_serving as keep_serving
    from wl_core.serving import serve as serve
    from wl_core.session import finish as finish
    from wl_core.session import start_run as start_run
    from wl_core.shape_classifiers import signal_classifier as signal_classifier
    from wl_core.shapes import LOSS_SHAPES as LOSS_SHAPES
    from wl_core.shapes import classify_loss_shape as classify_loss_shape
    from wl_core.shapes import trajectory_stats as trajectory_stats
    from wl_core.signal_context import BatchSignalContext as BatchSignalContext
    from wl_core.signal_context import SignalContext as SignalContext
    from wl_core.signals import signal as signal
    from wl_core.slice_finding import find_slices as find_slices
    from wl_core.slices import cross_tab as cross_tab
    from wl_core.slices import slice_by as slice_by
    from wl_core.static import compute_signals as compute_signals
    from wl_core.table import Table as Table
    from wl_core.undoing import Decision as Decision
    from wl_core.watch import watch_or_edit as watch_or_edit
    from wl_core.watch.hyperparameters import set_hyperparameters as set_hyperparameters

_WHERE = {
    "ArrayProxy": "arrays",
    "BatchSignalContext": "signal_context",
    "CheckpointWarning": "errors",
    "Decision": "undoing",
    "Filter": "filters",
    "LOSS_SHAPES": "shapes",
    "RecordingStoppedWarning": "errors",
    "Restored": "checkpointing",
    "Run": "run",
    "SignalContext": "signal_context",
    "SettingRefusedWarning": "errors",
    "SignalFailedWarning": "errors",
    "SignalShapeError": "errors",
    "StaleSignalError": "errors",
    "Table": "table",
    "TrainingStopped": "errors",
    "WlError": "errors",
    "checkpoint": "checkpointing",
    "classify_loss_shape": "shapes",
    "clear_all": "seeding",
    "compute_signals": "static",
    "cross_tab": "slices",
    "discard_samples": "curation",
    "eval_fn": "evaluation",
    "evaluate": "evaluation",
    "find_run": "directory",
    "find_slices": "slice_finding",
    "finish": "session",
    "get_discarded_samples": "curation",
    "get_samples_by_tag": "curation",
    "guard_testing_context": "guards",
    "guard_training_context": "guards",
    "hookimpl": "hookspecs",
    "instances_with_samples": "joined",
    "keep_serving": "serving",
    "list_runs": "directory",
    "model_age": "checkpointing",
    "open_run": "run",
    "pause": "control",
    "query_instance_history": "query",
    "query_sample_history": "query",
    "query_signal_history": "query",
    "restore": "checkpointing",
    "redo": "curation",
    "register_categorical_tag": "curation",
    "resume": "control",
    "run_pending_evaluation": "evaluation",
    "save_group_signals": "groups",
    "save_instance_signals": "save",
    "save_model_signals": "model_signals",
    "save_signals": "save",
    "seed_everything": "seeding",
    "serve": "serving",
    "set_hyperparameters": "watch.hyperparameters",
    "set_categorical_tag": "curation",
    "signal": "signals",
    "signal_classifier": "shape_classifiers",
    "slice_by": "slices",
    "start_run": "session",
    "start_training": "control",
    "step": "control",
    "stop": "control",
    "tag_samples": "curation",
    "track_model_signals": "model_signals",
    "trajectory_stats": "shapes",
    "undo": "curation",
    "watch_or_edit": "watch",
    "write_dataframe": "export",
    "write_history": "export",
}

__all__ = list(_WHERE)  # one list, not two that can drift


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"wl_core has no {name!r}; it has {', '.join(_WHERE)}")
    from importlib import import_module

    found = getattr(import_module(f"wl_core.{_WHERE[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(_WHERE)
