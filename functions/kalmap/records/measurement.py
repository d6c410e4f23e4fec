"""One measurement: a line's fields, checked one by one, the first wrong one named."""

import csv
import json
import math
from collections.abc import Sequence

import msgspec

from kalmap.outcome import Reason
from kalmap.records.timestamps import Timestamp, read_timestamp

MAX_ID_BYTES = 128
#: A longer line is malformed: no measurement needs it, and memory must stay bounded.
MAX_LINE_BYTES = 65_536
REQUIRED_FIELDS = ("user_id", "timestamp", "value")
OPTIONAL_FIELDS = ("unit", "source", "measurement_id")
_EXCERPT_CHARACTERS = 200
#: Unreadable records of one chunk that are kept, each with what is wrong with it.
MAX_UNREAD = 1_000_000


class Measurement(msgspec.Struct, gc=False):
    """One record as it stands in the input, before unit conversion."""

    user_id: str
    timestamp: Timestamp
    value: float
    unit: str | None = None
    source: str | None = None
    measurement_id: str | None = None


class Unread(msgspec.Struct, array_like=True, gc=False):
    """A record that could not be read, with its place and the reason in a sentence."""

    ordinal: int
    line: int
    reason: Reason
    detail: str
    excerpt: str
    user_id: str | None = None
    measurement_id: str | None = None
    file: int = 0
    """Which of its chunk's objects it was found in."""


class Unreadable(Exception):
    """Raised where a record's first wrong field is found."""

    def __init__(self, reason: Reason, detail: str, record: object = None) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.record = reason, detail, record


def unread(ordinal: int, line: int, error: Unreadable, raw: bytes) -> Unread:
    """A line that could not be read, with as much of it as helps to find it."""
    record = error.record if isinstance(error.record, dict) else {}
    return Unread(
        ordinal=ordinal,
        line=line,
        reason=error.reason,
        detail=error.detail,
        excerpt=raw[: 4 * _EXCERPT_CHARACTERS].decode(errors="replace")[:_EXCERPT_CHARACTERS],
        user_id=_identifier(record.get("user_id")),
        measurement_id=_identifier(record.get("measurement_id")),
    )


def _identifier(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= MAX_ID_BYTES else None


def json_record(line: bytes) -> dict[str, object]:
    """A JSONL line's fields.

    Raises:
        Unreadable: It is not a JSON object.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(
            Reason.MALFORMED, f"The line is not valid UTF-8 (byte {error.start + 1})."
        ) from error
    try:
        # The standard codec reads NaN, Infinity and huge numbers, which lets them be named. As
        # floats, whole numbers may have any number of digits.
        record = json.loads(text, parse_int=float)
    except (ValueError, RecursionError) as error:
        place = f" (column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise Unreadable(Reason.MALFORMED, f"The line is not JSON{place}.") from error
    if not isinstance(record, dict):
        raise Unreadable(Reason.MALFORMED, "The line is JSON but not an object with fields.")
    # Escapes can spell half a surrogate pair, which is no character and has no UTF-8.
    if "\\u" in text and any(_is_no_text(value) for value in record.values()):
        raise Unreadable(Reason.MALFORMED, "The line holds half a surrogate pair.")
    return record


def _is_no_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def measurement_of(record: dict[str, object]) -> Measurement:
    """Read field by field, to name the first that is wrong."""

    def unreadable(reason: Reason, detail: str) -> Unreadable:
        return Unreadable(reason, detail, record)

    for field in REQUIRED_FIELDS:
        if record.get(field) in (None, ""):
            raise unreadable(Reason.MISSING_FIELD, f"{field} is missing.")
    for field in ("user_id", *OPTIONAL_FIELDS):
        if not isinstance(record.get(field), str | None):
            raise unreadable(Reason.MALFORMED, f"{field} is not text.")
    value = record["value"]
    if not isinstance(value, float):
        raise unreadable(Reason.BAD_VALUE, "value is not a number.")
    if not math.isfinite(value):
        raise unreadable(Reason.BAD_VALUE, "value is not finite.")
    try:
        timestamp = read_timestamp(record["timestamp"])
    except ValueError as error:
        raise unreadable(Reason.BAD_TIMESTAMP, str(error)) from error
    text = {field: record.get(field) or None for field in OPTIONAL_FIELDS}
    return Measurement(
        user_id=str(record["user_id"]),
        timestamp=timestamp,
        value=value,
        **text,  # type: ignore[arg-type]
    )


def csv_record(line: bytes, fields: Sequence[str | None]) -> dict[str, object]:
    """A CSV line's fields.

    Args:
        line: Without its line end; a record never spans lines.
        fields: The measurement's field of each column, None for a column that is none.

    Raises:
        Unreadable: It is not CSV, or its value is not a number.
    """
    try:
        text = line.decode().rstrip("\r")
    except UnicodeDecodeError as error:
        raise Unreadable(
            Reason.MALFORMED, f"The line is not valid UTF-8 (byte {error.start + 1})."
        ) from error
    try:
        row = next(csv.reader([text], strict=True))
    except (csv.Error, StopIteration) as error:
        raise Unreadable(Reason.MALFORMED, f"The line is not CSV ({error}).") from error
    if len(row) != len(fields):
        raise Unreadable(
            Reason.MALFORMED, f"The line has {len(row)} columns, the header {len(fields)}."
        )
    record: dict[str, object] = {
        name: cell.strip() for name, cell in zip(fields, row, strict=True) if name
    }
    cell = str(record["value"])
    try:
        record["value"] = float(cell) if cell else None
    except ValueError as error:
        raise Unreadable(Reason.BAD_VALUE, "value is not a number.", record) from error
    # Python also reads 8_1 and other scripts' digits, which no other program takes for a number.
    if "_" in cell or not cell.isascii():
        raise Unreadable(Reason.BAD_VALUE, "value is not a number.", record)
    return record
