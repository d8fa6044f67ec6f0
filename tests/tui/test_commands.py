"""What is decided in the TUI, as the run has it afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

import wl_core as wl
from tests.core.cli_runs import write_run
from tests.core.watched_runs import events, sample
from tui import commands
from tui.sample_table import RowKey
from wl_core.decide import Decider

S1 = [RowKey("train_loader", "s1")]


@pytest.fixture
def run(tmp_path: Path) -> wl.Run:
    write_run(tmp_path / "run")
    return wl.open_run(tmp_path / "run")


def test_a_registered_name_with_a_value_is_a_categorical_tag(run: wl.Run) -> None:
    with run:
        Decider.of_run(run, "me").register("weather", ["rainy", "dry"])
        commands.set_tag(run, S1, "weather=rainy", add=True)
        commands.set_tag(run, S1, "a=b", add=True)
        run.refresh()
        assert (sample(run, "s1")["weather"], sample(run, "s1")["tags"]) == ("rainy", "a=b")
        commands.set_tag(run, S1, "weather=rainy", add=False)
        run.refresh()
        assert "weather" not in sample(run, "s1")
        with pytest.raises(wl.WlError, match="Did you mean 'rainy'"):
            commands.set_tag(run, S1, "weather=rain", add=True)


def test_it_is_recorded_that_the_tui_decided(run: wl.Run) -> None:
    with run:
        commands.switch_discarded(run, [RowKey("train_loader", "s1", 2)])
        assert events(run, "discarded")[-1]["who"] == "tui"
        assert Decider.of_run(run, "me").undo()[1][0].what == (
            "discard instance 2 of s1 (train_loader)"
        )
