"""Tables that share what views hold: they stand still while the view goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from wl_core.batches import batches
from wl_core.sorting import stable_order
from wl_core.stored_column import StoredColumn
from wl_core.table import Table, TableColumn
from wl_core.testing import FrameWriter
from wl_plugins.instance_view import InstanceView
from wl_plugins.sample_view import SampleView

_BY = np.random.default_rng(0)


class Watched:
    """A view of samples that goes on being folded."""

    def __init__(self) -> None:
        self.log = FrameWriter()
        self.view = SampleView()
        self.instances = InstanceView()
        self._folded = 0

    def step(self) -> Table:
        self.log.step()
        for batch in batches(iter(self.log.frames[self._folded :])):
            self.view.fold(batch)
            self.instances.fold(batch)
        self._folded = len(self.log.frames)
        return self.view.display(self.instances)


def cells(table: Table) -> list[dict[str, Any]]:
    return [table.row(row) for row in range(len(table))]


@pytest.fixture
def watched() -> Watched:
    watched = Watched()
    watched.log.exposed([3, 1, 2])
    watched.log.values("loss", [3, 1, 2], [0.3, 0.1, 0.2])
    watched.log.values("kept", [3, 1], [1.0, 2.0])
    watched.log.instance_values("dice", [3, 1], [0, 0], [1, 2], [0.5, 0.7])
    return watched


def test_a_table_stands_still_while_its_view_goes_on(watched: Watched) -> None:
    table = watched.step()
    looked_at = table.column("loss").values.tolist()
    before = cells(table)
    watched.log.exposed([2, 9])
    watched.log.values("loss", [2, 9], [5.0, 6.0])
    watched.log.values("kept", [2], [1e300], dtype=np.float64)
    watched.log.instance_values("dice", [1], [0], [1], [0.25])
    later = watched.step()
    assert cells(table) == before
    assert table.column("loss").values.tolist() == looked_at
    assert later.column("loss").cell(1) == 5.0
    assert [later.column("times_seen").cell(row) for row in range(4)] == [1, 2, 1, 1]
    assert later.column("kept").cell(1) == 1e300
    assert later.column("dice").cell(0) == 0.25


def test_only_columns_that_changed_are_made_again(watched: Watched) -> None:
    before = watched.step()
    watched.log.values("loss", [1], [7.0])
    after = watched.step()
    changed = [one.name for one, other in zip(before, after, strict=True) if one is not other]
    assert changed == ["loss"]


def test_a_view_that_was_restored_leaves_the_checkpoint_as_it_was(watched: Watched) -> None:
    watched.step()
    state = watched.view.snapshot()
    stored = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    for name, value in stored.items():
        read_only = np.frombuffer(value.tobytes(), value.dtype).reshape(value.shape)
        state[name] = stored[name] = read_only
    before = {name: value.copy() for name, value in stored.items()}
    restored = Watched()
    restored.view.restore(state)
    restored.log.exposed([1, 2])
    restored.log.values("loss", [1, 4], [8.0, 9.0])
    table = restored.step()
    assert [table.column("loss").cell(row) for row in range(4)] == pytest.approx([8, 0.2, 0.3, 9])
    for name, value in before.items():
        np.testing.assert_array_equal(stored[name], value)


def test_a_stored_column_is_what_a_plain_one_would_be() -> None:
    stored = _BY.integers(-5, 5, 50).astype(np.float32)
    stored[7] = np.nan
    present, order = _BY.random(50) < 0.7, _BY.permutation(50)
    for kind, values in (("number", stored), ("flag", (stored > 0).astype(np.float32))):
        lazy = StoredColumn("a", kind, values, present, order)  # type: ignore[arg-type]
        gathered = values[order] if kind == "number" else values[order] != 0
        plain = TableColumn("a", kind, gathered, present[order])  # type: ignore[arg-type]
        rows = np.array([4, 4, 30])
        for one, other in ((lazy, plain), (lazy.take(rows), plain.take(rows))):
            assert (one.dtype, one.filled, len(one)) == (other.dtype, other.filled, len(other))
            for row in range(len(one)):
                assert str(one.cell(row)) == str(other.cell(row))
                assert one.is_filled(row) == other.is_filled(row)
            np.testing.assert_array_equal(one.values, other.values)
            np.testing.assert_array_equal(one.order(descending=True), other.order(descending=True))
        np.testing.assert_array_equal(lazy.extremes, plain.extremes)


def test_a_look_at_a_few_cells_puts_no_column_in_order() -> None:
    column = StoredColumn(
        "a", "number", np.arange(9.0), np.ones(9, np.bool_), np.arange(9)[::-1].copy()
    )
    assert (column.cell(0), column.filled, column.extremes) == (8.0, 9, (0.0, 8.0))
    assert repr(column) == "StoredColumn('a', 'number', 9 rows)"
    assert repr(Table((column,))) == "Table(9 rows, ['a'])"
    assert column._found.keys() == {"filled", "extremes"}


@pytest.mark.parametrize(
    "keys",
    [
        _BY.integers(0, 9, 999),
        _BY.random(999),
        _BY.integers(-3, 3, 999).astype(np.float32),
        _BY.integers(0, 2, 999).astype(np.int8),
        np.zeros(0),
        np.array([1.0]),
        np.array([np.inf, -np.inf, 0.0, -0.0, np.inf]),
    ],
    ids=str,
)
def test_rows_with_equal_keys_stay_in_order(keys: npt.NDArray[Any]) -> None:
    np.testing.assert_array_equal(stable_order(keys), np.argsort(keys, kind="stable"))


def test_rows_that_come_later_stand_where_a_fresh_index_would_have_them() -> None:
    little_by_little, at_once = Watched(), Watched()
    for _ in range(5):
        ids = _BY.permutation(300)[:40].tolist()
        for one in (little_by_little, at_once):
            one.log.exposed(ids)
        table = little_by_little.step()
    fresh = at_once.step()
    ids = table.column("sample_id").values
    assert (np.diff(ids) > 0).all()
    np.testing.assert_array_equal(ids, fresh.column("sample_id").values)
