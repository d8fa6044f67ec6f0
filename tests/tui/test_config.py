"""What a person sets for every run in ``tui.toml``, and that the application goes by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tui.nuclei_run import NucleiRun
from tests.tui.screens import screen_text, wait_for_text
from tui.app import WlApp
from tui.config import Config, config_file, load_config
from wl_core.errors import UsageError

SETTINGS = """
theme = "wl-light"
mouse = false

[keys]
"run.pause" = "f5"
"table.sort" = "f2,f3"
"""


def written(text: str) -> Path:
    file = config_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


async def test_other_keys_work_and_are_told_of_in_place_of_the_first_ones(
    nuclei: NucleiRun,
) -> None:
    config = load_config(written(SETTINGS))
    assert not config.mouse
    app = WlApp(nuclei.path, config=config)
    async with app.run_test(size=(110, 100), notifications=True) as pilot:
        assert app.theme == "wl-light"
        await wait_for_text(pilot, "tile_00", "f5 Pause")
        await pilot.press("p", "s")
        assert "p Pause" not in screen_text(app)
        assert "sorted by" not in screen_text(app)
        await pilot.press("f3")
        await wait_for_text(pilot, "sorted by train_bce/sample")
        await pilot.press("question_mark")
        await wait_for_text(pilot, "f2 f3  Sort")
        await pilot.press("escape", "7")
        await wait_for_text(pilot, "f5  Pause", "n  Do some steps")
        await pilot.press("f5")
        await wait_for_text(pilot, "asked the training to pause")


def test_nothing_has_to_be_set(tmp_path: Path) -> None:
    assert load_config(tmp_path / "none.toml") == Config()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("theme =", "cannot be read"),
        ('colours = "dark"', "there is no setting 'colours'"),
        ("mouse = 1", "mouse is 1: expected a bool"),
        ("[keys]\n'run.pause' = 5", "the keys of 'run.pause' are no text"),
    ],
)
def test_what_cannot_be_set_is_said_with_the_file(text: str, said: str) -> None:
    file = written(text)
    with pytest.raises(UsageError, match=said) as told:
        load_config(file)
    assert str(file) in str(told.value)


def test_a_theme_that_there_is_not_is_refused_with_the_nearest(nuclei: NucleiRun) -> None:
    with pytest.raises(UsageError, match="Did you mean 'wl-light'"):
        WlApp(nuclei.path, config=Config(theme="wl-lihgt"))
