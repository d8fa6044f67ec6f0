"""Plugins: how they are found, ordered, and kept from harming each other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wl_core.errors import PluginFailedWarning
from wl_core.events import BUILTIN_KINDS, Catalogue, Field, Kind
from wl_core.hookspecs import hookimpl
from wl_core.plugins import (
    BUILTIN_PLUGINS,
    PluginFailure,
    Plugins,
    PluginState,
    add_event_kinds,
)

WEATHER = """
from wl_core.hookspecs import hookimpl

@hookimpl
def wl_classify_trajectories(signal, trajectories):
    return "rainy" if signal == "rain" else None

@hookimpl
def wl_export_formats():
    return {"weather": print}
"""


def install(folder: Path, dist: str, modules: dict[str, str], entry_points: dict[str, str]) -> None:
    """Writes what ``pip install --target folder`` of such a package leaves there."""
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)
    info = folder / f"{dist.replace('-', '_')}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.2\n")
    lines = [f"{name} = {target}" for name, target in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[wl]", *lines, ""]))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on ``sys.path`` into which packages can be installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def plugin(**hooks: Any) -> SimpleNamespace:
    """A plugin object with these functions, marked as hooks."""
    return SimpleNamespace(**{name: hookimpl(function) for name, function in hooks.items()})


def quiet(*, installed: bool = False) -> tuple[Plugins, list[PluginFailure]]:
    failures: list[PluginFailure] = []
    return Plugins(builtins=(), installed=installed, report=failures.append), failures


def state(plugins: Plugins, name: str) -> PluginState:
    return next(one for one in plugins.report() if one.name == name)


def raises(*_: Any) -> Any:
    raise ValueError("out of luck")


def test_a_strangers_installed_plugin_is_found_and_asked(site: Path) -> None:
    install(site, "wl-weather", {"wl_weather": WEATHER}, {"weather": "wl_weather"})
    plugins, failures = quiet(installed=True)
    arguments = {"trajectories": np.zeros(2)}
    assert plugins.first("wl_classify_trajectories", signal="rain", **arguments) == "rainy"
    assert plugins.first("wl_classify_trajectories", signal="loss", **arguments) is None
    found = state(plugins, "weather")
    assert (found.dist, found.version, found.state) == ("wl-weather", "1.2", "ok")
    assert set(found.hooks) == {"wl_classify_trajectories", "wl_export_formats"}
    assert failures == []


def test_a_plugin_that_raises_on_import_is_reported_and_the_others_go_on(site: Path) -> None:
    broken = {"wl_broken": "raise RuntimeError('no licence')"}
    install(site, "wl-broken", broken, {"broken": "wl_broken"})
    install(site, "wl-weather", {"wl_weather2": WEATHER}, {"weather": "wl_weather2"})
    plugins, failures = quiet(installed=True)
    assert state(plugins, "weather").state == "ok"
    found = state(plugins, "broken")
    assert found.state == "failed"
    assert found.hooks == ()
    assert "no licence" in found.detail
    assert "wl_broken.py" in found.traceback
    assert [(one.plugin, one.where) for one in failures] == [("broken", "import")]


def test_an_entry_point_that_names_nothing_is_reported(site: Path) -> None:
    install(site, "wl-gone", {}, {"gone": "wl_no_such_module"})
    plugins, _ = quiet(installed=True)
    assert "ModuleNotFoundError" in state(plugins, "gone").detail


def test_a_plugin_that_exits_on_import_does_not_end_the_process(site: Path) -> None:
    install(site, "wl-exits", {"wl_exits": "raise SystemExit(3)"}, {"exits": "wl_exits"})
    plugins, _ = quiet(installed=True)
    assert state(plugins, "exits").state == "failed"


def test_a_hook_that_raises_is_reported_once_and_the_others_go_on() -> None:
    plugins, failures = quiet()
    plugins.register(plugin(wl_signals=raises), "unlucky")
    plugins.register(plugin(wl_signals=lambda: [len]), "lucky")
    assert plugins.collect("wl_signals") == [len]
    assert plugins.collect("wl_signals") == [len]
    assert [(one.plugin, one.where) for one in failures] == [("unlucky", "wl_signals")]
    assert "ValueError: out of luck" in str(failures[0])
    found = state(plugins, "unlucky")
    assert found.state == "degraded"
    assert "in raises" in found.traceback


def test_a_failure_is_a_warning_by_default() -> None:
    plugins = Plugins(builtins=(), installed=False)
    plugins.register(plugin(wl_signals=raises), "unlucky")
    with pytest.warns(PluginFailedWarning, match=r"'unlucky' failed in wl_signals.*out of luck"):
        plugins.collect("wl_signals")


def test_an_unknown_hook_is_reported_with_the_nearest_name() -> None:
    plugins, failures = quiet()
    plugins.register(plugin(wl_colums=raises, wl_signals=lambda: [len]), "typo")
    assert failures[0].error.endswith("there is no hook 'wl_colums'. Did you mean 'wl_columns'?")
    assert state(plugins, "typo").state == "degraded"
    assert plugins.collect("wl_signals") == [len], "the rest of the plugin works"


def test_a_hook_that_lacks_its_marker_is_reported() -> None:
    plugins, failures = quiet()
    plugins.register(SimpleNamespace(wl_signals=list), "unmarked")
    assert "put @hookimpl" in failures[0].error


def test_a_hook_wrapper_is_reported_and_not_called() -> None:
    plugins, failures = quiet()
    wrapper = hookimpl(wrapper=True)(lambda: (yield))
    plugins.register(SimpleNamespace(wl_signals=wrapper), "wrapper")
    assert "never wrapped" in failures[0].error
    assert plugins.collect("wl_signals") == []


def test_a_hook_with_an_argument_that_does_not_exist_fails_to_register() -> None:
    plugins, _ = quiet()
    plugins.register(plugin(wl_columns=lambda run, tabel: []), "misspelt")
    found = state(plugins, "misspelt")
    assert found.state == "failed"
    assert "tabel" in found.detail


@pytest.mark.parametrize("result", [3, "csv", {"a": 1}, iter(())])
def test_a_hook_that_returns_no_sequence_is_reported(result: object) -> None:
    plugins, failures = quiet()
    plugins.register(plugin(wl_signals=lambda: result), "wrong")
    assert plugins.collect("wl_signals") == []
    assert f"must return a sequence, but returned {type(result).__name__}" in failures[0].error


def test_none_is_no_result() -> None:
    plugins, failures = quiet()
    plugins.register(plugin(wl_signals=lambda: None, wl_watch_flags=lambda: None), "shy")
    assert plugins.collect("wl_signals") == []
    assert plugins.mapping("wl_watch_flags") == {}
    assert failures == []


def test_the_second_plugin_with_a_name_does_not_get_it() -> None:
    plugins, failures = quiet()
    plugins.register(plugin(wl_export_formats=lambda: {"csv": len}), "first")
    plugins.register(plugin(wl_export_formats=lambda: {"csv": max, "tsv": min}), "second")
    assert plugins.mapping("wl_export_formats") == {"csv": len, "tsv": min}
    assert [(one.plugin, one.error) for one in failures] == [
        ("second", "wl_core.errors.PluginError: 'csv' is taken")
    ]


def test_installed_plugins_answer_before_built_ins_and_are_listed_after_them(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
from wl_core.hookspecs import hookimpl
@hookimpl
def wl_classify_trajectories():
    return __name__
@hookimpl
def wl_signals():
    return [__name__]
"""
    (site / "wl_builtin.py").write_text(source)
    install(site, "wl-b", {"wl_b": source}, {"b": "wl_b"})
    install(site, "wl-a", {"wl_a": source}, {"a": "wl_a"})
    plugins = Plugins(builtins=["wl_builtin"])
    assert plugins.first("wl_classify_trajectories", signal="", trajectories=[]) == "wl_a"
    assert plugins.collect("wl_signals") == ["wl_builtin", "wl_a", "wl_b"]


def test_tryfirst_moves_a_plugin_to_the_front() -> None:
    plugins, _ = quiet()
    plugins.register(plugin(wl_signals=lambda: [1]), "one")
    plugins.register(SimpleNamespace(wl_signals=hookimpl(trylast=True)(lambda: [3])), "three")
    plugins.register(plugin(wl_signals=lambda: [2]), "two")
    plugins.register(SimpleNamespace(wl_signals=hookimpl(tryfirst=True)(lambda: [0])), "zero")
    assert plugins.collect("wl_signals") == [0, 1, 2, 3]


def test_two_plugins_of_one_name_are_both_loaded() -> None:
    plugins, _ = quiet()
    plugins.register(plugin(wl_signals=lambda: [1]), "twin")
    plugins.register(plugin(wl_signals=lambda: [2]), "twin")
    assert plugins.collect("wl_signals") == [1, 2]
    assert len({one.name for one in plugins.report()}) == 2


def test_event_kinds_of_plugins_reach_the_catalogue_and_clashes_are_reported() -> None:
    plugins, failures = quiet()
    kind = Kind("weather_measured", "It rains.", (Field("amount", "float"),))
    plugins.register(plugin(wl_event_kinds=lambda: [kind]), "weather")
    plugins.register(plugin(wl_event_kinds=lambda: [Kind("values", "Mine.")]), "thief")
    plugins.register(plugin(wl_event_kinds=lambda: ["rain"]), "confused")
    catalogue = Catalogue(BUILTIN_KINDS)
    add_event_kinds(plugins, catalogue)
    assert catalogue.get("weather_measured") == kind
    assert [one.plugin for one in failures] == ["thief", "confused"]


def test_a_missing_built_in_is_a_reported_failure_and_no_crash() -> None:
    failures: list[PluginFailure] = []
    plugins = Plugins(["wl_plugins.no_such"], installed=False, report=failures.append)
    assert state(plugins, "no_such").state == "failed"
    assert state(plugins, "no_such").dist == "wl"
    assert [one.where for one in failures] == ["import"]


def test_every_built_in_loads() -> None:
    plugins = Plugins(installed=False)
    states = plugins.report()
    assert [one.name for one in states if one.state != "ok"] == []
    assert len(states) == len(BUILTIN_PLUGINS)
    assert all(one.hooks for one in states)


def test_loading_plugins_imports_neither_torch_nor_textual() -> None:
    code = (
        "import sys, json; from wl_core.plugins import load_plugins; load_plugins();"
        "print(json.dumps([m for m in ('torch', 'textual', 'pyarrow') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
