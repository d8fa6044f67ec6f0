"""The demo's U-Net: shapes, what turning does, and that it learns."""

from __future__ import annotations

import pytest
import torch

from wl_plugins.demo.dataset import NucleiTiles
from wl_plugins.demo.model import UNet
from wl_plugins.segmentation import PerSampleBCE, PerSampleDice, seg_collate


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("training", [False, True])
def test_the_logits_have_the_size_of_the_image(training):
    model = UNet(in_channels=2, classes=5, widths=(4, 8, 12)).train(training)
    assert model(torch.zeros(3, 2, 16, 24)).shape == (3, 5, 16, 24)


def test_every_parameter_gets_a_gradient():
    model = UNet(widths=(4, 8, 12))
    model(torch.randn(2, 1, 16, 16)).square().mean().backward()
    assert all(parameter.grad.any() for parameter in model.parameters())


def test_in_training_the_logits_are_turned_back_to_where_the_image_is():
    model, images = UNet(widths=(4, 8), classes=2), torch.rand(1, 1, 16, 16)
    ways = [
        (lambda x, n=n: x.rot90(n, (2, 3)), lambda x, n=n: x.rot90(-n, (2, 3))) for n in range(4)
    ]
    ways += [
        (lambda x, n=n: x.flip(3).rot90(n, (2, 3)), lambda x, n=n: x.rot90(-n, (2, 3)).flip(3))
        for n in range(4)
    ]
    model.eval()
    possible = [back(model(turn(images))) for turn, back in ways]
    model.train()
    seen = set()
    for _ in range(80):
        output = model(images)
        (way,) = (n for n, one in enumerate(possible) if torch.allclose(output, one, atol=1e-5))
        seen.add(way)
    assert seen == set(range(8))


def test_in_training_batches_are_turned_and_in_evaluation_they_are_not():
    model = UNet(widths=(4, 8))
    images = torch.rand(1, 1, 16, 16)
    assert len({model(images).sum().item() for _ in range(30)}) > 1
    model.eval()
    assert torch.equal(model(images), model(images))


def test_the_same_seed_turns_in_the_same_way():
    model, images = UNet(widths=(4, 8)), torch.rand(1, 1, 16, 16)
    torch.manual_seed(3)
    first = [model(images).sum().item() for _ in range(5)]
    torch.manual_seed(3)
    assert [model(images).sum().item() for _ in range(5)] == first


def test_it_learns_to_segment_nuclei():
    data = NucleiTiles("train")
    images, _, labels, _ = seg_collate([data[n] for n in (0, 3)])
    model, dice, bce = UNet(), PerSampleDice(merge_classes=True), PerSampleBCE(merge_classes=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    history = []
    for _ in range(25):
        outputs = model(images)
        history.append(dice(outputs, labels).mean())
        optimizer.zero_grad()
        (1 - history[-1] + bce(outputs, labels).mean()).backward()
        optimizer.step()
    assert history[0] < 0.2
    assert max(history) > 2 * history[0]
