"""Every kind of column written in every format and read back by somebody else."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import wl_core as wl
from tests.core.cli_runs import LogWriter, floats, values, write_run
from wl_core.errors import MissingExtraError, UnknownNameError, UsageError, WlError
from wl_core.export import exporter_of, write_file
from wl_core.table import Table, TableColumn

HERE = np.array([True, False, True])
EVERYWHERE = np.ones(3, np.bool_)


def coded(name: str, kind: Any, *categories: Any) -> TableColumn:
    """Its second cell is empty; the first has the last category, the third the first."""
    codes = np.array([len(categories) - 1, -1, 0], np.int32)
    return TableColumn(name, kind, codes, HERE, categories)


TABLE = Table(
    (
        TableColumn("id", "number", np.array([1, 2, 1 << 60]), EVERYWHERE),
        TableColumn("count", "number", np.array([7, 0, -7]), HERE),
        TableColumn("double", "number", np.array([0.1, math.nan, math.inf]), EVERYWHERE),
        TableColumn("single", "number", floats(0.1, 5, math.nan), HERE),
        TableColumn("flag", "flag", HERE, EVERYWHERE),
        TableColumn("maybe", "flag", HERE, HERE),
        coded("text", "text", "plain", "unused", 'a "b",\nc'),
        coded("blank", "text", "007", ""),
        coded("texts", "list", (), ("a", "b")),
        coded("numbers", "list", (1, 2), (2.5, math.nan)),
        coded("integers", "list", (1,), (2, 3)),
        coded("flags", "list", (True,), (False, True)),
        coded("mixed", "list", (1, "a"), (True,)),
        coded("per % cent", "text", "%s", "ü"),
    )
)


def written(name: str, table: Table = TABLE, folder: Path = Path()) -> Path:
    path = folder / name
    halves = [table.take(rows) for rows in np.array_split(np.arange(len(table)), 2)]
    parts = iter([(0.5, halves[0]), (1.0, halves[1])])
    assert write_file(parts, path, exporter_of(path, None)) == len(table)
    return path


def same(found: Any, expected: Any) -> bool:
    """Equal in value and type; NaN is NaN."""
    if isinstance(expected, list) and isinstance(found, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, float) and math.isnan(expected):
        return isinstance(found, float) and math.isnan(found)
    return type(found) is type(expected) and bool(found == expected)


EXACT: dict[str, list[Any]] = {
    "id": [1, 2, 1 << 60],
    "count": [7, None, -7],
    "double": [0.1, math.nan, math.inf],
    "single": [float(np.float32(0.1)), None, math.nan],
    "flag": [True, False, True],
    "maybe": [True, None, True],
    "text": ['a "b",\nc', None, "plain"],
    "blank": ["", None, "007"],
    "texts": [["a", "b"], None, []],
    "numbers": [[2.5, math.nan], None, [1.0, 2.0]],
    "integers": [[2, 3], None, [1]],
    "flags": [[False, True], None, [True]],
    "mixed": ["[true]", None, '[1, "a"]'],
    "per % cent": ["ü", None, "%s"],
}


def check(found: pa.Table) -> None:
    assert found.column_names == list(EXACT)
    for name, expected in EXACT.items():
        assert same(found.column(name).to_pylist(), expected), name
    assert found.schema.field("single").type == pa.float32()
    assert found.schema.field("id").type == pa.int64()


def test_parquet_keeps_every_cell_and_type(tmp_path: Path) -> None:
    found = parquet.read_table(written("all.parquet", folder=tmp_path))
    check(found)
    assert found.schema.field("text").type == pa.string()


def test_an_arrow_table_keeps_every_cell_and_encodes_texts() -> None:
    found = TABLE.to_arrow()
    check(found)
    assert found.schema.field("text").type == pa.dictionary(pa.int32(), pa.string())


def test_arrow_shares_numbers_that_are_all_there() -> None:
    numbers = np.arange(4.0)
    table = Table((TableColumn("x", "number", numbers, np.ones(4, np.bool_)),))
    (chunk,) = table.to_arrow().column("x").chunks
    assert chunk.buffers()[1].address == numbers.ctypes.data


def test_json_keeps_every_cell_in_rows(tmp_path: Path) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    expected: dict[str, list[Any]] = EXACT | {
        "double": [0.1, "NaN", "Infinity"],
        "single": [0.1, None, "NaN"],
        "numbers": [[2.5, "NaN"], None, [1, 2]],
        "mixed": [[True], None, [1, "a"]],
    }
    array = json.loads(written("all.json", folder=tmp_path).read_text(), parse_constant=refuse)
    lines = written("all.jsonl", folder=tmp_path).read_text().splitlines()
    for rows in (array, [json.loads(line, parse_constant=refuse) for line in lines]):
        assert len(rows) == 3
        for name, cells in expected.items():
            assert same([row[name] for row in rows], cells), name


def test_csv_keeps_every_cell_as_text(tmp_path: Path) -> None:
    path = written("all.csv", folder=tmp_path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {name: [row[name] for row in rows] for name in TABLE.names}
    assert found == {
        "id": ["1", "2", str(1 << 60)],
        "count": ["7", "", "-7"],
        "double": ["0.1", "NaN", "inf"],
        "single": ["0.1", "", "NaN"],
        "flag": ["true", "false", "true"],
        "maybe": ["true", "", "true"],
        "text": ['a "b",\nc', "", "plain"],
        "blank": ["", "", "007"],
        "texts": ['["a", "b"]', "", "[]"],
        "numbers": ['[2.5, "NaN"]', "", "[1, 2]"],
        "integers": ["[2, 3]", "", "[1]"],
        "flags": ["[false, true]", "", "[true]"],
        "mixed": ["[true]", "", '[1, "a"]'],
        "per % cent": ["ü", "", "%s"],
    }
    # Readers that know the difference find an empty text, and no text.
    blank = Table((TABLE.column("id"), TABLE.column("blank")))
    assert written("blank.csv", blank, tmp_path).read_text().splitlines()[1:3] == ['1,""', "2,"]


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    nothing = TABLE.take(np.empty(0, np.intp))
    assert nothing.to_arrow().schema == TABLE.to_arrow().schema
    for name in ("no.parquet", "no.csv", "no.json", "no.jsonl"):
        written(name, nothing, tmp_path)
    assert parquet.read_table(tmp_path / "no.parquet").column_names == list(TABLE.names)
    assert (tmp_path / "no.csv").read_text().count("\n") == 1
    assert json.loads((tmp_path / "no.json").read_text()) == []
    assert (tmp_path / "no.jsonl").read_text() == ""


def test_columns_without_any_cell_are_empty(tmp_path: Path) -> None:
    nowhere, codes = np.zeros(2, np.bool_), np.full(2, -1, np.int32)
    many = tuple(map(str, range(1000)))
    table = Table(
        (
            TableColumn("none", "text", codes, nowhere),
            TableColumn("lists", "list", codes, nowhere),
            TableColumn("many", "text", codes, nowhere, many),
            TableColumn("numbers", "number", np.full(2, np.nan), nowhere),
        )
    )
    found = parquet.read_table(written("empty.parquet", table, tmp_path))
    assert found.to_pylist() == [dict.fromkeys(table.names)] * 2
    assert written("empty.csv", table, tmp_path).read_text().splitlines()[1:] == [",,,"] * 2


def test_parts_that_use_other_texts_are_one_column(tmp_path: Path) -> None:
    names = tuple(f"s{n}" for n in range(1000))
    codes = np.arange(1000, dtype=np.int32)
    table = Table((TableColumn("id", "text", codes, np.ones(1000, np.bool_), names),))
    halves = [table.take(np.arange(400)), table.take(np.arange(400, 1000))]
    path = tmp_path / "ids.parquet"
    write_file(iter([(0.4, halves[0]), (1.0, halves[1])]), path, exporter_of(path, None))
    assert parquet.read_table(path).column("id").to_pylist() == list(names)
    metadata = parquet.ParquetFile(path).metadata
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [400, 600]


# -- a run ----------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Iterator[wl.Run]:
    write_run(tmp_path / "wl_runs" / "first")
    with wl.open_run(tmp_path / "wl_runs" / "first") as reader:
        yield reader


def test_samples_are_written_as_they_are_asked_for(run: wl.Run, tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    asked = {"where": "times_seen > 0", "columns": ["sample_id", "loss"], "sort": "size"}
    assert wl.write_dataframe(path, descending=True, run=run, **asked) == 3  # type: ignore[call-overload]
    found = parquet.read_table(path)
    assert found.column_names == ["sample_id", "loss"]
    assert found.column("sample_id").to_pylist() == ["s3", "s2", "s1"]
    assert found.equals(
        wl.write_dataframe(to="arrow", descending=True, run=run, **asked).cast(found.schema)  # type: ignore[call-overload]
    )


def test_samples_as_they_were(run: wl.Run) -> None:
    found = wl.write_dataframe(to="arrow", run=run, at_step=0, columns=["sample_id", "loss"])
    assert found.column("loss").to_pylist()[0] == pytest.approx(0.1)


def test_instances_are_a_table_of_their_own(run: wl.Run) -> None:
    found = wl.write_dataframe(to="arrow", run=run, instances=True, where="dice > 0.5")
    assert found.column("annotation_id").to_pylist() == [2]
    assert run.instances().to_arrow().num_rows == 2


def test_a_history_is_written_in_the_long_form(run: wl.Run, tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    assert wl.write_history(path, run=run) == 15
    found = parquet.read_table(path)
    assert found.schema.names == [
        "signal", "origin", "sample_id", "annotation_id", "step", "value",
    ]  # fmt: skip
    assert found.slice(5, 2).to_pylist()[0] == {
        "signal": "dice",
        "origin": "train_loader",
        "sample_id": "s1",
        "annotation_id": 2,
        "step": 2,
        "value": 0.75,
    }
    assert found.column("signal").to_pylist() == ["dice"] * 6 + ["loss"] * 9


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({"signals": "loss"}, 9),
        ({"signals": ["signals_loss", "loss"]}, 9),
        ({"instances": True}, 6),
        ({"instances": False}, 9),
        ({"where": "instances > 1"}, 9),  # the sample's values, and those of its instances
        ({"where": "dice > 0.5", "instances": True}, 3),
        ({"where": "discarded"}, 3),
        ({"where": "size > 100"}, 0),
        ({"at_step": 0}, 5),
    ],
)
def test_a_history_can_be_a_part_of_it(run: wl.Run, asked: dict[str, Any], count: int) -> None:
    assert wl.write_history(to="arrow", run=run, **asked).num_rows == count


def test_a_history_knows_integer_ids(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "run")
    writer.frame(0, values("loss", [2, 1], floats(1, 2)))
    writer.close()
    found = wl.write_history(to="arrow", run=tmp_path / "run")
    assert found.column("sample_id").to_pylist() == [1, 2]


def test_a_run_without_values_has_an_empty_history(tmp_path: Path) -> None:
    LogWriter(tmp_path / "run").close()
    assert wl.write_history(tmp_path / "history.csv", run=tmp_path / "run") == 0
    assert (tmp_path / "history.csv").read_text().startswith("signal,origin,sample_id")


def test_the_training_process_exports_its_own_run(tmp_path: Path) -> None:
    wl.start_run(tmp_path / "run")
    try:
        with wl.guard_training_context:
            wl.save_signals({"loss": np.array([1.0, 2.0])}, batch_ids=["a", "b"])
        assert wl.write_history(tmp_path / "history.csv") == 2
        assert wl.write_dataframe(tmp_path / "samples.csv") == 2
    finally:
        wl.finish()


# -- what goes wrong --------------------------------------------------------------------


def test_what_is_asked_wrongly_is_told_before_anything_is_read(tmp_path: Path) -> None:
    none: Any = tmp_path / "there is no run here"
    for call, said in (
        (lambda: wl.write_dataframe(tmp_path / "a.xls", run=none), "parquet, csv, json, jsonl"),
        (lambda: wl.write_history(tmp_path / "a", format="cvs", run=none), "mean 'csv'"),
        (lambda: wl.write_dataframe(tmp_path / "a.csv", to="arrow", run=none), "not both"),  # type: ignore[call-overload]
        (lambda: wl.write_dataframe(format="csv", run=none), "needs a path"),  # type: ignore[call-overload]
        (lambda: wl.write_dataframe(to="polars", run=none), "must be 'pandas' or 'arrow'"),  # type: ignore[call-overload]
    ):
        with pytest.raises(UsageError, match=said):
            call()


def test_a_column_that_is_not_there_is_named(run: wl.Run, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'loss'"):
        wl.write_dataframe(tmp_path / "a.csv", columns=["los"], run=run)
    assert not (tmp_path / "a.csv").exists()


def interrupted(error: BaseException) -> Iterator[tuple[float, Table]]:
    yield 0.5, TABLE
    raise error


@pytest.mark.parametrize("ending", ["parquet", "csv", "json", "jsonl"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a broken view")])
def test_an_export_that_is_interrupted_leaves_what_was_there(
    tmp_path: Path, ending: str, error: BaseException
) -> None:
    path = tmp_path / f"table.{ending}"
    path.write_text("before")
    with pytest.raises(type(error)):
        write_file(interrupted(error), path, exporter_of(path, None))
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "before"


def test_a_disk_that_refuses_is_said_in_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere" / "a.parquet", tmp_path / "nowhere" / "a.csv"):
        with pytest.raises(WlError, match=r"nowhere/a\.\w+ cannot be written: .*[Nn]o such file"):
            write_file(iter([(1.0, TABLE)]), path, exporter_of(path, None))


@pytest.mark.parametrize(
    ("package", "extra", "use"),
    [
        ("pyarrow", "parquet", TABLE.to_arrow),
        ("pyarrow.parquet", "parquet", lambda: written("a.parquet")),
        ("pandas", "pandas", TABLE.to_pandas),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    extra: str,
    use: Callable[[], Any],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)  # an import of it fails
    with pytest.raises(MissingExtraError, match=rf"pip install 'wl\[{extra}\]'"):
        use()
    assert not list(tmp_path.iterdir())


def test_a_dataframe_has_the_cells_of_the_table() -> None:
    frame = TABLE.to_pandas()
    assert frame["count"].tolist()[::2] == [7, -7]
    assert str(frame["count"].dtype) == "Int64"
    assert str(frame["id"].dtype) == "int64"
    assert str(frame["maybe"].dtype) == "boolean"
    assert str(frame["flag"].dtype) == "bool"
    assert str(frame["single"].dtype) == "float32"
    assert frame.loc[frame["text"] == "plain", "id"].tolist() == [1 << 60]
    assert frame["texts"].tolist()[2].tolist() == []
