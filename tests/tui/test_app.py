"""The application on a real run: what a person sees and does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from textual import events

from tests.tui.nuclei_run import NucleiRun
from tests.tui.screens import screen_line, screen_text, wait_for_text, wait_until
from tui.app import WlApp
from tui.panes.instances import InstancesPane
from tui.panes.picture import PicturePane
from tui.panes.samples import SamplesPane
from tui.screens.detail import DetailScreen
from tui.screens.help import HelpScreen
from tui.widgets.image import GROUND_TRUTH, PREDICTION, OverlayImage
from tui.widgets.instance_layer import INSTANCE
from tui.widgets.plot import CurvePlot
from tui.widgets.status_line import StatusLine
from wl_core.row_order import SortKey
from wl_core.run import open_run
from wl_core.table import Table

SMALL, WIDE = (80, 24), (200, 60)


def samples(path: Path) -> Table:
    """The samples as another process sees them."""
    with open_run(path) as run:
        run.refresh()
        return run.samples()


def cell(path: Path, sample_id: str, column: str) -> object:
    table = samples(path)
    rows = [row for row in range(len(table)) if table.column("sample_id").cell(row) == sample_id]
    return table.column(column).cell(rows[0])


async def test_80_by_24_shows_one_pane_and_the_keys_to_the_others(app: WlApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "tile_00", "train_bce/sample", "d Discard")
        text = screen_text(app)
        assert "▸1 Samples" in text
        assert "5 Events" in text
        for key in ("s Sort", "/ Filter", "d Discard", "p Pause", "? Help", "q Quit"):
            assert key in text.splitlines()[-1]
        assert len(text.splitlines()) == 24
        await pilot.press("5")
        await wait_for_text(pilot, "▸5 Events", "train_bce/sample  train_loader  12 values")
        assert "tile_00" not in screen_text(app)


async def test_a_wide_terminal_shows_all_panes_and_follows_a_resize(app: WlApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await wait_for_text(
            pilot,
            "1 Samples",
            "2 Instances  12 of",
            "3 Image",
            "4 Curves",
            "5 Events",
            "P prediction",
        )
        await pilot.resize_terminal(*SMALL)
        await wait_until(pilot, lambda: "1 Samples" in screen_text(app).splitlines()[1])
        assert "P prediction" not in screen_text(app)
        await pilot.resize_terminal(*WIDE)
        await wait_for_text(pilot, "P prediction", "12 values")


async def test_what_the_training_does_arrives_without_a_key(app: WlApp, nuclei: NucleiRun) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "● training", "step 3")
        nuclei.train(4)
        await wait_for_text(pilot, "step 7")


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda run: run.finish(), "✓ finished"),
        (lambda run: run.finish("failed", "CUDA out of memory"), "✗ failed"),
        (lambda run: run.die(), "! crashed"),
        (lambda run: run.frame(("paused", "", ""), phase="outside"), "‖ paused"),
        (
            lambda run: run.frame(
                ("evaluation_started", "test_loader", "hard", 40, -1),
                ("evaluation_progressed", 7),
                phase="outside",
            ),
            "◆ evaluating",
        ),
    ],
)
async def test_states_are_told_apart_in_words_and_shape(
    samples_app: WlApp, nuclei: NucleiRun, end, said: str
) -> None:  # type: ignore[no-untyped-def]
    end(nuclei)
    async with samples_app.run_test(size=(140, 24)) as pilot:
        await wait_for_text(pilot, said)


async def test_a_terminal_that_lost_the_focus_looks_seldom_until_it_has_it_again(
    samples_app: WlApp,
) -> None:
    async with samples_app.run_test(size=SMALL) as pilot:
        samples_app.post_message(events.AppBlur())
        await wait_until(pilot, lambda: not samples_app.follower.is_attentive)
        samples_app.post_message(events.AppFocus())
        await wait_until(pilot, lambda: samples_app.follower.is_attentive)


async def test_sorting_keeps_its_order_and_says_how_old_it_is(
    samples_app: WlApp, nuclei: NucleiRun
) -> None:
    async with samples_app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("s")
        await wait_until(pilot, lambda: "tile_11" in screen_text(samples_app).splitlines()[4])
        nuclei.train(5)
        await wait_for_text(pilot, "order 5 steps old: r re-sorts")
        await pilot.press("r")
        await wait_until(pilot, lambda: "steps old" not in screen_text(samples_app))


async def test_a_filter_is_the_cli_s_and_a_wrong_one_gets_a_caret(samples_app: WlApp) -> None:
    async with samples_app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("slash", *"train_bce/sampl > 0.5", "enter")
        await wait_for_text(pilot, "there is no column 'train_bce/sampl'", "Did you mean")
        lines = screen_text(samples_app).splitlines()
        typed = next(n for n, line in enumerate(lines) if "sampl > 0.5" in line)
        assert lines[typed + 1].index("^") == lines[typed].index("train_bce/sampl")
        await pilot.press("backspace" * 1, *["backspace"] * 5, *"e > 0.5", "enter")
        await wait_for_text(pilot, "6 of 16")
        assert "tile_11" in screen_text(samples_app)
        assert "tile_00" not in screen_text(samples_app)
        assert samples_app.screen.query_one(SamplesPane).table.has_focus
        await pilot.press("slash", "ctrl+u", "escape")
        await wait_for_text(pilot, "tile_00")


async def test_a_filter_that_is_no_expression_points_at_the_place(samples_app: WlApp) -> None:
    async with samples_app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("slash", *"density == ", "enter")
        await wait_for_text(pilot, "^")
        assert samples_app.screen.query_one(SamplesPane).table.row_count == 16


async def test_the_image_shows_what_was_stored_of_the_chosen_sample(app: WlApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await wait_for_text(pilot, "train_loader / tile_00", "P prediction", "G ground truth")
        image = app.screen.query_one(PicturePane).image
        names = [overlay.name for overlay in image.overlays]
        assert names == [PREDICTION, GROUND_TRUTH]
        assert image.rgb is not None
        assert image.rgb.shape == (128, 128, 3)
        await pilot.press("down")
        await wait_for_text(pilot, "of train_loader / tile_01")
        await pilot.press("3", "v")
        assert image.hidden == {PREDICTION}


async def test_an_instance_is_pointed_out_once_somebody_looks_at_instances(app: WlApp) -> None:
    async with app.run_test(size=WIDE) as pilot:
        await wait_for_text(pilot, "2 Instances  12 of")
        await pilot.press("2", "j", "j")
        await wait_for_text(pilot, "I instance")
        assert app.screen.query_one(InstancesPane).annotation_id == 3
        overlay = app.screen.query_one(PicturePane).image.overlays[-1]
        assert overlay.name == INSTANCE
        assert set(overlay.labels.ravel()) == {0, 1}


async def test_a_sample_without_files_says_what_is_missing(tmp_path: Path) -> None:
    writer = NucleiRun(tmp_path / "run")
    writer.frame(("exposed", "train_loader", ["lost_00"]))
    app = WlApp(writer.path)
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "lost_00")
        await pilot.press("3")
        await wait_for_text(pilot, "no image")
    writer.close()


async def test_curves_are_chosen_from_a_list(app: WlApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("4", "c")
        await wait_for_text(pilot, "[x] train_dice/sample")
        await pilot.press("x", "space", "enter")
        await wait_for_text(pilot, "1 of 3")
        plot = app.screen.query_one(CurvePlot)
        assert [one.name for one in plot.series] == ["train_bce/instance"]
        await pilot.press("c", "a", "escape")
        await wait_for_text(pilot, "1 of 3")


async def test_discarding_goes_through_the_log_and_back(
    samples_app: WlApp, nuclei: NucleiRun
) -> None:
    async with samples_app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("down", "d")
        await wait_until(pilot, lambda: "✗" in screen_line(samples_app, "tile_01"))
        assert cell(nuclei.path, "tile_01", "discarded") is True
        await pilot.press("d")
        await wait_until(pilot, lambda: "✗" not in screen_line(samples_app, "tile_01"))
        assert cell(nuclei.path, "tile_01", "discarded") is False


async def test_one_instance_can_be_discarded(app: WlApp, nuclei: NucleiRun) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("2")
        await wait_for_text(pilot, "12 of train_loader / tile_00")
        await pilot.press("j", "d")
        await wait_for_text(pilot, "✗")
        with open_run(nuclei.path) as run:
            discarded = run.instances("tile_00", "train_loader").column("discarded")
            assert discarded.values.tolist() == [False, True, *[False] * 10]


async def test_a_tag_is_put_on_and_taken_off(samples_app: WlApp, nuclei: NucleiRun) -> None:
    async with samples_app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("t", *"blurry", "enter")
        await wait_until(pilot, lambda: cell(nuclei.path, "tile_00", "tags") == "blurry")
        await pilot.press("t", *"-blurry", "enter")
        await wait_until(pilot, lambda: not cell(nuclei.path, "tile_00", "tags"))


async def test_p_asks_for_a_pause_and_then_for_going_on(
    samples_app: WlApp, nuclei: NucleiRun
) -> None:
    def kinds() -> list[str]:
        with open_run(nuclei.path) as run:
            return [event[0] for frame in run.log.frames() for event in frame.events]

    async with samples_app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "● training", "tile_00")
        await pilot.press("p")
        await wait_until(pilot, lambda: "pause_requested" in kinds())
        nuclei.frame(("paused", "", ""), phase="outside")
        await wait_for_text(pilot, "‖ paused")
        await pilot.press("space")
        await wait_until(pilot, lambda: "resume_requested" in kinds())


async def test_a_finished_run_is_not_asked_to_pause(samples_app: WlApp, nuclei: NucleiRun) -> None:
    nuclei.finish()
    async with samples_app.run_test(size=SMALL, notifications=True) as pilot:
        await wait_for_text(pilot, "✓ finished")
        await pilot.press("p")
        await wait_for_text(pilot, "the run is finished: nothing to")


async def test_enter_opens_the_sample_and_escape_goes_back(app: WlApp) -> None:
    async with app.run_test(size=(120, 36)) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("down", "enter")
        await wait_for_text(pilot, "train_loader / tile_01", "over its steps", "density")
        assert isinstance(app.screen, DetailScreen)
        await wait_for_text(pilot, "█▄▁")
        await pilot.press("n")
        await wait_for_text(pilot, "I instance 1 of")
        await pilot.press("escape")
        await wait_for_text(pilot, "1 Samples")


async def test_lists_are_shown_filtered_and_sorted(app: WlApp, nuclei: NucleiRun) -> None:
    ids = nuclei.train_ids[:4]
    nuclei.frame(("labels", "classes", "train_loader", ids, ((1, 3), (), ("cat",), (3, 0.5))))
    async with app.run_test(size=WIDE) as pilot:
        await wait_for_text(pilot, "tile_00", "classes")
        await pilot.press("slash", *"classes contains 3", "enter")
        await wait_for_text(pilot, "2 of 16", "[1, 3]", "[3, 0.5]")
        table = app.screen.query_one(SamplesPane).table
        table.sort_by(SortKey("classes", descending=True))
        await wait_for_text(pilot, "3 Image  train_loader / tile_03")  # the first row's
        await pilot.press("enter")
        await wait_for_text(pilot, "over its steps")
        assert "[3, 0.5]" in screen_line(app, "classes")


async def test_help_lists_the_keys_that_work_here(app: WlApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "tile_00")
        await pilot.press("question_mark")
        await wait_for_text(pilot, "Row down", "Sort by this column too")
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("escape")
        assert not isinstance(app.screen, HelpScreen)


async def test_new_samples_do_not_move_the_row_under_the_cursor(
    samples_app: WlApp, nuclei: NucleiRun
) -> None:
    async with samples_app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "tile_15")
        await pilot.press("G")
        nuclei.frame(("exposed", "train_loader", ["tile_02b", "aaa_00"]))
        await wait_for_text(pilot, "aaa_00")
        pane = samples_app.screen.query_one(SamplesPane)
        assert pane.sample_at_cursor is not None
        assert pane.sample_at_cursor.sample_id == "tile_15"
        assert "▸" in screen_line(samples_app, "tile_15")


async def test_ids_that_look_alike_stay_two_samples(tmp_path: Path) -> None:
    writer = NucleiRun(tmp_path / "run", train=["tile_00"])
    writer.frame(("exposed", "odd", [1, "1"]))
    app = WlApp(writer.path)
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "odd")
        pane = app.screen.query_one(SamplesPane)
        seen = []
        for _ in range(pane.table.row_count):
            seen.append(pane.sample_at_cursor)
            await pilot.press("down")
        assert {(key.sample_id, type(key.sample_id)) for key in seen if key.origin == "odd"} == {
            (1, int),
            ("1", str),
        }
    writer.close()


async def test_a_run_directory_that_is_deleted_is_said_and_survived(
    app: WlApp, nuclei: NucleiRun
) -> None:
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await wait_for_text(pilot, "tile_00")
        shutil.rmtree(nuclei.path)
        await wait_for_text(pilot, "run directory deleted")
        await pilot.press("down", "2", "3", "4", "5", "1", "d")
        await wait_for_text(pilot, "the run was deleted")
        assert app.is_running
        assert not nuclei.path.exists()


async def test_a_run_that_cannot_be_opened_is_told_with_its_traceback(tmp_path: Path) -> None:
    app = WlApp(tmp_path / "nothing")
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "RunNotFoundError: there is no run at", "Traceback")
        await pilot.press("escape")
        await wait_for_text(pilot, "stopped following: RunNotFoundError")
        await pilot.press("q")


async def test_without_colour_overlays_are_letters(
    app: WlApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    plain = WlApp(app.path)
    async with plain.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "tile_00")
        assert "▸" in screen_line(plain, "tile_00")
        await pilot.press("3")
        await wait_for_text(pilot, "BBBB", "P prediction")
        await pilot.press("m")
        image = plain.screen.query_one(OverlayImage)
        assert image.hidden == {PREDICTION}
        assert "□ P prediction" in screen_text(plain)
        await pilot.press("4")
        await wait_for_text(pilot, "a train_bce/sample")


async def test_news_that_comes_while_the_app_is_taken_down_finds_no_screen(
    app: WlApp, nuclei: NucleiRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def unmounted(status: StatusLine) -> None:
        seen.append(len(app.run_screens))

    monkeypatch.setattr(StatusLine, "on_unmount", unmounted, raising=False)
    async with app.run_test(size=SMALL) as pilot:
        await wait_for_text(pilot, "tile_00")
        assert len(app.run_screens) == 1
    assert seen == [0]
