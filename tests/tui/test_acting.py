"""Finding rows and doing something about them: each test takes one application through a story."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.nuclei_run import NucleiRun
from tests.tui.screens import screen_line, screen_text, wait_for_text, wait_until
from tui.app import WlApp
from tui.panes.samples import SamplesPane
from wl_core.codec import Frame
from wl_core.requests import Request, requests_of
from wl_core.run import open_run
from wl_core.saved_filters import saved_filters

SMALL = (80, 24)


def requests(path: Path, kind: str) -> list[Request]:
    with open_run(path) as run:
        frames = [frame for frame in run.log.frames() if isinstance(frame, Frame)]
    return [one for frame in frames for one in requests_of(frame) if one.kind.name == kind]


def column(path: Path, name: str) -> dict[str, object]:
    """The filled cells of a column, by sample."""
    with open_run(path) as run:
        run.refresh()
        table = run.samples()
    cells = [
        (str(table.column("sample_id").cell(row)), table.column(name).cell(row))
        for row in range(len(table))
    ]
    return {one: cell for one, cell in cells if cell}


async def wait_until_said(pilot: Pilot[None], *parts: str) -> None:
    """Until notifications say all of these, however their lines are broken."""

    def said() -> bool:
        text = "\n".join(note.message for note in pilot.app._notifications)
        return all(part in text for part in parts)

    await wait_until(pilot, said, f"{parts}")


async def write(pilot: Pilot[None], text: str) -> None:
    """Type it at once, as a paste: a key at a time takes the application a while."""
    focused = pilot.app.focused
    assert isinstance(focused, Input)
    focused.post_message(events.Paste(text))
    await pilot.pause()


async def test_a_filter_is_completed_mended_counted_saved_and_recalled(  # noqa: PLR0915  # one story
    app: WlApp,
) -> None:
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await wait_for_text(pilot, "tile_00")
        pane = app.screen.query_one(SamplesPane)
        bar = pane.filter_bar

        # Completed: tab takes what is marked, the arrows mark, Enter takes what was chosen.
        await pilot.press("slash")
        await write(pilot, "bce/s")
        await wait_for_text(pilot, "▸train_bce/sample")
        await pilot.press("tab")
        assert bar.text == "train_bce/sample "
        await wait_for_text(pilot, "1 of 9")
        await pilot.press("escape")
        await wait_until(pilot, lambda: not bar.is_offering)
        assert bar.is_being_written

        # Counted while it is written, and in force at Enter.
        await write(pilot, "> 0.5")
        await wait_for_text(pilot, "matches 6 of 16")
        assert pane.table.row_count == 16
        await pilot.press("enter")
        await wait_for_text(pilot, "6 of 16 ·")
        assert pane.table.has_focus

        # Saved, and used by its name within another.
        await pilot.press("slash", "ctrl+s")
        await wait_for_text(pilot, "Save the filter train_bce/sample > 0.5")
        await write(pilot, "hard")
        await pilot.press("enter")
        await wait_until_said(pilot, "saved @hard")
        assert saved_filters() == {"hard": "train_bce/sample > 0.5"}
        await pilot.press("ctrl+u")
        await wait_until(pilot, lambda: pane.table.row_count == 16)
        await write(pilot, "@h")
        await wait_for_text(pilot, "▸@hard")
        await pilot.press("enter")
        await write(pilot, "and density == cr")
        await wait_for_text(pilot, "▸'crowded'")
        await pilot.press("enter", "enter")
        await wait_for_text(pilot, "3 of 16 ·")
        assert pane.command("RUN").startswith(
            """wl samples RUN --where '@hard and density == '"'"'crowded'"'"''"""
        )

        # Recalled from the empty line, the newest first.
        await pilot.press("slash", "ctrl+u", "up")
        await wait_until(pilot, lambda: bar.text == "@hard and density == 'crowded'")
        await pilot.press("up")
        await wait_until(pilot, lambda: bar.text == "train_bce/sample > 0.5")
        await pilot.press("down", "down")
        await wait_until(pilot, lambda: not bar.text)

        # What is wrong is told when one rests, with a caret, and mended by tab.
        await write(pilot, "density == ")
        await pilot.press("escape")
        await wait_until(pilot, lambda: not bar.is_offering)
        await write(pilot, "'crowded' and train_bce/sampl > 1")
        await wait_for_text(pilot, "there is no column", "(tab)")
        lines = screen_text(app).splitlines()
        typed = next(n for n, line in enumerate(lines) if "sampl > 1" in line)
        assert lines[typed + 1].index("^") == lines[typed].index("train_bce/sampl")
        await pilot.press("tab")
        await wait_until(pilot, lambda: "train_bce/sample > 1" in bar.text)
        await wait_for_text(pilot, "matches 0 of 16")

        # Escape goes back to what is in force; in an empty line it takes the filter off.
        await pilot.press("escape")
        await wait_until(pilot, lambda: pane.table.has_focus)
        assert (bar.text, pane.table.row_count) == ("", 16)


async def test_marked_rows_are_tagged_discarded_and_what_was_decided_is_undone(
    app: WlApp, nuclei: NucleiRun
) -> None:
    path = nuclei.path
    three = {"tile_00", "tile_01", "tile_02"}
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await wait_for_text(pilot, "● training", "tile_00")
        await pilot.press("m", "m", "m", "t")
        await wait_for_text(pilot, "Tag 3 samples")
        await write(pilot, "blurry")
        await wait_for_text(pilot, "Tag 3 samples: blurry (a new tag)")
        await pilot.press("enter")
        await wait_until_said(pilot, "tagged 3 samples: blurry")
        assert column(path, "tags") == dict.fromkeys(three, "blurry")

        # It is known from now on: two letters and Enter write it, a minus takes it off.
        await wait_until(pilot, lambda: "blurry" in str(app.news and app.news.samples.row(0)))
        await pilot.press("t")
        await write(pilot, "-bl")
        await wait_for_text(pilot, "▸-blurry")
        await pilot.press("tab")
        await wait_for_text(pilot, "Take blurry off 3 samples")
        await pilot.press("enter")
        await wait_until_said(pilot, "untagged 3 samples: blurry")
        assert column(path, "tags") == {}
        await pilot.press("u")
        await wait_until_said(pilot, "took back: untag blurry on tile_00, tile_01, tile_02")
        assert set(column(path, "tags")) == three

        # The screen shows it before the training has obeyed, and says when it has.
        await pilot.press("d")
        await wait_until(pilot, lambda: "✗" in screen_line(app, "tile_02"))
        await wait_until_said(pilot, "discarded 3 samples", "obeys at its next step")
        asked = requests(path, "discarded")[-1]
        nuclei.frame(("obeyed", asked.position, ""))
        await wait_until_said(pilot, "discarded 3 samples: obeyed at step 3, after")
        assert asked.field("who") == "tui"
        assert set(column(path, "discarded")) == three
        await pilot.press("u")
        await wait_until_said(pilot, "took back: discard tile_00")
        await wait_until(pilot, lambda: "✗" not in screen_line(app, "tile_02"))
        await pilot.press("ctrl+r")
        await wait_until_said(pilot, "counts again: discard tile_00")
        assert set(column(path, "discarded")) == three

        # A reason is kept; without a training it holds for the next.
        nuclei.finish()
        await wait_for_text(pilot, "✓ finished")
        await pilot.press("escape", "G", "D")
        await wait_for_text(pilot, "Discard test_loader / tile_15")
        await write(pilot, "too dark")
        await pilot.press("enter")
        await wait_until_said(pilot, "no training is running: it holds for the next")
        assert requests(path, "discarded")[-1].field("why") == "too dark"
        await pilot.press("u", "u", "u", "u")
        await wait_until_said(pilot, "there is nothing to undo")
        assert (column(path, "tags"), column(path, "discarded")) == ({}, {})


async def test_categorical_tags_are_completed_and_held_to_their_values(
    app: WlApp, nuclei: NucleiRun
) -> None:
    nuclei.frame(("category_registered", "weather", ("rainy", "dry"), "me", ""), phase="outside")
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("t")
        await write(pilot, "weather=")
        await wait_for_text(pilot, "weather=dry")
        await write(pilot, "rain ")
        await pilot.press("enter")
        await wait_for_text(pilot, "is not one of rainy, dry", "'rainy'?")
        await pilot.press("ctrl+u")
        await write(pilot, "rai")
        await wait_for_text(pilot, "▸weather=rainy")
        await pilot.press("tab")
        await wait_for_text(pilot, "weather is rainy on train_loader / tile_00")
        await pilot.press("enter")
        await wait_until_said(pilot, "tagged train_loader / tile_00: weather=rainy")
        assert column(nuclei.path, "weather") == {"tile_00": "rainy"}


async def test_rows_are_exported_as_shown_and_nothing_is_replaced_unasked(
    app: WlApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "hard.csv"
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("slash")
        await write(pilot, "train_bce/sample > 0.5")
        await pilot.press("enter")
        await wait_for_text(pilot, "6 of 16 ·")
        await pilot.press("x")
        await wait_for_text(pilot, "Export 6 rows to", "samples.csv")
        await pilot.press("ctrl+u")
        await write(pilot, "hard.xls")
        await pilot.press("enter")
        await wait_for_text(pilot, "hard.xls does not say its format")
        await pilot.press("ctrl+u")
        await write(pilot, "hard.csv")
        await pilot.press("enter")
        await wait_until_said(pilot, "6 rows in hard.csv", "wl export hard.csv --run")
        with file.open() as lines:
            rows = list(csv.DictReader(lines))
        assert [row["sample_id"] for row in rows] == [f"tile_{n:02d}" for n in range(6, 12)]
        table = app.screen.query_one(SamplesPane).table
        assert list(rows[0]) == [
            one.name for one in table.shown if app.news and one.name not in app.news.uncomputed
        ]

        # One that is there is replaced at the second Enter only; marked rows are those exported.
        before = file.read_bytes()
        await pilot.press("m", "x", "ctrl+u")
        await write(pilot, "hard.csv")
        await pilot.press("enter")
        await wait_for_text(pilot, "Export 1 marked row to", "enter again replaces it")
        assert file.read_bytes() == before
        await pilot.press("enter")
        await wait_until_said(pilot, "1 row in hard.csv")
        assert len(file.read_text().splitlines()) == 2

        await pilot.press("equals_sign")
        await wait_until_said(pilot, "wl samples")
        assert app.clipboard.endswith("--where 'train_bce/sample > 0.5'")


async def test_a_jump_goes_to_samples_rows_panes_columns_and_steps(app: WlApp) -> None:
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await wait_for_text(pilot, "tile_00")
        pane = app.screen.query_one(SamplesPane)

        async def jump(text: str) -> None:
            await pilot.press("colon")
            await write(pilot, text)
            await pilot.press("enter")
            await wait_until(pilot, lambda: "Jump to" not in screen_text(app))

        await jump("tile_14")
        await wait_until(pilot, lambda: str(pane.sample_at_cursor) == "test_loader / tile_14")
        await jump("train_loader/tile_03")
        await wait_until(pilot, lambda: str(pane.sample_at_cursor) == "train_loader / tile_03")
        await jump("#2")
        assert str(pane.sample_at_cursor) == "train_loader / tile_01"
        await jump("density")
        assert pane.table.column_under_cursor is not None
        assert pane.table.column_under_cursor.name == "density"
        await pilot.press("colon")
        await write(pilot, "curvs")
        await pilot.press("enter")
        await wait_for_text(pilot, "there is no pane, column or sample 'curvs'", "'Curves'")
        await pilot.press("ctrl+u")
        await write(pilot, "cur")
        await wait_for_text(pilot, "▸Curves")
        await pilot.press("enter", "enter")
        await wait_for_text(pilot, "▸4 Curves")
        await jump("step 1")
        await wait_until(pilot, lambda: app.news is not None and app.news.moment == 1)
        await jump("live")
        await wait_until(pilot, lambda: app.news is not None and app.news.moment is None)
        await pilot.press("colon")
        await write(pilot, "q")
        await pilot.press("enter")
        await wait_until(pilot, lambda: not app.is_running)


async def test_read_only_nothing_is_decided_and_no_file_is_written(nuclei: NucleiRun) -> None:
    app = WlApp(nuclei.path, read_only=True)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("d", "x")
        await wait_until_said(pilot, "nothing can be changed from here", "no file can be written")
        assert requests(nuclei.path, "discarded") == []
