"""Readings in, as any table: they become the records that a batch would read from a file."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import repeat
from typing import Any

import msgspec
import numpy as np

from kalmap.errors import InvalidInput
from kalmap.profile import Profile
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.measurement import OPTIONAL_FIELDS, REQUIRED_FIELDS
from kalmap.records.parse import Parsed, parse
from kalmap_library.table import Table, import_arrow

_FIELDS = (*REQUIRED_FIELDS, *OPTIONAL_FIELDS)
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
    columns = _columns(readings)
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidInput(f"The columns differ in length: {_shown(lengths)}.")
    records = map(_Record, *(columns.get(name) or repeat(None) for name in _FIELDS))
    try:
        lines = msgspec.json.Encoder(enc_hook=_plain).encode_lines(list(records))
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"The readings hold something that is no reading: {error}.") from None
    parsed = parse([lines], Jsonl(), profile)
    if parsed.records and not parsed.user.size:
        raise InvalidInput(
            f"None of the {parsed.records:,} readings can be read. The first: "
            f"{parsed.unreadable[0].detail}"
        )
    return parsed


def _columns(readings: object) -> dict[str, list[Any]]:
    """The columns as lists of what JSON can hold."""
    names: list[Any]
    column: Callable[[str], list[Any]]
    if isinstance(readings, Table):
        readings = dict(readings)
    if isinstance(readings, Mapping):
        names, column = list(readings), lambda name: _list(readings[name])
    elif hasattr(readings, "__arrow_c_stream__"):
        table = _arrow_table(readings)
        names, column = table.column_names, lambda name: _arrow_list(table.column(name))
    else:
        rows = isinstance(readings, Sequence) and not isinstance(readings, str)
        hint = " Of a list of records, pandas makes one: pandas.DataFrame(records)." if rows else ""
        raise InvalidInput(
            f"Readings are a table: columns by name, such as {_EXAMPLE}, or a table of pandas, "
            f"polars, pyarrow or DuckDB; not {type(readings).__name__}.{hint}"
        )
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
    columns = {name: column(name) for name in _FIELDS if name in names}
    for name in ("user_id", "measurement_id"):
        first = next((value for value in columns.get(name, ()) if value is not None), "")
        if not isinstance(first, str):
            raise InvalidInput(
                f"The column {name} is not text but {type(first).__name__}. Make it text, for "
                f'example by .astype("str") in pandas.'
            )
    return columns


def _list(column: Any) -> list[Any]:
    if not isinstance(column, np.ndarray):
        # A column of pandas or polars is made an array, other columns stay what they are.
        column = np.asarray(column) if hasattr(column, "__array__") else list(column)
    if isinstance(column, list):
        return [_without_nan(value) for value in column]
    if column.ndim != 1:
        raise InvalidInput(f"A column has one dimension, not {column.ndim}.")
    if column.dtype.kind == "M":
        return _times(column)
    values: list[Any] = column.tolist()
    return [_without_nan(value) for value in values] if column.dtype.kind in "fO" else values


def _without_nan(value: Any) -> Any:
    """Pandas writes NaN, NaT or NA where nothing is."""
    return None if value is None or value != value else value  # noqa: PLR0124 - only NaN differs


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


def _arrow_list(column: Any) -> list[Any]:
    kinds = import_arrow().DataType
    if not kinds.is_timestamp(column.type):
        values: list[Any] = column.to_pylist()
        return [_without_nan(value) for value in values]
    if column.type.tz is None:
        raise InvalidInput(_ZONE)
    whole = column.cast(kinds.int64()).to_pylist()
    missing = np.datetime64("NaT").astype("i8")
    times = np.array([missing if time is None else time for time in whole], np.int64)
    return _times(times.view(f"M8[{column.type.time_unit}]"))


def _plain(value: object) -> object:
    """What JSON has no form for: numbers of numpy, and whatever else becomes text."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no form in a record")


def _shown(lengths: Mapping[str, int]) -> str:
    return ", ".join(f"{name} has {length:,}" for name, length in lengths.items())
