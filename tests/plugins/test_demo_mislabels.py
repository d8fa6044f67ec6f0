"""The mislabel demo: its data, its wrong labels, and that it finds them."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from rich.text import Text

import wl_core as wl
from wl_plugins.demo.digits import digit_id, flipped, image_metadata, place_of, read_digits
from wl_plugins.demo.mislabels import LabelledImages, SmallCNN, train
from wl_plugins.demo.ranking import precision_at, roc_auc
from wl_plugins.demo.suspects import drawn_image, labelled_samples, print_suspects

WL = [sys.executable, "-c", "from wl_core.cli import main; main()"]
EPOCHS = 3


# -- the data --------------------------------------------------------------------------------------


def test_the_shipped_digits_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    theirs, ours = datasets.load_digits(), read_digits()
    assert np.array_equal(ours.images, theirs.images)
    assert np.array_equal(ours.labels, theirs.target)


def test_there_are_1797_digits_of_ten_classes():
    digits = read_digits()
    assert digits.images.shape == (1797, 8, 8)
    assert (digits.images.min(), digits.images.max()) == (0, 16)
    assert np.bincount(digits.labels).min() == 174


def test_an_id_leads_back_to_its_digit():
    assert [place_of(digit_id(number)) for number in (0, 42, 1796)] == [0, 42, 1796]


@pytest.mark.parametrize("noise", [0.0, 0.2, 0.4, 1.0])
@pytest.mark.parametrize("confusion", ["symmetric", "pair"])
def test_exactly_the_share_of_the_labels_is_flipped(noise, confusion):
    labels = read_digits().labels
    given = flipped(labels, noise, 0, confusion)
    assert (given != labels).sum() == round(noise * len(labels))
    assert set(given.tolist()) <= set(range(10))


def test_symmetric_noise_takes_all_other_classes_alike_and_pair_noise_one():
    labels = np.zeros(9000, np.int64)
    counts = np.bincount(flipped(labels, 1.0, 0), minlength=10)
    assert counts[0] == 0
    assert counts[1:].min() > 850
    assert np.bincount(flipped(labels, 1.0, 0, "pair")).tolist() == [0, 9000]


def test_the_flips_are_those_of_the_seed_and_leave_the_truth_alone():
    labels = read_digits().labels
    truth = labels.copy()
    assert np.array_equal(flipped(labels, 0.2, 1), flipped(labels, 0.2, 1))
    assert not np.array_equal(flipped(labels, 0.2, 1), flipped(labels, 0.2, 2))
    assert np.array_equal(labels, truth)


def test_a_share_beyond_one_is_refused():
    with pytest.raises(ValueError, match="got 20"):
        flipped(read_digits().labels, 20, 0)


# -- how well a score ranks ------------------------------------------------------------------------


def test_the_area_under_the_curve_is_that_of_all_pairs():
    random = np.random.default_rng(0)
    for _ in range(20):
        scores = random.integers(0, 6, 40).astype(float)
        wanted = random.random(40) < 0.3
        wanted[:2] = True, False
        pairs = itertools.product(scores[wanted], scores[~wanted])
        expected = np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs])
        assert roc_auc(scores, wanted) == pytest.approx(expected)


def test_infinite_scores_have_a_rank_and_one_kind_alone_has_no_area():
    assert roc_auc(np.array([np.inf, 1.0, -np.inf]), np.array([True, False, False])) == 1
    assert np.isnan(roc_auc(np.arange(3.0), np.ones(3, np.bool_)))


def test_precision_counts_the_highest_scores_and_shares_a_tie_at_the_border():
    scores = np.array([5.0, 4.0, 3.0, 3.0, 1.0])
    wanted = np.array([True, False, True, False, True])
    assert precision_at(scores, wanted, 1) == 1
    assert precision_at(scores, wanted, 2) == 0.5
    assert precision_at(scores, wanted, 3) == pytest.approx((1 + 0 + 0.5) / 3)
    assert precision_at(scores, wanted, 5) == pytest.approx(3 / 5)
    assert np.isnan(precision_at(scores, wanted, 0))


# -- the training ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The command's output and its run's path."""
    root = tmp_path_factory.mktemp("mislabels")
    done = subprocess.run(
        [*WL, "demo", "--mislabels", "--headless", "--epochs", str(EPOCHS), "--root", root],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = wl.list_runs(root)
    return done.stdout, path


@pytest.fixture
def run(demo):
    with wl.open_run(demo[1]) as opened:
        yield opened


def test_every_digit_was_seen_once_in_each_epoch(run):
    table = run.samples()
    assert len(table) == 1797
    assert set(table.column("times_seen").values.tolist()) == {EPOCHS}
    assert run.status().state == "finished"


def test_a_fifth_of_the_labels_is_wrong_and_the_run_does_not_know_which(run):
    samples, truth = labelled_samples(run), flipped(read_digits().labels, 0.2, 0)
    places = [place_of(one) for one in samples.ids]
    assert np.array_equal(samples.given, truth[places])
    assert (samples.given != samples.true_labels()).sum() == 359
    table = run.samples()
    true = read_digits().labels[places]
    for column in table:
        if column.name != "predicted" and column.kind == "number":
            assert not np.array_equal(column.values, true), column.name


def test_the_lowest_margins_find_the_wrong_labels_after_few_epochs(run):
    samples = labelled_samples(run)
    wrong = samples.given != samples.true_labels()
    assert roc_auc(-samples.aum, wrong) > 0.97
    assert precision_at(-samples.aum, wrong, 359) > 0.85


def test_the_answers_are_what_the_model_said_most_often(run):
    samples = labelled_samples(run)
    for number in (0, 700, 1796):
        _, said = run.signal_history("predicted", "train_loader", samples.ids[number])
        assert len(said) == EPOCHS
        assert (said == samples.answers[number]).sum() == np.bincount(said.astype(int)).max()
    assert (samples.answers == samples.true_labels()).mean() > 0.8


def test_it_ends_with_the_labels_to_check_their_images_and_how_many_were_wrong(demo, run):
    lines = demo[0].splitlines()
    samples = labelled_samples(run)
    suspects = samples.most_suspicious(12)
    header = next(n for n, line in enumerate(lines) if line.startswith("sample "))
    assert lines[header].split() == [
        "sample",
        "label",
        "model",
        "reads",
        "aum",
        "confidence",
        "truth",
    ]
    rows = [line.split() for line in lines[header + 1 : header + 13]]
    assert [row[0] for row in rows] == [samples.ids[one] for one in suspects]
    margins = [float(row[3]) for row in rows]
    assert margins == sorted(margins)
    wrong = sum(row[1] != row[5] for row in rows)
    assert f"{wrong} of these 12 labels are wrong" in demo[0]
    assert demo[0].count("reads") == 1 + 12
    ink = drawn_image(run.image("train_loader", rows[0][0]), in_colour=False).plain
    drawn_first = [line[:16].rstrip() for line in lines[header + 14 : header + 22]]
    assert drawn_first == [line.rstrip() for line in ink.splitlines()]


def test_the_image_of_a_sample_is_its_digit(run):
    for number in (0, 59, 60, 1796):
        image = run.image("train_loader", digit_id(number))
        assert np.array_equal(image // 15, read_digits().images[number])
        assert set(image_metadata(number)) <= set(run.metadata("train_loader", digit_id(number)))


def test_an_image_is_drawn_in_half_blocks_where_there_is_colour():
    image = np.zeros((8, 8), np.uint8)
    image[0, 0] = 255
    drawn = drawn_image(image, in_colour=True)
    assert isinstance(drawn, Text)
    assert drawn.plain.splitlines() == ["▀" * 16] * 8
    white = next(span.style for span in drawn.spans if span.start == 0)
    assert white.color.triplet.hex == "#ffffff"
    plain = drawn_image(image, in_colour=False).plain
    assert plain.splitlines()[0] == "@@" + " " * 14
    assert plain.count("@") == 2


def test_a_run_that_was_ended_before_its_first_step_has_no_suspects(tmp_path, capsys):
    wl.start_run(tmp_path / "run")
    wl.finish()
    print_suspects(tmp_path / "run")
    assert "no step was recorded" in capsys.readouterr().out


def test_a_run_that_is_continued_leaves_out_what_was_discarded(tmp_path):
    digits, path = read_digits(), tmp_path / "run"
    data = LabelledImages(digits.images[:128].astype(np.float32), digits.labels[:128])
    for epochs in (1, 2):  # in all
        wl.start_run(path)
        if epochs == 2:
            worst = [digit_id(number) for number in range(20)]
            wl.discard_samples(worst, origin="train_loader")
        train(data, SmallCNN(8, width=2), epochs)
        wl.finish()
    with wl.open_run(path) as run:
        table = run.samples()
        ids = [table.column("sample_id").cell(row) for row in range(len(table))]
        seen = dict(zip(ids, table.column("times_seen").values.tolist(), strict=True))
        assert run.status().step == 2 * 4
    assert {seen[one] for one in worst} == {1}
    assert sum(seen.values()) > 128 + 100


# -- the command -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--epochs", "3"], "--epochs goes with --mislabels"),
        (["--noise", "0.3"], "--noise goes with --mislabels"),
        (["--mislabels", "--steps", "3"], "--steps does not go with --mislabels"),
        (["--mislabels", "--noise", "20"], "not in the range"),
    ],
)
def test_options_that_would_do_nothing_are_refused(tmp_path, options, said):
    done = subprocess.run(
        [*WL, "demo", *options, "--headless", "--root", tmp_path],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr
    assert wl.list_runs(tmp_path) == []
