"""What a script may hand over, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import wl_core as wl
from wl_core.values import (
    BatchIds,
    as_array,
    as_ids,
    as_instances,
    counts_to_batch_idx,
    flatten,
    is_nested,
    number_by_appearance,
    per_instance,
    per_sample,
)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ([1, 2], [1, 2]),
        (["a", 1], ["a", 1]),
        ((3,), [3]),
        (torch.tensor([4, 5], dtype=torch.int32), [4, 5]),
        ([torch.tensor(6), np.int16(7)], [6, 7]),
        (np.array(["x", "y"]), ["x", "y"]),
        ([np.str_("z")], ["z"]),
        (range(2), [0, 1]),
        ([], []),
    ],
)
def test_ids_are_read_as_plain_integers_and_text(given: Any, read: list[Any]) -> None:
    found = as_ids(given)
    assert found == read
    assert [type(one) for one in found] == [type(one) for one in read]


@pytest.mark.parametrize(
    "given",
    [
        [1.0],
        [True],
        torch.tensor([0.5]),
        np.array([True]),
        [None],
        [[1, 2]],
        [torch.tensor([1, 2])],
        "abc",
        7,
        None,
        torch.tensor(3),
    ],
)
def test_ids_that_are_neither_integers_nor_text_are_refused(given: Any) -> None:
    with pytest.raises(wl.SignalShapeError, match="id"):
        as_ids(given)


def test_an_id_beyond_64_bits_is_refused_with_advice() -> None:
    with pytest.raises(wl.SignalShapeError, match="give it as text"):
        BatchIds("train", [1, 2**64])


def test_bfloat16_is_read_exactly() -> None:
    values = torch.tensor([1.5, -0.25], dtype=torch.bfloat16, requires_grad=True)
    assert as_array(values).tolist() == [1.5, -0.25]


def test_dimensions_beyond_the_first_are_averaged() -> None:
    values = torch.arange(12.0).reshape(2, 2, 3)
    assert per_sample("x", values, 2).tolist() == [2.5, 8.5]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_values_of_nothing_are_no_error(shape: tuple[int, ...]) -> None:
    found = per_sample("x", torch.zeros(shape), shape[0])
    assert found.shape == (shape[0],)
    assert np.isnan(found).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int32, torch.bool])
def test_small_and_whole_numbers_are_kept_exactly(dtype: torch.dtype) -> None:
    assert per_sample("x", torch.tensor([0, 1, 1]).to(dtype), 3).tolist() == [0, 1, 1]


def test_large_integers_keep_their_value() -> None:
    assert per_sample("x", np.array([2**30 + 1]), 1).tolist() == [2**30 + 1]


def test_float64_stays_float64() -> None:
    assert per_sample("x", np.array([0.1]), 1).tolist() == [0.1]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (torch.tensor(1.0), "single number"),
        (torch.zeros(3), r"expected 2 values.*\[3\]"),
        (["a", "b"], "numbers"),
        ([[1, 2], [3]], "numbers"),
        (np.array([1j, 2j]), "numbers"),
    ],
)
def test_values_that_do_not_fit_the_samples_are_refused(value: Any, complaint: str) -> None:
    with pytest.raises(wl.SignalShapeError, match=f"'dice'.*{complaint}"):
        per_sample("dice", value, 2)


@pytest.mark.parametrize("value", [torch.zeros(3), torch.zeros(2, 1), torch.tensor(1.0)])
def test_values_that_do_not_fit_the_instances_are_refused(value: Any) -> None:
    with pytest.raises(wl.SignalShapeError, match=r"'dice'.*expected 2 values.*got shape"):
        per_instance("dice", value, 2)


@pytest.mark.parametrize(
    ("batch_idx", "numbers"),
    [
        ([0, 0, 1], [1, 2, 1]),
        ([0, 0, 2, 0], [1, 2, 1, 3]),
        ([2, 1, 2, 0], [1, 1, 2, 1]),
        ([], []),
    ],
)
def test_instances_are_numbered_by_appearance(batch_idx: list[int], numbers: list[int]) -> None:
    assert number_by_appearance(np.array(batch_idx, np.int64)).tolist() == numbers


def test_counts_become_a_batch_index() -> None:
    assert counts_to_batch_idx([2, 0, 1]).tolist() == [0, 0, 2]


@pytest.mark.parametrize(
    "batch_idx", [[0.0, 1.0], [True], [[0, 1]], [-1], [2], torch.tensor([0.5])]
)
def test_a_batch_index_that_points_nowhere_is_refused(batch_idx: Any) -> None:
    with pytest.raises(wl.SignalShapeError, match="batch_idx"):
        as_instances(BatchIds("train", ["a", "b"]), batch_idx)


@pytest.mark.parametrize(
    ("targets", "nested"),
    [
        ([[np.zeros(2)], []], True),
        ([[[1, 2]], [[3, 4], [5, 6]]], True),  # boxes
        ([(torch.zeros(2, 2),)], True),
        ([[0.0, 1.0], [1.0, 0.0]], False),  # one vector per sample
        ([np.zeros(2), np.zeros(2)], False),
        ([1, 2], False),
        ([], False),
        (torch.zeros(2, 2), False),
    ],
)
def test_a_list_of_arrays_for_each_sample_is_nested(targets: Any, nested: bool) -> None:
    assert is_nested(targets) is nested


def test_nested_arrays_are_laid_out_in_the_order_of_the_batch_index() -> None:
    batch = BatchIds("train", ["a", "b"])
    nested = [[np.full(1, 1), np.full(1, 2)], [np.full(1, 3)]]
    flat = flatten(nested, as_instances(batch, [1, 0, 0]))
    assert [one.item() for one in flat] == [3, 1, 2]


def test_nested_arrays_that_contradict_the_batch_index_are_refused() -> None:
    with pytest.raises(wl.SignalShapeError, match=r"\[2, 0\].*\[1, 1\]"):
        flatten([[np.zeros(1)] * 2, []], as_instances(BatchIds("t", [1, 2]), [0, 1]))
