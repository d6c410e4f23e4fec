"""One measurement: a record's fields are checked one by one; the first wrong one is named."""

import math

import msgspec

from kalmap.outcome import Reason
from kalmap.records.timestamps import Timestamp, read_timestamp

MAX_ID_BYTES = 128
#: A longer line is malformed: no measurement needs it, and memory must stay bounded.
MAX_LINE_BYTES = 65_536
REQUIRED_FIELDS = ("user_id", "timestamp", "value")
OPTIONAL_FIELDS = ("unit", "source", "measurement_id")
#: From here on, a float stands for several whole numbers.
MOST_WHOLE = 2**53
_EXCERPT_CHARACTERS = 200
#: The most unreadable records of one chunk. Each is stored with what is wrong with it.
MAX_UNREADABLE = 1_000_000


class Measurement(msgspec.Struct, gc=False):
    """One record of the input, before its value is converted to the profile's unit."""

    user_id: str
    timestamp: Timestamp
    value: float
    unit: str | None = None
    source: str | None = None
    measurement_id: str | None = None


class UnreadableRecord(msgspec.Struct, array_like=True, gc=False):
    """A record that could not be read, with its position and a sentence that says why."""

    ordinal: int
    line: int
    reason: Reason
    detail: str
    excerpt: str
    user_id: str | None = None
    measurement_id: str | None = None
    file: int = 0
    """Position of its object among those of the chunk, from 0."""


class RecordError(Exception):
    """A record's first wrong field, and what is wrong with it."""

    def __init__(self, reason: Reason, detail: str, record: object = None) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.record = reason, detail, record


def describe_unreadable(
    ordinal: int, line: int, error: RecordError, raw: bytes
) -> UnreadableRecord:
    """Describe a record that could not be read, with an excerpt that helps to find it."""
    record = error.record if isinstance(error.record, dict) else {}
    return UnreadableRecord(
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


def as_name(value: object) -> object:
    """A whole number as text: programs write names of users as numbers, and also as floats.

    Anything else stays what it is, also a float that stands for several whole numbers.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < MOST_WHOLE:
        return str(int(value))
    return value


def refuse_inexact(name: str, value: object, record: object = None) -> None:
    """Refuse a float as a name if it stands for several whole numbers.

    Raises:
        RecordError: It does.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) >= MOST_WHOLE:
        raise RecordError(
            Reason.MALFORMED,
            f"{name} is a float above 2^53, so several may have become one. Write them as whole "
            "numbers or as text.",
            record,
        )


def measurement_of(record: dict[str, object]) -> Measurement:
    """Check a record field by field.

    Raises:
        RecordError: It names the first field that is wrong.
    """

    def unreadable(reason: Reason, detail: str) -> RecordError:
        return RecordError(reason, detail, record)

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
