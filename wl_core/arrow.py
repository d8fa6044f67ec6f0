"""Tables as Arrow tables and as pandas DataFrames.

    number    the same number; memory is shared where every cell is there
    flag      bool
    text      dictionary-encoded string
    list      list of string, int64, double or bool; one of several kinds, or one that Arrow has no
              list for, is JSON text

An empty cell is null and a NaN stays NaN. pyarrow and pandas are imported when they are needed;
which rows a table has is the business of those who make tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from wl_core.cli_output import to_json
from wl_core.errors import MissingExtraError
from wl_core.table import Table, TableColumn

_INT64 = 1 << 63
_FEW = 256  # categories


def needed(module: str, extra: str) -> Any:
    """The module, which comes with an extra of wl.

    Raises:
        MissingExtraError: it is not installed; the message says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"this needs {module.partition('.')[0]}, which is not installed:"
            f" pip install 'wl[{extra}]'"
        ) from error


def to_arrow(table: Table) -> Any:
    """The table as a ``pyarrow.Table``; see `Table.to_arrow`."""
    pa = needed("pyarrow", "parquet")
    return pa.table({column.name: _array(pa, column) for column in table})


def joined(tables: Iterable[Table]) -> Any:
    """Tables of the same columns as one ``pyarrow.Table``, one below the other."""
    pa = needed("pyarrow", "parquet")
    # Each has a dictionary of the texts that it uses.
    return pa.concat_tables([to_arrow(table) for table in tables]).unify_dictionaries()


def to_pandas(arrow: Any) -> Any:
    """A ``pyarrow.Table`` as a ``pandas.DataFrame``; see `Table.to_pandas`."""
    pandas, pa = needed("pandas", "pandas"), needed("pyarrow", "parquet")
    # In plain pandas an integer or a bool beside an empty cell would become a float or an object.
    nullable = {pa.int64(): pandas.Int64Dtype(), pa.bool_(): pandas.BooleanDtype()}
    columns = {
        name: column.to_pandas(types_mapper=nullable.get if column.null_count else None)
        for name, column in zip(arrow.column_names, arrow.columns, strict=True)
    }
    return pandas.DataFrame(columns, copy=False)


def _array(pa: Any, column: TableColumn) -> Any:
    if column.kind == "text":
        codes, texts = compact(column)
        return _dictionary(pa, column, codes, texts)
    if column.kind == "list":
        return _lists(pa, column)
    return pa.array(column.values, mask=_absent(column), from_pandas=False)


def _absent(column: TableColumn) -> npt.NDArray[np.bool_] | None:
    return None if column.present.all() else ~column.present


def compact(column: TableColumn) -> tuple[npt.NDArray[np.int32], list[Any]]:
    """``codes [n], categories`` of a coded column, without the categories that it does not use.

    A part of a long table names few of its texts; where there are few at all, all are kept. Codes
    of empty cells may be any.
    """
    if len(column.categories) <= _FEW:
        return column.values.clip(0, max(0, len(column.categories) - 1)), [*column.categories]
    used_codes = column.values[column.present]
    if not len(used_codes):
        return np.zeros(len(column), np.int32), []
    low = int(used_codes.min())
    used = np.zeros(int(used_codes.max()) - low + 1, np.bool_)
    used[used_codes - low] = True
    places = np.cumsum(used, dtype=np.int32) - 1
    codes = places[np.clip(column.values - low, 0, len(used) - 1)]
    return codes, [column.categories[at] for at in (np.flatnonzero(used) + low).tolist()]


def _dictionary(
    pa: Any, column: TableColumn, codes: npt.NDArray[np.int32], texts: Sequence[str]
) -> Any:
    encoded = pa.array(texts, pa.string()).dictionary_encode()
    if len(encoded.dictionary) < len(texts):  # two origins may have samples of one id
        codes = encoded.indices.to_numpy()[codes]
    indices = pa.array(codes, pa.int32(), mask=_absent(column))
    return pa.DictionaryArray.from_arrays(indices, encoded.dictionary)


def _lists(pa: Any, column: TableColumn) -> Any:
    kind = list_kind(column.categories)
    codes, entries = compact(column)
    if kind == "mixed":
        return _dictionary(pa, column, codes, [to_json(entry) for entry in entries])
    element = {"text": pa.string, "int": pa.int64, "float": pa.float64, "flag": pa.bool_}[kind]()
    lists = pa.array([list(entry) for entry in entries], pa.list_(element))
    return lists.take(pa.array(codes, pa.int32(), mask=_absent(column)))


def list_kind(lists: Iterable[Sequence[Any]]) -> str:
    """What all elements are: ``text``, ``int``, ``float``, ``flag``, or else ``mixed``.

    All lists of the column are asked, also those that no chosen row has: a filter changes no types.
    """
    elements = [element for one in lists for element in one if element is not None]
    kinds = set(map(type, elements))
    if kinds <= {str}:
        return "text"
    if kinds == {bool}:
        return "flag"
    if not kinds <= {int, float}:
        return "mixed"
    if float in kinds:
        return "float"
    return "int" if all(-_INT64 <= element < _INT64 for element in elements) else "mixed"
