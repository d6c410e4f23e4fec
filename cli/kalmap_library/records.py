"""Readings in, as any table: they become the records that a batch would read from a file."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import repeat
from math import isinf
from typing import Any

import msgspec
import numpy as np

from kalmap.errors import InvalidInput
from kalmap.profile import Profile
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.measurement import (
    OPTIONAL_FIELDS,
    REQUIRED_FIELDS,
    RecordError,
    as_name,
    refuse_inexact,
)
from kalmap.records.parse import Parsed, parse, parse_columns
from kalmap_library.coded import CodedTable, coded_readings
from kalmap_library.table import Table, import_arrow

#: JSON's form of what is not finite; the encoder would write null, as if nothing were there.
_INFINITE = msgspec.Raw(b"1e999")
_FIELDS = (*REQUIRED_FIELDS, *OPTIONAL_FIELDS)
_NEVER_NAN = {str, int, datetime, type(None)}
_EXAMPLE = '{"user_id": ["u-1"], "timestamp": ["2026-03-01T07:12:00+01:00"], "value": [81.4]}'
_ZONE = (
    "The column timestamp has no time zone. Say which one it is, for example "
    'df["timestamp"].dt.tz_localize("Europe/Vienna") in pandas, or '
    '.dt.replace_time_zone("Europe/Vienna") in polars.'
)


class _Record(msgspec.Struct, omit_defaults=True, gc=False):
    """One reading as a record of a file. What its fields hold is checked as a file's is."""

    user_id: Any
    timestamp: Any
    value: Any
    unit: Any = None
    source: Any = None
    measurement_id: Any = None


def parse_readings(readings: object, profile: Profile) -> Parsed:
    """Parse readings as a batch parses a file with these records.

    Args:
        readings: Columns by name, or anything with Arrow's PyCapsule interface.
        profile: The profile whose unit the values are converted to.

    Raises:
        InvalidInput: They have another shape, lack a column, or none of them can be read.
    """
    if isinstance(readings, CodedTable) and readings.rows and readings.readings:
        found = parse_columns(readings.readings, profile)
        if found:
            return found
    columns = _columns(readings)
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidInput(f"The columns differ in length: {_shown(lengths)}.")
    plain = coded_readings(columns) if lengths["user_id"] else None
    if plain is not None and (found := parse_columns(plain, profile)):
        return found
    if isinstance(columns["timestamp"], np.ndarray):
        columns["timestamp"] = _times(columns["timestamp"])
    columns["value"] = [_INFINITE if type(value) is float and isinf(value) else value
                        for value in columns["value"]]  # fmt: skip
    try:
        lines = _encoder.encode_lines(list(records_of(columns)))
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"The readings hold something that is no reading: {error}.") from None
    parsed = parse([lines], Jsonl(), profile)
    if parsed.records and not parsed.user.size:
        raise InvalidInput(
            f"None of the {parsed.records:,} readings can be read. The first: "
            f"{parsed.unreadable[0].detail}"
        )
    return parsed


def records_of(columns: Mapping[str, list[Any]]) -> Iterator[_Record]:
    """One record after the other, of columns of the same length. Some may be missing."""
    return map(_Record, *(columns.get(name, repeat(None)) for name in _FIELDS))


def _columns(readings: object) -> dict[str, Any]:
    """The columns as lists; times may be an array of numpy's."""
    names: list[Any]
    column: Callable[[str], Any]
    if isinstance(readings, Table):
        readings = dict(readings)
    if isinstance(readings, Mapping):
        names, column = list(readings), lambda name: _list(name, readings[name])
    elif hasattr(readings, "__arrow_c_stream__"):
        table = _arrow_table(readings)
        names, column = table.column_names, lambda name: _arrow_list(table.column(name))
    else:
        raise _no_table(readings)
    missing = [name for name in REQUIRED_FIELDS if name not in names]
    if missing:
        raise InvalidInput(
            f"The readings have no column {missing[0]}; their columns are "
            f"{', '.join(map(str, names)) or 'none'}. Needed are {', '.join(REQUIRED_FIELDS)}; "
            f"{', '.join(OPTIONAL_FIELDS)} may be there. Rename yours."
        )
    if unused := [str(name) for name in names if name not in _FIELDS]:
        warnings.warn(
            f"kalmap does not use these columns: {', '.join(unused)}. It knows "
            f"{', '.join(_FIELDS)}.",
            stacklevel=4,
        )
    if several := [name for name in _FIELDS if names.count(name) > 1]:
        raise InvalidInput(f"The readings have several columns {several[0]}. Leave one of them.")
    columns = {name: column(name) for name in _FIELDS if name in names}
    for name in columns.keys() & {"user_id", "source", "measurement_id"}:
        columns[name] = _names(name, columns[name])
    return columns


def _no_table(readings: object) -> InvalidInput:
    rows = isinstance(readings, Sequence) and not isinstance(readings, str)
    hint = " Of a list of records, pandas makes one: pandas.DataFrame(records)." if rows else ""
    return InvalidInput(
        f"Readings are a table: columns by name, such as {_EXAMPLE}, or a table of pandas, "
        f"polars, pyarrow or DuckDB; not {type(readings).__name__}.{hint}"
    )


def _names(name: str, column: list[Any]) -> list[Any]:
    """A column of names as text: whole numbers are some, as in a file."""
    if not set(map(type, column)) <= {str, type(None)}:
        column = [as_name(value.item() if isinstance(value, np.generic) else value)
                  for value in column]  # fmt: skip
    first = next((value for value in column if value is not None), "")
    try:
        refuse_inexact(name, first)
    except RecordError as error:
        raise InvalidInput(error.detail) from None
    if not isinstance(first, str):
        raise InvalidInput(
            f"The column {name} has {first!r}, which is neither text nor a whole number. Make it "
            'text, for example by .astype("str") in pandas.'
        )
    return column


def _list(name: str, column: Any) -> Any:
    if isinstance(column, str | bytes) or not isinstance(column, Iterable):
        raise InvalidInput(
            f"The column {name} is {column!r}, not a list or an array with a value for each "
            f"reading. Write for example {_EXAMPLE}."
        )
    if not isinstance(column, np.ndarray):
        # A column of pandas or polars is made an array, other columns stay what they are.
        column = np.asarray(column) if hasattr(column, "__array__") else list(column)
    if isinstance(column, list):
        return _without_nans(column)
    if column.ndim != 1:
        raise InvalidInput(f"The column {name} has {column.ndim} dimensions. Give it one.")
    if column.dtype.kind == "M":
        return column if name == "timestamp" else _times(column)
    values: list[Any] = column.tolist()
    return _without_nans(values) if column.dtype.kind in "fO" else values


def _without_nans(values: list[Any]) -> list[Any]:
    """A column without NaN, NaT and NA, which pandas writes where nothing is."""
    kinds = set(map(type, values))
    if kinds <= _NEVER_NAN or (kinds == {float} and not np.isnan(values).any()):
        return values
    return [None if value is None or value != value else value  # noqa: PLR0124 - only NaN differs
            for value in values]  # fmt: skip


def _times(column: Any) -> list[Any]:
    """Times in UTC as text: fractions are then rounded as in a file."""
    texts = np.datetime_as_string(column, timezone="UTC").tolist()
    return [None if text == "NaT" else text for text in texts]


def _arrow_table(readings: object) -> Any:
    arrow = import_arrow()
    try:
        return arrow.Table.from_arrow(readings)
    except ImportError as error:
        raise InvalidInput(
            f"This table cannot be read without another package: {error} Or give its columns: "
            "kalmap.fold(dict(df.items()))."
        ) from None
    except ValueError as error:
        if not hasattr(readings, "columns"):
            raise _no_table(readings) from None
        raise InvalidInput(f"This {type(readings).__name__} cannot be read: {error}.") from None


def _arrow_list(column: Any) -> Any:
    kinds = import_arrow().DataType
    if not kinds.is_timestamp(column.type):
        values: list[Any] = column.to_pylist()
        return _without_nans(values)
    if column.type.tz is None:
        raise InvalidInput(_ZONE)
    whole = column.cast(kinds.int64()).to_pylist()
    missing = np.datetime64("NaT").astype("i8")
    times = np.array([missing if time is None else time for time in whole], np.int64)
    return times.view(f"M8[{column.type.time_unit}]")


def _plain(value: object) -> object:
    """What JSON has no form for: numbers of numpy, and whatever else becomes text."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no form in a record")


#: Decimals become numbers, as in a file of Parquet.
_encoder = msgspec.json.Encoder(enc_hook=_plain, decimal_format="number")


def _shown(lengths: Mapping[str, int]) -> str:
    return ", ".join(f"{name} has {length:,}" for name, length in lengths.items())
