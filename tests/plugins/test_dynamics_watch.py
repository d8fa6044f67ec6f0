"""`dynamics.watch`: what it measures, for whom it is recorded, and that it changes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import wl_core as wl
from tests.core import watched_runs
from tests.core.fake_device import fake_device
from tests.core.watched_runs import Finished
from wl_core.errors import SignalShapeError, UsageError
from wl_plugins import dynamics
from wl_plugins.dynamics.measures import measures
from wl_plugins.dynamics.names import METHODS, SIGNALS


@pytest.fixture
def finished(tmp_path: Path) -> Iterator[Finished]:
    yield from watched_runs.recorded(tmp_path / "run")


def by_definition(z: list[float], y: int) -> dict[str, float]:
    """The measures of one position, word by word, in plain floats."""
    total = sum(math.exp(one) for one in z)
    p = [math.exp(one) / total for one in z]
    others = [k for k in range(len(z)) if k != y]
    return {
        "p_true": p[y],
        "margin": z[y] - max(z[k] for k in others),
        "probability_margin": p[y] - max(p[k] for k in others),
        "correct": float(z.index(max(z)) == y),
        "el2n": math.sqrt(sum((p[k] - (k == y)) ** 2 for k in range(len(z)))),
        "loss": -math.log(p[y]),
    }


def averaged(z: Tensor, y: Tensor, where: Tensor) -> dict[str, float]:
    """The mean over the pixels ``where`` of one sample: z ``[C, H, W]``, the others ``[H, W]``."""
    found = [
        by_definition(z[:, row, column].tolist(), int(y[row, column]))
        for row, column in where.nonzero().tolist()
    ]
    return {what: sum(one[what] for one in found) / len(found) for what in SIGNALS}


def watched(finished: Finished, *arguments: Any, **keywords: Any) -> Any:
    with wl.guard_training_context:
        dynamics.watch(*arguments, origin="train", **keywords)
    return finished()


def of_samples(run: Any, name: str = "dynamics") -> dict[str, list[float]]:
    table = run.samples()
    return {what: table.column(f"{name}/{what}").values.tolist() for what in SIGNALS}


def assert_measured(found: dict[str, list[float]], expected: list[dict[str, float]]) -> None:
    for what in SIGNALS:
        wanted = [one[what] for one in expected]
        assert found[what] == pytest.approx(wanted, rel=1e-5, abs=1e-6), what


def random_logits(*shape: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_classifier_is_measured_by_the_formulas(finished: Finished) -> None:
    z, y = random_logits(8, 5), torch.tensor([0, 1, 2, 3, 4, 0, 1, 2])
    run = watched(finished, z, y, list(range(8)))
    expected = [by_definition(*one) for one in zip(z.tolist(), y.tolist(), strict=True)]
    assert_measured(of_samples(run), expected)
    assert run.samples().column("dynamics/correct").kind == "flag"


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.float32])
def test_one_logit_is_that_of_class_one(shape: tuple[int, ...], kind: torch.dtype) -> None:
    z, y = torch.tensor([-2.0, 3.0, 0.5, -1.0]), torch.tensor([0, 1, 0, 1])
    from wl_plugins.dynamics.measures import classes

    found = measures(*classes(z.reshape(shape), y.reshape(shape).to(kind)))
    sign = 2 * y - 1
    torch.testing.assert_close(found["margin"], sign * z)
    torch.testing.assert_close(found["p_true"], (sign * z).sigmoid())
    torch.testing.assert_close(
        found["loss"],
        functional.binary_cross_entropy_with_logits(z, y.float(), reduction="none"),
    )
    assert found["correct"].tolist() == [True, True, False, False]


def test_measures_hold_where_probabilities_round() -> None:
    z = torch.tensor([[200.0, 0.0, -200.0], [0.0, 200.0, 0.0], [-math.inf, 9.0, -math.inf]])
    found = measures(z, torch.tensor([0, 0, 0]))
    assert found["loss"].tolist() == [0, 200, math.inf]
    assert found["margin"].tolist() == [200, -200, -math.inf]
    assert found["el2n"].tolist() == pytest.approx([0, math.sqrt(2), math.sqrt(2)])
    assert found["probability_margin"].tolist() == [1, -1, -1]


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_logits_of_any_precision(finished: Finished, kind: torch.dtype) -> None:
    z = random_logits(3, 4).to(kind)
    run = watched(finished, z, torch.tensor([1, 2, 3]), [1, 2, 3])
    expected = [by_definition(one, n) for n, one in enumerate(z.float().tolist(), 1)]
    assert_measured(of_samples(run), expected)


def test_a_dense_prediction_is_averaged_over_its_pixels(finished: Finished) -> None:
    z = random_logits(3, 4, 5, 6)
    y = torch.randint(4, (3, 5, 6), generator=torch.Generator().manual_seed(1))
    y[1, :2] = -100
    y[2] = -100
    run = watched(finished, z, y, ["a", "b", "c"])
    found = of_samples(run)
    assert all(math.isnan(found[what].pop()) for what in SIGNALS), "no pixel of c counts"
    assert_measured(found, [averaged(z[n], y[n], y[n] != -100) for n in (0, 1)])
    assert run.samples().row(2).keys().isdisjoint({"dynamics/aum", "dynamics/confidence"})


def rectangle(top: int, left: int, value: int) -> Tensor:
    mask = torch.zeros(5, 6, dtype=torch.uint8)
    mask[top : top + 2, left : left + 3] = value
    return mask


MASKS = [[rectangle(0, 0, 1), rectangle(3, 3, 3)], [], [rectangle(1, 1, 2), rectangle(2, 2, 1)]]


def of_instances(run: Any) -> dict[str, list[float]]:
    table = run.instances()
    return {what: table.column(f"dynamics/{what}").values.tolist() for what in SIGNALS}


def test_instances_are_averaged_over_their_masks(finished: Finished) -> None:
    z = random_logits(3, 4, 5, 6)
    run = watched(finished, z, MASKS, ["a", "b", "c"])
    expected = [
        averaged(z[sample], mask.long(), mask != 0)
        for sample, masks in enumerate(MASKS)
        for mask in masks
    ]
    assert_measured(of_instances(run), expected)
    painted = [torch.zeros(5, 6, dtype=torch.int64) for _ in MASKS]
    for canvas, masks in zip(painted, MASKS, strict=True):
        for mask in masks:
            canvas[mask != 0] = mask[mask != 0].long()
    everywhere = torch.ones(5, 6)
    expected = [averaged(one, y, everywhere) for one, y in zip(z, painted, strict=True)]
    assert_measured(of_samples(run), expected)


@pytest.mark.parametrize("flat", [False, True])
def test_masks_beside_a_map_say_where_instances_are(finished: Finished, flat: bool) -> None:
    z = random_logits(3, 4, 5, 6)
    y = torch.randint(4, (3, 5, 6), generator=torch.Generator().manual_seed(1))
    y[0, 0] = -100
    given: dict[str, Any] = {"instances": MASKS}
    if flat:
        masks = torch.stack([mask != 0 for masks in MASKS for mask in masks])
        given = {"instances": masks, "batch_idx": [0, 0, 2, 2]}
    run = watched(finished, z, y, ["a", "b", "c"], **given)
    expected = [
        averaged(z[sample], y[sample], (mask != 0) & (y[sample] != -100))
        for sample, masks in enumerate(MASKS)
        for mask in masks
    ]
    assert_measured(of_instances(run), expected)


def test_scores_are_columns_of_samples_and_instances_now_and_then(finished: Finished) -> None:
    z, y = random_logits(3, 4, 5, 6), [[mask.long() for mask in masks] for masks in MASKS]
    for step in range(3):
        with wl.guard_training_context:
            dynamics.watch(z * step, y, ["a", 7, "c"], origin="train")
            wl.save_signals({"other": [1.0]}, ["unseen"], origin="test")
            for one, origin in (("unseen", "test"), ("a", "train")):  # a's third instance
                where = {"batch_idx": [0, 0, 0], "origin": origin}
                wl.save_instance_signals({"other": [1.0, 2.0, 3.0]}, [one], **where)
    run = finished()
    names = [f"dynamics/{method}" for method in METHODS]
    for table, signals in ((run.samples(), of_samples(run)), (run.instances(), of_instances(run))):
        assert [name for name in table.names if name in names] == names
        there = table.column("dynamics/margin").present
        column = table.column("dynamics/aum")
        assert column.present.tolist() == there.tolist()
        # The margins of z * 0, z * 1 and z * 2; the last is what the signal's own column has.
        halves = np.asarray(signals["margin"])[there] / 2
        assert column.values[there] == pytest.approx(halves, abs=1e-5)
    unseen = run.samples().column("sample_id").order()[-1]
    assert not run.samples().column("dynamics/aum").present[unseen]
    one, all_rows = run.instances("c", "train"), run.instances().column("dynamics/aum")
    assert all_rows.present.tolist() == [True, True, False, True, True, False, False, False]
    assert one.column("dynamics/aum").values.tolist() == all_rows.values[3:5].tolist()
    past = run.at(step=1)
    assert past.view("dynamics").observations().tolist() == [2, 2, 2]
    assert past.samples().column("dynamics/aum").values[0] == pytest.approx(
        run.samples().column("dynamics/margin").values[0] / 4, abs=1e-5
    )
    past.close()


def test_a_score_is_on_the_row_of_its_sample(finished: Finished) -> None:
    z = torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 0.0]])
    with wl.guard_training_context:
        wl.save_signals({"other": [0.0]}, ["3"], origin="train")
        dynamics.watch(z, torch.zeros(4).long(), [4, "3", 2, 1], origin="train")
    table = finished().samples()
    assert table.column("dynamics/aum").values.tolist() == [4, 3, 1, 2]
    assert table.column("dynamics/margin").values.tolist() == [4, 3, 1, 2]


def test_a_run_without_it_has_no_such_columns(finished: Finished) -> None:
    with wl.guard_training_context:
        wl.save_signals({"loss": [1.0]}, [1], origin="train")
        wl.save_instance_signals({"loss": [1.0]}, [1], batch_idx=[0], origin="train")
    run = finished()
    assert not [n for n in (*run.samples().names, *run.instances().names) if "dynamics" in n]


def test_several_heads_have_several_sets(finished: Finished) -> None:
    with wl.guard_training_context:
        for name in ("dynamics", "head_a/dynamics"):
            dynamics.watch(random_logits(2, 3), torch.tensor([0, 1]), [1, 2], name=name)
    run = finished()
    assert run.view("dynamics").names() == ["dynamics", "head_a/dynamics"]
    assert "head_a/dynamics/aum" in run.samples().names


def trained(watch: bool) -> list[Any]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(), torch.nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = torch.randn(16, 4), torch.randint(3, (16,))
    seen: list[Any] = []
    for _ in range(5):
        with wl.guard_training_context:
            logits = model(x)
            if watch:
                dynamics.watch(logits, y, list(range(16)), origin="train")
            loss = functional.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seen += [loss.detach(), *(one.grad.clone() for one in model.parameters())]
    return [*seen, *model.parameters(), y, torch.get_rng_state()]


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2, 2)])
def test_nobody_waits_for_a_device(finished: Finished, shape: tuple[int, ...]) -> None:
    z, y = random_logits(*shape), torch.ones(shape[0], *shape[2:], dtype=torch.int64)
    y[0] = -100
    with fake_device() as device:
        with wl.guard_training_context:
            dynamics.watch(device.tensor(z), device.tensor(y), [1, 2, 3, 4], origin="train")
        assert device.waits == []
        device.catch_up()
        found = of_samples(finished())
    assert math.isnan(found["loss"].pop(0))
    expected = functional.cross_entropy(z, y, reduction="none").reshape(4, -1).mean(1)
    assert found["loss"] == pytest.approx(expected[1:].tolist(), rel=1e-5)


def test_watching_changes_no_bit_of_a_training(finished: Finished) -> None:
    for one, other in zip(trained(True), trained(False), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64), r"got \[3, 2\] and \[2\]"),
        (torch.zeros(3, 2), torch.zeros(3), "expected integer targets"),
        (torch.zeros(3, 2), torch.tensor([0, 1, 2]), r"targets in 0 … 1.* got 0 … 2"),
        (torch.zeros(3, 2), torch.tensor([0, 1, -1]), "got -1 … 1"),
        (torch.zeros(3, 2).long(), torch.zeros(3).long(), "before argmax"),
        (torch.zeros(2, 3, 4, 4), [[torch.zeros(4, 4)]], "each of 2 samples, got 1"),
        (torch.zeros(1, 3, 4, 4), [[torch.zeros(5, 4)]], r"masks of shape \[4, 4\]"),
    ],
)
def test_what_does_not_fit_is_refused(
    finished: Finished, logits: Tensor, targets: Any, message: str
) -> None:
    with wl.guard_training_context, pytest.raises(SignalShapeError, match=message):
        dynamics.watch(logits, targets, [1, 2, 3][: len(logits)])
    assert not watched_runs.events(finished(), "values")


@pytest.mark.parametrize(
    "masks",
    [
        {"instances": torch.zeros(2, 4, 4)},
        {"instances": torch.zeros(2, 5, 4), "batch_idx": [0, 0]},
        {"instances": torch.zeros(2, 4, 4), "batch_idx": [0]},
        {"instances": torch.zeros(2, 4, 4), "batch_idx": [0, 1]},
    ],
)
def test_masks_that_do_not_fit_are_refused(finished: Finished, masks: dict[str, Any]) -> None:
    y = torch.zeros(1, 4, 4, dtype=torch.int64)
    with wl.guard_training_context, pytest.raises(SignalShapeError):
        dynamics.watch(torch.zeros(1, 3, 4, 4), y, [1], **masks)
    assert not watched_runs.events(finished(), "values")


def test_a_name_that_its_view_would_not_know_is_refused() -> None:
    with pytest.raises(UsageError, match="'head_a/dynamics'"):
        dynamics.watch(torch.zeros(1, 2), torch.zeros(1).long(), [1], name="head_a")
