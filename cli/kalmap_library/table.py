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
        arrays = _ArrowColumns(arrow)
        columns = {name: arrays.of(column) for name, column in self._columns.items()}
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


class _ArrowColumns:
    """Makes Arrow's arrays of columns, null where something is missing."""

    def __init__(self, arrow: Any) -> None:
        self._arrow = arrow
        self._positions: dict[bytes, Any] = {}

    def of(self, column: NDArray[Any]) -> Any:
        """The array of a column."""
        array, types = self._arrow.Array, self._arrow.DataType
        if column.dtype.kind == "M":
            missing = np.isnat(column)
            whole = array.from_numpy(np.where(missing, 0, column.astype("M8[us]").view("i8")))
            return self._without(whole.cast(types.timestamp("us", tz="UTC")), missing)
        if column.dtype.kind == "f":
            numbers = array.from_numpy(np.ascontiguousarray(column))
            return self._without(numbers, np.isnan(column))
        if column.dtype.kind == "O":
            return array(column.tolist(), type=types.string())
        return array.from_numpy(np.ascontiguousarray(column))

    def _without(self, array: Any, missing: NDArray[np.bool_]) -> Any:
        """The array, null where it is missing: taking positions that are null makes nulls."""
        if not missing.any():
            return array
        # Several columns lack the same rows.
        key = missing.tobytes()
        if key not in self._positions:
            positions = np.arange(missing.size).astype(object)
            positions[missing] = None
            self._positions[key] = self._arrow.Array(
                positions.tolist(), type=self._arrow.DataType.uint32()
            )
        return array.take(self._positions[key])
