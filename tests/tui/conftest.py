"""Runs to show, and the application on one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.nuclei_run import NucleiRun
from tests.tui.screens import until_idle
from tui.app import WlApp
from tui.panes.samples import SamplesPane


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of runs, and what a person has set, is not the tester's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLORTERM", "truecolor")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a key, Pilot waits for what is to be done, not for a time."""
    monkeypatch.setattr("textual.app.wait_for_idle", until_idle)
    monkeypatch.setattr("textual.pilot.wait_for_idle", until_idle)


@pytest.fixture
def nuclei(tmp_path: Path) -> Iterator[NucleiRun]:
    """A training that has done three steps on the demo's tiles, and goes on when told."""
    run = NucleiRun(tmp_path / "nuclei")
    run.train(3)
    yield run
    run.close()


@pytest.fixture
def app(nuclei: NucleiRun) -> WlApp:
    """The application on that run, not started yet."""
    return WlApp(nuclei.path)


@pytest.fixture
def samples_app(nuclei: NucleiRun) -> WlApp:
    """With the samples alone: it starts in half the time, where other panes have no part in it."""
    return WlApp(nuclei.path, [SamplesPane])
