"""A table: named columns of numpy, which Arrow's libraries can take over."""

from collections.abc import Iterable, KeysView, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalmap.errors import InvalidInput


class Table:
    """Columns of the same length, by name.

    `dict(table)` has them as numpy arrays. If arro3 is installed, Arrow's libraries take a table:
    `polars.DataFrame(table)`, `pandas.DataFrame.from_arrow(table)`, `pyarrow.table(table)`. There,
    times are in UTC, and what is missing is null.

    >>> table = Table({"user_id": ["a", "b"], "value": np.array([80.5, 81.0])})
    >>> table["value"].mean()
    np.float64(80.75)
    >>> table
    Table of 2 rows: user_id, value
    """

    def __init__(self, columns: Mapping[str, Iterable[Any]]) -> None:
        self._columns = {
            name: column if isinstance(column, np.ndarray) else as_array(column)
            for name, column in columns.items()
        }

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    #: Of columns or of rows? A table says neither; pandas would take the names for data.
    __iter__ = None

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def keys(self) -> KeysView[str]:
        """The columns' names."""
        return self._columns.keys()

    def __repr__(self) -> str:
        return f"Table of {self.rows:,} rows: {', '.join(self._columns)}"

    @property
    def rows(self) -> int:
        """The number of rows."""
        return next(iter(self._columns.values())).size if self._columns else 0

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The table as an Arrow stream, by Arrow's PyCapsule interface."""
        arrow = import_arrow()
        columns = {name: _arrow_column(arrow, column) for name, column in self._columns.items()}
        return arrow.Table.from_pydict(columns).__arrow_c_stream__(requested_schema)


def import_arrow() -> Any:
    """Import arro3.

    Raises:
        InvalidInput: It is not installed.
    """
    try:
        import arro3.core  # noqa: PLC0415 - needed only for tables of Arrow
    except ImportError:
        raise InvalidInput(
            "Tables of Arrow need the package arro3-core, which is small: "
            '`pip install "kalmap[arrow]"` installs it.'
        ) from None
    return arro3.core


def as_array(column: Iterable[Any]) -> NDArray[Any]:
    """A column of Python's objects."""
    values = list(column)
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _arrow_column(arrow: Any, column: NDArray[Any]) -> Any:
    types = arrow.DataType
    if column.dtype.kind == "M":
        missing = np.isnat(column)
        whole = arrow.Array.from_numpy(np.where(missing, 0, column.astype("M8[us]").view("i8")))
        times = whole.cast(types.timestamp("us", tz="UTC"))
        return times.take(_positions(arrow, missing)) if missing.any() else times
    if column.dtype.kind == "f":
        missing = np.isnan(column)
        numbers = arrow.Array.from_numpy(np.ascontiguousarray(column))
        return numbers.take(_positions(arrow, missing)) if missing.any() else numbers
    if column.dtype.kind == "O":
        return arrow.Array(column.tolist(), type=types.string())
    return arrow.Array.from_numpy(np.ascontiguousarray(column))


def _positions(arrow: Any, missing: NDArray[np.bool_]) -> Any:
    """The position of each row, null where it is missing: taking them makes nulls."""
    positions = [None if gone else row for row, gone in enumerate(missing.tolist())]
    return arrow.Array(positions, type=arrow.DataType.uint32())
