"""Table cells: columns of Arrow as numpy's arrays, and as the values that JSON has for them."""

from typing import Any

import numpy as np

from kalmap.moments import EARLIEST, LATEST, SECOND
from kalmap.readings import F64, I64, Bool
from kalmap.records.arrow_library import import_arrow
from kalmap.records.coded import Coded
from kalmap.records.measurement import MAX_LINE_BYTES
from kalmap.records.table_layout import Kind

_PER_SECOND = {"s": 1, "ms": 1_000, "us": SECOND}
_NS_PER_US = 1_000


def without_views(batch: Any) -> Any:
    """A record batch without the views of texts that polars writes: pyarrow cannot take those."""
    arrow = import_arrow("A table is read")
    text = arrow.large_string()
    schema = batch.schema
    for place, field in enumerate(schema):
        type_ = field.type
        if arrow.types.is_string_view(type_):
            schema = schema.set(place, field.with_type(text))
        elif arrow.types.is_dictionary(type_) and arrow.types.is_string_view(type_.value_type):
            schema = schema.set(place, field.with_type(arrow.dictionary(type_.index_type, text)))
    return batch.cast(schema)


def is_null(column: Any) -> Bool:
    """Whether each cell is missing."""
    if column.null_count == 0:
        return np.zeros(len(column), bool)
    return np.asarray(column.is_null().to_numpy(zero_copy_only=False), bool)


def floats(column: Any) -> F64:
    """Numbers as float64; what is missing is NaN."""
    arrow = import_arrow("A table is read")
    numbers = decoded(column).cast(arrow.float64(), safe=False)
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64)


def integers(column: Any) -> I64:
    """Whole numbers; what is missing is 0.

    Raises:
        ArrowInvalid: One of them does not fit into 64 bits with a sign.
    """
    arrow = import_arrow("A table is read")
    numbers = decoded(column).cast(arrow.int64())
    if numbers.null_count:
        numbers = numbers.fill_null(0)
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.int64)


def times(column: Any) -> tuple[I64, Bool]:
    """Timestamps of Arrow as whole microseconds, and whether each lies in the calendar.

    A fraction of a microsecond is rounded as in text: half of one upwards.
    """
    column = decoded(column)
    unit = column.type.unit
    whole = integers(column)
    if unit == "ns":
        microseconds, rest = np.divmod(whole, _NS_PER_US)
        microseconds += rest * 2 >= _NS_PER_US
        return microseconds, np.ones(len(whole), bool)
    factor = SECOND // _PER_SECOND[unit]
    inside = (whole >= EARLIEST // factor) & (whole <= LATEST // factor)
    return np.where(inside, whole, 0) * factor, inside


def coded_texts(column: Any) -> Coded:
    """A column of texts; those that are missing have any code.

    Raises:
        UnicodeDecodeError: A text is not UTF-8.
    """
    arrow = import_arrow("A table is read")
    if not arrow.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    codes = np.asarray(column.indices.fill_null(0).to_numpy(zero_copy_only=False)).astype(np.int64)
    # A dictionary may be much longer than the rows that are read.
    is_used = np.zeros(max(1, len(column.dictionary)), bool)
    is_used[codes] = True
    used = np.flatnonzero(is_used)
    position = np.cumsum(is_used) - 1
    if not len(column.dictionary):
        return Coded([None], np.zeros(len(column), np.int32))
    names = column.dictionary.take(arrow.array(used)).to_pylist()
    return Coded(names, position[codes].astype(np.int32))


def coded_integers(column: Any) -> Coded:
    """A column of whole numbers as texts; those that are missing have any code."""
    numbers, codes = np.unique(integers(column), return_inverse=True)
    return Coded([str(number) for number in numbers.tolist()], codes.astype(np.int32))


def json_cells(column: Any, kind: Kind) -> list[Any]:
    """A column's cells as JSON has them: times as text, decimals as numbers, and null.

    Bytes of a text that are not UTF-8 are kept as half surrogate pairs.
    """
    arrow = import_arrow("A table is read")
    if kind == "text" and arrow.types.is_dictionary(column.type):
        # Each text is in memory once, however often it occurs; what is cut makes a row too long.
        texts = json_cells(column.dictionary, kind)
        names = [text and text[: MAX_LINE_BYTES + 1] for text in texts]
        return [None if code is None else names[code] for code in column.indices.to_pylist()]
    column = decoded(column)
    if kind in {"time", "date"}:
        return _iso_texts(column)
    if kind == "number":
        missing = is_null(column)
        return [None if gone else value
                for gone, value in zip(missing, floats(column).tolist(), strict=True)]  # fmt: skip
    try:
        cells: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        encoded = column.cast(arrow.large_string()).view(arrow.large_binary()).to_pylist()
        return [None if cell is None else cell.decode(errors="surrogateescape")
                for cell in encoded]  # fmt: skip
    if kind == "clock":
        return [None if cell is None else str(cell) for cell in cells]
    if kind == "integer":
        return [None if cell is None else int(cell) for cell in cells]  # also of a decimal
    return cells


def _iso_texts(column: Any) -> list[str | None]:
    arrow = import_arrow("A table is read")
    missing = is_null(column)
    if arrow.types.is_date(column.type):
        days = column.cast(arrow.date32()).cast(arrow.int32()).cast(arrow.int64())
        whole, unit, zone = integers(days), "D", ""
    else:
        whole, unit = integers(column), column.type.unit
        if unit == "ns":
            whole, unit = times(column)[0], "us"
        zone = "" if column.type.tz is None else "Z"
    texts = np.datetime_as_string(whole.view(f"M8[{unit}]")).tolist()
    return [None if gone else f"{text}{zone}" for gone, text in zip(missing, texts, strict=True)]


def decoded(column: Any) -> Any:
    """A column without its dictionary."""
    arrow = import_arrow("A table is read")
    return column.dictionary_decode() if arrow.types.is_dictionary(column.type) else column
