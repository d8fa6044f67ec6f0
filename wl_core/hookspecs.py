"""Every hook that a plugin may implement, and nothing else.

A plugin is a module (or any object) with functions that bear these names and the `hookimpl`
marker. It is found by an entry point of the group ``wl``:

    [project.entry-points.wl]
    weather = "wl_weather.plugin"

An implementation takes any subset of the arguments named here, by name. Hooks are called when
something is opened, registered or shown, never per event: do the slow part in what you return.
Import torch, Textual and the like inside your functions: every plugin is imported by every ``wl``
command. How plugins are found, ordered and kept from harming each other is `wl_core.plugins`'
business; docs/reference/hooks.md has a complete example of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

if TYPE_CHECKING:
    import click
    import numpy as np
    import numpy.typing as npt

    from wl_core.events import Kind
    from wl_core.projection import Projection
    from wl_core.run import Run
    from wl_core.shapes import Shapes
    from wl_core.table import Table, TableColumn
    from wl_core.trajectories import Trajectories

PROJECT = "wl"
hookimpl = pluggy.HookimplMarker(PROJECT)

Hook = TypeVar("Hook", bound=Callable[..., Any])
_marker = pluggy.HookspecMarker(PROJECT)


def _spec(function: Hook) -> Hook:
    """Every implementation is asked."""
    return _marker(function)


def _first_result(function: Hook) -> Hook:
    """Implementations are asked in turn until one returns something other than None."""
    return _marker(firstresult=True)(function)


@_spec
def wl_projections() -> Sequence[type[Projection]]:
    """Views that the log is folded into.

    Called once per process, before the first run is opened.

    Returns:
        Subclasses of `wl_core.projection.Projection`. Each is made once per run, is given the
        kinds of events that it declares, and is shown by ``run.view(name)``. The name must not be
        taken: a second projection of one name is reported and left out.
    """
    raise NotImplementedError


@_spec
def wl_event_kinds() -> Sequence[Kind]:
    """Kinds of events beyond those that wl records itself.

    Called once per process, when plugins are loaded, so that logs that hold such events can be
    decoded.

    Returns:
        `wl_core.events.Kind` values. Begin their names with your plugin's (``weather_measured``).
        They are in logs for ever: to change the fields, raise the version and give an upcaster.
    """
    raise NotImplementedError


@_spec
def wl_signals() -> Sequence[Callable[..., Any]]:
    """Signals that ship with the plugin.

    Called once, when a process begins to record a run.

    Returns:
        Functions ``(ctx: SignalContext) -> float`` decorated with ``@wl.signal(name=…)``: static
        ones are computed by ``wl.compute_signals``, dynamic ones (``subscribe_to=…``) when the
        signal that they subscribe to is logged. Decorate them inside this hook, so that they
        exist for those who record and for nobody else.
    """
    raise NotImplementedError


@_spec
def wl_watch_flags() -> Mapping[str, Callable[..., Any]]:
    """What ``watch_or_edit(obj, flag=…)`` understands beyond the built-in flags.

    Called when ``watch_or_edit`` meets a flag that is not built in.

    Returns:
        ``{flag: handler}``. ``handler(obj, **kwargs)`` gets the object and the keyword arguments
        of ``watch_or_edit`` other than ``flag``, and returns what the user shall use from then on
        in the place of ``obj``: it must behave exactly as ``obj`` does.
    """
    raise NotImplementedError


@_first_result
def wl_load_image(run: Run, origin: str, sample_id: int | str) -> npt.NDArray[np.uint8] | None:
    """The raw image of one sample, read from the data set's own files.

    Called by ``run.image(origin, sample_id)``, for each sample that somebody looks at. What the
    data set told of the sample is in ``run.samples()``: a ``path`` column, as a rule.

    Args:
        run: the run, open for reading.
        origin: the loader's name, such as ``"train_loader"``.
        sample_id: the data set's own id.

    Returns:
        uint8 ``[H, W]`` (grey) or ``[H, W, 3]`` (RGB), or None to leave it to the next plugin.
    """
    raise NotImplementedError


@_first_result
def wl_classify_trajectories(signal: str, trajectories: Trajectories) -> Shapes | None:
    """The shapes of the ways that a signal's values took through training, one word for each.

    Called when shapes are looked at: for all samples or instances that got values since the last
    time, or for the few that are looked at. A function of one trajectory's values, registered with
    `wl.signal_classifier`, comes before all plugins.

    Args:
        signal: the signal's name.
        trajectories: ``R`` of them, ragged, each in the order of the log; may hold NaN and inf.

    Returns:
        `wl_core.shapes.Shapes` of the ``R`` trajectories: labels of your own, and which one each
        has, -1 for none; ``Shapes.by(function, trajectories)`` asks a function of the values of one
        trajectory at a time. None to leave the signal to the next plugin.
    """
    raise NotImplementedError


@_spec
def wl_columns(run: Run, table: Table) -> Sequence[TableColumn]:
    """Columns to show beside those of the samples.

    Called whenever ``run.samples()`` builds its table.

    Args:
        run: the run, open for reading.
        table: the ``n`` samples as they are shown without plugins: origin, sample_id, metadata,
            signals.

    Returns:
        `wl_core.table.TableColumn` values of length ``n``, in the rows' order. Users filter and
        sort by them. A name that the table has already is reported and left out.
    """
    raise NotImplementedError


@_spec
def wl_instance_columns(
    run: Run, table: Table, origin: str | None, sample_id: int | str | None
) -> Sequence[TableColumn]:
    """Columns to show beside those of the instances.

    Called whenever ``run.instances()`` builds its table: of all instances, of those of one origin
    or of those of one sample.

    Args:
        run: the run, open for reading.
        table: the ``n`` instances as they are shown without plugins: origin, sample_id,
            annotation_id, signals. Which rows of the view ``instances`` they are, its
            ``table_rows(origin, sample_id)`` says.
        origin: whose instances they are; None for those of all origins.
        sample_id: whose instances they are; None for those of all samples.

    Returns:
        `wl_core.table.TableColumn` values of length ``n``, in the rows' order. Users filter and
        sort by them. A name that the table has already is reported and left out.
    """
    raise NotImplementedError


@_spec
def wl_cli_commands() -> Sequence[click.Command]:
    """Commands for the ``wl`` command line.

    Called once, when ``wl`` starts, so import what they need inside them.

    Returns:
        click commands or groups; ``wl NAME`` runs the one whose name is NAME. A name that is taken
        is reported and left out. Raise `wl_core.errors.WlError` for what the user can mend: it is
        printed as one line and ends with exit status 1.
    """
    raise NotImplementedError


@_spec
def wl_tui_panes() -> Sequence[type[Any]]:
    """Panes for ``wl tui``.

    Called once, when the TUI starts.

    Returns:
        Subclasses of ``tui.pane.Pane``, a Textual widget that is told when the run has new events
        and which sample is chosen.
    """
    raise NotImplementedError


@_spec
def wl_tui_commands() -> Mapping[str, Callable[[Any], Any]]:
    """Commands for the palette of ``wl tui`` (ctrl+p).

    Called each time that the palette is opened.

    Returns:
        ``{title: action}``; the first line of an action's docstring is shown below its title.
        ``action(app)`` is called on the event loop with the ``tui.app.WlApp``, and may be a
        coroutine function: ``await app.ask(job)`` reads the run as it is shown, ``await
        app.tell(job)`` says something to it. A title that is taken is reported and left out.
    """
    raise NotImplementedError


@_spec
def wl_export_formats() -> Mapping[str, Callable[[Iterator[Table], Path], None]]:
    """File formats that samples, instances and histories can be written in.

    Called when something is exported.

    Returns:
        ``{format: exporter}``, the format named as its file ending is (``"csv"``).
        ``exporter(tables, path)`` writes all rows of all ``tables``, one table after the other, to
        the file ``path``. There is at least one table, which may have no rows, and all have the
        same columns; they come in parts because a history may be larger than memory, so keep none.
        ``path`` is a file that wl puts in its place once the exporter has returned: it may raise
        half-way. A format that is taken is reported and left out.
    """
    raise NotImplementedError
