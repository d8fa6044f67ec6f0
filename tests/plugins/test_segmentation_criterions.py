"""Dice and BCE of instance masks, against loops that follow the definitions word by word."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy

from wl_core.errors import SignalShapeError, WlError
from wl_plugins.segmentation import (
    PerInstanceBCE,
    PerInstanceDice,
    PerSampleBCE,
    PerSampleDice,
)

CRITERIONS = [PerInstanceBCE, PerInstanceDice, PerSampleBCE, PerSampleDice]
PER_SAMPLE = [PerSampleBCE, PerSampleDice]
PER_INSTANCE = [PerInstanceBCE, PerInstanceDice]
HEIGHT, WIDTH = 13, 9


def random_batch(seed, counts=(3, 0, 1, 4), channels=4, dtype=torch.uint8):
    """Float64 logits and rectangular masks, some of which overlap or touch the border."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(
        len(counts), channels, HEIGHT, WIDTH, generator=generator, dtype=torch.float64
    )
    labels = [[random_mask(generator, channels, dtype) for _ in range(count)] for count in counts]
    return logits, labels


def random_mask(generator, channels, dtype):
    def integer(low, high):
        return int(torch.randint(low, high, (), generator=generator))

    mask = torch.zeros(HEIGHT, WIDTH, dtype=dtype)
    top, left = integer(0, HEIGHT - 1), integer(0, WIDTH - 1)
    mask[top : top + integer(1, 6), left : left + integer(1, 6)] = integer(1, channels)
    return mask


def scored_region(mask, others, margin):
    """Bool `[H, W]`: the pixels that the definition says an instance is scored on."""
    if margin is None:
        return torch.ones(mask.shape, dtype=torch.bool)
    rows, columns = mask.nonzero(as_tuple=True)
    region = torch.zeros(mask.shape, dtype=torch.bool)
    region[
        max(0, int(rows.min()) - margin) : int(rows.max()) + 1 + margin,
        max(0, int(columns.min()) - margin) : int(columns.max()) + 1 + margin,
    ] = True
    for other in others:
        if other.max() == mask.max():
            region &= ~((other != 0) & (mask == 0))
    return region


def reference_dice(probability, truth):
    return float(2 * (probability * truth).sum() / (probability.sum() + truth.sum()))


def reference_bce(probability, truth):
    return float(binary_cross_entropy(probability, truth))


def reference_of(criterion):
    return reference_bce if "BCE" in type(criterion).__name__ else reference_dice


def reference_per_instance(criterion, logits, labels):
    values = []
    for sample, masks in enumerate(labels):
        probabilities = logits[sample].softmax(0)
        values.append([])
        for number, mask in enumerate(masks):
            others = masks[:number] + masks[number + 1 :]
            region = scored_region(mask, others, criterion.neighbourhood)
            probability = probabilities[int(mask.max())][region]
            truth = (mask != 0)[region].double()
            values[-1].append(reference_of(criterion)(probability, truth))
    return values


def flat(lists):
    return [value for values in lists for value in values]


def merged(masks):
    """One mask for each class among the masks, the union of those that have it."""
    classes = sorted({int(mask.max()) for mask in masks})
    return [
        torch.stack([mask for mask in masks if int(mask.max()) == class_id]).amax(0)
        for class_id in classes
    ]


@pytest.mark.parametrize("neighbourhood", [None, 0, 2, 100])
@pytest.mark.parametrize("kind", PER_INSTANCE)
def test_per_instance_values_are_those_of_a_loop_over_the_definition(kind, neighbourhood):
    criterion = kind(neighbourhood=neighbourhood)
    for seed in range(20):
        logits, labels = random_batch(seed)
        expected = flat(reference_per_instance(criterion, logits, labels))
        got = criterion(logits, labels)
        assert got.shape == (8,)
        torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("merge_classes", [False, True])
@pytest.mark.parametrize("neighbourhood", [None, 2])
@pytest.mark.parametrize("kind", PER_SAMPLE)
def test_per_sample_values_are_the_means_of_a_loop(kind, neighbourhood, merge_classes):
    criterion = kind(neighbourhood=neighbourhood, merge_classes=merge_classes)
    for seed in range(20):
        logits, labels = random_batch(seed, counts=(3, 1, 4))
        scored = [merged(masks) for masks in labels] if merge_classes else labels
        values = reference_per_instance(criterion, logits, scored)
        expected = [sum(of_sample) / len(of_sample) for of_sample in values]
        got = criterion(logits, labels)
        assert got.shape == (3,)
        torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    counts=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    channels=st.integers(2, 6),
    neighbourhood=st.none() | st.integers(0, 5),
)
def test_any_batch_agrees_with_the_loop(seed, counts, channels, neighbourhood):
    logits, labels = random_batch(seed, counts, channels)
    for kind in PER_INSTANCE:
        criterion = kind(neighbourhood=neighbourhood)
        expected = flat(reference_per_instance(criterion, logits, labels))
        got = criterion(logits, labels)
        torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("neighbourhood", [None, 1])
@pytest.mark.parametrize("kind", CRITERIONS)
def test_the_gradient_is_that_of_finite_differences(kind, neighbourhood):
    logits, labels = random_batch(5, counts=(2, 0, 3))
    logits.requires_grad_()
    criterion = kind(neighbourhood=neighbourhood)
    assert torch.autograd.gradcheck(lambda v: criterion(v, labels), logits, fast_mode=True)


def test_merged_masks_keep_the_gradient():
    logits, labels = random_batch(6, counts=(4, 2))
    logits.requires_grad_()
    for criterion in (PerSampleBCE(merge_classes=True), PerSampleDice(merge_classes=True)):
        assert torch.autograd.gradcheck(lambda v, c=criterion: c(v, labels), logits, fast_mode=True)


@pytest.mark.parametrize("kind", PER_SAMPLE)
def test_descending_the_loss_makes_the_map_fit(kind):
    _, labels = random_batch(7, counts=(1, 1))
    logits = torch.zeros(2, 4, HEIGHT, WIDTH, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.5)
    criterion = kind()
    sign = 1 if kind is PerSampleBCE else -1
    for _ in range(60):
        optimizer.zero_grad()
        (sign * criterion(logits, labels)).mean().backward()
        optimizer.step()
    for sample, (mask,) in enumerate(labels):
        class_id = int(mask.max())
        assert torch.equal(logits[sample].argmax(0) == class_id, mask == class_id)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16, torch.uint16, torch.int64])
@pytest.mark.parametrize("kind", CRITERIONS)
def test_every_integer_dtype_of_masks_gives_the_same_values(kind, dtype):
    logits, labels = random_batch(8, channels=2)
    converted = [[mask.to(dtype) for mask in masks] for masks in labels]
    assert torch.equal(kind()(logits, converted), kind()(logits, labels))


def test_a_list_of_exactly_one_mask_gives_one_value():
    logits, labels = random_batch(9, counts=(1,))
    for kind in CRITERIONS:
        assert kind()(logits, labels).shape == (1,)
    assert PerInstanceDice()(logits, labels).item() == PerSampleDice()(logits, labels).item()


@pytest.mark.parametrize(("kind", "expected"), [(PerSampleDice, 1.0), (PerSampleBCE, 0.0)])
def test_a_sample_without_instances_has_its_defined_value_and_no_gradient(kind, expected):
    logits, labels = random_batch(10, counts=(0, 2, 0))
    logits.requires_grad_()
    values = kind()(logits, labels)
    assert values[0].item() == values[2].item() == expected
    values.sum().backward()
    assert not logits.grad[0].any()
    assert logits.grad[1].any()


@pytest.mark.parametrize("kind", CRITERIONS)
def test_a_batch_without_any_instance_has_values_without_nan(kind):
    logits, labels = random_batch(11, counts=(0, 0))
    logits.requires_grad_()
    values = kind(neighbourhood=2)(logits, labels)
    assert values.shape == ((0,) if kind in PER_INSTANCE else (2,))
    values.sum().backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_a_perfect_map_scores_one_in_the_neighbourhood_and_less_on_the_whole_map():
    left, right = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.uint8)
    left[2:6, 1:4] = 1
    right[2:6, 4:7] = 1
    logits = torch.zeros(1, 2, HEIGHT, WIDTH)
    logits[0, 1] = 60.0 * (left + right) - 30.0
    alone = PerInstanceDice(neighbourhood=3)(logits, [[left, right]])
    torch.testing.assert_close(alone, torch.ones(2))
    together = PerInstanceDice()(logits, [[left, right]])
    torch.testing.assert_close(together, torch.full((2,), 2 / 3))
    torch.testing.assert_close(
        PerSampleDice(merge_classes=True)(logits, [[left, right]]), torch.ones(1)
    )


@pytest.mark.parametrize("kind", CRITERIONS)
@pytest.mark.parametrize("scale", [1e3, 6e4])
def test_extreme_logits_give_finite_values_and_gradients(kind, scale):
    _, labels = random_batch(12)
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (4, 4, HEIGHT, WIDTH), generator=generator) * 2 - 1
    logits = (scale * signs).float().requires_grad_()
    values = kind()(logits, labels)
    values.sum().backward()
    assert values.isfinite().all()
    assert logits.grad.isfinite().all()


def test_bce_keeps_its_gradient_where_the_probability_rounds_to_zero_or_one():
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    mask[3, 3] = 1
    logits = torch.zeros(1, 2, HEIGHT, WIDTH)
    logits[0, 0], logits[0, 1] = -100.0, 100.0
    logits[0, 1, 3, 3] = -300.0
    logits.requires_grad_()
    value = PerInstanceBCE()(logits, [[mask]])
    torch.testing.assert_close(value, torch.full((1,), 200.0), rtol=1e-5, atol=0)
    value.sum().backward()
    pixels = HEIGHT * WIDTH
    assert logits.grad[0, 1, 3, 3].item() == pytest.approx(-1 / pixels)
    assert logits.grad[0, 1, 0, 0].item() == pytest.approx(1 / pixels)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", CRITERIONS)
def test_half_precision_logits_are_scored_in_float32(kind, dtype):
    logits, labels = random_batch(13)
    half = logits.to(dtype).requires_grad_()
    values = kind()(half, labels)
    assert values.dtype == torch.float32
    assert torch.equal(values, kind()(half.detach().float(), labels))
    values.sum().backward()
    assert half.grad.isfinite().all()


@pytest.mark.parametrize("kind", CRITERIONS)
def test_autocast_changes_no_value(kind):
    logits, labels = random_batch(14)
    model = torch.nn.Conv2d(4, 4, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = model(logits.float())
        inside = kind(neighbourhood=2)(outputs, labels)
    assert outputs.dtype == torch.bfloat16
    assert torch.equal(inside, kind(neighbourhood=2)(outputs, labels))
    inside.sum().backward()
    assert model.weight.grad.isfinite().all()


def test_the_output_of_a_compiled_model_is_scored_as_any_other():
    logits, labels = random_batch(15)
    model = torch.nn.Conv2d(4, 4, 1).double()
    compiled = torch.compile(model, backend="eager")
    for kind in CRITERIONS:
        assert torch.equal(kind()(compiled(logits), labels), kind()(model(logits), labels))


def test_channels_last_logits_are_scored_as_any_other():
    logits, labels = random_batch(16)
    for kind in CRITERIONS:
        criterion = kind(neighbourhood=1)
        torch.testing.assert_close(
            criterion(logits.to(memory_format=torch.channels_last), labels),
            criterion(logits, labels),
        )


def one_mask(value, dtype=torch.int64):
    mask = torch.zeros(HEIGHT, WIDTH, dtype=dtype)
    mask[2:4, 2:4] = value
    return mask


@pytest.mark.parametrize(
    ("channels", "labels", "message"),
    [
        (3, [[], [one_mask(1), one_mask(3)]], r"mask 1 of sample 1 .* class id 3, .* 3 channels"),
        (3, [[one_mask(-1)], []], r"mask 0 of sample 0 .* class id -1"),
        (3, [[one_mask(0)], []], r"is empty.*seg_collate"),
        (3, [[one_mask(1)]], r"one list of masks"),
        (1, [[one_mask(1)], []], r"2 channels"),
        (3, [[one_mask(1, torch.float32)], []], r"float32.*\.long\(\)"),
        (3, [[one_mask(1)[:5]], []], r"shape \(13, 9\).*got \(5, 9\)"),
    ],
)
def test_labels_that_do_not_fit_the_logits_are_named(channels, labels, message):
    logits = torch.zeros(2, channels, HEIGHT, WIDTH)
    with pytest.raises(SignalShapeError, match=message):
        PerInstanceDice()(logits, labels)


def test_a_mask_with_several_class_ids_is_refused():
    mask = one_mask(1)
    mask[0, 0] = 2
    with pytest.raises(SignalShapeError, match=r"several class ids \(1 … 2\)"):
        PerSampleBCE()(torch.zeros(1, 3, HEIGHT, WIDTH), [[mask]])


@pytest.mark.parametrize("logits", [torch.zeros(3, 9, 9), torch.zeros(1, 3, 9, 9).long()])
def test_what_are_no_logits_is_refused(logits):
    with pytest.raises(WlError, match="before argmax"):
        PerSampleDice()(logits, [[]])


def test_a_negative_margin_is_refused():
    with pytest.raises(ValueError, match="margin in pixels"):
        PerInstanceBCE(neighbourhood=-1)


def test_the_options_are_shown():
    assert "merge_classes=True" in repr(PerSampleDice(merge_classes=True))
    assert "neighbourhood=4" in repr(PerInstanceBCE(neighbourhood=4))
