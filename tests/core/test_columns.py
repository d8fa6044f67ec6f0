from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wl_core.batches import IdVector
from wl_core.codec import SampleId, pack_ids
from wl_core.columns import CodedColumn, Column, Digest, GrowingArray, TriState
from wl_core.instance_index import MAX_ANNOTATION_ID, InstanceIndex, ranges
from wl_core.row_index import SampleIndex


def rows(*numbers: int) -> npt.NDArray[np.intp]:
    return np.asarray(numbers, np.intp)


def id_vector(ids: list[SampleId]) -> IdVector:
    code, data = pack_ids(ids)
    return IdVector(([code], [data]))


def cells(column: Any, size: int) -> list[Any]:
    return [column.cell(row) for row in range(size)]


class TestColumn:
    def test_cells_are_empty_until_they_are_put(self) -> None:
        column = Column()
        column.put(rows(1), np.asarray([0.5], np.float32), 2)
        assert cells(column, 4) == [None, 0.5, None, None]

    def test_the_last_value_of_a_row_wins(self) -> None:
        column = Column()
        column.put(rows(0, 0, 0), np.asarray([1, 2, 3], np.float32), 1)
        assert column.cell(0) == 3

    def test_it_is_float32_until_a_number_needs_more(self) -> None:
        column = Column()
        column.put(rows(0), np.asarray([0.5]), 1)
        column.put(rows(0), np.asarray([2**20], np.int64), 1)
        column.put(rows(0), np.asarray([True]), 1)
        assert column.dtype == np.float32
        column.put(rows(0, 0), np.asarray([0.1, 0.5]), 1)  # 0.1 is overwritten, but it was there
        assert column.dtype == np.float64
        assert column.cell(0) == 0.5

    def test_not_a_number_and_infinity_fit_in_float32(self) -> None:
        column = Column()
        column.put(rows(0, 1), np.asarray([np.nan, -np.inf]), 2)
        assert column.dtype == np.float32
        assert np.isnan(cells(column, 2)[0])

    def test_a_number_too_large_for_float32_is_kept(self) -> None:
        column = Column()
        column.put(rows(0), np.asarray([1e300]), 1)
        assert column.cell(0) == 1e300

    def test_one_value_is_not_spread_over_several_rows(self) -> None:
        with pytest.raises(ValueError, match="1 values cannot belong to 2 rows"):
            Column().put(rows(0, 1), np.asarray([1.0]), 2)


class TestCodedColumn:
    def put(self, scalars: list[Any]) -> CodedColumn:
        column = CodedColumn()
        column.put(rows(*range(len(scalars))), scalars, len(scalars))
        return column

    def test_cells_come_back_as_they_were_put(self) -> None:
        scalars = [1, True, 1.0, "1", None, -(2**62), ""]
        back = cells(self.put(scalars), len(scalars))
        assert back == scalars
        assert [type(one) for one in back] == [type(one) for one in scalars]

    @pytest.mark.parametrize(
        ("scalars", "kind"),
        [
            ([1, 2, None], "number"),
            ([1, 2.5], "number"),
            ([True, None, False], "flag"),
            (["a", "b"], "text"),
            ([1, "b"], "text"),
            ([True, 1], "text"),
        ],
    )
    def test_the_kind_of_its_table_column_is_that_of_its_cells(
        self, scalars: list[Any], kind: str
    ) -> None:
        shown = self.put(scalars).table_column("c", rows(*range(len(scalars))), len(scalars))
        assert shown.kind == kind
        expected = scalars if kind != "text" else [str(scalar) for scalar in scalars]
        assert [shown.cell(row) for row in range(len(scalars))] == expected

    def test_integers_alone_stay_integers(self) -> None:
        shown = self.put([2**60 + 1]).table_column("c", rows(0), 1)
        assert shown.values.tolist() == [2**60 + 1]

    def test_none_leaves_what_was_there(self) -> None:
        column = self.put(["rainy"])
        column.put(rows(0), [None], 1)
        assert column.cell(0) == "rainy"

    def test_what_is_no_scalar_is_kept_as_its_text(self) -> None:
        assert self.put([[1, 2]]).cell(0) == "[1, 2]"
        assert self.put([2**70]).cell(0) == float(2**70)

    def test_the_digest_does_not_know_in_which_order_texts_came(self) -> None:
        one, other = CodedColumn(), CodedColumn()
        one.put(rows(0, 1), ["a", "b"], 2)
        other.put(rows(1, 0), ["b", "a"], 2)
        digests = []
        for column in (one, other):
            digest = Digest()
            column.update(digest, rows(0, 1))
            digests.append(digest.hexdigest())
        assert digests[0] == digests[1]


def test_what_was_said_last_of_a_row_counts() -> None:
    state = TriState()
    state.put(rows(0, 2), True, 3)
    state.put(rows(2), False, 3)
    assert state.on(4).tolist() == [True, False, False, False]
    assert not state.cell(-1)


def test_a_growing_array_keeps_what_it_was_given() -> None:
    array = GrowingArray(np.int64)
    for number in range(100):
        array.extend(np.asarray([number, -number]))
    assert array.array.tolist() == [x for n in range(100) for x in (n, -n)]


class TestDigest:
    def of(self, *items: Any) -> str:
        digest = Digest()
        digest.add(*items)
        return digest.hexdigest()

    def test_equal_numbers_of_other_widths_are_equal(self) -> None:
        assert self.of(np.asarray([0.5], np.float32)) == self.of(np.asarray([0.5]))
        assert self.of(np.asarray([7], np.uint8)) == self.of(np.asarray([7]))

    def test_every_nan_is_the_same(self) -> None:
        other = np.asarray([0x7FF8000000000123], np.uint64).view(np.float64)
        assert self.of(other) == self.of(np.asarray([np.nan]))

    def test_items_do_not_run_into_each_other(self) -> None:
        assert self.of("ab", "c") != self.of("a", "bc")
        assert self.of(np.asarray([1, 2])) != self.of(np.asarray([1]), np.asarray([2]))


# -5, 2**40 and a first id of 70 000 are kept apart from those that a direct table holds.
_IDS = st.one_of(st.integers(0, 50), st.sampled_from((-5, 70_000, 10**6, 2**40, "0", "a", "")))


class TestSampleIndex:
    def test_the_same_id_in_two_origins_is_two_samples(self) -> None:
        index = SampleIndex()
        one = index.rows("train", id_vector([7]))
        assert index.rows("test", id_vector([7])).tolist() != one.tolist()

    def test_a_number_is_not_its_text(self) -> None:
        index = SampleIndex()
        made = index.rows("train", id_vector([1, "1"]))
        assert len(set(made.tolist())) == 2
        assert [index.sample_id(row) for row in made.tolist()] == [1, "1"]

    def test_what_is_unknown_is_not_made_without_being_asked_for(self) -> None:
        index = SampleIndex()
        index.rows("train", id_vector([1, "a"]))
        asked = id_vector([1, 2, "a", "b", 2**50])
        assert index.rows("train", asked, create=False).tolist()[1::2] == [-1, -1]
        assert index.rows("test", asked, create=False).tolist() == [-1] * 5
        assert len(index) == 2
        assert index.find("train", 2) == index.find("test", 1) == -1

    @given(st.lists(st.tuples(st.sampled_from("ab"), st.lists(_IDS, max_size=9)), max_size=9))
    def test_it_does_what_a_dict_does(self, calls: list[tuple[str, list[SampleId]]]) -> None:
        index = SampleIndex()
        known: dict[tuple[str, SampleId], int] = {}
        for origin, ids in calls:
            made = index.rows(origin, id_vector(ids)).tolist()
            for one, row in zip(ids, made, strict=True):
                assert known.setdefault((origin, one), row) == row
        assert len(set(known.values())) == len(known) == len(index)
        for (origin, one), row in known.items():
            assert index.find(origin, one) == row
            assert (index.origin(row), index.sample_id(row)) == (origin, one)

    @given(st.lists(st.tuples(st.sampled_from("ab"), st.lists(_IDS, max_size=9)), max_size=9))
    def test_a_restored_one_has_the_same_rows(
        self, calls: list[tuple[str, list[SampleId]]]
    ) -> None:
        index, restored = SampleIndex(), SampleIndex()
        for origin, ids in calls:
            index.rows(origin, id_vector(ids))
        state: dict[str, Any] = {}
        index.snapshot("i", state)
        restored.restore("i", state)
        for origin, ids in calls:
            again = restored.rows(origin, id_vector(ids))
            assert again.tolist() == index.rows(origin, id_vector(ids)).tolist()
        assert len(restored) == len(index)

    def test_an_id_moves_into_the_table_when_that_grows_over_it(self) -> None:
        index = SampleIndex()
        lone = index.rows("train", id_vector([70_000]))
        index.rows("train", id_vector(list(range(20_000))))
        index.rows("train", id_vector([90_000]))
        assert index.rows("train", id_vector([70_000])).tolist() == lone.tolist()
        assert index.find("train", 70_000) == lone[0]
        assert len(index) == 20_002

    def test_it_is_shown_by_origin_then_numbers_then_texts(self) -> None:
        index = SampleIndex()
        index.note("b", 5)
        index.rows("b", id_vector(["x", 3, "a", 1]))
        index.note("a", 9)
        index.rows("a", id_vector([2]))
        index.note("a", 7)
        shown = [(index.origin(row), index.sample_id(row)) for row in index.order().tolist()]
        assert shown == [("b", 1), ("b", 3), ("b", "a"), ("b", "x"), ("a", 2)]
        index.note("a", 2)
        assert index.origins == ["a", "b"]
        assert index.origin(int(index.order()[0])) == "a"

    def test_an_id_of_another_type_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"must be an int or a str, got 1\.5"):
            SampleIndex().rows("train", IdVector((["s"], [(1.5, "a")])))


_INSTANCES = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9)), max_size=12)


class TestInstanceIndex:
    @given(st.lists(_INSTANCES, max_size=8))
    def test_it_does_what_a_dict_does(self, calls: list[list[tuple[int, int]]]) -> None:
        index = InstanceIndex()
        known: dict[tuple[int, int], int] = {}
        for call in calls:
            made = index.rows(rows(*(s for s, _ in call)), np.asarray([a for _, a in call], int))
            for one, row in zip(call, made.tolist(), strict=True):
                assert known.setdefault(one, row) == row
        assert sorted(known.values()) == list(range(len(index)))
        for (sample, annotation), row in known.items():
            assert index.find(sample, annotation) == row
            assert (index.sample_rows[row], index.annotation_ids[row]) == (sample, annotation)
        for sample in range(6):
            expected = [row for (s, _), row in sorted(known.items()) if s == sample]
            assert index.of_sample(sample).tolist() == expected

    def test_what_is_unknown_is_not_found(self) -> None:
        index = InstanceIndex()
        index.rows(rows(2), np.asarray([3]))
        assert [index.find(2, 1), index.find(2, 4), index.find(9, 1), index.find(-1, 1)] == [-1] * 4
        assert index.of_sample(-1).tolist() == []

    @pytest.mark.parametrize("wrong", [0, MAX_ANNOTATION_ID + 1])
    def test_annotation_ids_have_bounds(self, wrong: int) -> None:
        with pytest.raises(ValueError, match="annotation_ids must be between 1 and"):
            InstanceIndex().rows(rows(0), np.asarray([wrong]))


def test_ranges_count_up_for_each_length() -> None:
    assert ranges(np.asarray([2, 0, 3])).tolist() == [0, 1, 0, 1, 2]
    assert ranges(np.asarray([], np.int64)).tolist() == []
