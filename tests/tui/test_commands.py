"""What is decided in the TUI, as the run has it afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import wl_core as wl
from tests.core.cli_runs import write_run
from tests.core.watched_runs import events, sample
from tests.tui.nuclei_run import NucleiRun
from tui import commands
from tui.instance_table import load_rows
from tui.lazy import LazyColumns
from tui.sample_table import RowKey, sample_rows
from wl_core.decide import Decider, by_origin

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


def test_rows_chosen_together_are_those_chosen_one_by_one(nuclei: NucleiRun) -> None:
    nuclei.frame(("exposed", "odd", [7, "7", "x", -3]))
    with wl.open_run(nuclei.path) as run:
        run.refresh()
        for rows in (sample_rows(run), load_rows(run, None, LazyColumns()).rows):
            picked = np.arange(len(rows.ids))[::-3]
            singly = by_origin(
                (row.origin, row.sample_id, row.annotation_id or 0)
                for row in map(rows.row_key, picked.tolist())
            )
            assert sorted(rows.chosen(picked), key=repr) == sorted(singly, key=repr)
