"""Finds plugins, orders them, and keeps the failure of one from harming the others.

The built-in plugins are listed here by name and loaded like anybody else's: wl_core imports none
of them. Then come the installed ones, found by entry points of the group ``wl``. What a plugin may
implement is `wl_core.hookspecs`' business.

Order: hooks that collect (`Plugins.collect`, `Plugins.mapping`) put the built-ins' results first;
hooks where the first result wins (`Plugins.first`) ask installed plugins before built-ins, so that
a plugin can replace what is built in. ``tryfirst`` and ``trylast`` move an implementation within
its group.
"""

from __future__ import annotations

import functools
import importlib
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from wl_core import hookspecs
from wl_core.errors import PluginError, PluginFailedWarning, nearest
from wl_core.events import CATALOGUE, Catalogue
from wl_core.table import Table, TableColumn

if TYPE_CHECKING:
    from wl_core.projection import Projection
    from wl_core.run import Run

ENTRY_POINT_GROUP = "wl"
BUILTIN_PLUGINS = (
    "wl_plugins.sample_view",
    "wl_plugins.instance_view",
    "wl_plugins.curves",
    "wl_plugins.history",
    "wl_plugins.shapes",
    "wl_plugins.dynamics.plugin",
    "wl_plugins.hyperparameter_view",
    "wl_plugins.images",
    "wl_plugins.export",
    "wl_plugins.slices",
    "wl_plugins.demo.command",
    "tui.plugin",
)


@dataclass(frozen=True, slots=True)
class PluginFailure:
    """What went wrong in one plugin: ``where`` is a hook's name, ``"import"`` or ``"register"``."""

    plugin: str
    where: str
    error: str
    traceback: str

    def __str__(self) -> str:
        return f"plugin {self.plugin!r} failed in {self.where}: {self.error}"


@dataclass(frozen=True, slots=True)
class PluginState:
    """One line of ``wl plugins``.

    ``state`` is ``"ok"``, ``"degraded"`` (in use, but a hook raised or has an unknown name) or
    ``"failed"`` (could not be loaded). ``dist`` and ``version`` are those of the package that it
    came with. ``adds`` are the names of what each of its hooks gave when it was asked last; hooks
    that nobody has asked yet are not in it.
    """

    name: str
    dist: str
    version: str
    hooks: tuple[str, ...]
    state: Literal["ok", "degraded", "failed"]
    detail: str
    traceback: str
    adds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class _Plugin:
    """What is known of one plugin, from before its import on."""

    name: str
    dist: str
    version: str
    load: Callable[[], object]
    builtin: bool
    loaded: bool = False
    failures: list[PluginFailure] = field(default_factory=list)
    adds: dict[str, tuple[str, ...]] = field(default_factory=dict)


def warn_of_failure(failure: PluginFailure) -> None:
    """The default report: a warning, which whoever runs the training script sees."""
    warnings.warn(f"{failure} (see `wl plugins`)", PluginFailedWarning, stacklevel=3)


class Plugins:
    """The plugins of one process.

    Args:
        builtins: names of modules to load as built-in plugins.
        installed: whether plugins are looked for among the installed packages.
        report: called once per plugin and hook that fails.
    """

    def __init__(
        self,
        builtins: Iterable[str] = BUILTIN_PLUGINS,
        *,
        installed: bool = True,
        report: Callable[[PluginFailure], None] = warn_of_failure,
    ) -> None:
        self.report_failure = report
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._plugins: dict[str, _Plugin] = {}
        candidates = [_builtin(name) for name in builtins]
        if installed:
            candidates += _installed()
        for plugin in candidates:
            self._load(plugin)

    @contextmanager
    def reporting_to(self, report: Callable[[PluginFailure], None]) -> Iterator[None]:
        """Reports failures to somebody else for a while: a full screen has no room for warnings."""
        before, self.report_failure = self.report_failure, report
        try:
            yield
        finally:
            self.report_failure = before

    def register(self, plugin: object, name: str) -> None:
        """Adds an object whose methods, or a module whose functions, implement hooks."""
        self._load(_Plugin(name, "", "", lambda: plugin, builtin=False))

    def collect(self, hook: str, **arguments: Any) -> list[Any]:
        """What all implementations of a hook return, in one list, the built-ins' first.

        An implementation that raises, or that returns something other than a sequence, is
        reported and left out.
        """
        return [item for _, item in self.collect_named(hook, **arguments)]

    def collect_named(self, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
        """Like `collect`, each item with the name of the plugin that returned it."""
        found: list[tuple[str, Any]] = []
        for implementation in self._implementations(hook, installed_first=False):
            items = self._call(implementation, hook, arguments, Sequence) or ()
            self._plugins[implementation.plugin_name].adds[hook] = tuple(map(_name_of, items))
            found += [(implementation.plugin_name, item) for item in items]
        return found

    def mapping(self, hook: str, **arguments: Any) -> dict[str, Any]:
        """What all implementations return, in one dict; a name that is taken is reported."""
        found: dict[str, Any] = {}
        for implementation in self._implementations(hook, installed_first=False):
            items = self._call(implementation, hook, arguments, Mapping) or {}
            self._plugins[implementation.plugin_name].adds[hook] = tuple(map(str, items))
            for name, value in items.items():
                if name in found:
                    self.fail(implementation.plugin_name, hook, PluginError(f"{name!r} is taken"))
                else:
                    found[name] = value
        return found

    def first(self, hook: str, **arguments: Any) -> Any:
        """The first result that is not None, installed plugins asked before built-ins; or None."""
        for implementation in self._implementations(hook, installed_first=True):
            result = self._call(implementation, hook, arguments, object)
            if result is not None:
                return result
        return None

    def fail(self, plugin: str, where: str, error: BaseException) -> None:
        """Records that a plugin failed, and reports it when it is the first time there."""
        known = self._plugins[plugin].failures
        if any(failure.where == where for failure in known):
            return
        text = "".join(traceback.format_exception(error))
        line = traceback.format_exception_only(error)[-1].strip()
        failure = PluginFailure(plugin, where, line, text)
        known.append(failure)
        self.report_failure(failure)

    def report(self) -> list[PluginState]:
        """The state of every plugin, in the order in which they were loaded."""
        return [self._state(plugin) for plugin in self._plugins.values()]

    def _state(self, plugin: _Plugin) -> PluginState:
        callers = self._manager.get_hookcallers(self._manager.get_plugin(plugin.name)) or ()
        return PluginState(
            name=plugin.name,
            dist=plugin.dist,
            version=plugin.version,
            hooks=tuple(caller.name for caller in callers if caller.has_spec()),
            state="failed" if not plugin.loaded else "degraded" if plugin.failures else "ok",
            detail="; ".join(f"{failure.where}: {failure.error}" for failure in plugin.failures),
            traceback="\n".join(failure.traceback for failure in plugin.failures),
            adds=dict(plugin.adds),
        )

    def _load(self, plugin: _Plugin) -> None:
        if plugin.name in self._plugins:
            plugin.name = f"{plugin.name} ({plugin.dist or 'registered twice'})"
        self._plugins[plugin.name] = plugin
        where = "import"
        try:
            module = plugin.load()
            where = "register"
            self._manager.register(module, plugin.name)
            plugin.loaded = True
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code; reported
            if self._manager.has_plugin(plugin.name):
                self._manager.unregister(name=plugin.name)
            self.fail(plugin.name, where, error)
            return
        mistakes = list(_mistaken_hooks(self._manager, module))
        if mistakes:
            self.fail(plugin.name, "register", PluginError("; ".join(mistakes)))

    def _implementations(self, hook: str, *, installed_first: bool) -> list[pluggy.HookImpl]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        # pluggy lists them with those to be called first at the end; the sort is stable, so that
        # among equals they stand in the order in which they were loaded.
        return sorted(
            (one for one in caller.get_hookimpls() if not _is_wrapper(one)),
            key=lambda one: (
                self._plugins[one.plugin_name].builtin == installed_first,
                not one.tryfirst,
                one.trylast,
            ),
        )

    def _call(
        self,
        implementation: pluggy.HookImpl,
        hook: str,
        arguments: Mapping[str, Any],
        expected: type[Any],
    ) -> Any:
        """The result of one implementation, None where it failed."""
        try:
            result = implementation.function(*[arguments[n] for n in implementation.argnames])
            # A text is a sequence, of letters, which nobody means.
            wrong = not isinstance(result, expected) or (
                expected is Sequence and isinstance(result, str)
            )
            if result is not None and wrong:
                raise PluginError(
                    f"{hook} must return a {expected.__name__.lower()},"
                    f" but returned {type(result).__name__}"
                )
        except Exception as error:  # noqa: BLE001 - a stranger's code; reported
            self.fail(implementation.plugin_name, hook, error)
            return None
        return result


def _name_of(item: object) -> str:
    """What a pane, a projection, a column, a command or a signal is called."""
    for name in ("title", "name", "__name__"):
        if isinstance(found := getattr(item, name, None), str):
            return found
    return repr(item)


def _is_wrapper(implementation: pluggy.HookImpl) -> bool:
    return implementation.wrapper or implementation.hookwrapper


def _builtin(module: str) -> _Plugin:
    name = module.removeprefix("wl_plugins.").removesuffix(".plugin").removesuffix(".command")
    dist, version = _own_distribution()
    return _Plugin(
        name, dist, version, functools.partial(importlib.import_module, module), builtin=True
    )


@functools.cache
def _own_distribution() -> tuple[str, str]:
    """This package's name and version; empty when it runs from a tree that is not installed."""
    try:
        return "wl", metadata.version("wl")
    except metadata.PackageNotFoundError:
        return "wl", ""


def _installed() -> list[_Plugin]:
    """Plugins of installed packages, sorted by package and name so that the order is stable."""
    found = [
        _Plugin(point.name, point.dist.name, point.dist.version, point.load, builtin=False)
        for point in metadata.entry_points(group=ENTRY_POINT_GROUP)
        if point.dist is not None
    ]
    return sorted(found, key=lambda plugin: (plugin.dist, plugin.name))


def _mistaken_hooks(manager: pluggy.PluginManager, plugin: object) -> Iterator[str]:
    """Functions that look as if they were meant as hooks but will never be called."""
    known = [name for name in vars(hookspecs) if name.startswith("wl_")]
    for name in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, name)
        if options is None:
            if name in known and callable(getattr(plugin, name)):
                yield f"{name} is not marked: put @hookimpl (of wl_core.hookspecs) above it"
        elif (meant := options.get("specname") or name) not in known:
            yield f"there is no hook {meant!r}.{nearest(meant, known)}"
        elif options.get("wrapper") or options.get("hookwrapper"):
            yield f"{name} is a wrapper: implementations are called one by one, never wrapped"


@functools.cache
def load_plugins() -> Plugins:
    """The plugins of this process, loaded on the first call, their event kinds made known."""
    plugins = Plugins()
    add_event_kinds(plugins, CATALOGUE)
    return plugins


def add_event_kinds(plugins: Plugins, catalogue: Catalogue) -> None:
    """Adds the plugins' kinds of events; a name that is taken is the plugin's failure."""
    for name, kind in plugins.collect_named("wl_event_kinds"):
        try:
            catalogue.add(kind)
        except (AttributeError, ValueError) as error:
            plugins.fail(name, "wl_event_kinds", error)


def projections(plugins: Plugins) -> list[tuple[str, type[Projection]]]:
    """``(plugin, projection)`` of every view; a name that is taken is the plugin's failure."""
    from wl_core.projection import Projection

    found: dict[str, tuple[str, type[Projection]]] = {}
    for plugin, kind in plugins.collect_named("wl_projections"):
        if not (isinstance(kind, type) and issubclass(kind, Projection)):
            problem = f"{kind!r} is not a subclass of Projection"
        elif kind.name in found:
            problem = f"there is a view {kind.name!r} already, of plugin {found[kind.name][0]!r}"
        else:
            found[kind.name] = (plugin, kind)
            continue
        plugins.fail(plugin, "wl_projections", PluginError(problem))
    return list(found.values())


def with_columns(
    plugins: Plugins, run: Run, table: Table, hook: str = "wl_columns", **whose: Any
) -> Table:
    """The table with the columns of plugins; one that does not fit is the plugin's failure."""
    columns = {column.name: column for column in table}
    for plugin, column in plugins.collect_named(hook, run=run, table=table, **whose):
        if not isinstance(column, TableColumn):
            problem = f"{column!r} is not a TableColumn"
        elif len(column) != len(table) or (
            column.is_ready and len(column.values) != len(table)  # a lazy one stays so
        ):
            problem = f"{column.name!r} has {len(column)} rows, the table has {len(table)}"
        elif column.name in columns:
            problem = f"there is a column {column.name!r} already"
        else:
            columns[column.name] = column
            continue
        plugins.fail(plugin, hook, PluginError(problem))
    return Table(tuple(columns.values()))


def plugin_report() -> list[PluginState]:
    """The state of every plugin of this process."""
    return load_plugins().report()
